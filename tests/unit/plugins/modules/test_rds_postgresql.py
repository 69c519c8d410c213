# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rds_postgresql against moto."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils import _rds as api
from ansible_collections.freehold.airflow.plugins.modules import rds_postgresql

TAGS = {"freehold:environment": "lab", "Name": "lab-database"}
PASSWORD = "u7Gh2kPq9sVx4LmN8rTz"


@pytest.fixture
def wanted(aws: Any) -> dict[str, Any]:
    ec2 = aws.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="database", Description="database", VpcId=vpc_id)["GroupId"]
    aws.client("rds").create_db_parameter_group(
        DBParameterGroupName="postgres17", DBParameterGroupFamily="postgres17", Description="x"
    )
    aws.client("secretsmanager").create_secret(Name="password", SecretString=PASSWORD)
    return {
        "name": "freehold-lab",
        "engine_version": "17",
        "db_instance_class": "db.t4g.medium",
        "db_name": "airflow",
        "master_username": "airflow",
        "password_secret": "password",
        "subnet_ids": [subnet["Subnet"]["SubnetId"] for subnet in subnets],
        "security_group_ids": [group],
        "parameter_group": "postgres17",
        "backup_window": "02:00-03:00",
        "maintenance_window": "sun:03:30-sun:04:30",
        "tags": TAGS,
    }


def run(aws: Any, wanted: dict[str, Any], check: bool = False, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(rds_postgresql, check=check, **{**wanted, **params})
    return result


def database(aws: Any) -> dict[str, Any]:
    (found,) = aws.client("rds").describe_db_instances()["DBInstances"]
    return dict(found)


def names(result: dict[str, Any]) -> list[str]:
    return [difference["name"] for difference in result["differences"]]


def test_a_new_database_has_the_password_of_the_secret(
    aws: Any, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[dict[str, Any]] = []
    create = api.create_instance

    def remember(client: Any, request: dict[str, Any]) -> Any:
        requests.append(dict(request))
        return create(client, request)

    monkeypatch.setattr(api, "create_instance", remember)
    result = run(aws, wanted)
    assert requests[0]["MasterUserPassword"] == PASSWORD
    assert PASSWORD not in str(result)
    assert names(result) == ["subnet_group", "database"]
    assert result["database"]["endpoint"] == database(aws)["Endpoint"]["Address"]


@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_writes_nothing_and_reads_no_password(aws: Any, wanted: dict[str, Any], check: bool) -> None:
    run(aws, wanted)
    result = run(aws, wanted, check=check)
    assert not result["changed"], result["differences"]
    assert aws.writes == []
    assert "GetSecretValue" not in aws.operations


def test_check_mode_creates_nothing(aws: Any, wanted: dict[str, Any]) -> None:
    result = run(aws, wanted, check=True, subnet_ids=[], security_group_ids=[], password_secret="not-there-yet")
    assert result["changed"]
    assert aws.writes == []
    assert result["database"]["endpoint"] is None


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({"db_instance_class": "db.m7g.large", "backup_days": 7}, {"DBInstanceClass": "db.m7g.large"}),
        ({"multi_az": True}, {"MultiAZ": True}),
        ({"storage_gib": 40, "storage_max_gib": 200}, {"AllocatedStorage": 40}),
        ({"deletion_protection": False}, {"DeletionProtection": False}),
        ({"backup_window": "23:00-23:30"}, {"PreferredBackupWindow": "23:00-23:30"}),
    ],
)
def test_what_differs_is_changed_once_and_named(
    aws: Any, wanted: dict[str, Any], changes: dict[str, Any], written: dict[str, Any]
) -> None:
    run(aws, wanted)
    before = database(aws)
    result = aws.settles(partial(run, aws, wanted, **changes), ["ModifyDBInstance"])
    assert len(names(result)) == len(changes)
    for name, value in written.items():
        assert {"name": name, "current": before[name], "desired": value} in result["differences"]
        assert database(aws)[name] == value


