# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan on a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.filter.reservation_table import WIDTH, reservation_table

from tests.unit.plugins.filter.example_plan import OWNED, PRICES, WANTED, example


def text(**given: Any) -> str:
    return "\n".join(reservation_table(example(**given)))


def line(beginning: str, **given: Any) -> str:
    found = [each for each in reservation_table(example(**given)) if each.startswith(beginning)]
    assert len(found) == 1, found
    return found[0]


def test_the_answer_comes_first() -> None:
    lines = reservation_table(example())
    assert lines[0] == "Environment prod in eu-west-1, 2026-11-23"
    assert " ".join(line.strip() for line in lines[1 : lines.index("")]) == (
        "Reservations cover 13.7 % of what could be reserved. The environment costs 277.26 USD a month today, 207.91"
        " with the recommended purchase (1 year, No Upfront); the same work on Amazon MWAA costs 478.15: 42 % less"
        " here today, 56 % with the purchase."
    )


@pytest.mark.parametrize(
    ("price", "given", "words"),
    [
        # 277.26 today and 207.91 with the purchase, against so much an hour of an environment alone.
        (0.49, {}, "costs 478.15: 42 % less here today, 56 % with the purchase."),
        (0.2, {}, "costs 266.45: 4 % more here today, 21 % less with the purchase."),
        (0.1, {}, "costs 193.45: 43 % more here today, 7 % with the purchase."),
        (0.49, {"years": 1, "payment": "Partial Upfront"}, "costs 478.15: 42 % less here today."),
    ],
)
def test_both_figures_are_held_against_mwaa_and_never_rounded_up(
    price: float, given: dict[str, Any], words: str
) -> None:
    prices = [{**entry, "amount": price} if entry["product"] == "environment" else entry for entry in PRICES]
    assert words in " ".join(text(prices=prices, **given).split())


def test_notes_come_last_and_are_folded_too() -> None:
    lines = reservation_table(example(), ["Savings Plans are not counted.", "word " * 30])
    assert lines[-3] == "Savings Plans are not counted."
    assert max(map(len, lines)) <= WIDTH


def test_long_ids_are_cut_and_many_are_counted() -> None:
    ids = ["a" * 63, "ce173897-2444-4c0f-828b-004ac77530a9", "third"]
    owned = [{**OWNED[0], "reserved_instances_id": name, "instance_type": "t4g.micro"} for name in ids]
    shown = line("EC2    t4g.medium  ", owned=owned, wanted=WANTED[:1])
    assert shown.endswith(f"{'a' * 18}.. +2")


def test_what_is_alike_is_one_line() -> None:
    more = [{**WANTED[2], "name": f"prod-worker-{number}"} for number in range(2, 5)]
    assert text(wanted=[*WANTED, *more]).split("\n\n")[1].splitlines() == [
        "Fleet  type                    count  units  covered      %  by",
        "EC2    t4g.medium                  1      2        2  100.0  ri-used",
        "EC2    t4g.medium                  1      2        0    0.0  on demand",
        "EC2    t4g.large                   4     16        0    0.0  on demand",
        "RDS    db.t4g.medium Multi-AZ      1      4        0    0.0  on demand",
    ]


def test_sums_stand_under_each_other() -> None:
    assert text().split("\n\n")[2].splitlines() == [
        "USD, all together                   at start  a month  36 months  saves %      even",
        "all on demand                                  288.21  10,375.56",
        "as covered today                               277.26  10,353.66",
        "1 year, No Upfront  <- recommended      0.00   207.91   7,857.06     25.0   at once",
        "1 year, All Upfront                 1,051.20   182.36   6,937.26     34.2   month 6",
        "3 years, No Upfront                     0.00   226.89   8,540.34     18.2   at once",
        "3 years, All Upfront                1,839.60   145.86   5,623.26     47.4  month 11",
        "Amazon MWAA                                    478.15  17,213.40",
        "3 years, No Upfront: AWS does not sell 2 x db.t4g.medium so; it stays on demand.",
    ]


def test_what_would_be_bought_has_its_price() -> None:
    # 3 x 0.025 and 2 x 0.04 an hour, for 730 and for 8,760 hours.
    assert line("EC2      3 x") == "EC2      3 x t4g.medium     Linux/UNIX      0.00    54.75      657.00"
    assert line("RDS      2 x") == "RDS      2 x db.t4g.medium  postgresql      0.00    58.40      700.80"


def test_prices_have_a_date_and_a_currency() -> None:
    assert line("Prices:").startswith("Prices: USD, price list of eu-west-1 of 2026-11-20 (version 20261120101500),")
    assert line("NAT gateway") == "NAT gateway                                         1      0.048 an hour  35.04"
    assert line("MWAA:").startswith("MWAA: mw1.small with 4 workers, 2 schedulers and 2 web servers")


def test_what_is_owned_and_needs_attention_is_named() -> None:
    queued = {**OWNED[0], "reserved_instances_id": "ri-queued", "state": "queued", "start": "2026-12-24T00:00:00+00:00"}
    strange = {**OWNED[0], "reserved_instances_id": "ri-strange", "state": "strange"}
    found = " ".join(text(owned=[*OWNED, queued, strange], days=61).split())
    assert "Ends soon: ec2 reservation ri-used (1 x t4g.medium, Linux/UNIX) on 2027-01-23, in 60 days" in found
    assert "Not in force yet: ec2 reservation ri-queued (1 x t4g.medium, Linux/UNIX) is queued" in found
    assert "Not counted: ec2 reservation ri-strange" in found
    assert (
        "Paid for and unused: 4 of 4 units of ec2 reservation ri-idle (1 x m7g.large, Linux/UNIX), 36.50 USD a month"
        in found
    )
    assert "In 61 days: EC2 is covered to 0 %" in text(days=61)


