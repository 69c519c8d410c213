# SPDX-License-Identifier: GPL-3.0-or-later
"""States, ends and sums of reservations, and AWS's descriptions of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import reading
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import Reservation, Usage
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.report import coverage_report, percent
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def reserved(name: str, state: str = "active", start: int = -100, days: int = 365, **parts: Any) -> Reservation:
    """A reservation that began so many days from now, for so many days."""
    begins = NOW + timedelta(days=start)
    given = {"service": "ec2", "type": "t4g.medium", "product": "Linux/UNIX", **parts}
    return Reservation(id=name, state=state, start=begins, end=begins + timedelta(days=days), **given)


def host(name: str, **parts: Any) -> Usage:
    return Usage(**{"name": name, "service": "ec2", "type": "t4g.medium", "product": "Linux/UNIX", **parts})


def coverage(bought: list[Reservation], days: int = 60, fleet: list[Usage] | None = None) -> tuple[float, float]:
    """Percent now and later."""
    report = coverage_report(fleet or [host("1"), host("2")], bought, NOW, days)
    return report["services"][0]["percent"], report["later"][0]["percent"]


@pytest.mark.parametrize(
    ("state", "start", "days", "standing"),
    [
        ("active", -100, 365, "active"),
        ("active", -400, 365, "ended"),
        ("active", 10, 365, "pending"),
        ("payment-pending", 0, 365, "pending"),
        ("queued", 30, 365, "pending"),
        ("payment-failed", -1, 365, "ended"),
        ("retired", -100, 365, "ended"),
        ("queued-deleted", 30, 365, "ended"),
        ("something-new", -100, 365, "unknown"),
    ],
)
def test_only_an_active_reservation_within_its_term_covers(state: str, start: int, days: int, standing: str) -> None:
    reservation = reserved("1", state, start, days)
    assert reservation.standing(NOW) == standing
    assert coverage([reservation], fleet=[host("1")])[0] == (100.0 if standing == "active" else 0.0)


def test_a_reservation_covers_to_the_last_second_and_not_beyond() -> None:
    reservation = reserved("1", start=-365)
    assert reservation.end == NOW
    assert reservation.standing(NOW - timedelta(seconds=1)) == "active"
    assert reservation.standing(NOW) == "ended"


def test_what_ends_soon_is_missing_later() -> None:
    short, long = reserved("short", days=130), reserved("long")
    assert coverage([short, long], days=29) == (100.0, 100.0)
    assert coverage([short, long], days=30) == (100.0, 50.0)
    report = coverage_report([host("1"), host("2")], [long, short], NOW, 30)
    told = {item["id"]: (item["ends_soon"], item["days_left"]) for item in report["reservations"]}
    assert told == {"short": (True, 30), "long": (False, 265)}


def test_what_is_queued_takes_over_from_what_ends() -> None:
    assert coverage([reserved("1", days=130), reserved("2", "queued", start=30)], 31, [host("1")]) == (100.0, 100.0)
    assert coverage([reserved("1", days=130), reserved("2", "queued", start=40)], 31, [host("1")]) == (100.0, 0.0)
    assert coverage([reserved("1", "payment-pending", start=0)], 31, [host("1")]) == (0.0, 100.0)
    assert coverage([reserved("1", "something-new")], 31, [host("1")]) == (0.0, 0.0)


def test_the_report_adds_up() -> None:
    fleet = [host("web", type="t4g.large"), host("worker"), host("theirs", type="t4g.small", ours=False)]
    fleet += [Usage("db", "rds", "db.t4g.medium", "postgresql", copies=2)]
    bought = [reserved("regional", count=2), reserved("wrong", type="m7g.large")]
    bought += [reserved("database", service="rds", type="db.t4g.medium", product="postgresql")]
    report = coverage_report(fleet, bought, NOW, 30)
    assert [(item["name"], item["units"], item["covered"], item["percent"]) for item in report["fleet"]] == [
        ("web", 4, 1, 25.0),
        ("worker", 2, 2, 100.0),
        ("db", 4, 2, 50.0),
    ]
    assert report["services"] == [
        {"service": "ec2", "count": 2, "units": 6, "covered": 3, "open": 3, "percent": 50.0},
        {"service": "rds", "count": 1, "units": 4, "covered": 2, "open": 2, "percent": 50.0},
    ]
    assert [(item["family"], item["open"], item["flexible"]) for item in report["families"]] == [
        ("t4g", 3, True),
        ("db.t4g", 2, True),
    ]
    told = {
        item["id"]: (item["units"], item["used"], item["used_by_us"], item["unused"]) for item in report["reservations"]
    }
    assert told == {"regional": (4, 4, 3, 0), "wrong": (4, 0, 0, 4), "database": (2, 2, 2, 0)}


def test_equal_things_are_counted_as_often_as_they_are_there() -> None:
    report = coverage_report([host("1")] * 3, [reserved("r")] * 2, NOW, 30)
    assert sorted(item["covered"] for item in report["fleet"]) == [0, 2, 2]
    assert [item["used"] for item in report["reservations"]] == [2, 2]


@pytest.mark.parametrize(
    ("covered", "wanted", "shown"), [(0, 0, 100.0), (2, 3, 66.6), (9999, 10000, 99.9), (3, 3, 100.0)]
)
def test_percent_is_never_rounded_up(covered: int, wanted: int, shown: float) -> None:
    assert percent(covered, wanted) == shown


def test_nothing_wanted_and_nothing_owned_is_an_empty_report() -> None:
    report = coverage_report([], [], NOW, 30)
    assert (report["fleet"], report["services"], report["reservations"]) == ([], [], [])


# ---- AWS's descriptions ---------------------------------------------------------------------------------------------

INSTANCE = {
    "instance_id": "i-1",
    "instance_type": "t4g.medium",
    "state": {"name": "running"},
    "platform_details": "Linux/UNIX",
    "placement": {"availability_zone": "eu-west-1a", "tenancy": "default"},
}


def test_a_running_instance_is_usage() -> None:
    assert reading.ec2_usage(INSTANCE, "1", ours=True) == Usage(
        "i-1", "ec2", "t4g.medium", "Linux/UNIX", "eu-west-1a", account="1", ours=True
    )


@pytest.mark.parametrize(
    "difference",
    [
        {"state": {"name": "stopped"}},
        {"state": {"name": "terminated"}},
        {"instance_lifecycle": "spot"},
        {"instance_lifecycle": "capacity-block"},
        {"placement": {"tenancy": "host"}},
    ],
)
def test_what_no_reservation_pays_for_is_no_usage(difference: dict[str, Any]) -> None:
    assert reading.ec2_usage({**INSTANCE, **difference}) is None


@pytest.mark.parametrize(
    ("engine", "licence", "product"),
    [
        ("postgres", "postgresql-license", "postgresql"),
        ("mysql", "general-public-license", "mysql"),
        ("aurora-postgresql", "postgresql-license", "aurora-postgresql"),
        ("oracle-se2", "bring-your-own-license", "oracle-se2(byol)"),
        ("oracle-se2", "license-included", "oracle-se2(li)"),
        ("sqlserver-se", "license-included", "sqlserver-se(li)"),
    ],
)
def test_an_engine_and_its_licence_are_a_product(engine: str, licence: str, product: str) -> None:
    assert reading.database_product(engine, licence) == product


def test_a_database_with_a_standby_is_two() -> None:
    described = {
        "db_instance_identifier": "airflow",
        "db_instance_class": "db.t4g.medium",
        "db_instance_status": "available",
        "engine": "postgres",
        "license_model": "postgresql-license",
        "multi_az": True,
    }
    assert reading.rds_usage(described) == Usage("airflow", "rds", "db.t4g.medium", "postgresql", copies=2, ours=False)
    assert reading.rds_usage({**described, "db_instance_status": "stopped"}) is None
    assert reading.rds_usage({**described, "db_instance_class": "db.serverless"}) is None


def test_every_node_of_a_cache_is_usage() -> None:
    described = {
        "cache_cluster_id": "cache",
        "cache_cluster_status": "available",
        "cache_node_type": "cache.t4g.micro",
        "engine": "memcached",
        "num_cache_nodes": 2,
    }
    assert [usage.name for usage in reading.cache_usage(described)] == ["cache/1", "cache/2"]
    assert reading.cache_usage({**described, "cache_cluster_status": "deleting"}) == []


def test_a_reserved_instance_is_read() -> None:
    described = {
        "reserved_instances_id": "r-1",
        "instance_type": "t4g.medium",
        "product_description": "Linux/UNIX (Amazon VPC)",
        "instance_count": 2,
        "instance_tenancy": "default",
        "scope": "Region",
        "state": "active",
        "start": "2026-01-01T00:00:00+00:00",
        "end": "2027-01-01T00:00:00+00:00",
    }
    found = reading.ec2_reservation(described)
    assert (found.product, found.zone, found.count, found.end) == (
        "Linux/UNIX",
        "",
        2,
        datetime(2027, 1, 1, tzinfo=UTC),
    )
    zonal = {**described, "scope": "Availability Zone", "availability_zone": "eu-west-1a"}
    assert reading.ec2_reservation(zonal).zone == "eu-west-1a"
    unsaid = {key: value for key, value in described.items() if key != "scope"}
    assert reading.ec2_reservation(unsaid).zone, "without a scope nothing is called flexible"


def test_reserved_databases_and_nodes_are_read() -> None:
    found = reading.rds_reservation(
        {
            "reserved_db_instance_id": "r-1",
            "db_instance_class": "db.m5.large",
            "product_description": "oracle-se2 (byol)",
            "db_instance_count": 1,
            "multi_az": True,
            "state": "active",
            "start_time": "2026-01-01T00:00:00+00:00",
            "end": "2027-01-01T00:00:00+00:00",
        }
    )
    assert (found.product, found.copies) == ("oracle-se2(byol)", 2)
    node = reading.cache_reservation(
        {
            "reserved_cache_node_id": "r-2",
            "cache_node_type": "cache.t4g.micro",
            "product_description": "valkey",
            "cache_node_count": 2,
            "state": "active",
            "start_time": "2026-01-01T00:00:00",
        }
    )
    assert (node.product, node.count, node.start) == ("valkey", 2, datetime(2026, 1, 1, tzinfo=UTC))


# ---- closing the gap ------------------------------------------------------------------------------------------------


def closing(fleet: list[Usage], bought: list[Reservation]) -> list[tuple[str, int]]:
    return [(item["type"], item["count"]) for item in coverage_report(fleet, bought, NOW, 30)["closing"]]


def test_the_gap_is_closed_by_the_smallest_size_of_each_family() -> None:
    fleet = [host("web"), host("worker", type="t4g.large"), host("big", type="m7g.large")]
    assert closing(fleet, []) == [("m7g.large", 1), ("t4g.medium", 3)]
    assert closing(fleet, [reserved("1")]) == [("m7g.large", 1), ("t4g.large", 1)]


def test_nothing_is_bought_that_would_be_wasted() -> None:
    fleet = [host("worker", type="t4g.large")]
    assert closing(fleet, [reserved("1", type="t4g.small")]) == []
    report = coverage_report(fleet, [reserved("1", type="t4g.small")], NOW, 30)
    assert report["services"][0]["open"] == 3


def test_a_database_with_a_standby_takes_two_and_valkey_its_own() -> None:
    fleet = [Usage("db", "rds", "db.t4g.medium", "postgresql", copies=2)]
    fleet += [Usage(f"node/{number}", "elasticache", "cache.t4g.micro", "valkey") for number in (1, 2)]
    assert closing(fleet, []) == [("cache.t4g.micro", 2), ("db.t4g.medium", 2)]
    assert [item["percent"] for item in coverage_report(fleet, [], NOW, 30)["closed"]] == [100.0, 100.0]


def test_where_sizes_are_not_flexible_each_size_is_bought() -> None:
    fleet = [host("1", type="g5.xlarge"), host("2", type="g5.2xlarge"), host("3", type="g5.2xlarge")]
    assert closing(fleet, [reserved("1", type="g5.2xlarge")]) == [("g5.2xlarge", 1), ("g5.xlarge", 1)]


def test_what_others_would_take_of_it_is_told() -> None:
    fleet = [host("ours"), host("theirs", type="t4g.small", ours=False)]
    report = coverage_report(fleet, [], NOW, 30)
    assert [(item["type"], item["count"]) for item in report["closing"]] == [("t4g.medium", 1)]
    assert report["closed"][0]["percent"] == 50.0


@given(
    st.lists(st.sampled_from(["t4g.nano", "t4g.medium", "t4g.large", "m7g.large", "g5.xlarge"]), max_size=12),
    st.lists(st.sampled_from(["t4g.small", "t4g.xlarge", "m7g.medium", "g5.xlarge"]), max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_what_closes_the_gap_is_used_to_the_last_unit(wanted: list[str], owned: list[str]) -> None:
    fleet = [host(str(number), type=name) for number, name in enumerate(wanted)]
    report = coverage_report(fleet, [reserved(str(number), type=name) for number, name in enumerate(owned)], NOW, 30)
    before, after = (sum(item["covered"] for item in report[key]) for key in ("services", "closed"))
    assert after == before + sum(item["units"] for item in report["closing"])
