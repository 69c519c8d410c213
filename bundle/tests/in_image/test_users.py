# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of an environment in Airflow's own database, by FAB's own security manager."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow import settings
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils import db
from freehold_airflow.users import OTHER_SCHEMA, main
from sqlalchemy import text
from werkzeug.security import check_password_hash

ADMIN = {"name": "admin", "email": "admin@example.com", "role": "Admin", "secret": "of-admin", "person": True}
PROVER = {"name": "freehold", "email": "prover@example.com", "role": "User", "secret": "of-prover", "person": False}


class Secrets:
    """Secrets Manager, as far as it is asked."""

    def __init__(self) -> None:
        self.values = {"of-admin": "first", "of-prover": "second"}

    def get_secret_value(self, SecretId: str) -> dict[str, Any]:
        return {"SecretString": self.values[SecretId]}


@pytest.fixture
def secrets(schema: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Secrets]:
    """A database without users, and what Secrets Manager holds for two."""
    answering = Secrets()
    monkeypatch.setenv(
        "AIRFLOW__CORE__AUTH_MANAGER", "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    )
    monkeypatch.setattr("boto3.client", lambda service: answering)
    monkeypatch.setenv("FREEHOLD_USERS", json.dumps([ADMIN, PROVER]))
    yield answering
    with settings.engine.begin() as connection:
        connection.execute(text("delete from ab_user_role"))
        connection.execute(text("delete from ab_user"))


def hashes() -> dict[str, tuple[str, list[str]]]:
    """The hash of the password and the roles of each user."""
    with get_application_builder() as builder:
        return {
            user.username: (user.password, [role.name for role in user.roles]) for user in builder.sm.get_all_users()
        }


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What went to stdout: the answer, and nothing that Airflow prints."""
    return capsys.readouterr().out


def test_users_are_made_once(secrets: Secrets, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert said(capsys) == "changed\n"
    assert hashes() == {}
    assert main([]) == 0
    assert said(capsys) == "changed\n"
    made = hashes()
    assert {name: roles for name, (_, roles) in made.items()} == {"admin": ["Admin"], "freehold": ["User"]}
    assert check_password_hash(made["admin"][0], "first")
    assert main([]) == 0
    assert said(capsys) == "unchanged\n"
    assert hashes() == made


def test_only_a_program_gets_the_new_password_of_its_secret(
    secrets: Secrets, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    secrets.values = {"of-admin": "third", "of-prover": "fourth"}
    said(capsys)
    assert main([]) == 0
    assert said(capsys) == "changed\n"
    now = hashes()
    assert check_password_hash(now["admin"][0], "first")
    assert check_password_hash(now["freehold"][0], "fourth")


def test_another_schema_is_told_before_anything_is_looked_at(
    secrets: Secrets, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def behind(timeout: int) -> None:
        raise TimeoutError("There are still unapplied migrations")

    monkeypatch.setattr(db, "check_migrations", behind)
    assert main([]) == OTHER_SCHEMA
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "freehold_airflow.users: There are still unapplied migrations" in printed.err
