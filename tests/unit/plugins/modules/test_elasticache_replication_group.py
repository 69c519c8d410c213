# SPDX-License-Identifier: GPL-3.0-or-later
"""The module elasticache_replication_group against moto."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import elasticache_replication_group

TAGS = {"freehold:environment": "lab"}
PASSWORD = "u7Gh2kPq9sVx4LmN8rTz"


@pytest.fixture
def wanted(aws: Any) -> dict[str, Any]:
    ec2 = aws.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="broker", Description="broker", VpcId=vpc_id)["GroupId"]
    aws.client("secretsmanager").create_secret(Name="password", SecretString=PASSWORD)
    return {
        "name": "freehold-lab",
        "node_type": "cache.t4g.small",
        "replicas": 1,
        "subnet_ids": [subnet["Subnet"]["SubnetId"] for subnet in subnets],
        "security_group_ids": [group],
        "password_secret": "password",
        "tags": TAGS,
    }


def run(aws: Any, wanted: dict[str, Any], check: bool = False, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(elasticache_replication_group, check=check, **{**wanted, **params})
    return result


def names(result: dict[str, Any]) -> list[str]:
    return [difference["name"] for difference in result["differences"]]


def test_a_new_group_is_encrypted_and_fails_over(aws: Any, wanted: dict[str, Any]) -> None:
    result = run(
        aws,
        wanted,
        description="The broker of the lab",
        engine_version="8.1",
        kms_key_id="alias/mine",
        maintenance_window="sun:05:00-sun:06:00",
    )
    assert aws.writes == ["CreateCacheSubnetGroup", "CreateReplicationGroup"]
    tags = [{"Key": "Name", "Value": "freehold-lab"}, {"Key": "freehold:environment", "Value": "lab"}]
    assert aws.asked("CreateCacheSubnetGroup") == [
        {
            "CacheSubnetGroupName": "freehold-lab",
            "CacheSubnetGroupDescription": "The broker of the lab",
            "SubnetIds": sorted(wanted["subnet_ids"]),
            "Tags": tags,
        }
    ]
    assert aws.asked("CreateReplicationGroup") == [
        {
            "ReplicationGroupId": "freehold-lab",
            "ReplicationGroupDescription": "The broker of the lab",
            "Engine": "valkey",
            "EngineVersion": "8.1",
            "CacheNodeType": "cache.t4g.small",
            "NumNodeGroups": 1,
            "ReplicasPerNodeGroup": 1,
            "AutomaticFailoverEnabled": True,
            "MultiAZEnabled": True,
            "CacheSubnetGroupName": "freehold-lab",
            "SecurityGroupIds": wanted["security_group_ids"],
            "AtRestEncryptionEnabled": True,
            "KmsKeyId": "alias/mine",
            "TransitEncryptionEnabled": True,
            "TransitEncryptionMode": "required",
            "AuthToken": PASSWORD,
            "PreferredMaintenanceWindow": "sun:05:00-sun:06:00",
            "Tags": tags,
        }
    ]
    assert PASSWORD not in str(result)
    assert result["replication_group"]["endpoint"]


def test_a_group_without_replicas_has_nothing_to_fail_over_to_and_gets_aws_own_key_and_window(
    aws: Any, wanted: dict[str, Any]
) -> None:
    run(aws, wanted, replicas=0)
    [request] = aws.asked("CreateReplicationGroup")
    assert (request["AutomaticFailoverEnabled"], request["MultiAZEnabled"]) == (False, False)
    assert {"EngineVersion", "KmsKeyId", "PreferredMaintenanceWindow"}.isdisjoint(request)


def group(aws: Any, **changes: Any) -> dict[str, Any]:
    """The answer of AWS that shows the group with these changes."""
    (found,) = aws.client("elasticache").describe_replication_groups()["ReplicationGroups"]
    return {"ReplicationGroups": [{**found, **changes}]}


def states(aws: Any, wanted: dict[str, Any], *names: str) -> None:
    """Let a group be there that is in one state after another, of which the last stays."""
    run(aws, wanted)
    aws.answers["DescribeReplicationGroups"] = [group(aws, Status=name) for name in names]


def test_a_group_is_awaited_until_it_is_available(aws: Any, wanted: dict[str, Any], waited: list[float]) -> None:
    states(aws, wanted, "creating", "creating", "snapshotting", "available")
    result = run(aws, wanted)
    assert result["replication_group"]["status"] == "available"
    assert waited == [5, 5]
    assert aws.writes == []


@pytest.mark.parametrize("state", ["create-failed", "deleting"])
def test_a_broken_group_is_named_as_such_at_once(
    aws: Any, wanted: dict[str, Any], waited: list[float], state: str
) -> None:
    states(aws, wanted, "creating", "creating", state)
    result = run(aws, wanted)
    said = f"The replication group 'freehold-lab' is {state} instead of available; its events say why."
    assert (result["failed"], result["msg"]) == (True, said)
    assert waited == [5]
    assert aws.writes == []


def test_a_group_that_takes_too_long_names_what_gives_it_longer(
    aws: Any, wanted: dict[str, Any], waited: list[float]
) -> None:
    states(aws, wanted, "creating")
    result = run(aws, wanted, wait_timeout=10)
    said = "The replication group 'freehold-lab' is still creating after 10 seconds; raise broker_wait_timeout."
    assert (result["failed"], result["msg"]) == (True, said)
    assert waited == [5]


@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_writes_nothing_and_reads_no_password(aws: Any, wanted: dict[str, Any], check: bool) -> None:
    run(aws, wanted)
    result = run(aws, wanted, check=check)
    assert not result["changed"], result["differences"]
    assert aws.writes == []
    assert "GetSecretValue" not in aws.operations


def test_check_mode_creates_nothing(aws: Any, wanted: dict[str, Any]) -> None:
    assert names(run(aws, wanted, check=True)) == ["subnet_group", "replication_group"]
    assert aws.writes == []


# moto knows none of the requests that change a group, so what it shows afterwards is written here.
FAILS_OVER = {"AutomaticFailover": "enabled", "MultiAZ": "enabled"}
FAILS_OVER_NO_MORE = {"AutomaticFailover": "disabled", "MultiAZ": "disabled"}


def test_another_node_type_is_set_and_named(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    aws.answers["ModifyReplicationGroup"] = {}
    result = aws.settles(
        partial(run, aws, wanted, node_type="cache.m7g.large"),
        ["ModifyReplicationGroup"],
        then={"DescribeReplicationGroups": group(aws, CacheNodeType="cache.m7g.large")},
    )
    assert result["differences"] == [
        {"name": "CacheNodeType", "current": "cache.t4g.small", "desired": "cache.m7g.large"}
    ]
    assert aws.asked("ModifyReplicationGroup") == [
        {"ReplicationGroupId": "freehold-lab", "ApplyImmediately": True, "CacheNodeType": "cache.m7g.large"}
    ]


def test_replicas_come_before_fail_over(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted, replicas=0)
    aws.answers |= {"IncreaseReplicaCount": {}, "ModifyReplicationGroup": {}}
    assert names(run(aws, wanted, check=True, replicas=2)) == ["replicas"]
    assert aws.writes == []
    assert names(run(aws, wanted, replicas=2)) == ["replicas"]
    assert aws.writes == ["IncreaseReplicaCount"]
    assert aws.asked("IncreaseReplicaCount") == [
        {"ReplicationGroupId": "freehold-lab", "NewReplicaCount": 2, "ApplyImmediately": True}
    ]
    nodes = [f"freehold-lab-00{number}" for number in (1, 2, 3)]
    aws.answers["DescribeReplicationGroups"] = group(aws, MemberClusters=nodes)
    result = aws.settles(
        partial(run, aws, wanted, replicas=2),
        ["ModifyReplicationGroup"],
        then={"DescribeReplicationGroups": group(aws, **FAILS_OVER)},
    )
    assert names(result) == ["AutomaticFailoverEnabled", "MultiAZEnabled"]


def test_fail_over_goes_before_the_last_replica(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted, replicas=1)
    aws.answers |= {"ModifyReplicationGroup": {}, "DecreaseReplicaCount": {}}
    run(aws, wanted, check=True, replicas=0)
    assert aws.writes == []
    run(aws, wanted, replicas=0)
    assert aws.asked("ModifyReplicationGroup") == [
        {
            "ReplicationGroupId": "freehold-lab",
            "ApplyImmediately": True,
            "AutomaticFailoverEnabled": False,
            "MultiAZEnabled": False,
        }
    ]
    assert aws.writes == ["ModifyReplicationGroup"]
    aws.answers["DescribeReplicationGroups"] = group(aws, **FAILS_OVER_NO_MORE)
    result = aws.settles(
        partial(run, aws, wanted, replicas=0),
        ["DecreaseReplicaCount"],
        then={"DescribeReplicationGroups": group(aws, MemberClusters=["freehold-lab-001"])},
    )
    assert names(result) == ["replicas"]


def test_a_replica_too_many_goes_while_another_is_left_to_fail_over_to(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted, replicas=2)
    aws.answers["DecreaseReplicaCount"] = {}
    result = aws.settles(
        partial(run, aws, wanted, replicas=1),
        ["DecreaseReplicaCount"],
        then={"DescribeReplicationGroups": group(aws, MemberClusters=["freehold-lab-001", "freehold-lab-002"])},
    )
    assert result["differences"] == [{"name": "replicas", "current": 2, "desired": 1}]
    assert [request["NewReplicaCount"] for request in aws.asked("DecreaseReplicaCount")] == [1]


def test_check_mode_needs_no_subnets(aws: Any, wanted: dict[str, Any]) -> None:
    assert names(run(aws, wanted, check=True, subnet_ids=[])) == ["replication_group"]
    assert aws.writes == []


def test_a_group_without_encryption_is_refused(aws: Any, wanted: dict[str, Any]) -> None:
    aws.client("elasticache").create_replication_group(
        ReplicationGroupId="freehold-lab",
        ReplicationGroupDescription="x",
        Engine="valkey",
        CacheNodeType="cache.t4g.small",
        Tags=[{"Key": "freehold:environment", "Value": "lab"}],
    )
    result = run(aws, wanted)
    assert "not encrypted" in result["msg"]
    assert aws.writes == []


def test_a_group_of_somebody_else_is_left_alone(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted, tags={"freehold:environment": "prod"})
    assert "belongs to the environment 'prod'" in run(aws, wanted)["msg"]
    assert aws.writes == []


def test_other_subnets_are_given_to_the_group_of_subnets(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    # moto knows no ModifyCacheSubnetGroup.
    aws.answers["ModifyCacheSubnetGroup"] = {}
    fewer = wanted["subnet_ids"][:1]
    (found,) = aws.client("elasticache").describe_cache_subnet_groups()["CacheSubnetGroups"]
    left = [subnet for subnet in found["Subnets"] if subnet["SubnetIdentifier"] in fewer]
    result = aws.settles(
        partial(run, aws, wanted, subnet_ids=fewer),
        ["ModifyCacheSubnetGroup"],
        then={"DescribeCacheSubnetGroups": {"CacheSubnetGroups": [{**found, "Subnets": left}]}},
    )
    assert names(result) == ["subnets"]
    assert aws.asked("ModifyCacheSubnetGroup") == [{"CacheSubnetGroupName": "freehold-lab", "SubnetIds": fewer}]


def test_a_subnet_group_of_somebody_else_is_left_alone(aws: Any, wanted: dict[str, Any]) -> None:
    aws.client("elasticache").create_cache_subnet_group(
        CacheSubnetGroupName="freehold-lab", CacheSubnetGroupDescription="theirs", SubnetIds=wanted["subnet_ids"][:1]
    )
    assert "The subnet group 'freehold-lab' exists already" in run(aws, wanted)["msg"]
    assert aws.writes == []


def test_missing_tags_are_added(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    more = {**TAGS, "team": "data"}
    assert names(aws.settles(partial(run, aws, wanted, tags=more), ["AddTagsToResource"])) == ["tag team"]


def test_a_group_that_aws_is_busy_with_is_left_alone_when_it_need_not_be_awaited(
    aws: Any, wanted: dict[str, Any], waited: list[float]
) -> None:
    states(aws, wanted, "modifying")
    result = run(aws, wanted, node_type="cache.m7g.large", wait=False)
    assert not result["changed"]
    assert result["replication_group"]["status"] == "modifying"
    assert waited == []
    assert aws.writes == []


def test_other_security_groups_are_set(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    aws.answers["ModifyReplicationGroup"] = {}

    def nodes(*groups: str) -> dict[str, Any]:
        """The answer of AWS that shows a node in these security groups."""
        members = [{"SecurityGroupId": name, "Status": "active"} for name in groups]
        return {"DescribeCacheClusters": {"CacheClusters": [{"SecurityGroups": members}]}}

    aws.answers |= nodes("sg-old")
    changed = partial(run, aws, wanted)
    result = aws.settles(changed, ["ModifyReplicationGroup"], then=nodes(*wanted["security_group_ids"]))
    assert result["differences"] == [
        {"name": "SecurityGroupIds", "current": ["sg-old"], "desired": wanted["security_group_ids"]}
    ]
    assert aws.asked("ModifyReplicationGroup") == [
        {
            "ReplicationGroupId": "freehold-lab",
            "ApplyImmediately": True,
            "SecurityGroupIds": wanted["security_group_ids"],
        }
    ]


def test_a_password_that_is_not_there_ends_the_run_before_the_group(aws: Any, wanted: dict[str, Any]) -> None:
    assert "There is no secret 'other'" in run(aws, wanted, password_secret="other")["msg"]
    assert "CreateReplicationGroup" not in aws.writes