def test_what_a_purchase_would_not_cover_is_told() -> None:
    theirs = {"name": "i-1", "service": "ec2", "type": "t4g.small", "product": "Linux/UNIX", "ours": False}
    assert "Others would take 1 of these 8 units of EC2" in text(owned=[], running=[theirs])
    small = [{**OWNED[0], "instance_type": "t4g.small"}]
    assert "1 unit of EC2 stays open, less than one t4g.medium" in text(owned=small)
    unsold = [{**WANTED[0], "type": "m7g.large"}]
    prices = [*PRICES, {**PRICES[0], "type": "m7g.large"}]
    assert "AWS sells no reservation of m7g.large (ec2, Linux/UNIX) here." in text(
        owned=[], wanted=unsold, prices=prices
    )


def test_a_covered_fleet_is_called_so() -> None:
    found = text(owned=[{**OWNED[0], "instance_count": 4}], wanted=WANTED[:3])
    assert "Everything is covered." in found
    assert "nothing needs to be bought" in " ".join(found.split())
    assert "To close the gap" not in found


def test_a_rest_too_small_for_any_reservation_is_not_called_covered() -> None:
    found = " ".join(text(owned=[{**OWNED[0], "instance_type": "t4g.small"}], wanted=WANTED[2:3]).split())
    assert "Everything is covered." not in found
    assert "what is open is less than one of the smallest type that is open;" in found
    assert "3 units of EC2 stay open, less than one t4g.large, the smallest type that is open;" in found


def test_what_is_bought_and_not_in_force_yet_is_not_bought_again() -> None:
    """Being paid for, or queued: the plan says the same as reserve."""
    paying = {**OWNED[0], "instance_count": 2, "state": "payment-pending", "start": "2026-11-23T11:00:00+00:00"}
    queued = {**OWNED[0], "instance_count": 2, "state": "queued", "start": "2026-12-24T00:00:00+00:00"}
    queued |= {"reserved_instances_id": "ri-queued", "end": "2027-12-24T00:00:00+00:00"}
    for owned in ([paying, queued], [{**paying, "instance_count": 4}], [{**queued, "instance_count": 4}]):
        found = " ".join(text(owned=owned, wanted=WANTED[:3]).split())
        assert "What is open is bought, and not in force yet." in found
        assert "and what is open is bought, and not in force yet; the same work" in found
        assert "To close the gap" not in found
        assert "recommended" not in found
    found = " ".join(text(owned=[paying], wanted=WANTED[:3]).split())
    assert "Of what is open, 4 units of EC2 are bought, and not in force yet." in found
    assert "EC2 1 x t4g.large" in found


def test_without_prices_it_is_in_units_and_says_why() -> None:
    found = " ".join(text(prices=[], without="Failed to read the price list: pricing:GetProducts").split())
    assert "Reservations cover 25 % of EC2 and 0 % of RDS, in units. What it costs can't be said" in found
    assert "pricing:GetProducts" in found
    assert "month 6" not in found
    found = text(prices=[entry for entry in PRICES if entry["type"] != "t4g.large"])
    assert "No price: t4g.large (ec2, Linux/UNIX): it has no price on demand" in found


def test_a_region_without_any_price_is_named_once() -> None:
    why = "the price list of eu-west-1 does not have it"
    unknown = [{key: entry[key] for key in ("service", "type", "product", "copies")} | {"why": why} for entry in PRICES]
    found = " ".join(text(prices=[], unknown=unknown).split())
    assert "Reservations cover 25 % of EC2 and 0 % of RDS, in units. What it costs can't be said" in found
    assert found.count("the price list has no price of any of it for eu-west-1") == 2, "in the answer, and below"
    assert why not in found
    assert "No price" not in found
    assert "a month today" not in found


def test_a_purchase_that_saves_nothing_is_not_praised() -> None:
    dear = [{**entry, "amount": entry["amount"] / 10} for entry in PRICES]
    found = " ".join(text(prices=dear).split())
    assert "buying what would cover the rest saves nothing" in found
    assert "never" in found


def test_a_purchase_that_is_not_sold_so_is_said_not_to_be() -> None:
    found = " ".join(text(years=1, payment="Partial Upfront").split())
    assert "AWS does not sell what would cover the rest in the way that is asked for" in found
    assert "<- recommended" not in found


@pytest.mark.parametrize("days", [30, 365])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"owned": []},
        {"prices": [], "without": "Failed to read the price list: " + "An error occurred (AccessDenied) " * 8},
        {
            "owned": [
                {**OWNED[0], "reserved_instances_id": f"{number}{'0' * 7}-0000-0000-0000-{'0' * 12}"}
                for number in range(9)
            ]
        },
    ],
)
def test_no_line_is_wider_than_a_terminal(given: dict[str, Any], days: int) -> None:
    lines = reservation_table(example(days=days, **given))
    assert max(map(len, lines)) <= WIDTH
    assert all(each == each.rstrip() for each in lines)
