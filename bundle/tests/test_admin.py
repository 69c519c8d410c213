# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrator is created once, and the password goes nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from freehold_airflow.admin import SettingError, Settings, ensure_admin, main

SETTINGS = Settings("freehold/lab/admin_password", "admin", "admin@example.com")


class Manager:
    """As much of FAB's security manager as is used."""

    def __init__(self, users: dict[str, Any], roles: tuple[str, ...] = ("Admin",)) -> None:
        self.users, self.roles = users, roles

    def find_user(self, username: str) -> Any:
        return self.users.get(username)

    def find_role(self, name: str) -> Any:
        return name if name in self.roles else None

    def add_user(self, username: str, first_name: str, last_name: str, email: str, role: Any, password: str) -> Any:
        self.users[username] = {"email": email, "role": role, "password": password}
        return self.users[username]


class Client:
    """Secrets Manager with one secret."""

    def __init__(self, **answer: Any) -> None:
        self.answer, self.asked = answer, 0

    def get_secret_value(self, SecretId: str) -> dict[str, Any]:
        assert SecretId == SETTINGS.secret
        self.asked += 1
        return self.answer


def test_a_missing_user_is_created_with_the_secrets_password() -> None:
    manager = Manager({})
    assert ensure_admin(manager, SETTINGS, Client(SecretString="correct horse"))
    assert manager.users["admin"] == {"email": "admin@example.com", "role": "Admin", "password": "correct horse"}


def test_a_user_that_exists_is_left_alone_and_no_secret_is_read() -> None:
    client = Client(SecretString="correct horse")
    manager = Manager({"admin": {"password": "changed by a person"}})
    assert not ensure_admin(manager, SETTINGS, client)
    assert manager.users["admin"]["password"] == "changed by a person"
    assert client.asked == 0


@pytest.mark.parametrize("answer", [{}, {"SecretString": ""}, {"SecretBinary": b"x"}])
def test_a_secret_without_a_string_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="has no string value"):
        ensure_admin(Manager({}), SETTINGS, Client(**answer))


def test_a_database_without_roles_is_refused_in_plain_words() -> None:
    with pytest.raises(SettingError, match="airflow db migrate"):
        ensure_admin(Manager({}, roles=()), SETTINGS, Client(SecretString="x"))


def test_every_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("FREEHOLD_ADMIN_SECRET", "FREEHOLD_ADMIN_USER", "FREEHOLD_ADMIN_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FREEHOLD_ADMIN_USER", "admin")
    assert main() == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "set FREEHOLD_ADMIN_SECRET, FREEHOLD_ADMIN_EMAIL" in shown.err
