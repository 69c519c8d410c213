# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's user is made once, a program's always has the password of its secret, and no password goes elsewhere."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from freehold_airflow.users import OTHER_SCHEMA, SchemaError, SettingError, User, ensure_user, main, wanted_users

ADMIN = User("admin", "admin@example.com", "Admin", "freehold/lab/admin_password", person=True)
PROVER = User("freehold", "freehold@example.com", "User", "freehold/lab/verification_password", person=False)


class Manager:
    """As much of FAB's security manager as is used; the hash of a password is the password backwards."""

    def __init__(self, users: dict[str, Any], roles: tuple[str, ...] = ("Admin", "User")) -> None:
        self.users, self.roles = users, roles

    def find_user(self, username: str) -> Any:
        return self.users.get(username)

    def find_role(self, name: str) -> Any:
        return name if name in self.roles else None

    def add_user(self, username: str, first_name: str, last_name: str, email: str, role: Any, password: str) -> Any:
        self.users[username] = user(password, id=len(self.users) + 1, email=email, role=role)
        return self.users[username]

    def reset_password(self, userid: int, password: str) -> bool:
        [found] = [item for item in self.users.values() if item.id == userid]
        found.password = password[::-1]
        return True


def user(password: str, **parts: Any) -> SimpleNamespace:
    """A user of the database."""
    return SimpleNamespace(**{"id": 1, "password": password[::-1], **parts})


class Client:
    """Secrets Manager with one secret."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def get_secret_value(self, SecretId: str) -> dict[str, Any]:
        self.asked.append(SecretId)
        return self.answer


def ensure(manager: Manager, wanted: User, client: Client, check: bool = False) -> bool:
    return ensure_user(manager, wanted, client, lambda hashed, password: hashed == password[::-1], check)


@pytest.mark.parametrize("wanted", [ADMIN, PROVER], ids=["a person", "a program"])
def test_a_missing_user_is_created_with_the_secrets_password(wanted: User) -> None:
    manager, client = Manager({}), Client(SecretString="correct horse")
    assert ensure(manager, wanted, client)
    made = manager.users[wanted.name]
    assert (made.email, made.role, made.password) == (wanted.email, wanted.role, "esroh tcerroc")
    assert client.asked == [wanted.secret]


def test_a_person_that_exists_is_left_alone_and_no_secret_is_read() -> None:
    client = Client(SecretString="correct horse")
    manager = Manager({"admin": user("changed by a person")})
    assert not ensure(manager, ADMIN, client)
    assert manager.users["admin"].password == "changed by a person"[::-1]
    assert client.asked == []


def test_a_programs_password_is_set_right_and_then_left_alone() -> None:
    client = Client(SecretString="correct horse")
    manager = Manager({"admin": user("of a person"), "freehold": user("of yesterday", id=2)})
    assert ensure(manager, PROVER, client)
    assert manager.users["freehold"].password == "esroh tcerroc"
    assert manager.users["admin"].password == "of a person"[::-1]
    assert not ensure(manager, PROVER, client)


def test_a_check_tells_the_truth_and_changes_nothing() -> None:
    client = Client(SecretString="correct horse")
    manager = Manager({"freehold": user("of yesterday")})
    assert ensure(manager, ADMIN, client, check=True)
    assert ensure(manager, PROVER, client, check=True)
    assert list(manager.users) == ["freehold"]
    assert manager.users["freehold"].password == "of yesterday"[::-1]
    assert ensure(manager, ADMIN, client)
    assert ensure(manager, PROVER, client)
    assert not ensure(manager, ADMIN, client, check=True)
    assert not ensure(manager, PROVER, client, check=True)


def test_another_schema_is_told_apart_from_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FREEHOLD_USERS", "[]")

    def run(_users: list[User], _check: bool) -> bool:
        raise SchemaError("There are still unapplied migrations")

    monkeypatch.setattr("freehold_airflow.users.run", run)
    assert main([]) == OTHER_SCHEMA
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "unapplied migrations" in shown.err


def test_a_refused_password_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager({"freehold": user("of yesterday")})
    monkeypatch.setattr(manager, "reset_password", lambda *_: False)
    with pytest.raises(SettingError, match="refused a new password"):
        ensure(manager, PROVER, Client(SecretString="x"))


def test_a_refused_user_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager({})
    monkeypatch.setattr(manager, "add_user", lambda *_: False)
    with pytest.raises(SettingError, match="refused to create the user admin"):
        ensure(manager, ADMIN, Client(SecretString="x"))


@pytest.mark.parametrize("answer", [{}, {"SecretString": ""}, {"SecretBinary": b"x"}])
def test_a_secret_without_a_string_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="has no string value"):
        ensure(Manager({}), ADMIN, Client(**answer))


def test_a_database_without_roles_is_refused_in_plain_words() -> None:
    with pytest.raises(SettingError, match="airflow db migrate"):
        ensure(Manager({}, roles=()), ADMIN, Client(SecretString="x"))


def test_users_are_read_from_the_environment() -> None:
    item = {"name": "a", "email": "a@x", "role": "Admin", "secret": "s", "person": True}
    assert wanted_users({"FREEHOLD_USERS": json.dumps([item])}) == [User("a", "a@x", "Admin", "s", True)]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "set FREEHOLD_USERS"),
        ("no JSON", "is no list of users"),
        ('[{"name": "a"}]', "'email', 'role', 'secret', and 'person'"),
        ('[{"password": "x"}]', "unexpected keyword argument 'password'"),
    ],
)
def test_a_setting_that_is_none_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str | None, said: str
) -> None:
    monkeypatch.delenv("FREEHOLD_USERS", raising=False)
    if value is not None:
        monkeypatch.setenv("FREEHOLD_USERS", value)
    assert main([]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
