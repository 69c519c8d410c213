# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module that only reads is as good in check mode: it finds the same, and writes nothing either way."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from ansible_collections.freehold.airflow.plugins.modules import price_list_info

MODULES = "ansible_collections.freehold.airflow.plugins.modules"
ROOT = Path(__file__).resolve().parents[4]
NAMES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*_info.py"))

Params = dict[str, Any]


class Case(NamedTuple):
    """What a module is asked of what is there, and the part of its result that is not empty then."""

    finds: str
    asked: Callable[[Any], Params] = lambda _aws: {}
    # What AWS answers where moto has nothing of the kind.
    answers: dict[str, dict[str, Any]] | None = None


def tag(kind: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "freehold:environment", "Value": "lab"}]}]


def hosts(aws: Any) -> Params:
    ec2 = aws.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    launched = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    return {"instance_ids": [launched["Instances"][0]["InstanceId"]]}


def network(aws: Any) -> Params:
    aws.client("ec2").create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=tag("vpc"))
    return {"tags": {"freehold:environment": "lab"}}


def environment(aws: Any) -> Params:
    network(aws)
    return {"name": "lab"}


def usage(aws: Any) -> Params:
    hosts(aws)
    return {"environment": "lab"}


def zones(aws: Any) -> Params:
    aws.client("route53").create_hosted_zone(Name="example.com", CallerReference="1")
    return {"zones": ["example.com"]}


CONSOLE = "-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAA root@lab\n-----END SSH HOST KEY KEYS-----\n"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TERM = {"State": "active", "Duration": 31536000}
PRICE = {
    "product": {"attributes": {"usagetype": "EU-BoxUsage:t4g.large"}},
    "terms": {"OnDemand": {"a": {"priceDimensions": {"b": {"unit": "Hrs", "pricePerUnit": {"USD": "0.07"}}}}}},
    "version": "1",
    "publicationDate": "2026-11-20T00:00:00Z",
}
OFFERING = {
    "ReservedInstancesOfferingId": "offer-1",
    "InstanceType": "t4g.large",
    "ProductDescription": "Linux/UNIX",
    "InstanceTenancy": "default",
    "Scope": "Region",
    "OfferingClass": "standard",
    "OfferingType": "No Upfront",
    "Duration": 31536000,
}
HOST = {"service": "ec2", "type": "t4g.large", "product": "Linux/UNIX"}
ORDERABLE = {"DBInstanceClass": "db.t4g.medium", "EngineVersion": "17.6", "StorageType": "gp3"}

CASES = {
    "ec2_host_keys_info": Case("host_keys", hosts, {"GetConsoleOutput": {"Output": CONSOLE}}),
    "ec2_instance_type_info": Case("instance_types", lambda _aws: {"instance_types": ["t3.medium"]}),
    "ec2_network_info": Case("network", network),
    "ec2_reserved_instances_info": Case(
        "reserved_instances",
        answers={
            "DescribeReservedInstances": {"ReservedInstances": [{"ReservedInstancesId": "ri-1", "Start": NOW, **TERM}]}
        },
    ),
    "elasticache_reserved_nodes_info": Case(
        "reserved_nodes",
        answers={"DescribeReservedCacheNodes": {"ReservedCacheNodes": [{"StartTime": NOW, **TERM}]}},
    ),
    "environment_info": Case("environment", environment),
    "price_list_info": Case(
        "prices", lambda _aws: {"items": [HOST]}, {"GetProducts": {"PriceList": [json.dumps(PRICE)]}}
    ),
    "rds_orderable_instance_info": Case(
        "engine_versions",
        lambda _aws: {"engine_version": "17", "db_instance_class": "db.t4g.medium"},
        {"DescribeOrderableDBInstanceOptions": {"OrderableDBInstanceOptions": [ORDERABLE]}},
    ),
    "rds_reserved_instances_info": Case(
        "reserved_instances",
        answers={"DescribeReservedDBInstances": {"ReservedDBInstances": [{"StartTime": NOW, **TERM}]}},
    ),
    "reservable_usage_info": Case("usage", usage),
    "reserved_offerings_info": Case(
        "offerings",
        lambda _aws: HOST,
        {"DescribeReservedInstancesOfferings": {"ReservedInstancesOfferings": [OFFERING]}},
    ),
    "route53_hosted_zone_info": Case("hosted_zones", zones),
}


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A price says when it was read."""
    monkeypatch.setattr(price_list_info, "datetime", SimpleNamespace(now=lambda _zone: NOW))


@pytest.mark.parametrize("name", NAMES)
def test_a_check_run_finds_the_same_and_nothing_is_written(aws: Any, waited: list[float], name: str) -> None:
    case = CASES[name]
    params = case.asked(aws)
    aws.answers.update(case.answers or {})
    module = importlib.import_module(f"{MODULES}.{name}")
    usual = aws.run(module, **params)
    assert usual[case.finds]
    assert (usual["changed"], aws.writes) == (False, [])
    assert aws.run(module, check=True, **params) == usual
    assert aws.writes == []
