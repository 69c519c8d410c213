# SPDX-License-Identifier: GPL-3.0-or-later
"""The module secretsmanager_composed_secret against moto."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import secretsmanager_composed_secret

TAGS = {"freehold:environment": "lab"}
URL = {"name": "config/url", "template": "postgresql://airflow:${password}@db.internal:5432/airflow"}


@pytest.fixture
def password(aws: Any) -> str:
    aws.client("secretsmanager").create_secret(Name="freehold/lab/password", SecretString="p@ss/w%rd")
    return "p%40ss%2Fw%25rd"


def run(aws: Any, secret: dict[str, str] = URL, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(
        secretsmanager_composed_secret, prefix="freehold/lab", secrets=[secret], tags=TAGS, **params
    )
    return result


def value(aws: Any) -> str:
    return str(aws.client("secretsmanager").get_secret_value(SecretId="freehold/lab/config/url")["SecretString"])


def test_parts_are_quoted_for_urls(aws: Any, password: str) -> None:
    assert run(aws)["changed"]
    assert value(aws) == f"postgresql://airflow:{password}@db.internal:5432/airflow"


def test_a_second_run_writes_nothing(aws: Any, password: str) -> None:
    run(aws)
    assert not run(aws)["changed"]
    assert aws.writes == []


def test_a_changed_part_is_written_once(aws: Any, password: str) -> None:
    run(aws)
    aws.client("secretsmanager").put_secret_value(SecretId="freehold/lab/password", SecretString="new")
    result = aws.settles(partial(run, aws), ["PutSecretValue"])
    assert result["secrets"][0]["differences"] == ["value"]
    assert value(aws) == "postgresql://airflow:new@db.internal:5432/airflow"


def test_a_changed_template_is_written(aws: Any, password: str) -> None:
    run(aws)
    aws.settles(partial(run, aws, {**URL, "template": "redis://${password}@cache"}), ["PutSecretValue"])
    assert value(aws) == f"redis://{password}@cache"


def test_no_value_is_in_the_result(aws: Any, password: str) -> None:
    assert password not in str(run(aws))


def test_a_missing_part_is_named(aws: Any) -> None:
    result = run(aws)
    assert result["failed"]
    assert "freehold/lab/password" in result["msg"]
    assert aws.writes == []


def test_check_mode_needs_no_parts_and_writes_nothing(aws: Any) -> None:
    assert run(aws, check=True)["changed"]
    assert aws.writes == []


def test_check_mode_on_what_is_up_to_date_says_so(aws: Any, password: str) -> None:
    run(aws)
    assert not run(aws, check=True)["changed"]


def test_a_secret_of_somebody_else_is_left_alone(aws: Any, password: str) -> None:
    aws.client("secretsmanager").create_secret(Name="freehold/lab/config/url", SecretString="theirs")
    assert run(aws)["failed"]
    assert value(aws) == "theirs"


def test_a_deleted_secret_is_taken_back_and_brought_up_to_date(aws: Any, password: str) -> None:
    run(aws)
    client = aws.client("secretsmanager")
    client.delete_secret(SecretId="freehold/lab/config/url", RecoveryWindowInDays=7)
    client.put_secret_value(SecretId="freehold/lab/password", SecretString="new")
    result = aws.settles(partial(run, aws, restore=True), ["RestoreSecret", "PutSecretValue"])
    assert result["secrets"][0]["restored"]
    assert value(aws) == "postgresql://airflow:new@db.internal:5432/airflow"


def test_check_mode_names_a_changed_part_and_writes_nothing(aws: Any, password: str) -> None:
    run(aws)
    aws.client("secretsmanager").put_secret_value(SecretId="freehold/lab/password", SecretString="new")
    assert run(aws, check=True)["secrets"][0]["differences"] == ["value"]
    assert aws.writes == []


def test_check_mode_takes_a_secret_for_changed_while_a_part_has_no_value(aws: Any, password: str) -> None:
    run(aws)
    aws.client("secretsmanager").delete_secret(SecretId="freehold/lab/password", ForceDeleteWithoutRecovery=True)
    assert run(aws, check=True)["secrets"][0]["differences"] == ["value"]
    assert aws.writes == []


def test_a_key_of_ones_own_encrypts_a_new_secret_and_none_leaves_it_to_aws(aws: Any, password: str) -> None:
    run(aws, kms_key_id="alias/mine")
    assert [request["KmsKeyId"] for request in aws.asked("CreateSecret")] == ["alias/mine"]
    assert not run(aws, kms_key_id="alias/other")["changed"]
    run(aws, {**URL, "name": "config/another"})
    assert ["KmsKeyId" in request for request in aws.asked("CreateSecret")] == [False]
