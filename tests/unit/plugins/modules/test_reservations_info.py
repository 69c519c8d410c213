# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that read reservations, offerings and what runs.

moto knows hardly any of these requests, so the answers are ours; botocore holds both against AWS's models.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import reading
from ansible_collections.freehold.airflow.plugins.modules import (
    ec2_reserved_instances_info,
    elasticache_reserved_nodes_info,
    rds_reserved_instances_info,
    reservable_usage_info,
    reserved_offerings_info,
)
from botocore.stub import Stubber

Answer = Callable[..., None]
Stubs = Callable[[str], Stubber]
START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = 31536000
BY_THE_HOUR = [{"Amount": 0.0195, "Frequency": "Hourly"}]
BY_THE_HOUR_ELSEWHERE = [{"RecurringChargeAmount": 0.0195, "RecurringChargeFrequency": "Hourly"}]

RESERVED_INSTANCE = {
    "ReservedInstancesId": "ri-1",
    "InstanceType": "t4g.medium",
    "InstanceCount": 2,
    "ProductDescription": "Linux/UNIX",
    "InstanceTenancy": "default",
    "Scope": "Region",
    "State": "active",
    "Start": START,
    "End": datetime(2027, 1, 1, tzinfo=UTC),
    "Duration": YEAR,
    "OfferingType": "No Upfront",
    "OfferingClass": "standard",
    "FixedPrice": 0.0,
    "UsagePrice": 0.0,
    "CurrencyCode": "USD",
    "RecurringCharges": BY_THE_HOUR,
    "Tags": [{"Key": "freehold:environment", "Value": "lab"}],
}
RESERVED_DATABASE = {
    "ReservedDBInstanceId": "db-1",
    "DBInstanceClass": "db.t4g.medium",
    "DBInstanceCount": 1,
    "ProductDescription": "postgresql",
    "MultiAZ": True,
    "State": "active",
    "StartTime": START,
    "Duration": YEAR,
    "OfferingType": "No Upfront",
}
RESERVED_NODE = {
    "ReservedCacheNodeId": "node-1",
    "CacheNodeType": "cache.t4g.micro",
    "CacheNodeCount": 2,
    "ProductDescription": "valkey",
    "State": "active",
    "StartTime": START,
    "Duration": YEAR,
}


