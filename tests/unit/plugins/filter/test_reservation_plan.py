# SPDX-License-Identifier: GPL-3.0-or-later
"""What reservations cover, as data and as lines."""

from __future__ import annotations

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
