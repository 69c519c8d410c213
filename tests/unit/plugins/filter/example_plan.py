# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment whose costs can be reckoned by hand: round prices, and what is owned ends after twice 730 hours.

Hosts 2 x t4g.medium (0.04 an hour) and 1 x t4g.large (0.08), a database with a standby (0.13). Owned are one t4g.medium
(87.60 at the start and 0.015 an hour for a year, so 0.025 an hour) and one m7g.large (0.05 an hour) that nobody uses.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from ansible_collections.freehold.airflow.plugins.filter import reservation_costs as costs
from ansible_collections.freehold.airflow.plugins.filter import reservation_plan as plan

NOW = "2026-11-23T12:00:00+00:00"
FLEET = [
    {"name": "web", "duties": ["webserver"], "instance_type": "t4g.medium", "count": 1, "volume_gib": 20},
    {"name": "scheduler", "duties": ["scheduler"], "instance_type": "t4g.medium", "count": 1, "volume_gib": 20},
    {"name": "worker", "duties": ["worker"], "instance_type": "t4g.large", "count": 1, "volume_gib": 40},
]
TYPES = {"t4g.large": {"memory_mib": 8192}}
WANTED = [
    {"name": f"prod-{entry['name']}-1", "service": "ec2", "type": entry["instance_type"], "product": "Linux/UNIX"}
    for entry in FLEET
] + [{"name": "freehold-prod", "service": "rds", "type": "db.t4g.medium", "product": "postgresql", "copies": 2}]
YEAR = 31536000
OWNED = [
    {
        "reserved_instances_id": "ri-used",
        "instance_type": "t4g.medium",
        "instance_count": 1,
        "product_description": "Linux/UNIX",
        "scope": "Region",
        "state": "active",
        "start": "2026-01-23T08:00:00+00:00",
        "end": "2027-01-23T08:00:00+00:00",
        "duration": YEAR,
        "fixed_price": 87.6,
        "usage_price": 0.0,
        "currency_code": "USD",
        "recurring_charges": [{"amount": 0.015, "frequency": "Hourly"}],
    },
    {
        "reserved_instances_id": "ri-idle",
        "instance_type": "m7g.large",
        "instance_count": 1,
        "product_description": "Linux/UNIX",
        "scope": "Region",
        "state": "active",
        "start": "2026-06-01T00:00:00+00:00",
        "end": "2027-06-01T00:00:00+00:00",
        "duration": YEAR,
        "fixed_price": 0.0,
        "usage_price": 0.0,
        "currency_code": "USD",
        "recurring_charges": [{"amount": 0.05, "frequency": "Hourly"}],
    },
]
# Of one; 8,760 hours a year.
OFFERINGS = {
    "t4g.medium": [
        (1, "No Upfront", 0.0, 0.025),
        (1, "All Upfront", 175.2, 0.0),
        (3, "No Upfront", 0.0, 0.017),
        (3, "All Upfront", 262.8, 0.0),
    ],
    # AWS sells no database for three years without money at the start.
    "db.t4g.medium": [(1, "No Upfront", 0.0, 0.04), (1, "All Upfront", 262.8, 0.0), (3, "All Upfront", 525.6, 0.0)],
}
ON_DEMAND = [
    ("ec2", "t4g.medium", "Linux/UNIX", 1, 0.04, "hour"),
    ("ec2", "t4g.large", "Linux/UNIX", 1, 0.08, "hour"),
    ("rds", "db.t4g.medium", "postgresql", 1, 0.065, "hour"),
    ("rds", "db.t4g.medium", "postgresql", 2, 0.13, "hour"),
    ("ebs", "gp3", "", 1, 0.088, "GiB-month"),
    ("rds_storage", "gp3", "postgresql", 2, 0.254, "GiB-month"),
    ("load_balancer", "", "", 1, 0.0252, "hour"),
    ("nat_gateway", "", "", 1, 0.048, "hour"),
    ("public_ipv4", "", "", 1, 0.005, "hour"),
    ("mwaa", "mw1.small", "environment", 1, 0.49, "hour"),
    ("mwaa", "mw1.small", "worker", 1, 0.055, "hour"),
]
PRICES: list[dict[str, Any]] = [
    {"service": service, "type": name, "product": product, "copies": copies, "amount": amount, "unit": unit}
    | {
        "currency": "USD",
        "published": "2026-11-20T00:00:00Z",
        "version": "20261120101500",
        "region": "eu-west-1",
        "read": "2026-11-22T09:00:00+00:00",
    }
    for service, name, product, copies, amount, unit in ON_DEMAND
]
BESIDE = {
    "database_storage_gib": 20,
    "database_multi_az": True,
    "load_balancers": 1,
    "nat_gateways": 1,
    "public_addresses": 3,
}


def offered(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer of reserved_offerings_info."""
    return [
        {
            "id": f"{item['type']}-{years}-{payment}",
            "years": years,
            "payment": payment,
            "currency": "USD",
            "upfront": upfront,
            "hourly": hourly,
            "total": upfront + hourly * 8760 * years,
        }
        for years, payment, upfront, hourly in OFFERINGS.get(item["type"], [])
    ]


def example(
    owned: list[dict[str, Any]] | None = None,
    running: list[dict[str, Any]] | None = None,
    wanted: list[dict[str, Any]] | None = None,
    mwaa: dict[str, Any] | None = None,
    days: int = 30,
    **given: Any,
) -> dict[str, Any]:
    """The plan of that environment, as the role makes it, or of one that differs from it."""
    reserved = {"ec2": deepcopy(OWNED) if owned is None else owned, "rds": [], "elasticache": []}
    fleet = WANTED if wanted is None else wanted
    report = plan.reservation_report(fleet, running or [], reserved, NOW, days)
    report = plan.reservation_offers(report, [offered(item) for item in report["closing"]])
    settings = {
        "reserved": reserved,
        "prices": PRICES,
        "unknown": [],
        "without": "",
        "beside": costs.reservation_beside(FLEET, BESIDE),
        "mwaa": costs.reservation_mwaa(FLEET, TYPES, mwaa or {}),
        "region": "eu-west-1",
        "currency": "USD",
        "years": 1,
        "payment": "No Upfront",
        **given,
    }
    told = costs.reservation_costs(report, fleet, running or [], settings)
    return {"environment": "prod", "region": "eu-west-1", **told}


def priced_without(*services: str) -> list[dict[str, Any]]:
    """The prices without those of some services."""
    return [entry for entry in PRICES if entry["service"] not in services]
