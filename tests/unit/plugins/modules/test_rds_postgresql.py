# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rds_postgresql against moto."""

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils import _rds as api
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
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


def test_a_second_run_writes_nothing_and_reads_no_password(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    result = run(aws, wanted)
    assert not result["changed"], result["differences"]
    assert aws.writes == []
    assert "GetSecretValue" not in aws.operations


def test_check_mode_creates_nothing(aws: Any, wanted: dict[str, Any]) -> None:
    result = run(aws, wanted, check=True, subnet_ids=[], security_group_ids=[], password_secret="not-there-yet")
    assert result["changed"]
    assert aws.writes == []
    assert result["database"]["endpoint"] is None


def test_what_differs_is_changed_and_named(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    result = run(aws, wanted, db_instance_class="db.m7g.large", backup_days=7)
    assert sorted(names(result)) == ["BackupRetentionPeriod", "DBInstanceClass"]
    assert aws.writes == ["ModifyDBInstance"]
    assert database(aws)["DBInstanceClass"] == "db.m7g.large"


def test_check_mode_names_what_it_would_change(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    result = run(aws, wanted, check=True, multi_az=True)
    assert result["differences"] == [{"name": "MultiAZ", "current": False, "desired": True}]
    assert aws.writes == []


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


def test_a_broken_database_is_named_as_such(aws: Any, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run(aws, wanted)
    find = api.find_instance
    monkeypatch.setattr(
        api,
        "find_instance",
        lambda client, name: {**(find(client, name) or {}), "DBInstanceStatus": "incompatible-network"},
    )

    def give_up(*_args: Any) -> None:
        raise FreeholdError(message="Timeout")

    monkeypatch.setattr(api, "wait_for_instance", give_up)
    assert "is incompatible-network instead of available" in run(aws, wanted)["msg"]


def test_a_database_starts_from_a_snapshot(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted, deletion_protection=False)
    rds = aws.client("rds")
    rds.delete_db_instance(
        DBInstanceIdentifier="freehold-lab", SkipFinalSnapshot=False, FinalDBSnapshotIdentifier="last"
    )
    result = run(aws, wanted, restore_snapshot="last", password_secret="not-needed")
    assert "RestoreDBInstanceFromDBSnapshot" in aws.writes
    assert result["database"]["status"] == "available"
    assert database(aws)["BackupRetentionPeriod"] == 14


def test_other_subnets_are_given_to_the_group_of_subnets(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    fewer = wanted["subnet_ids"][:1]
    assert names(run(aws, wanted, check=True, subnet_ids=fewer)) == ["subnets"]
    assert aws.writes == []
    assert names(run(aws, wanted, subnet_ids=fewer)) == ["subnets"]
    assert aws.writes == ["ModifyDBSubnetGroup"]
    assert aws.asked("ModifyDBSubnetGroup") == [{"DBSubnetGroupName": "freehold-lab", "SubnetIds": fewer}]


def test_missing_tags_are_added(aws: Any, wanted: dict[str, Any]) -> None:
    run(aws, wanted)
    more = {**TAGS, "team": "data"}
    assert names(run(aws, wanted, check=True, tags=more)) == ["tag team"]
    assert aws.writes == []
    assert names(run(aws, wanted, tags=more)) == ["tag team"]
    assert aws.writes == ["AddTagsToResource"]
    assert not run(aws, wanted, tags=more)["changed"]


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
