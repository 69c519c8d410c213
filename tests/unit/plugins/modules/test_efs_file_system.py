# SPDX-License-Identifier: GPL-3.0-or-later
"""The module efs_file_system against moto."""

import json
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._efs import api
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


def test_a_second_run_writes_nothing(aws: Any, network: dict[str, Any]) -> None:
    run(aws, **network)
    result = run(aws, **network)
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


def test_another_throughput_is_set_in_place(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    # moto knows no UpdateFileSystem.
    monkeypatch.setattr(api, "update_file_system", lambda _client, _id, changes: calls.append(changes))
    run(aws)
    run(aws, throughput_mode="provisioned", provisioned_throughput=64)
    assert calls == [{"ThroughputMode": "provisioned", "ProvisionedThroughputInMibps": 64.0}]


def test_a_missing_mount_target_is_created_alone(aws: Any, network: dict[str, Any]) -> None:
    first = {**network, "subnet_ids": network["subnet_ids"][:1]}
    run(aws, **first)
    result = run(aws, **network)
    assert names(result) == ["mount_target"]
    assert aws.writes == ["CreateMountTarget"]


def test_security_groups_of_mount_targets_are_set_right(aws: Any, network: dict[str, Any]) -> None:
    ec2 = aws.client("ec2")
    vpc_id = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.20.0.0/16"]}])["Vpcs"][0]["VpcId"]
    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc_id)["GroupId"]
    run(aws, **network)
    run(aws, **{**network, "security_group_ids": [other]})
    assert aws.writes == ["ModifyMountTargetSecurityGroups"] * 2


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


def test_tags_policy_and_backup_are_set_right_and_named(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backups: list[bool] = []
    # moto knows no PutBackupPolicy.
    monkeypatch.setattr(api, "put_backup", lambda _client, _id, wanted: backups.append(wanted))
    run(aws, policy=None, backup=False)
    wanted = {"tags": {**TAGS, "team": "data"}}
    assert names(run(aws, check=True, **wanted)) == ["tags", "policy", "backup"]
    assert aws.writes == []
    assert backups == []
    assert names(run(aws, **wanted)) == ["tags", "policy", "backup"]
    assert aws.writes == ["TagResource", "PutFileSystemPolicy"]
    assert backups == [True]


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


def test_a_new_file_system_is_set_up_once_it_is_available(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    find, states = api.find_file_system, ["creating"]
    waited = []

    def slow(client: Any, name: str) -> Any:
        found = find(client, name)
        return {**found, "LifeCycleState": states.pop()} if found and states else found

    run(aws, policy=None)
    monkeypatch.setattr(api, "find_file_system", slow)
    monkeypatch.setattr(api, "wait_for_file_system", lambda _client, file_system_id: waited.append(file_system_id))
    run(aws)
    assert waited == [file_systems(aws)[0]["FileSystemId"]]
    assert aws.writes == ["PutFileSystemPolicy"]


def test_a_file_system_that_is_deleted_meanwhile_is_one_sentence(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(aws)
    answers = [None, {**file_systems(aws)[0], "LifeCycleState": "creating"}]
    monkeypatch.setattr(api, "find_file_system", lambda _client, _name: answers.pop())
    monkeypatch.setattr(api, "wait_for_file_system", lambda _client, _id: None)
    assert "was deleted while it was set up" in run(aws)["msg"]
