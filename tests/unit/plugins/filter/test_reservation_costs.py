# SPDX-License-Identifier: GPL-3.0-or-later
"""What an environment costs: every sum reckoned by hand, from the prices of example_plan.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.filter import reservation_costs as costs
from ansible_collections.freehold.airflow.plugins.filter import reservation_plan as plan
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import words
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.costs import break_even

from tests.unit.plugins.filter.example_plan import (
    BESIDE,
    FLEET,
    NOW,
    OFFERINGS,
    OWNED,
    PRICES,
    TYPES,
    WANTED,
    example,
    priced_without,
)

# A month has 730 hours.
ON_DEMAND = 730 * (2 * 0.04 + 0.08 + 0.13)
BESIDE_MONTH = 80 * 0.088 + 20 * 0.254 + 18.40 + 730 * 0.048 + 730 * 3 * 0.005


def option(found: dict[str, Any], years: int, payment: str) -> dict[str, Any]:
    told: dict[str, Any] = next(
        item for item in found["costs"]["options"] if (item["years"], item["payment"]) == (years, payment)
    )
    return told


def test_a_month_on_demand_as_covered_and_beside() -> None:
    found = example()["costs"]
    assert (round(ON_DEMAND, 2), round(BESIDE_MONTH, 2)) == (211.7, 76.51)
    assert found["beside"]["month"] == 76.51
    assert {key: found["on_demand"][key] for key in ("open", "beside", "month")} == {
        "open": 211.70,
        "beside": 76.51,
        "month": 288.21,
    }
    # One of the two t4g.medium is covered: 0.025 an hour instead of 0.04.
    assert {key: found["today"][key] for key in ("open", "reserved", "month")} == {
        "open": 182.50,
        "reserved": 18.25,
        "month": 277.26,
    }
    # 0.04 of 0.29 an hour.
    assert found["covered_percent"] == 13.7


@pytest.mark.parametrize(
    ("years", "payment", "at_start", "still", "bought", "saving", "even", "paid"),
    [
        # 3 x 0.025 + 2 x 0.04 an hour. Two months with the owned one, then its t4g.medium on demand.
        (1, "No Upfront", 0.0, 0.0, 113.15, 69.35, 0, 2 * 207.91 + 34 * 218.86),
        # 3 x 175.20 + 2 x 262.80, three times in three years; 1051.20 / 182.50 a month.
        (1, "All Upfront", 1051.2, 0.0, 87.6, 94.9, 6, 3 * 1051.2 + 2 * 94.76 + 34 * 105.71),
        # The database stays on demand: 0.13 an hour.
        (3, "No Upfront", 0.0, 94.9, 37.23, 50.37, 0, 2 * 226.89 + 34 * 237.84),
        # 3 x 262.80 + 2 x 525.60; 1839.60 / 182.50 a month.
        (3, "All Upfront", 1839.6, 0.0, 51.1, 131.4, 11, 1839.6 + 2 * 94.76 + 34 * 105.71),
    ],
)
def test_each_way_of_buying(
    years: int, payment: str, at_start: float, still: float, bought: float, saving: float, even: int, paid: float
) -> None:
    found = option(example(), years, payment)
    assert (found["at_start"], found["open"], found["bought"]) == (at_start, still, bought)
    assert found["reserved"] == 18.25
    assert found["month"] == round(still + 18.25 + bought + 76.51, 2)
    assert (found["saving"], found["break_even"]) == (saving, even)
    assert found["saving_percent"] == round(saving / 277.26 * 100, 1)
    assert (found["series"][0], found["series"][36]) == (at_start, round(paid, 2))
    assert found["not_sold"] == (["2 x db.t4g.medium"] if (years, payment) == (3, "No Upfront") else [])


def test_a_purchase_that_is_paid_in_part_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, sold in {"t4g.medium": (87.6, 0.01), "db.t4g.medium": (131.4, 0.02)}.items():
        monkeypatch.setitem(OFFERINGS, name, [*OFFERINGS[name], (1, "Partial Upfront", *sold)])
    found = option(example(), 1, "Partial Upfront")
    # 3 x 87.60 + 2 x 131.40; 730 x (3 x 0.01 + 2 x 0.02) = 51.10 a month, and a twelfth of what was paid at the start.
    assert (found["at_start"], found["open"], found["bought"]) == (525.6, 0.0, 94.9)
    assert (found["month"], found["saving"]) == (189.66, round(277.26 - 189.66, 2))
    # 525.60 / (182.50 - 51.10): at the end of the fourth month nothing is lost.
    assert found["break_even"] == 4
    assert [found["series"][month] for month in (0, 2, 12, 36)] == [
        525.6,
        round(525.6 + 2 * (94.76 + 51.1), 2),
        # After the second month a t4g.medium is on demand; the next year's is paid when it begins.
        round(525.6 + 2 * (94.76 + 51.1) + 10 * (105.71 + 51.1), 2),
        round(3 * 525.6 + 2 * (94.76 + 51.1) + 34 * (105.71 + 51.1), 2),
    ]


def test_ways_that_aws_does_not_sell_are_not_made_up() -> None:
    told = [(item["years"], item["payment"]) for item in example()["costs"]["options"]]
    assert told == [(1, "No Upfront"), (1, "All Upfront"), (3, "No Upfront"), (3, "All Upfront")]


def test_the_course_counts_what_ends_from_the_hour_it_ends() -> None:
    found = example()["costs"]
    assert found["on_demand"]["series"] == [round(288.21 * month, 2) for month in range(37)]
    assert found["today"]["series"][:5] == [0.0, 277.26, 554.52, 842.73, 1130.94]
    # In the middle of the second month instead.
    early = [{**OWNED[0], "end": "2027-01-08T03:00:00+00:00"}]
    halved = example(owned=early)["costs"]["today"]["series"]
    assert halved[2] == round(277.26 + (277.26 + 288.21) / 2, 2)


def test_what_is_queued_counts_from_its_beginning() -> None:
    queued = {**OWNED[0], "reserved_instances_id": "next", "state": "queued"}
    queued |= {"start": OWNED[0]["end"], "end": "2028-01-23T08:00:00+00:00"}
    found = example(owned=[OWNED[0], queued])["costs"]
    # Twelve months more at the price of what is covered, and no more than that: two, twelve, then on demand.
    assert found["today"]["month"] == 277.26
    assert found["today"]["series"][36] == round(14 * 277.26 + 22 * 288.21, 2)


def test_what_others_use_of_a_reservation_they_pay() -> None:
    theirs = {"name": "i-1", "service": "ec2", "type": "t4g.small", "product": "Linux/UNIX", "ours": False}
    found = example(running=[theirs])["costs"]
    # A t4g.small takes one of the two units, so that half of a t4g.medium is on demand again.
    assert found["today"]["reserved"] == 9.13  # 0.025 * 730 / 2 is 9.125
    assert found["today"]["open"] == 182.50 + 14.60
    assert found["on_demand"]["open"] == 211.70


def test_a_purchase_is_paid_in_full_even_where_others_take_a_part() -> None:
    theirs = {"name": "i-1", "service": "ec2", "type": "t4g.nano", "product": "Linux/UNIX", "ours": False}
    found = option(example(owned=[], running=[theirs]), 1, "No Upfront")
    # Four t4g.medium for eight units, of which a quarter of a unit is lost to them: 0.02 an hour for each of ours.
    assert found["bought"] == round((4 * 0.025 + 2 * 0.04) * 730, 2)
    assert found["open"] == round(0.25 * 0.02 * 730, 2)


def test_what_is_paid_for_and_used_by_nobody_is_told_beside_the_sums() -> None:
    found = example()["costs"]
    assert found["idle"] == [{"id": "ri-idle", "service": "ec2", "type": "m7g.large", "month": 36.50}]
    assert example(owned=OWNED[:1])["costs"]["today"]["month"] == found["today"]["month"]


def test_a_fleet_that_is_covered_has_nothing_to_buy() -> None:
    owned = [{**OWNED[0], "instance_count": 4}]
    found = example(owned=owned, wanted=WANTED[:3])["costs"]
    assert found["covered_percent"] == 100.0
    assert (found["today"]["open"], found["today"]["reserved"]) == (0.0, 73.0)
    assert found["options"] == []


def test_where_a_recommended_purchase_is_said_to_be() -> None:
    assert [item["recommended"] for item in example(years=3, payment="All Upfront")["costs"]["options"]] == [
        False,
        False,
        False,
        True,
    ]


def test_what_is_being_paid_for_is_not_bought_again_and_no_saving_of_another_purchase() -> None:
    paying = {**OWNED[0], "state": "payment-pending", "start": "2026-11-23T11:00:00+00:00"}
    found = example(owned=[paying])
    assert {key: found["costs"]["today"][key] for key in ("open", "reserved")} == {"open": 211.70, "reserved": 0.0}
    told = option(found, 1, "No Upfront")
    assert (told["open"], told["reserved"], told["bought"], told["month"]) == (0.0, 18.25, 113.15, 207.91)
    assert told["saving"] == round(277.26 - 207.91, 2)


def test_what_is_queued_is_not_bought_again_and_on_demand_until_its_date() -> None:
    queued = {**OWNED[0], "state": "queued", "start": "2026-12-24T00:00:00+00:00", "end": "2027-12-24T00:00:00+00:00"}
    told = option(example(owned=[queued]), 1, "No Upfront")
    # One t4g.medium of the two.
    assert (told["open"], told["reserved"], told["bought"]) == (29.20, 0.0, 113.15)
    assert told["saving"] == round(288.21 - told["month"], 2)


@pytest.mark.parametrize(
    ("with_it", "month"),
    [
        ([0, 9, 19, 29, 39], 0),
        ([0, 9, 20, 31, 39], 4),
        ([5, 9, 19, 29, 39], 1),
        ([5, 14, 20, 29, 39], 2),
        ([5, 9, 21, 29, 39], 3),
        ([5, 9, 19, 29, 41], None),
        ([0, 10, 20, 30, 40], 1),
    ],
)
def test_a_purchase_has_paid_for_itself_when_it_stays_paid_for(with_it: list[int], month: int | None) -> None:
    without = [Decimal(10 * each) for each in range(5)]
    assert break_even(without, [Decimal(each) for each in with_it], 4) == month


def test_offers_of_the_same_type_for_another_deployment_are_not_taken() -> None:
    """SQL Server's sizes are rigid, so that a database with a standby takes another reservation than one without."""
    database: dict[str, Any] = {"name": "a", "service": "rds", "type": "db.m5.large", "product": "sqlserver-se(li)"}
    wanted = [database, {**database, "name": "b", "copies": 2}]
    report = plan.reservation_report(wanted, [], {}, NOW, 30)
    assert [(item["multi_az"], item["count"]) for item in report["closing"]] == [(False, 1), (True, 1)]
    sold = {"id": "o", "years": 1, "payment": "No Upfront", "currency": "USD", "upfront": 0.0}
    offerings = [[{**sold, "hourly": hourly, "total": hourly * 8760}] for hourly in (1.0, 2.0)]
    report = plan.reservation_offers(report, offerings)
    prices = [{**PRICES[0], **database, "copies": copies, "amount": 2.0 * copies} for copies in (1, 2)]
    given: dict[str, Any] = {"reserved": {}, "prices": prices, "unknown": [], "beside": [], "mwaa": {"lines": []}}
    given |= {"region": "eu-west-1", "currency": "USD", "years": 1, "payment": "No Upfront"}
    found = costs.reservation_costs(report, wanted, [], given)
    assert option(found, 1, "No Upfront")["bought"] == 3 * 730
    assert [row[1:5] for row in words.purchase(found)] == [
        ["1 x db.m5.large", "sqlserver-se(li)", "0.00", "730.00"],
        ["1 x db.m5.large Multi-AZ", "sqlserver-se(li)", "0.00", "1,460.00"],
    ]


