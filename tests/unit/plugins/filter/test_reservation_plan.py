# SPDX-License-Identifier: GPL-3.0-or-later
"""What reservations cover, as data and as lines."""

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.filter import reservation_plan as plan

NOW = "2026-11-23T12:00:00"
HOSTS = [
    {"name": "lab-web-1", "instance_type": "t4g.medium", "zone": "eu-west-1a"},
    {"name": "lab-worker-1", "instance_type": "t4g.large", "zone": "eu-west-1b"},
]
DATABASE = {"name": "freehold-lab", "instance_class": "db.t4g.medium", "multi_az": True}
BROKER = {"name": "freehold-lab", "node_type": "cache.t4g.micro", "nodes": 2}


def owned(**parts: Any) -> dict[str, Any]:
    """A reserved t4g.medium, as the info module tells it."""
    return {
        "reserved_instances_id": "ri-1",
        "instance_type": "t4g.medium",
        "instance_count": 2,
        "product_description": "Linux/UNIX",
        "scope": "Region",
        "state": "active",
        "start": "2026-01-01T00:00:00+00:00",
        "end": "2027-01-01T00:00:00+00:00",
        **parts,
    }


def running(name: str, ours: bool, **parts: Any) -> dict[str, Any]:
    """What reservable_usage_info tells of an instance."""
    told = {"name": name, "service": "ec2", "type": "t4g.medium", "product": "Linux/UNIX", "zone": "", "ours": ours}
    return {**told, "tenancy": "default", "copies": 1, "account": "", **parts}


def report(ec2: list[dict[str, Any]], others: list[dict[str, Any]] | None = None, days: int = 30) -> dict[str, Any]:
    wanted = plan.reservation_wanted(HOSTS, DATABASE, BROKER)
    return plan.reservation_report(wanted, others or [], {"ec2": ec2, "rds": [], "elasticache": []}, NOW, days)


def test_the_fleet_is_hosts_database_and_the_nodes_of_the_broker() -> None:
    found = plan.reservation_wanted(HOSTS, DATABASE, BROKER)
    assert [(item["service"], item["name"], item["type"]) for item in found] == [
        ("ec2", "lab-web-1", "t4g.medium"),
        ("ec2", "lab-worker-1", "t4g.large"),
        ("rds", "freehold-lab", "db.t4g.medium"),
        ("elasticache", "freehold-lab/1", "cache.t4g.micro"),
        ("elasticache", "freehold-lab/2", "cache.t4g.micro"),
    ]
    assert found[2]["copies"] == 2
    assert len(plan.reservation_wanted(HOSTS, DATABASE, {**BROKER, "nodes": 0})) == 3


def test_what_runs_of_ours_is_not_counted_beside_what_is_wanted() -> None:
    alone = report([owned()])["services"]
    assert report([owned()], [running("i-1", True)])["services"] == alone
    assert report([owned()], [running("i-2", False)])["services"] != alone


def test_a_zonal_reservation_covers_the_host_in_its_zone() -> None:
    zonal = owned(scope="Availability Zone", availability_zone="eu-west-1a", instance_count=1)
    fleet = {item["name"]: item["percent"] for item in report([zonal])["fleet"]}
    assert fleet["lab-web-1"] == 100.0
    assert fleet["lab-worker-1"] == 0.0


def offer(**parts: Any) -> dict[str, Any]:
    told = {"id": "o", "years": 1, "payment": "No Upfront", "currency": "USD", "upfront": 0.0, "hourly": 0.0261}
    return {**told, "total": 228.64, **parts}


def test_offers_are_for_the_whole_count_to_the_cent() -> None:
    found = report([owned()])
    assert [(item["type"], item["count"]) for item in found["closing"]] == [
        ("cache.t4g.micro", 2),
        ("db.t4g.medium", 2),
    ]
    priced = plan.reservation_offers(found, [[offer()] for _ in found["closing"]])
    node = next(item for item in priced["offers"] if item["service"] == "elasticache")
    assert (node["count"], node["monthly"], node["total"]) == (2, 38.11, 457.28)
    with pytest.raises(ValueError, match="zip"):
        plan.reservation_offers(found, [])


def test_the_table_says_what_covers_what_and_what_is_open() -> None:
    soon = owned(reserved_instances_id="ri-2", instance_type="t4g.micro", instance_count=1)
    soon["end"] = "2026-12-01T00:00:00+00:00"
    idle = owned(reserved_instances_id="ri-3", instance_type="m7g.large", instance_count=1)
    queued = owned(reserved_instances_id="ri-4", state="queued", start="2026-12-24T00:00:00+00:00")
    found = report([owned(), soon, idle, queued, owned(reserved_instances_id="ri-5", state="strange")])
    lines = plan.reservation_table(plan.reservation_offers(found, [[offer(currency="")], []]))
    text = "\n".join(lines)
    assert "ec2          lab-web-1       t4g.medium        2      2        100   ri-1, ri-2" in text
    assert "ec2: 4.5 of 6 units, 75.0 %" in text
    assert "db.t4g.medium x2" in text
    assert "Ends soon: ec2 reservation ri-2 (1 x t4g.micro, Linux/UNIX) on 2026-12-01, in 7 days" in text
    assert "In 30 days: ec2 66.6 %" in text
    assert "Not in force yet: ec2 reservation ri-4 (2 x t4g.medium, Linux/UNIX) is queued" in text
    assert "Not counted: ec2 reservation ri-5" in text
    assert "Paid for and unused: 4 of 4 units of ec2 reservation ri-3" in text
    assert "1.5 units of ec2 stay open" in text
    assert "elasticache  2 x cache.t4g.micro  1      No Upfront  0.00" in text
    assert "AWS sells no reservation of db.t4g.medium (rds, postgresql) here." in text
    assert "Everything is covered." not in text


