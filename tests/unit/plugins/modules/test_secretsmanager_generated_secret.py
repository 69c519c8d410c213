# SPDX-License-Identifier: GPL-3.0-or-later
"""The module secretsmanager_generated_secret against moto."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import secretsmanager_generated_secret

TAGS = {"freehold:environment": "lab"}
SECRETS: list[dict[str, Any]] = [
    {"name": "password"},
    {"name": "config/fernet_key", "kind": "fernet_key"},
    {"name": "config/jwt_secret", "kind": "base64", "length": 64},
]


def run(aws: Any, secrets: list[dict[str, Any]] = SECRETS, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(
        secretsmanager_generated_secret, prefix="freehold/lab", secrets=secrets, **{"tags": TAGS, **params}
    )
    return result


def value(aws: Any, name: str) -> str:
    return str(aws.client("secretsmanager").get_secret_value(SecretId=f"freehold/lab/{name}")["SecretString"])


def test_every_kind_gets_a_value_of_its_shape(aws: Any) -> None:
    result = run(aws)
    assert result["changed"]
    assert [secret["created"] for secret in result["secrets"]] == [True, True, True]
    assert len(value(aws, "password")) == 40
    assert value(aws, "password").isalnum()
    assert len(base64.urlsafe_b64decode(value(aws, "config/fernet_key"))) == 32
    assert len(base64.b64decode(value(aws, "config/jwt_secret"))) == 64


def test_no_value_is_in_the_result(aws: Any) -> None:
    result = str(run(aws, [{"name": "password", "digest": True}]))
    assert value(aws, "password") not in result


@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_writes_nothing_and_reads_no_value(aws: Any, check: bool) -> None:
    run(aws)
    before = value(aws, "password")
    result = run(aws, check=check)
    assert not result["changed"]
    assert aws.writes == []
    assert "GetSecretValue" not in aws.operations
    assert value(aws, "password") == before


def test_check_mode_says_so_and_writes_nothing(aws: Any) -> None:
    result = run(aws, check=True)
    assert result["changed"]
    assert aws.writes == []


def test_a_hash_is_returned_only_where_asked_for(aws: Any) -> None:
    result = run(aws, [{"name": "password", "digest": True}, {"name": "other"}])
    wanted = hashlib.sha256(value(aws, "password").encode()).hexdigest()
    assert [secret["sha256"] for secret in result["secrets"]] == [wanted, None]


def test_a_secret_of_somebody_else_stops_everything_before_the_first_write(aws: Any) -> None:
    aws.client("secretsmanager").create_secret(Name="freehold/lab/config/fernet_key", SecretString="theirs")
    result = run(aws)
    assert result["failed"]
    assert "freehold/lab/config/fernet_key" in result["msg"]
    assert aws.writes == []


def test_another_environments_secret_is_named_as_such(aws: Any) -> None:
    aws.client("secretsmanager").create_secret(
        Name="freehold/lab/password", SecretString="x", Tags=[{"Key": "freehold:environment", "Value": "prod"}]
    )
    assert "belongs to the environment 'prod'" in run(aws)["msg"]


def test_a_secret_that_waits_for_its_deletion_is_refused(aws: Any) -> None:
    run(aws)
    aws.client("secretsmanager").delete_secret(SecretId="freehold/lab/password", RecoveryWindowInDays=7)
    result = run(aws)
    assert result["failed"]
    assert "scheduled for deletion" in result["msg"]
    assert aws.writes == []


def test_a_restored_secret_keeps_its_value(aws: Any) -> None:
    run(aws)
    before = value(aws, "password")
    aws.client("secretsmanager").delete_secret(SecretId="freehold/lab/password", RecoveryWindowInDays=7)
    result = aws.settles(partial(run, aws, restore=True), ["RestoreSecret"])
    assert result["secrets"][0]["restored"]
    assert value(aws, "password") == before


def test_check_mode_reads_no_hash_of_a_secret_it_would_restore(aws: Any) -> None:
    run(aws)
    aws.client("secretsmanager").delete_secret(SecretId="freehold/lab/password", RecoveryWindowInDays=7)
    result = run(aws, [{"name": "password", "digest": True}], restore=True, check=True)
    assert result["secrets"][0]["sha256"] is None
    assert aws.writes == []


def test_a_secret_without_a_value_gets_one(aws: Any) -> None:
    aws.client("secretsmanager").create_secret(
        Name="freehold/lab/password", Tags=[{"Key": "freehold:environment", "Value": "lab"}]
    )
    result = aws.settles(partial(run, aws, [{"name": "password"}]), ["PutSecretValue"])
    assert result["secrets"][0]["differences"] == ["value"]
    assert len(value(aws, "password")) == 40


def test_tags_are_added_and_those_of_others_stay(aws: Any) -> None:
    run(aws)
    aws.client("secretsmanager").tag_resource(SecretId="freehold/lab/password", Tags=[{"Key": "team", "Value": "data"}])
    result = aws.settles(partial(run, aws, [{"name": "password"}], tags={**TAGS, "stage": "test"}), ["TagResource"])
    tags = aws.client("secretsmanager").describe_secret(SecretId="freehold/lab/password")["Tags"]
    assert result["secrets"][0]["differences"] == ["tags"]
    assert {"Key": "team", "Value": "data"} in tags
    assert {"Key": "stage", "Value": "test"} in tags


def test_hex_and_ssh_keys_have_their_shape(aws: Any) -> None:
    run(aws, [{"name": "hex", "kind": "hex", "length": 16}, {"name": "key", "kind": "ssh_key"}])
    assert len(bytes.fromhex(value(aws, "hex"))) == 16
    assert value(aws, "key").startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")


def test_check_mode_names_a_missing_value_and_missing_tags(aws: Any) -> None:
    aws.client("secretsmanager").create_secret(
        Name="freehold/lab/password", Tags=[{"Key": "freehold:environment", "Value": "lab"}]
    )
    result = run(aws, [{"name": "password"}], tags={**TAGS, "team": "data"}, check=True)
    assert result["secrets"][0]["differences"] == ["value", "tags"]
    assert aws.writes == []


def test_a_key_of_ones_own_encrypts_new_secrets_and_none_leaves_it_to_aws(aws: Any) -> None:
    run(aws, kms_key_id="alias/mine")
    assert [request["KmsKeyId"] for request in aws.asked("CreateSecret")] == ["alias/mine"] * len(SECRETS)
    assert not run(aws, kms_key_id="alias/other")["changed"]
    run(aws, [{"name": "another"}])
    assert ["KmsKeyId" in request for request in aws.asked("CreateSecret")] == [False]
