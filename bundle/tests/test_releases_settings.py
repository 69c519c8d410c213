# SPDX-License-Identifier: GPL-3.0-or-later
"""What is settled before Airflow is imported: the way to its database, and which DAGs a release has."""

from __future__ import annotations

import json
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from freehold_airflow.release import ReleaseError
from freehold_airflow.releases import read_expected, use_database_only

ENVIRONMENT = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET": "sql_alchemy_conn",
    "AIRFLOW__CORE__FERNET_KEY_SECRET": "fernet_key",
    "AIRFLOW__SECRETS__BACKEND": "some.Backend",
    "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"config_prefix": "freehold/lab/config"}),
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
}


def test_only_the_databases_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get_secret_value(SecretId: str) -> dict[str, str]:
        asked.append(SecretId)
        return {"SecretString": "postgresql://somewhere"}

    monkeypatch.setattr(boto3, "client", lambda _: SimpleNamespace(get_secret_value=get_secret_value))
    environment = dict(ENVIRONMENT)
    use_database_only(environment)
    assert asked == ["freehold/lab/config/sql_alchemy_conn"]
    assert environment == {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://somewhere",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    }


def test_an_environment_without_secrets_is_left_alone() -> None:
    environment = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite://"}
    use_database_only(environment)
    assert environment == {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite://"}


def test_what_aws_refuses_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(SecretId: str) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(boto3, "client", lambda _: SimpleNamespace(get_secret_value=refuse))
    with pytest.raises(ReleaseError, match="the address of Airflow's database can't be read"):
        use_database_only(dict(ENVIRONMENT))


def test_a_report_with_errors_tells_no_dags() -> None:
    dags = [{"dag_id": "one", "file": "one.py", "seconds": 0.1}]
    assert read_expected(json.dumps({"dags": dags, "errors": []})) == {"one": "one.py"}
    error = {"file": "two.py", "line": 3, "kind": "import", "message": "KeyError: 'NAME'"}
    with pytest.raises(ReleaseError, match="not all of its DAGs are known, because two"):
        read_expected(json.dumps({"dags": dags, "errors": [error]}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"dags": []}', '{"dags": [{}], "errors": []}'])
def test_what_is_no_report_tells_no_dags(text: str) -> None:
    with pytest.raises(ReleaseError, match="the list of DAGs can't be read"):
        read_expected(text)
