# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of an environment's data: made, nothing to do, destroyed, back again. Each test builds on the last."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.provisioning.conftest import Api, Run

DATA = ("secrets", "filesystem", "database", "broker", "log_bucket", "registry")
STEPS = [
    *(f"{role}/preflight" for role in ("network", *DATA)),
    "network",
    *DATA,
    "filesystem/await",
    "database/await",
    "broker/await",
    "secrets/compose",
]
WIRING = {
    role + suffix: value
    for role in ("database", "filesystem", "broker")
    for suffix, value in {
        "_subnet_ids": "{{ network_private_subnet_ids }}",
        "_security_group_ids": "{{ [network_security_group_ids." + role + " | default('')] | select }}",
    }.items()
}
SETTINGS: dict[str, Any] = {
    **WIRING,
    "network_nat": "none",
    "secrets_database_host": "{{ database_endpoint }}",
    "secrets_broker_host": "{{ broker_endpoint }}",
    "broker_kind": "elasticache",
}


def provision(api: Api, *arguments: str, **more: Any) -> Run:
    run = api.run([api.play(STEPS, **{**SETTINGS, **more})], *arguments)
    assert run.code == 0, run.output
    return run


def destroy(api: Api, *arguments: str, **more: Any) -> Run:
    settings = {"teardown_confirmation": "lab", "teardown_wait_interval": 0.1, **more}
    return api.run([api.play(["teardown"], **settings)], *arguments)


def secret(api: Api, name: str) -> str:
    return str(api.client("secretsmanager").get_secret_value(SecretId=f"freehold/lab/{name}")["SecretString"])


def file_systems(api: Api) -> list[str]:
    return [found["FileSystemId"] for found in api.client("efs").describe_file_systems()["FileSystems"]]


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """What must be the same when the environment is back."""
    return {}


def test_check_mode_on_nothing_says_what_it_would_make_and_makes_nothing(api: Api) -> None:
    run = provision(api, "--check", "--diff")
    assert run.writes == []
    assert run.changed >= len(DATA)


def test_the_data_stores_are_made(api: Api, kept: dict[str, Any]) -> None:
    provision(api)
    url = secret(api, "config/sql_alchemy_conn")
    (database,) = api.client("rds").describe_db_instances()["DBInstances"]
    (cache,) = api.client("elasticache").describe_replication_groups()["ReplicationGroups"]
    assert secret(api, "database_password") in url
    assert database["Endpoint"]["Address"] in url
    assert cache["NodeGroups"][0]["PrimaryEndpoint"]["Address"] in secret(api, "config/broker_url")
    assert not database["PubliclyAccessible"]
    assert database["StorageEncrypted"]
    assert database["DeletionProtection"]
    kept.update(key=secret(api, "config/fernet_key"), file_systems=file_systems(api))


def test_what_the_database_is_made_of_carries_the_environments_name(api: Api) -> None:
    rds = api.client("rds")
    (database,) = rds.describe_db_instances()["DBInstances"]
    name = database["DBParameterGroups"][0]["DBParameterGroupName"]
    (parameters,) = rds.describe_db_parameter_groups(DBParameterGroupName=name)["DBParameterGroups"]
    (subnets,) = rds.describe_db_subnet_groups()["DBSubnetGroups"]
    for arn in (database["DBInstanceArn"], parameters["DBParameterGroupArn"], subnets["DBSubnetGroupArn"]):
        tags = rds.list_tags_for_resource(ResourceName=arn)["TagList"]
        assert {"Key": "freehold:environment", "Value": "lab"} in tags, arn


def test_a_second_run_changes_nothing_and_tells_no_secret_however_talkative_it_is(api: Api) -> None:
    run = provision(api, "-vvv")
    assert run.changed == 0, run.output
    assert run.writes == []
    for name in ("database_password", "broker_password", "config/fernet_key", "config/jwt_secret"):
        assert secret(api, name) not in run.output


def test_check_mode_on_what_is_there_agrees(api: Api) -> None:
    run = provision(api, "--check", "--diff")
    assert run.changed == 0, run.output
    assert run.writes == []


def test_check_mode_names_what_a_changed_variable_would_do(api: Api) -> None:
    run = provision(api, "--check", log_bucket_retention_days=30, database_backup_days=7)
    # The database's play looks at its settings twice: when it starts it, and when it waits.
    assert run.changed == 3
    assert run.writes == []


def test_destroying_needs_the_environments_name(api: Api) -> None:
    for confirmation in ("", "production"):
        run = destroy(api, teardown_confirmation=confirmation)
        assert run.code != 0
        assert "confirm=lab" in run.output
        assert run.writes == []


def test_check_mode_lists_what_would_go(api: Api) -> None:
    run = destroy(api, "--check", teardown_confirmation="")
    assert run.code == 0, run.output
    assert run.writes == []
    for words in ("Would delete the database freehold-lab.", "Would keep the file system fs-"):
        assert words in run.output


def test_a_destroyed_environment_leaves_its_data(api: Api, kept: dict[str, Any]) -> None:
    run = destroy(api)
    assert run.code == 0, run.output
    assert api.client("rds").describe_db_instances()["DBInstances"] == []
    (snapshot,) = api.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert f"database_restore_snapshot to {snapshot['DBSnapshotIdentifier']}" in " ".join(run.output.split())
    assert file_systems(api) == kept["file_systems"]
    assert secret(api, "config/fernet_key") == kept["key"]
    kept["snapshot"] = snapshot["DBSnapshotIdentifier"]


def test_destroying_it_again_changes_nothing(api: Api) -> None:
    run = destroy(api)
    assert run.changed == 0, run.output
    assert run.writes == []


def test_it_comes_back_with_its_data(api: Api, kept: dict[str, Any]) -> None:
    provision(api, database_restore_snapshot=kept["snapshot"])
    assert file_systems(api) == kept["file_systems"]
    assert secret(api, "config/fernet_key") == kept["key"]
    assert secret(api, "database_password") in secret(api, "config/sql_alchemy_conn")
    again = provision(api, database_restore_snapshot=kept["snapshot"])
    assert again.changed == 0, again.output


def test_without_its_data_nothing_is_left(api: Api) -> None:
    run = destroy(api, teardown_keep_data=False)
    assert run.code == 0, run.output
    assert file_systems(api) == []
    assert api.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"] == []
    assert api.client("secretsmanager").list_secrets()["SecretList"] == []
    assert "Nothing belongs to the environment 'lab'." in destroy(api, teardown_keep_data=False).output