@pytest.fixture
def stubs(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Stubs:
    """Give the stubber of a service's client, which is the one that modules get."""
    made: dict[str, Stubber] = {}

    def stubber(service: str) -> Stubber:
        if service not in made:
            made[service] = Stubber(aws.client(service))
            made[service].activate()
        return made[service]

    monkeypatch.setattr(AnsibleAWSModule, "client", lambda _module, service: stubber(service).client)
    return stubber


@pytest.fixture
def answer(stubs: Stubs) -> Answer:
    """Tell what AWS answers to the next request of a service, and what it must be asked."""

    def tell(service: str, operation: str, response: dict[str, Any], asked: dict[str, Any] | None = None) -> None:
        stubs(service).add_response(operation, response, asked)

    return tell


def test_reserved_instances_are_read_with_their_tags(aws: Any, answer: Answer) -> None:
    retired = {**RESERVED_INSTANCE, "ReservedInstancesId": "ri-0", "State": "retired", "End": START, "Tags": []}
    answer("ec2", "describe_reserved_instances", {"ReservedInstances": [RESERVED_INSTANCE, retired]})
    found = aws.run(ec2_reserved_instances_info)
    assert [item["reserved_instances_id"] for item in found["reserved_instances"]] == ["ri-0", "ri-1"]
    assert found["reserved_instances"][1]["tags"] == {"freehold:environment": "lab"}
    assert not found["changed"]
    assert reading.ec2_reservation(found["reserved_instances"][1]).count == 2
    assert aws.writes == []


INFOS: list[tuple[ModuleType, str, str, str, dict[str, Any]]] = [
    (ec2_reserved_instances_info, "ec2", "reserved_instances", "ReservedInstances", RESERVED_INSTANCE),
    (rds_reserved_instances_info, "rds", "reserved_db_instances", "ReservedDBInstances", RESERVED_DATABASE),
    (elasticache_reserved_nodes_info, "elasticache", "reserved_cache_nodes", "ReservedCacheNodes", RESERVED_NODE),
]


@pytest.mark.parametrize(("module", "service", "what", "key", "item"), INFOS)
@pytest.mark.parametrize("check", [False, True])
def test_states_are_chosen_and_those_not_known_are_shown(
    aws: Any, answer: Answer, module: ModuleType, service: str, what: str, key: str, item: dict[str, Any], check: bool
) -> None:
    result = "reserved_nodes" if service == "elasticache" else "reserved_instances"
    items = [item, {**item, "State": "retired"}, {**item, "State": "something-new"}]
    answer(service, f"describe_{what}", {key: items})
    assert [found["state"] for found in aws.run(module, check=check, states=["active"])[result]] == ["active"]
    answer(service, f"describe_{what}", {key: items})
    assert len(aws.run(module, check=check)[result]) == 3
    assert aws.writes == []


def test_reserved_databases_come_in_pages_and_with_their_end(aws: Any, answer: Answer) -> None:
    second = {**RESERVED_DATABASE, "ReservedDBInstanceId": "db-2"}
    first_page = {"ReservedDBInstances": [RESERVED_DATABASE], "Marker": "more"}
    answer("rds", "describe_reserved_db_instances", first_page, {})
    answer("rds", "describe_reserved_db_instances", {"ReservedDBInstances": [second]}, {"Marker": "more"})
    found = aws.run(rds_reserved_instances_info)["reserved_instances"]
    assert [item["reserved_db_instance_id"] for item in found] == ["db-1", "db-2"]
    reservation = reading.rds_reservation(found[0])
    assert (reservation.copies, reservation.end) == (2, datetime(2027, 1, 1, tzinfo=UTC))


def test_reserved_nodes_are_read_with_their_end(aws: Any, answer: Answer) -> None:
    answer("elasticache", "describe_reserved_cache_nodes", {"ReservedCacheNodes": [RESERVED_NODE]})
    reservation = reading.cache_reservation(aws.run(elasticache_reserved_nodes_info)["reserved_nodes"][0])
    assert (reservation.product, reservation.count, reservation.end) == ("valkey", 2, datetime(2027, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("module", "service", "what", "key", "item"), INFOS)
def test_a_missing_permission_says_what_was_asked(
    aws: Any, stubs: Stubs, module: ModuleType, service: str, what: str, key: str, item: dict[str, Any]
) -> None:
    stubs(service).add_client_error(f"describe_{what}", "UnauthorizedOperation", "not authorized to perform: this")
    result = aws.run(module)
    assert result["failed"]
    assert "Failed to read the reserved" in result["msg"]
    assert "not authorized to perform: this" in result["msg"]


# ---- offerings ------------------------------------------------------------------------------------------------------

INSTANCE_OFFERING = {
    "ReservedInstancesOfferingId": "offer-1",
    "InstanceType": "t4g.medium",
    "ProductDescription": "Linux/UNIX",
    "InstanceTenancy": "default",
    "Scope": "Region",
    "OfferingClass": "standard",
    "OfferingType": "Partial Upfront",
    "Duration": YEAR,
    "FixedPrice": 100.0,
    "UsagePrice": 0.0,
    "CurrencyCode": "USD",
    "Marketplace": False,
    "RecurringCharges": BY_THE_HOUR,
}
WANTED = {"service": "ec2", "type": "t4g.medium", "product": "Linux/UNIX"}


def test_an_offering_tells_its_price_over_the_whole_term_to_the_cent(aws: Any, answer: Answer) -> None:
    asked = {
        "IncludeMarketplace": False,
        "ProductDescription": "Linux/UNIX",
        "InstanceType": "t4g.medium",
        "InstanceTenancy": "default",
        "OfferingClass": "standard",
        "OfferingType": "Partial Upfront",
        "MinDuration": YEAR,
        "MaxDuration": YEAR,
        "Filters": [{"Name": "scope", "Values": ["Region"]}],
    }
    answer("ec2", "describe_reserved_instances_offerings", {"ReservedInstancesOfferings": [INSTANCE_OFFERING]}, asked)
    found = aws.run(reserved_offerings_info, **WANTED, years=1, payment="Partial Upfront")["offerings"]
    assert found == [
        {
            "id": "offer-1",
            "service": "ec2",
            "type": "t4g.medium",
            "product": "Linux/UNIX",
            "scope": "Region",
            "zone": "",
            "tenancy": "default",
            "offering_class": "standard",
            "multi_az": False,
            "years": 1,
            "payment": "Partial Upfront",
            "currency": "USD",
            "upfront": 100.0,
            "hourly": 0.0195,
            "total": 270.82,
        }
    ]
    assert aws.writes == []


@pytest.mark.parametrize(
    "difference",
    [
        {"Marketplace": True},
        {"InstanceType": "t4g.large"},
        {"ProductDescription": "SUSE Linux"},
        {"Duration": 3 * YEAR},
        {"OfferingType": "All Upfront"},
        {"OfferingClass": "convertible"},
        {"InstanceTenancy": "dedicated"},
        {"Scope": "Availability Zone", "AvailabilityZone": "eu-west-1a"},
    ],
)
def test_what_was_not_asked_for_is_left_out_even_when_aws_returns_it(
    aws: Any, answer: Answer, difference: dict[str, Any]
) -> None:
    other = {**INSTANCE_OFFERING, "ReservedInstancesOfferingId": "other", **difference}
    answer("ec2", "describe_reserved_instances_offerings", {"ReservedInstancesOfferings": [other, INSTANCE_OFFERING]})
    found = aws.run(reserved_offerings_info, **WANTED, years=1, payment="Partial Upfront")["offerings"]
    assert [offering["id"] for offering in found] == ["offer-1"]


def test_the_cheapest_comes_first_from_all_pages(aws: Any, answer: Answer) -> None:
    cheap = {**INSTANCE_OFFERING, "ReservedInstancesOfferingId": "cheap", "FixedPrice": 1.0}
    page = {"ReservedInstancesOfferings": [INSTANCE_OFFERING], "NextToken": "more"}
    answer("ec2", "describe_reserved_instances_offerings", page)
    answer("ec2", "describe_reserved_instances_offerings", {"ReservedInstancesOfferings": [cheap]})
    found = aws.run(reserved_offerings_info, **WANTED)["offerings"]
    assert [offering["id"] for offering in found] == ["cheap", "offer-1"]


def test_a_zonal_offering_is_asked_for_by_its_zone(aws: Any, answer: Answer) -> None:
    zonal = {**INSTANCE_OFFERING, "Scope": "Availability Zone", "AvailabilityZone": "eu-west-1a"}
    answer("ec2", "describe_reserved_instances_offerings", {"ReservedInstancesOfferings": [INSTANCE_OFFERING, zonal]})
    found = aws.run(reserved_offerings_info, **WANTED, zone="eu-west-1a")["offerings"]
    assert [(offering["scope"], offering["zone"]) for offering in found] == [("Availability Zone", "eu-west-1a")]


def test_offerings_of_databases_and_nodes_have_the_same_form(aws: Any, answer: Answer) -> None:
    offering = {
        "ReservedDBInstancesOfferingId": "db-offer",
        "DBInstanceClass": "db.t4g.medium",
        "ProductDescription": "postgresql",
        "MultiAZ": True,
        "OfferingType": "All Upfront",
        "Duration": 3 * YEAR,
        "FixedPrice": 900.5,
        "CurrencyCode": "USD",
    }
    asked = {"ProductDescription": "postgresql", "DBInstanceClass": "db.t4g.medium", "MultiAZ": True, "Duration": "3"}
    answer("rds", "describe_reserved_db_instances_offerings", {"ReservedDBInstancesOfferings": [offering]}, asked)
    wanted = {"service": "rds", "type": "db.t4g.medium", "product": "postgresql", "multi_az": True, "years": 3}
    found = aws.run(reserved_offerings_info, **wanted)["offerings"]
    assert [(item["id"], item["years"], item["total"]) for item in found] == [("db-offer", 3, 900.5)]
    offering = {
        "ReservedCacheNodesOfferingId": "node-offer",
        "CacheNodeType": "cache.t4g.micro",
        "ProductDescription": "valkey",
        "OfferingType": "No Upfront",
        "Duration": YEAR,
        "RecurringCharges": BY_THE_HOUR_ELSEWHERE,
    }
    answer("elasticache", "describe_reserved_cache_nodes_offerings", {"ReservedCacheNodesOfferings": [offering]})
    wanted = {"service": "elasticache", "type": "cache.t4g.micro", "product": "valkey"}
    found = aws.run(reserved_offerings_info, **wanted)["offerings"]
    assert [(item["id"], item["currency"], item["total"]) for item in found] == [("node-offer", "", 170.82)]


@pytest.mark.parametrize(
    ("service", "given", "named"),
    [
        ("ec2", {"multi_az": True}, "multi_az"),
        ("elasticache", {"multi_az": True}, "multi_az"),
        ("rds", {"zone": "eu-west-1a"}, "zone"),
        ("rds", {"tenancy": "dedicated", "offering_class": "convertible"}, "tenancy and no offering_class"),
    ],
)
def test_what_a_service_does_not_sell_is_refused_without_asking(
    aws: Any, service: str, given: dict[str, Any], named: str
) -> None:
    result = aws.run(reserved_offerings_info, service=service, type="x", product="y", **given)
    assert result["msg"] == f"Reservations of {service} have no {named}."
    assert aws.operations == []


def test_no_offering_is_an_empty_list(aws: Any, answer: Answer) -> None:
    answer("ec2", "describe_reserved_instances_offerings", {"ReservedInstancesOfferings": []})
    assert aws.run(reserved_offerings_info, **WANTED)["offerings"] == []


@pytest.mark.parametrize(
    ("service", "operation", "what"),
    [
        ("ec2", "DescribeReservedInstancesOfferings", "reserved instances"),
        ("rds", "DescribeReservedDBInstancesOfferings", "reserved DB instances"),
        ("elasticache", "DescribeReservedCacheNodesOfferings", "reserved cache nodes"),
    ],
)
def test_offerings_that_can_not_be_read_are_said_and_not_taken_for_none(
    aws: Any, service: str, operation: str, what: str
) -> None:
    aws.refusals[operation] = "AccessDenied"
    result = aws.run(reserved_offerings_info, service=service, type="x", product="y")
    assert result["failed"]
    assert result["msg"].startswith(f"Failed to read the offerings of {what}: ")
    assert "refused by the test" in result["msg"]


def test_a_charge_that_is_not_hourly_is_refused_rather_than_guessed(aws: Any, answer: Answer) -> None:
    charge = [{"RecurringChargeAmount": 10.0, "RecurringChargeFrequency": "Monthly"}]
    offering = {
        "ReservedCacheNodesOfferingId": "node-offer",
        "CacheNodeType": "cache.t4g.micro",
        "ProductDescription": "valkey",
        "OfferingType": "No Upfront",
        "Duration": YEAR,
        "RecurringCharges": charge,
    }
    answer("elasticache", "describe_reserved_cache_nodes_offerings", {"ReservedCacheNodesOfferings": [offering]})
    result = aws.run(reserved_offerings_info, service="elasticache", type="cache.t4g.micro", product="valkey")
    assert result["failed"]
    assert "Monthly" in result["msg"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"service": "rds", "zone": "eu-west-1a"}, "no zone"),
        ({"service": "elasticache", "offering_class": "convertible"}, "no offering_class"),
        ({"service": "ec2", "multi_az": True}, "no multi_az"),
    ],
)
def test_what_a_service_does_not_have_is_refused(aws: Any, answer: Answer, params: dict[str, Any], said: str) -> None:
    result = aws.run(reserved_offerings_info, **{**WANTED, **params})
    assert result["failed"]
    assert said in result["msg"]
    assert aws.operations == []


