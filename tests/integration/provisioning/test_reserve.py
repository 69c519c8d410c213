# SPDX-License-Identifier: GPL-3.0-or-later
"""Buying reservations: only the total that was typed, only once, whatever happens to the requests."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.provisioning.conftest import Api, Run

WIRING: dict[str, Any] = {
    "reservations_fleet": "{{ hosts_fleet }}",
    "reservations_database_instance_class": "db.t4g.medium",
    "reservations_broker_kind": "elasticache",
}
TOTAL = re.compile(r"Total: (\d+\.\d\d) USD")
SERVICES = ["ec2", "elasticache", "rds"]


@pytest.fixture(scope="module", autouse=True)
def quick(api: Api) -> Iterator[None]:
    """Read the account of every test alone: what was bought stays bought."""
    yield


@pytest.fixture
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give an account that owns nothing."""
    running = Api(tmp_path_factory.mktemp("account"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


def reserve(api: Api, *arguments: str, **more: Any) -> Run:
    return api.playbook("reserve", *arguments, **{**WIRING, "reservations_wait_timeout": 0, **more})


def shown_total(run: Run) -> str:
    found = TOTAL.search(run.output)
    assert found, run.output
    return found[1]


def bought(run: Run) -> list[str]:
    return [request["operation"] for request in run.requests if request["operation"].startswith("Purchase")]


def owned(api: Api) -> dict[str, int]:
    ec2 = api.client("ec2").describe_reserved_instances()["ReservedInstances"]
    rds = api.client("rds").describe_reserved_db_instances()["ReservedDBInstances"]
    cache = api.client("elasticache").describe_reserved_cache_nodes()["ReservedCacheNodes"]
    return {
        "ec2": sum(item["InstanceCount"] for item in ec2),
        "rds": sum(item["DBInstanceCount"] for item in rds),
        "elasticache": sum(item["CacheNodeCount"] for item in cache),
    }


def test_a_purchase_is_shown_then_typed_then_made_once(account: Api) -> None:
    run = reserve(account)
    assert run.code == 0, run.output
    assert run.writes == []
    total = shown_total(run)
    assert f"make reserve TOTAL={total}" in run.output
    run = reserve(account, "-e", f"reservations_total={float(total) + 0.01:.2f}")
    assert run.code != 0
    assert "Nothing was bought" in run.output
    assert run.writes == []
    run = reserve(account, "--check", "-e", f"reservations_total={total}")
    assert run.code == 0, run.output
    assert run.writes == []
    run = reserve(account, "-e", f"reservations_total={total}")
    assert run.code == 0, run.output
    assert len(bought(run)) == 3
    assert owned(account) == {"ec2": 4, "rds": 1, "elasticache": 2}
    assert "ec2: 0.0 % covered before, 0.0 % now, 100.0 % when all is paid" in run.output
    tags = account.client("ec2").describe_reserved_instances()["ReservedInstances"][0]["Tags"]
    assert tags == [{"Key": "freehold:environment", "Value": "lab"}]
    run = reserve(account, "-e", f"reservations_total={total}")
    assert run.code == 0, run.output
    assert (run.changed, run.writes) == (0, [])
    assert "No reservation is missing" in run.output
