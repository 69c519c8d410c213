# SPDX-License-Identifier: GPL-3.0-or-later
"""What would be bought, what it costs, and what is refused before anybody asks AWS to sell it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.filter import reservation_plan as plan
from ansible_collections.freehold.airflow.plugins.filter import reservation_purchase as purchase

NOW = "2026-11-20T12:00:00+00:00"
HOSTS = [{"name": f"worker-{number}", "instance_type": "t4g.large", "zone": "eu-west-1a"} for number in (1, 2)]
DATABASE = {"name": "freehold-lab", "instance_class": "db.t4g.medium", "multi_az": True}
BROKER = {"name": "freehold-lab", "node_type": "cache.t4g.micro", "nodes": 0}
TERMS: dict[str, Any] = {
    "years": 1,
    "payment": "No Upfront",
    "currency": "USD",
    "max_count": 20,
    "price_limit": 2000,
    "monthly_quota": 20,
}
FAMILIES = list(enumerate(["t4g.large", "t4g.large", "m7g.large", "m7g.large"]))


def reserved(**parts: Any) -> dict[str, Any]:
    return {
        "reserved_instances_id": "ri-1",
        "instance_type": "t4g.large",
        "instance_count": 1,
        "product_description": "Linux/UNIX",
        "scope": "Region",
        "state": "active",
        **parts,
    }


def owned(*items: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"ec2": list(items), "rds": [], "elasticache": []}


def report_of(*items: dict[str, Any], others: Any = (), hosts: Any = HOSTS) -> dict[str, Any]:
    wanted = plan.reservation_wanted(hosts, DATABASE, BROKER)
    return plan.reservation_report(wanted, others, owned(*items), NOW, 30)


def offering(**parts: Any) -> dict[str, Any]:
    return {"id": "offer", "currency": "USD", "upfront": 10.1, "hourly": 0.01, "total": 97.7, **parts}


def found(
    *items: dict[str, Any],
    sold: list[list[dict[str, Any]]] | None = None,
    others: Any = (),
    hosts: Any = HOSTS,
    **terms: Any,
) -> dict[str, Any]:
    report = report_of(*items, others=others, hosts=hosts)
    offers = sold if sold is not None else [[offering()] for _ in report["closing"]]
    return purchase.reservation_purchases(report, offers, owned(*items), {**TERMS, **terms})


def test_a_purchase_is_the_gap_times_the_price_to_the_cent() -> None:
    bought = found()
    assert [(item["type"], item["count"], item["own"], item["total"]) for item in bought["items"]] == [
        ("t4g.large", 2, 2, "195.40"),
        ("db.t4g.medium", 2, 2, "195.40"),
    ]
    assert (bought["total"], bought["upfront"], bought["refused"]) == ("390.80", "40.40", [])
    assert bought["items"][0]["monthly"] == "14.60"
    lines = purchase.reservation_purchase_table(bought, TERMS)
    assert lines[0] == (
        "2 x t4g.large (ec2, Linux/UNIX), 1 year, No Upfront: 20.20 USD at the start, 14.60 a month, 195.40 in 12"
        " months (offering offer)"
    )
    assert lines[-1] == "Total: 390.80 USD, 40.40 of it at the start"


@pytest.mark.parametrize(
    ("parts", "count", "own"),
    [
        ({}, 1, 2),
        ({"state": "payment-pending"}, 1, 2),
        ({"state": "queued", "start": "2026-12-24T00:00:00+00:00"}, 1, 2),
        ({"state": "something-new"}, 1, 2),
        ({"state": "retired"}, 2, 2),
        ({"end": "2026-11-01T00:00:00+00:00"}, 2, 2),
        # Covers as much, but is of another kind, of which the module would find none.
        ({"instance_type": "t4g.medium", "instance_count": 2}, 1, 1),
    ],
)
def test_what_is_bought_and_not_in_force_yet_is_not_bought_again(parts: dict[str, Any], count: int, own: int) -> None:
    host = next(item for item in found(reserved(**parts))["items"] if item["service"] == "ec2")
    assert (host["count"], host["own"]) == (count, own)


def test_nothing_is_missing_when_all_is_pending() -> None:
    bought = found(reserved(instance_count=2, state="payment-pending"))
    assert [item["service"] for item in bought["items"]] == ["rds"]


@pytest.mark.parametrize(
    ("sold", "terms", "words"),
    [
        ([[], [offering()]], {}, "AWS has no reservation for 2 x t4g.large (ec2, Linux/UNIX) for 1 year, No Upfront."),
        ([[offering(), offering()], [offering()]], {}, "AWS has several offerings, none of which is chosen here,"),
        ([[offering(currency="CNY")], [offering()]], {}, "The price of 2 x t4g.large (ec2, Linux/UNIX) is in CNY"),
        (None, {"max_count": 1}, "is more than reservations_max_count, 1."),
        (None, {"price_limit": 390.79}, "390.80 USD is above reservations_price_limit, 390.79."),
    ],
)
def test_what_can_not_be_bought_is_told(sold: Any, terms: dict[str, Any], words: str) -> None:
    assert any(words in sentence for sentence in found(sold=sold, **terms)["refused"])


def test_a_price_without_currency_is_in_the_accounts() -> None:
    bought = found(sold=[[offering(currency="")], [offering()]])
    assert bought["refused"] == []
    assert bought["items"][0]["currency"] == "USD"


@pytest.mark.parametrize(
    ("typed", "same"),
    [
        ("390.80", True),
        (390.8, True),
        ("390.79", False),
        ("390.81", False),
        ("390", False),
        ("1,390.80", False),
        ("all of it", False),
        ("", False),
    ],
)
def test_only_the_very_total_confirms(typed: Any, same: bool) -> None:
    assert purchase.reservation_same_amount(typed, "390.80") is same


def test_what_is_new_and_coverage_before_now_and_when_all_is_paid() -> None:
    old = reserved(instance_type="m7g.large")
    before, now = report_of(old), report_of(old, reserved(reserved_instances_id="ri-2", state="payment-pending"))
    assert purchase.reservation_changes(before, now) == [
        "New: 1 x t4g.large (ec2, Linux/UNIX), payment-pending, ri-2",
        "ec2: 0.0 % covered before, 0.0 % now, 50.0 % when all is paid",
        "rds: 0.0 % covered before, 0.0 % now, 0.0 % when all is paid",
    ]


def test_too_little_is_called_so_service_by_service() -> None:
    report = report_of(reserved(instance_count=2))
    assert purchase.reservation_lacking(report, 50) == ["0.0 % of rds"]
    assert purchase.reservation_lacking(report, 0) == []
    assert [purchase.reservation_words(item) for item in report["closing"]] == ["2 x db.t4g.medium (rds, postgresql)"]


def test_what_is_owned_depends_on_a_time() -> None:
    with pytest.raises(ValueError, match="a time"):
        purchase.reservation_purchases({**report_of(), "at": ""}, [], owned(), TERMS)


# ---- instances of others --------------------------------------------------------------------------------------------


def theirs(*names: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "service": "ec2", "type": "t4g.large", "product": "Linux/UNIX", "ours": False} for name in names
    ]


def test_alone_in_an_account_nobody_takes_a_part() -> None:
    bought = found(reserved())
    assert (bought["others"], bought["owned"]) == ([], 1)


def test_a_second_purchase_of_the_same_is_told_from_the_first_by_what_is_owned() -> None:
    """Of equal instances those of others get the discount: the gap stays what it was, and so does the total."""
    first, second, third = (
        found(*[reserved(instance_count=2, state="payment-pending")] * times, others=theirs("a", "b"))
        for times in range(3)
    )
    hosts = [next(item for item in bought["items"] if item["service"] == "ec2") for bought in (first, second)]
    assert [(item["count"], item["total"]) for item in hosts] == [(2, "195.40")] * 2
    assert first["total"] == second["total"]
    assert (first["owned"], second["owned"]) == (0, 2)
    assert first["others"] == ["Others would take 8 of these 8 units of EC2."]
    assert second["others"] == ["Others use 8 units of the reservations of EC2 that are owned already."]
    assert [item["service"] for item in third["items"]] == ["rds"]
    assert third["others"] == []


def test_what_others_use_of_another_family_is_no_reason_to_look() -> None:
    other = [{**item, "type": "m7g.large"} for item in theirs("a")]
    assert found(reserved(instance_type="m7g.large"), others=other)["others"] == []


# ---- AWS's quota of a month -----------------------------------------------------------------------------------------


def test_the_quota_of_a_month_is_for_all_families_together() -> None:
    hosts = [{**HOSTS[0], "name": str(number), "instance_type": name} for number, name in FAMILIES]
    assert "AWS sells 3 reserved instances a month" in found(hosts=hosts, monthly_quota=3)["refused"][0]
    assert found(hosts=hosts, monthly_quota=4)["refused"] == []
    assert found(hosts=hosts, monthly_quota=0)["refused"] == []


@pytest.mark.parametrize(
    ("parts", "spent"),
    [
        ({"start": "2026-11-01T00:00:00+00:00"}, 1),
        ({"start": "2026-11-01T00:00:00+00:00", "state": "payment-pending"}, 1),
        ({"start": "2026-10-31T23:59:59+00:00"}, 0),
        ({"start": "2026-11-01T00:00:00+00:00", "scope": "Availability Zone", "availability_zone": "eu-west-1a"}, 0),
    ],
)
def test_the_quota_counts_regional_ones_of_this_month(parts: dict[str, Any], spent: int) -> None:
    bought = reserved(instance_type="c7g.large", **parts)
    assert found(bought, monthly_quota=2 + spent)["refused"] == []
    (sentence,) = found(bought, monthly_quota=1 + spent)["refused"]
    assert f"{spent} were bought this month and 2 are missing" in sentence


# ---- what is open and nothing to buy --------------------------------------------------------------------------------


def test_what_is_bought_and_not_in_force_yet_is_said_to_be() -> None:
    database = {"name": "freehold-lab", "instance_class": "db.t4g.medium", "multi_az": False}
    bought = {
        "reserved_db_instance_id": "db-1",
        "db_instance_class": "db.t4g.medium",
        "db_instance_count": 1,
        "product_description": "postgresql",
        "state": "payment-pending",
    }
    wanted = plan.reservation_wanted(HOSTS, database, BROKER)
    pending = reserved(instance_count=2, state="payment-pending", start=NOW)
    report = plan.reservation_report(wanted, [], {**owned(pending), "rds": [bought]}, NOW, 30)
    assert (report["closing"], report["rests"]) == ([], [])
    assert purchase.reservation_remains(report) == ["What is open is bought, and not in force yet."]
    report = report_of(reserved(state="payment-pending", start=NOW))
    assert purchase.reservation_remains(report) == ["Of what is open, 4 units of EC2 are bought, and not in force yet."]


def test_what_is_counted_before_its_date_is_named_with_it() -> None:
    later = {"state": "queued", "start": "2026-12-24T00:00:00+00:00", "end": "2027-12-24T00:00:00+00:00"}
    report = report_of(reserved(**later), reserved(reserved_instances_id="ri-2", state="odd"))
    assert [item["service"] for item in report["closing"]] == ["rds"]
    assert purchase.reservation_remains(report)[1:] == [
        "Counted, although not in force before 2026-12-24: ec2 reservation ri-1 (1 x t4g.large, Linux/UNIX).",
        "Counted, although its state is not known here, odd: ec2 reservation ri-2 (1 x t4g.large, Linux/UNIX).",
    ]
    foreign = report_of(reserved(**later, instance_type="m7g.large"))
    assert purchase.reservation_remains(foreign) == [], "what ours can't use is not counted"


@pytest.mark.parametrize(
    ("owned_type", "words"),
    [
        ("t4g.small", "3 units of EC2 stay open, less than one t4g.large, the smallest type that is open;"),
        ("t4g.xlarge", ""),
    ],
)
def test_a_rest_that_is_less_than_one_is_named_with_the_type(owned_type: str, words: str) -> None:
    report = report_of(reserved(instance_type=owned_type))
    told = [line for line in purchase.reservation_remains(report) if "EC2" in line]
    assert len(told) == (1 if words else 0)
    assert "".join(told).startswith(words)
    if words:
        assert "by hand, with the module freehold.airflow.ec2_reserved_instances." in told[0]
        hosts = [(item["type"], item["count"]) for item in report["closing"] if item["service"] == "ec2"]
        assert hosts == [("t4g.large", 1)]