def test_a_database_that_is_being_created_is_left_alone(
    aws: Any, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(aws, wanted)
    creating = {key: value for key, value in database(aws).items() if key != "Endpoint"}
    monkeypatch.setattr(
        api, "find_instance", lambda _client, _name: {**creating, "DBInstanceStatus": "creating", "MultiAZ": True}
    )
    result = run(aws, wanted, wait=False)
    assert not result["changed"]
    assert result["database"]["status"] == "creating"
    assert result["database"]["endpoint"] is None


def test_a_missing_secret_is_named(aws: Any, wanted: dict[str, Any]) -> None:
    result = run(aws, wanted, password_secret="nowhere")
    assert result["failed"]
    assert "'nowhere'" in result["msg"]


def test_a_database_of_somebody_else_is_left_alone(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted, tags={"freehold:environment": "prod"})
    result = run(aws, wanted)
    assert "belongs to the environment 'prod'" in result["msg"]
    assert aws.writes == []


def states(aws: Any, wanted: dict[str, Any], *names: str) -> None:
    """Let a database be there that is in one state after another, of which the last stays."""
    run(aws, wanted)
    found = database(aws)
    aws.answers["DescribeDBInstances"] = [{"DBInstances": [{**found, "DBInstanceStatus": name}]} for name in names]


def test_a_database_is_awaited_until_it_is_available(aws: Any, wanted: dict[str, Any], waited: list[float]) -> None:
    states(aws, wanted, "creating", "creating", "backing-up", "available")
    result = run(aws, wanted)
    assert result["database"]["status"] == "available"
    assert waited == [5, 5]
    assert aws.writes == []


@pytest.mark.parametrize(
    "state",
    [
        "failed",
        "restore-error",
        "incompatible-credentials",
        "incompatible-network",
        "incompatible-option-group",
        "incompatible-parameters",
        "incompatible-restore",
        "inaccessible-encryption-credentials",
        "inaccessible-encryption-credentials-recoverable",
        "insufficient-capacity",
        "storage-full",
        "deleting",
        "stopped",
    ],
)
def test_a_broken_database_is_named_as_such_at_once(
    aws: Any, wanted: dict[str, Any], waited: list[float], state: str
) -> None:
    states(aws, wanted, "creating", "creating", state)
    result = run(aws, wanted)
    said = f"The database 'freehold-lab' is {state} instead of available; its events say why."
    assert (result["failed"], result["msg"]) == (True, said)
    assert waited == [5]
    assert aws.writes == []


def test_a_database_that_takes_too_long_names_what_gives_it_longer(
    aws: Any, wanted: dict[str, Any], waited: list[float]
) -> None:
    states(aws, wanted, "creating")
    result = run(aws, wanted, wait_timeout=10)
    said = "The database 'freehold-lab' is still creating after 10 seconds; raise database_wait_timeout."
    assert (result["failed"], result["msg"]) == (True, said)
    assert waited == [5]


def test_a_database_need_not_be_awaited(aws: Any, wanted: dict[str, Any], waited: list[float]) -> None:
    states(aws, wanted, "creating")
    assert run(aws, wanted, wait=False)["database"]["status"] == "creating"
    assert waited == []


def test_a_database_that_optimizes_its_storage_is_not_awaited_and_can_be_changed(
    aws: Any, wanted: dict[str, Any], waited: list[float]
) -> None:
    states(aws, wanted, "storage-optimization")
    assert run(aws, wanted, storage_gib=20)["database"]["status"] == "storage-optimization"
    assert aws.writes == []
    assert run(aws, wanted, backup_days=7)["changed"]
    assert aws.writes == ["ModifyDBInstance"]
    assert waited == []


@pytest.fixture
def snapshot(aws: Any, wanted: dict[str, Any]) -> str:
    """Give the snapshot of a database that is gone."""
    run(aws, wanted, deletion_protection=False)
    aws.client("rds").delete_db_instance(
        DBInstanceIdentifier="freehold-lab", SkipFinalSnapshot=False, FinalDBSnapshotIdentifier="last"
    )
    return "last"


def test_a_database_starts_from_a_snapshot_and_gets_the_settings_of_today(
    aws: Any, wanted: dict[str, Any], snapshot: str
) -> None:
    wanted = {**wanted, "restore_snapshot": snapshot, "password_secret": "not-needed", "backup_days": 7}
    assert names(run(aws, wanted, check=True)) == ["database"]
    assert aws.writes == []

    result = run(aws, wanted)
    assert names(result) == ["database", "MaxAllocatedStorage", "BackupRetentionPeriod"]
    assert aws.writes == ["RestoreDBInstanceFromDBSnapshot", "ModifyDBInstance"]
    assert aws.asked("RestoreDBInstanceFromDBSnapshot") == [
        {
            "DBInstanceIdentifier": "freehold-lab",
            "DBSnapshotIdentifier": "last",
            "DBInstanceClass": "db.t4g.medium",
            "VpcSecurityGroupIds": wanted["security_group_ids"],
            "DBParameterGroupName": "postgres17",
            "DBSubnetGroupName": "freehold-lab",
            "Port": 5432,
            "MultiAZ": False,
            "DeletionProtection": True,
            "AutoMinorVersionUpgrade": True,
            "PubliclyAccessible": False,
            "CopyTagsToSnapshot": True,
            "StorageType": "gp3",
            "Tags": [
                {"Key": "Name", "Value": "lab-database"},
                {"Key": "freehold:environment", "Value": "lab"},
            ],
        }
    ]
    assert aws.asked("ModifyDBInstance") == [
        {
            "DBInstanceIdentifier": "freehold-lab",
            "ApplyImmediately": True,
            "MaxAllocatedStorage": 100,
            "BackupRetentionPeriod": 7,
        }
    ]
    assert result["database"]["status"] == "available"
    assert "GetSecretValue" not in aws.operations

    assert not run(aws, wanted)["changed"]
    assert aws.writes == []


def test_a_snapshot_that_is_not_there_is_named(aws: Any, wanted: dict[str, Any]) -> None:
    result = run(aws, wanted, restore_snapshot="nowhere")
    said = "There is no snapshot 'nowhere' to start the database from; correct database_restore_snapshot."
    assert (result["failed"], result["msg"]) == (True, said)
    assert aws.writes[-1] == "RestoreDBInstanceFromDBSnapshot"


def test_other_subnets_are_given_to_the_group_of_subnets(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    fewer = wanted["subnet_ids"][:1]
    (found,) = aws.client("rds").describe_db_subnet_groups()["DBSubnetGroups"]
    left = [subnet for subnet in found["Subnets"] if subnet["SubnetIdentifier"] in fewer]
    result = aws.settles(
        partial(run, aws, wanted, subnet_ids=fewer),
        ["ModifyDBSubnetGroup"],
        # moto forgets a group that it changes, and its tags.
        then={
            "DescribeDBSubnetGroups": {"DBSubnetGroups": [{**found, "Subnets": left}]},
            "ListTagsForResource": {"TagList": [{"Key": "freehold:environment", "Value": "lab"}]},
        },
    )
    assert names(result) == ["subnets"]
    assert aws.asked("ModifyDBSubnetGroup") == [{"DBSubnetGroupName": "freehold-lab", "SubnetIds": fewer}]


def test_missing_tags_are_added(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    more = {**TAGS, "team": "data"}
    assert names(aws.settles(partial(run, aws, wanted, tags=more), ["AddTagsToResource"])) == ["tag team"]


def test_a_subnet_group_of_somebody_else_is_left_alone(aws: Any, wanted: dict[str, Any]) -> None:
    aws.client("rds").create_db_subnet_group(
        DBSubnetGroupName="freehold-lab", DBSubnetGroupDescription="theirs", SubnetIds=wanted["subnet_ids"]
    )
    assert "The subnet group 'freehold-lab' exists already" in run(aws, wanted)["msg"]
    assert aws.writes == []


def test_a_database_without_a_key_or_windows_gets_those_of_aws(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted, backup_window=None, maintenance_window=None)
    [request] = aws.asked("CreateDBInstance")
    assert {"KmsKeyId", "PreferredBackupWindow", "PreferredMaintenanceWindow"}.isdisjoint(request)
    assert not run(aws, wanted, backup_window=None, maintenance_window=None)["changed"]


def test_a_key_of_ones_own_encrypts(aws: Any, wanted: dict[str, Any]) -> None:
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    run(aws, wanted, kms_key_id=key)
    assert [request["KmsKeyId"] for request in aws.asked("CreateDBInstance")] == [key]