# ---- what runs ------------------------------------------------------------------------------------------------------


def test_what_runs_is_read_of_all_services_and_ours_is_marked(aws: Any, answer: Answer) -> None:
    def instance(name: str, **difference: Any) -> dict[str, Any]:
        return {
            "InstanceId": name,
            "InstanceType": "t4g.medium",
            "State": {"Name": "running"},
            "PlatformDetails": "Linux/UNIX",
            "Placement": {"AvailabilityZone": "eu-west-1a", "Tenancy": "default"},
            **difference,
        }

    ours = [{"Key": "freehold:environment", "Value": "lab"}]
    alive = {"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running"]}]}
    launched = [instance("i-1", Tags=ours), instance("i-3", InstanceLifecycle="spot")]
    answer("ec2", "describe_instances", {"Reservations": [{"Instances": launched}], "NextToken": "more"}, alive)
    second = {"Reservations": [{"Instances": [instance("i-2")]}]}
    answer("ec2", "describe_instances", second, {**alive, "NextToken": "more"})
    database = {
        "DBInstanceIdentifier": "airflow",
        "DBInstanceClass": "db.t4g.medium",
        "DBInstanceStatus": "available",
        "Engine": "postgres",
        "LicenseModel": "postgresql-license",
        "MultiAZ": False,
        "TagList": ours,
    }
    answer("rds", "describe_db_instances", {"DBInstances": [database], "Marker": "more"}, {})
    standby = {**database, "DBInstanceIdentifier": "other", "MultiAZ": True, "TagList": []}
    answer("rds", "describe_db_instances", {"DBInstances": [standby]}, {"Marker": "more"})
    caches = [
        {
            "CacheClusterId": f"{name}-001",
            "CacheNodeType": "cache.t4g.micro",
            "CacheClusterStatus": "available",
            "Engine": "valkey",
            "NumCacheNodes": 1,
            "ARN": f"arn:aws:elasticache:eu-west-1:123456789012:cluster:{name}-001",
        }
        for name in ("freehold-lab", "freehold-lab2", "other")
    ]
    answer("elasticache", "describe_cache_clusters", {"CacheClusters": caches[:1], "Marker": "more"}, {})
    answer("elasticache", "describe_cache_clusters", {"CacheClusters": caches[1:]}, {"Marker": "more"})
    answer("elasticache", "list_tags_for_resource", {"TagList": ours}, {"ResourceName": caches[0]["ARN"]})
    others = [{"Key": "freehold:environment", "Value": "lab2"}]
    answer("elasticache", "list_tags_for_resource", {"TagList": others}, {"ResourceName": caches[1]["ARN"]})
    found = aws.run(reservable_usage_info, environment="lab")["usage"]
    assert [(item["service"], item["name"], item["copies"], item["ours"]) for item in found] == [
        ("ec2", "i-1", 1, True),
        ("ec2", "i-2", 1, False),
        ("elasticache", "freehold-lab-001/1", 1, True),
        ("elasticache", "freehold-lab2-001/1", 1, False),
        ("elasticache", "other-001/1", 1, False),
        ("rds", "airflow", 1, True),
        ("rds", "other", 2, False),
    ]
    assert aws.writes == []


def test_where_nothing_runs_the_usage_is_an_empty_list(aws: Any) -> None:
    """Against moto, which knows these requests."""
    assert aws.run(reservable_usage_info, environment="lab")["usage"] == []
    assert sorted(aws.operations) == ["DescribeCacheClusters", "DescribeDBInstances", "DescribeInstances"]


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        ("DescribeInstances", "instances"),
        ("DescribeDBInstances", "databases"),
        ("DescribeCacheClusters", "caches"),
        ("ListTagsForResource", "tags of a cache"),
    ],
)
def test_usage_that_can_not_be_read_is_said_and_not_taken_for_none(aws: Any, operation: str, what: str) -> None:
    aws.client("elasticache").create_cache_cluster(CacheClusterId="freehold-lab-001", CacheNodeType="cache.t4g.micro")
    aws.refusals[operation] = "AccessDenied"
    result = aws.run(reservable_usage_info, environment="lab")
    assert result["failed"]
    assert result["msg"].startswith(f"Failed to read the {what}: ")
    assert "refused by the test" in result["msg"]