# ---- what is missing is never made up -------------------------------------------------------------------------------


def test_a_price_that_is_missing_leaves_no_sum_and_is_named() -> None:
    unknown = [{**WANTED[3], "why": "the price list of eu-west-1 does not have it"}]
    found = example(prices=priced_without("rds"), unknown=unknown)["costs"]
    assert found["missing"] == ["db.t4g.medium (rds, postgresql): the price list of eu-west-1 does not have it"]
    assert (found["on_demand"], found["today"], found["options"]) == (None, None, [])
    assert "covered_percent" not in found


def test_without_prices_the_reason_stands_there() -> None:
    found = example(prices=[], without="not authorized to perform: pricing:GetProducts")["costs"]
    assert found["without"] == "not authorized to perform: pricing:GetProducts"
    assert (found["today"], found["options"], found["mwaa"]["month"]) == (None, [], None)
    assert found["price_lists"] == []


def test_what_stands_beside_and_has_no_price_is_named_as_not_included() -> None:
    found = example(prices=priced_without("nat_gateway"))["costs"]
    assert found["beside"]["month"] == round(76.51 - 35.04, 2)
    assert found["today"]["month"] == round(277.26 - 35.04, 2)
    assert "NAT gateway: its price was not read" in found["not_included"]


def test_prices_in_another_currency_are_never_added_up() -> None:
    yuan = [{**entry, "currency": "CNY"} for entry in PRICES]
    found = example(prices=yuan)["costs"]
    assert found["today"] is None
    assert "t4g.large (ec2, Linux/UNIX): its price is in CNY, and USD is expected" in found["missing"]
    found = example(prices=yuan, currency="CNY", owned=[])["costs"]
    assert found["on_demand"]["month"] == 288.21
    # The offerings of the example are in USD.
    assert found["options"] == []


