# SPDX-License-Identifier: GPL-3.0-or-later
"""The module efs_file_system against moto."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import efs_file_system

TAGS = {"freehold:environment": "lab", "Name": "lab-filesystem"}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "DenyWithoutTls",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}


@pytest.fixture
def network(aws: Any) -> dict[str, list[str]]:
    ec2 = aws.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="files", Description="files", VpcId=vpc_id)
    return {
        "subnet_ids": [subnet["Subnet"]["SubnetId"] for subnet in subnets],
        "security_group_ids": [group["GroupId"]],
    }


def run(aws: Any, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(
        efs_file_system, name="freehold-lab", **{"tags": TAGS, "policy": POLICY, "backup": True, **params}
    )
    return result


def file_systems(aws: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = aws.client("efs").describe_file_systems()["FileSystems"]
    return found


def names(result: dict[str, Any]) -> list[str]:
    return [difference["name"] for difference in result["differences"]]


def test_a_new_file_system_is_encrypted_elastic_and_guarded(aws: Any, network: dict[str, Any]) -> None:
    result = run(aws, **network)
    (found,) = file_systems(aws)
    assert found["Encrypted"]
    assert found["ThroughputMode"] == "elastic"
    policy = aws.client("efs").describe_file_system_policy(FileSystemId=found["FileSystemId"])["Policy"]
    assert json.loads(policy) == POLICY
    assert result["file_system"]["dns_name"] == f"{found['FileSystemId']}.efs.eu-west-1.amazonaws.com"
    assert {target["subnet_id"] for target in result["file_system"]["mount_targets"]} == set(network["subnet_ids"])


@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_writes_nothing(aws: Any, network: dict[str, Any], check: bool) -> None:
    run(aws, **network)
    result = run(aws, check=check, **network)
    assert not result["changed"]
    assert aws.writes == []


def test_check_mode_creates_nothing(aws: Any) -> None:
    result = run(aws, check=True, subnet_ids=[], security_group_ids=[])
    assert result["changed"]
    assert file_systems(aws) == []
    assert result["file_system"]["id"] is None


def test_check_mode_names_what_differs(aws: Any, network: dict[str, Any]) -> None:
    run(aws, **network)
    result = run(aws, check=True, throughput_mode="bursting", **network)
    assert names(result) == ["throughput"]
    assert aws.writes == []


def test_another_throughput_is_set_in_place(aws: Any) -> None:
    # moto knows no UpdateFileSystem.
    aws.answers["UpdateFileSystem"] = {}
    run(aws)
    (found,) = file_systems(aws)
    throughput = {"ThroughputMode": "provisioned", "ProvisionedThroughputInMibps": 64.0}
    result = aws.settles(
        partial(run, aws, throughput_mode="provisioned", provisioned_throughput=64),
        ["UpdateFileSystem"],
        then={"DescribeFileSystems": {"FileSystems": [{**found, **throughput}]}},
    )
    assert names(result) == ["throughput"]
    assert aws.asked("UpdateFileSystem") == [{"FileSystemId": found["FileSystemId"], **throughput}]


def test_a_missing_mount_target_is_created_alone(aws: Any, network: dict[str, Any]) -> None:
    first = {**network, "subnet_ids": network["subnet_ids"][:1]}
    run(aws, **first)
    assert names(aws.settles(partial(run, aws, **network), ["CreateMountTarget"])) == ["mount_target"]


def test_security_groups_of_mount_targets_are_set_right(aws: Any, network: dict[str, Any]) -> None:
    ec2 = aws.client("ec2")
    vpc_id = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.20.0.0/16"]}])["Vpcs"][0]["VpcId"]
    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc_id)["GroupId"]
    run(aws, **network)
    changed = partial(run, aws, **{**network, "security_group_ids": [other]})
    aws.settles(changed, ["ModifyMountTargetSecurityGroups"] * 2)


def test_a_file_system_of_somebody_else_is_left_alone(aws: Any) -> None:
    aws.client("efs").create_file_system(CreationToken="freehold-lab", Encrypted=True)
    result = run(aws)
    assert result["failed"]
    assert "freehold:environment" in result["msg"]
    assert aws.writes == []


def test_an_unencrypted_file_system_is_refused(aws: Any) -> None:
    tags = [{"Key": key, "Value": value} for key, value in TAGS.items()]
    aws.client("efs").create_file_system(CreationToken="freehold-lab", Encrypted=False, Tags=tags)
    result = run(aws)
    assert "not encrypted" in result["msg"]
    assert aws.writes == []


def test_another_performance_mode_is_refused(aws: Any) -> None:
    run(aws)
    result = run(aws, performance_mode="max_io")
    assert "has the performance mode generalPurpose, which can't be changed to max_io" in result["msg"]
    assert aws.writes == []


def test_tags_policy_and_backup_are_set_right_and_named(aws: Any) -> None:
    # moto knows no PutBackupPolicy.
    aws.answers["PutBackupPolicy"] = {}
    run(aws, policy=None, backup=False)
    result = aws.settles(
        partial(run, aws, tags={**TAGS, "team": "data"}),
        ["TagResource", "PutFileSystemPolicy", "PutBackupPolicy"],
        then={"DescribeBackupPolicy": {"BackupPolicy": {"Status": "ENABLED"}}},
    )
    assert names(result) == ["tags", "policy", "backup"]
    assert [request["BackupPolicy"] for request in aws.asked("PutBackupPolicy")] == [{"Status": "ENABLED"}]


def test_what_is_not_asked_for_is_not_touched(aws: Any) -> None:
    run(aws)
    assert not run(aws, policy=None, backup=None, tags=TAGS)["changed"]
    assert aws.writes == []


def test_check_mode_names_mount_targets_and_security_groups(aws: Any, network: dict[str, Any]) -> None:
    run(aws, **{**network, "subnet_ids": network["subnet_ids"][:1]})
    result = run(aws, check=True, subnet_ids=network["subnet_ids"], security_group_ids=["sg-0123456789abcdef0"])
    assert [name.split(" of ")[0] for name in names(result)] == ["security groups", "mount_target"]
    assert aws.writes == []


def test_a_key_of_ones_own_encrypts(aws: Any) -> None:
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    run(aws, kms_key_id=key)
    assert file_systems(aws)[0]["KmsKeyId"] == key


def states(aws: Any, *names: str) -> None:
    """Let a file system be there that is in one state after another, of which the last stays; an empty one: gone."""
    run(aws, policy=None)
    (found,) = file_systems(aws)
    aws.answers["DescribeFileSystems"] = [
        {"FileSystems": [{**found, "LifeCycleState": name}] if name else []} for name in names
    ]


def target_states(aws: Any, network: dict[str, Any], *looks: tuple[str, str]) -> None:
    """Let both mount targets be there, in the states of one look after another, of which the last stays."""
    run(aws, **network)
    (found,) = file_systems(aws)
    targets = aws.client("efs").describe_mount_targets(FileSystemId=found["FileSystemId"])["MountTargets"]
    targets.sort(key=lambda target: network["subnet_ids"].index(target["SubnetId"]))
    aws.answers["DescribeMountTargets"] = [
        {"MountTargets": [{**target, "LifeCycleState": state} for target, state in zip(targets, look, strict=True)]}
        for look in looks
    ]


def test_a_new_file_system_is_set_up_once_it_is_available(aws: Any, waited: list[float]) -> None:
    states(aws, "creating", "creating", "creating", "available")
    assert run(aws)["file_system"]["state"] == "available"
    assert waited == [1, 1]
    assert aws.writes == ["PutFileSystemPolicy"]


@pytest.mark.parametrize("state", ["error", "deleting"])
def test_a_broken_file_system_is_named_as_such_at_once(aws: Any, waited: list[float], state: str) -> None:
    states(aws, "creating", "creating", state)
    result = run(aws)
    said = f"The file system 'freehold-lab' is {state} instead of available; see what EFS says of it, and run again."
    assert (result["failed"], result["msg"]) == (True, said)
    assert waited == [1]
    assert aws.writes == []


def test_a_file_system_that_is_never_available_is_given_up(aws: Any, waited: list[float]) -> None:
    states(aws, "creating")
    assert "is creating instead of available" in run(aws)["msg"]
    assert sum(waited) == 119
    assert aws.writes == []


def test_a_file_system_that_is_deleted_meanwhile_is_one_sentence(aws: Any) -> None:
    states(aws, "creating", "available", "")
    assert run(aws)["msg"] == "The file system 'freehold-lab' was deleted while it was set up."
    assert aws.writes == []


def test_mount_targets_are_awaited_until_all_are_available(
    aws: Any, network: dict[str, Any], waited: list[float]
) -> None:
    target_states(aws, network, *[("creating", "creating")] * 2, ("available", "creating"), ("available", "available"))
    targets = run(aws, **network)["file_system"]["mount_targets"]
    assert [target["state"] for target in targets] == ["available", "available"]
    assert waited == [2, 2]
    assert aws.writes == []


def test_a_broken_mount_target_is_named_as_such_at_once(aws: Any, network: dict[str, Any], waited: list[float]) -> None:
    target_states(aws, network, *[("creating", "creating")] * 2, ("available", "error"))
    result = run(aws, **network)
    broken = network["subnet_ids"][1]
    said = (
        f"Mount targets of the file system 'freehold-lab' are not available: {broken} (error); delete the broken one,"
        " and run again."
    )
    assert (result["failed"], result["msg"]) == (True, said)
    assert waited == [2]


def test_mount_targets_that_take_too_long_name_what_gives_them_longer(
    aws: Any, network: dict[str, Any], waited: list[float]
) -> None:
    target_states(aws, network, ("creating", "available"))
    result = run(aws, **network, wait_timeout=10)
    assert f": {network['subnet_ids'][0]} (creating); raise filesystem_wait_timeout." in result["msg"]
    assert waited == [2] * 4


def test_mount_targets_need_not_be_awaited(aws: Any, network: dict[str, Any], waited: list[float]) -> None:
    target_states(aws, network, ("creating", "creating"))
    result = run(aws, **network, wait=False)
    assert [target["state"] for target in result["file_system"]["mount_targets"]] == ["creating", "creating"]
    assert waited == []
