# SPDX-License-Identifier: GPL-3.0-or-later
"""What would be bought, what it costs, and what is refused before anybody asks AWS to sell it."""

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.filter import reservation_plan as plan
from ansible_collections.freehold.airflow.plugins.filter import reservation_purchase as purchase

NOW = "2026-11-20T12:00:00+00:00"
HOSTS = [{"name": f"worker-{number}", "instance_type": "t4g.large", "zone": "eu-west-1a"} for number in (1, 2)]
DATABASE = {"name": "freehold-lab", "instance_class": "db.t4g.medium", "multi_az": True}
BROKER = {"name": "freehold-lab", "node_type": "cache.t4g.micro", "nodes": 0}
TERMS = {"years": 1, "payment": "No Upfront", "currency": "USD", "max_count": 20, "price_limit": 2000}


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
    return purchase.reservation_as_paid({"ec2": list(items), "rds": [], "elasticache": []}, NOW)


def offering(**parts: Any) -> dict[str, Any]:
    return {"id": "offer", "currency": "USD", "upfront": 10.1, "hourly": 0.01, "total": 97.7, **parts}


def found(*items: dict[str, Any], sold: list[list[dict[str, Any]]] | None = None, **terms: Any) -> dict[str, Any]:
    wanted = plan.reservation_wanted(HOSTS, DATABASE, BROKER)
    have = owned(*items)
    report = plan.reservation_report(wanted, [], have, NOW, 30)
    offers = sold if sold is not None else [[offering()] for _ in report["closing"]]
    return purchase.reservation_purchases(report, offers, have, {**TERMS, **terms})


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


def test_coverage_before_now_and_when_all_is_paid() -> None:
    wanted = plan.reservation_wanted(HOSTS, DATABASE, BROKER)
    pending = {"ec2": [reserved(instance_count=2, state="payment-pending")], "rds": [], "elasticache": []}
    before, now, paid = (
        plan.reservation_report(wanted, [], have, NOW, 30)
        for have in (owned(), pending, purchase.reservation_as_paid(pending, NOW))
    )
    assert purchase.reservation_changes(before, now, paid) == [
        "ec2: 0.0 % covered before, 0.0 % now, 100.0 % when all is paid",
        "rds: 0.0 % covered before, 0.0 % now, 0.0 % when all is paid",
    ]
    assert purchase.reservation_lacking(paid, 50) == ["0.0 % of rds"]
    assert purchase.reservation_lacking(paid, 0) == []
    assert [purchase.reservation_words(item) for item in paid["closing"]] == ["2 x db.t4g.medium (rds, postgresql)"]


def test_what_is_owned_depends_on_a_time() -> None:
    with pytest.raises(ValueError, match="a time"):
        purchase.reservation_as_paid({}, "")