def test_a_reservation_in_another_currency_or_without_a_price_leaves_no_sum() -> None:
    found = example(owned=[{**OWNED[0], "currency_code": "CNY"}])["costs"]
    assert found["missing"] == ["reservation ri-used (ec2): its price is in CNY, and USD is expected"]
    assert found["today"] is None
    for lost in ({"recurring_charges": [{"amount": 1.0, "frequency": "Monthly"}]}, {"duration": None}):
        found = example(owned=[{**OWNED[0], **lost}])["costs"]
        assert found["missing"] == ["reservation ri-used (ec2): AWS does not tell what it costs"]
    # One that we do not use may have any price.
    assert example(owned=[OWNED[0], {**OWNED[1], "currency_code": "CNY"}])["costs"]["missing"] == []


def test_a_queued_reservation_without_a_price_leaves_no_sum_either() -> None:
    queued = {**OWNED[0], "reserved_instances_id": "next", "state": "queued", "duration": None}
    queued |= {"start": OWNED[0]["end"], "end": "2028-01-23T08:00:00+00:00"}
    found = example(owned=[OWNED[0], queued])["costs"]
    assert found["missing"] == ["reservation next (ec2): AWS does not tell what it costs"]
    assert found["today"] is None
    # Nor one that takes over when another ends.
    spare = {**queued, "state": "active", "start": OWNED[0]["start"], "end": "2028-01-23T08:00:00+00:00"}
    found = example(owned=[OWNED[0], spare], wanted=WANTED[:1])["costs"]
    assert found["missing"] == ["reservation next (ec2): AWS does not tell what it costs"]
    assert example(owned=[OWNED[0], {**queued, "instance_type": "m7g.large"}])["costs"]["missing"] == []