def test_the_table_of_a_covered_fleet_says_so() -> None:
    wanted = plan.reservation_wanted(HOSTS, {**DATABASE, "multi_az": False}, {**BROKER, "nodes": 0})
    database = {
        "reserved_db_instance_id": "db-1",
        "db_instance_class": "db.t4g.medium",
        "db_instance_count": 1,
        "product_description": "postgresql",
        "state": "active",
    }
    reserved = {"ec2": [owned(instance_count=3)], "rds": [database], "elasticache": []}
    found = plan.reservation_report(wanted, [], reserved, NOW, 30)
    lines = plan.reservation_table(plan.reservation_offers(found, []))
    assert lines[-1] == "Everything is covered."


def test_a_rest_too_small_for_any_reservation_is_not_called_covered() -> None:
    wanted = plan.reservation_wanted(HOSTS[1:], {**DATABASE, "multi_az": False}, {**BROKER, "nodes": 0})[:1]
    reserved = {"ec2": [owned(instance_type="t4g.small", instance_count=1)], "rds": [], "elasticache": []}
    lines = plan.reservation_table(plan.reservation_report(wanted, [], reserved, NOW, 30))
    assert "Everything is covered." not in lines
    assert "ec2: 1 of 4 units, 25.0 %" in lines


PRICES = [
    {"service": service, "type": name, "product": product, "copies": copies, "amount": hourly, "unit": "hour"}
    | {"currency": "USD", "published": "2026-11-20T00:00:00Z", "region": "eu-west-1"}
    for service, name, product, copies, hourly in [
        ("ec2", "t4g.medium", "Linux/UNIX", 1, 0.04),
        ("ec2", "t4g.large", "Linux/UNIX", 1, 0.08),
        ("rds", "db.t4g.medium", "postgresql", 1, 0.06),
        ("rds", "db.t4g.medium", "postgresql", 2, 0.13),
    ]
]


def priced(prices: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    found = report([owned(instance_count=1)])
    offered = plan.reservation_offers(found, [[offer(**parts)] for _ in found["closing"]])
    return plan.reservation_priced(offered, prices)


def test_prices_are_asked_of_the_fleet_and_of_what_would_close_its_gap() -> None:
    asked = plan.reservation_price_items(report([owned(instance_count=1)]))
    assert [(item["type"], item["copies"]) for item in asked] == [
        ("t4g.medium", 1),
        ("t4g.large", 1),
        ("cache.t4g.micro", 1),
        ("db.t4g.medium", 2),
        ("db.t4g.medium", 1),
    ]


def test_a_month_on_demand_and_what_of_it_is_not_covered() -> None:
    services = {item["service"]: item for item in priced(PRICES)["services"]}
    assert (services["ec2"]["on_demand"], services["ec2"]["still_on_demand"]) == (87.6, 58.4)
    assert services["rds"]["on_demand"] == services["rds"]["still_on_demand"] == 94.9
    assert services["elasticache"]["on_demand"] is None
    found = priced(PRICES)
    assert found["unpriced"] == ["cache.t4g.micro (elasticache, valkey)"]
    lines = plan.reservation_table(found)
    assert "ec2 would cost 87.60 USD a month on demand; 58.40 of it is not covered" in lines
    assert "Prices on demand: the price list of eu-west-1 of 2026-11-20" in lines
    assert "No price on demand is known of cache.t4g.micro (elasticache, valkey)" in lines


@pytest.mark.parametrize(
    ("upfront", "hourly", "total", "saving", "month"),
    [
        (0.0, 0.04, 350.4, 50.0, 0),
        (350.4, 0.0, 350.4, 50.0, 6),
        (175.2, 0.02, 350.4, 50.0, 4),
        (0.0, 0.08, 700.8, 0.0, None),
        (0.0, 0.09, 788.4, -12.5, None),
        (800.0, 0.0, 800.0, -14.2, None),
    ],
)
def test_an_offer_is_compared_with_the_price_on_demand_of_the_same(
    upfront: float, hourly: float, total: float, saving: float, month: int | None
) -> None:
    found = priced(PRICES, upfront=upfront, hourly=hourly, total=total)["offers"]
    host = next(item for item in found if item["type"] == "t4g.large")
    assert (host["saving"], host["break_even"]) == (saving, month)
    node = next(item for item in found if item["service"] == "elasticache")
    assert (node["saving"], node["break_even"]) == (None, None)


def test_without_prices_there_are_units_and_no_money_on_demand() -> None:
    found = priced([])
    assert all(item["on_demand"] is None for item in found["services"])
    assert all(item["saving"] is None for item in found["offers"])
    assert not any("on demand;" in line for line in plan.reservation_table(found))


def test_what_others_would_take_of_a_purchase_is_told() -> None:
    lines = plan.reservation_table(report([], [running("i-2", False, type="t4g.small")]))
    assert "Others would take 1 of these 6 units of ec2" in lines