def test_a_region_without_any_price_is_one_reason() -> None:
    unknown = [{**entry, "why": "the price list of eu-west-1 does not have it"} for entry in PRICES]
    found = example(prices=[], unknown=unknown)["costs"]
    assert found["without"] == "the price list has no price of any of it for eu-west-1"
    assert (found["missing"], found["today"], found["options"]) == ([], None, [])
    assert not any("does not have it" in line for line in found["not_included"])


def test_what_aws_sells_no_reservation_of_stays_on_demand() -> None:
    wanted = [{**WANTED[0], "type": "m7g.large"}, *WANTED[1:]]
    prices = [*PRICES, {**PRICES[0], "type": "m7g.large", "amount": 0.1}]
    found = example(owned=OWNED[:1], wanted=wanted, prices=prices)
    assert {item["type"] for item in found["closing"]} == {"m7g.large", "t4g.large", "db.t4g.medium"}
    assert all("1 x m7g.large" in item["not_sold"] for item in found["costs"]["options"])
    assert option(found, 1, "No Upfront")["open"] == round(730 * (0.1 + 0.08), 2)


# ---- what is asked of the price list --------------------------------------------------------------------------------


def test_prices_are_asked_of_the_fleet_the_gap_what_stands_beside_and_mwaa() -> None:
    found = example()
    beside = costs.reservation_beside(FLEET, BESIDE)
    same_work = costs.reservation_mwaa(FLEET, TYPES, {})
    asked = costs.reservation_price_items(found, beside, same_work)
    assert [tuple(item.values()) for item in asked] == [
        ("ec2", "t4g.medium", "Linux/UNIX", 1),
        ("ec2", "t4g.large", "Linux/UNIX", 1),
        ("rds", "db.t4g.medium", "postgresql", 2),
        ("rds", "db.t4g.medium", "postgresql", 1),
        ("ebs", "gp3", "", 1),
        ("rds_storage", "gp3", "postgresql", 2),
        ("load_balancer", "", "", 1),
        ("nat_gateway", "", "", 1),
        ("public_ipv4", "", "", 1),
        ("mwaa", "mw1.small", "environment", 1),
        ("mwaa", "mw1.small", "worker", 1),
    ]


def test_what_there_is_none_of_is_no_line() -> None:
    given = {**BESIDE, "nat_gateways": 0, "load_balancers": 0, "database_multi_az": False}
    lines = {line["item"]["service"]: line for line in costs.reservation_beside(FLEET, given)}
    assert set(lines) == {"ebs", "rds_storage", "public_ipv4"}
    assert lines["rds_storage"]["item"]["copies"] == 1
    assert lines["ebs"]["count"] == 80


# ---- Amazon MWAA ----------------------------------------------------------------------------------------------------


def mwaa(
    *workers: tuple[str, int, int], others: tuple[int, int] = (1, 1), given: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The MWAA of a fleet with workers of a type, a count and a memory, and so many schedulers and web servers."""
    fleet = [
        {"duties": ["scheduler"], "instance_type": "t4g.medium", "count": others[0]},
        {"duties": ["webserver"], "instance_type": "t4g.medium", "count": others[1]},
        *({"duties": ["worker"], "instance_type": name, "count": count} for name, count, _ in workers),
    ]
    types = {name: {"memory_mib": memory} for name, _, memory in workers}
    return costs.reservation_mwaa(fleet, types, given or {})


def counts(found: dict[str, Any]) -> tuple[str, int, int, int]:
    return found["class"], found["workers"], found["schedulers"], found["webservers"]


def test_the_same_work_is_the_smallest_class_with_as_many_tasks_at_once() -> None:
    # (8192 - 512) / 400 = 19 tasks a host, five a small worker.
    found = mwaa(("t4g.large", 2, 8192))
    assert (found["tasks"], counts(found)) == (38, ("mw1.small", 8, 2, 2))
    assert [(line["item"]["product"], line["count"]) for line in found["lines"]] == [("environment", 1), ("worker", 7)]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        # 125 tasks are all that 25 small workers run.
        (("t4g.large", 6, 8192), ("mw1.small", 23)),
        (("t4g.large", 7, 8192), ("mw1.medium", 14)),
        (("m7g.4xlarge", 4, 65536), ("mw1.xlarge", 17)),
        # More than MWAA allows without being asked: the largest class all the same.
        (("m7g.16xlarge", 8, 262144), ("mw1.2xlarge", 66)),
    ],
)
def test_larger_fleets_need_larger_classes(hosts: tuple[str, int, int], expected: tuple[str, int]) -> None:
    assert counts(mwaa(hosts))[:2] == expected


def test_schedulers_and_web_servers_are_as_many_as_the_fleet_has_within_what_mwaa_has() -> None:
    assert counts(mwaa(("t4g.large", 1, 8192), others=(3, 9)))[2:] == (3, 5)
    found = mwaa(("t4g.large", 1, 8192), others=(3, 1))
    assert [(line["item"]["product"], line["count"]) for line in found["lines"]] == [
        ("environment", 1),
        ("worker", 3),
        ("scheduler", 1),
    ]


def test_what_is_stated_is_taken_as_it_is() -> None:
    given = {"class": "mw1.large", "workers": 3, "schedulers": 2, "webservers": 4}
    found = mwaa(("t4g.large", 2, 8192), given=given)
    assert counts(found) == ("mw1.large", 3, 2, 4)
    assert found["stated"] == ["class", "schedulers", "webservers", "workers"]
    # Three workers for 38 tasks: at least thirteen each.
    assert counts(mwaa(("t4g.large", 2, 8192), given={"workers": 3}))[:2] == ("mw1.large", 3)
    assert counts(mwaa(("t4g.large", 2, 8192), given={"class": "mw1.medium"}))[:2] == ("mw1.medium", 4)
    assert counts(mwaa(("t4g.large", 2, 8192), given={"class": "mw1.micro"})) == ("mw1.micro", 1, 1, 1)


def test_a_type_that_ec2_does_not_know_leaves_the_choice_open() -> None:
    fleet = [{"duties": ["worker"], "instance_type": "t9.large", "count": 2}]
    found = costs.reservation_mwaa(fleet, {}, {})
    assert found["lines"] == []
    assert "t9.large" in found["why"]
    stated = costs.reservation_mwaa(fleet, {}, {"class": "mw1.small", "workers": 2})
    assert [line["count"] for line in stated["lines"]] == [1, 1]


def test_the_price_of_mwaa_is_that_of_all_its_parts_or_none() -> None:
    found = example()["costs"]["mwaa"]
    # mw1.small, and three workers for 19 tasks beside the one it has.
    assert [line["month"] for line in found["lines"]] == [357.70, 120.45]
    assert found["month"] == 478.15
    assert found["series"][36] == round(478.15 * 36, 2)
    partly = [entry for entry in PRICES if entry["product"] != "worker"]
    found = example(prices=partly)["costs"]["mwaa"]
    assert found["month"] is None
    assert [line["why"] for line in found["lines"]] == ["", "its price was not read"]


def test_the_time_of_the_plan_is_the_reports() -> None:
    assert example()["at"] == NOW
