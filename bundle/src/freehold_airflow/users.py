# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the users that an environment begins with: ``python -m freehold_airflow.users``.

Prints ``changed`` or ``unchanged``; everything else goes to stderr. Passwords are read from Secrets Manager by this
process, so that they are never an argument, an environment variable or a line of output. A person's user that exists is
left as it is, password included: people change their passwords. A program's always gets the password of its secret.

Environment: ``FREEHOLD_USERS``, a JSON list of objects with ``name``, ``email``, ``role`` (one of FAB's), ``secret``
(name or ARN of the secret whose string is the password) and ``person`` (true or false), beside Airflow's own settings
for the metadata database.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# Any number will do, as long as nobody else in this database uses it: "freehold" in ASCII.
LOCK_KEY = int.from_bytes(b"freehold", "big")


class SettingError(Exception):
    """A setting is missing or unusable; the text says which."""


@dataclass(frozen=True)
class User:
    """One user as the environment asks for it."""

    name: str
    email: str
    role: str
    secret: str
    person: bool


def wanted_users(environment: Mapping[str, str]) -> list[User]:
    """Read FREEHOLD_USERS; raise SettingError where it isn't what the module says."""
    try:
        return [User(**item) for item in json.loads(environment["FREEHOLD_USERS"])]
    except KeyError as error:
        raise SettingError("set FREEHOLD_USERS") from error
    except (ValueError, TypeError) as error:
        raise SettingError(f"FREEHOLD_USERS is no list of users: {error}") from error


class SecurityManager(Protocol):
    """The part of FAB's security manager that is used here."""

    def find_user(self, username: str) -> Any: ...

    def find_role(self, name: str) -> Any: ...

    def add_user(self, username: str, first_name: str, last_name: str, email: str, role: Any, password: str) -> Any: ...

    def reset_password(self, userid: int, password: str) -> bool: ...


def read_password(client: Any, secret: str) -> str:
    """Return the secret's string; raise SettingError if it has none. The text never holds the value."""
    answer: Mapping[str, Any] = client.get_secret_value(SecretId=secret)
    password = answer.get("SecretString")
    if not isinstance(password, str) or not password:
        raise SettingError(f"the secret {secret} has no string value")
    return password


def ensure_user(manager: SecurityManager, user: User, client: Any, matches: Callable[[str, str], bool]) -> bool:
    """Create the user unless it exists, and set a program's password right; return whether something was changed.

    A person's secret is read only when the user is missing. ``matches`` compares a hash with a password.
    """
    found = manager.find_user(username=user.name)
    if found and user.person:
        return False
    password = read_password(client, user.secret)
    if found:
        if matches(found.password, password):
            return False
        if not manager.reset_password(found.id, password):
            raise SettingError(f"FAB refused a new password of the user {user.name}; see the log above")
        return True
    role = manager.find_role(user.role)
    if not role:
        raise SettingError(f"the metadata database has no role {user.role}; run `airflow db migrate` first")
    # FAB wants both names.
    if not manager.add_user(user.name, "Airflow", user.role, user.email, role, password):
        raise SettingError(f"FAB refused to create the user {user.name}; see the log above")
    return True


@contextlib.contextmanager
def one_at_a_time(engine: Any) -> Iterator[None]:
    """Hold a database-wide lock: two hosts that start together must not race for the same row.

    A session lock of PostgreSQL; it goes away with the connection, also when this process is killed.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect() as connection:
        connection.exec_driver_sql("select pg_advisory_lock(%s)", (LOCK_KEY,))
        try:
            yield
        finally:
            connection.exec_driver_sql("select pg_advisory_unlock(%s)", (LOCK_KEY,))


def run(users: list[User]) -> bool:
    """Connect to Airflow's database and to Secrets Manager and make sure that the users are there."""
    import boto3
    from airflow import settings as airflow_settings
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded
    from werkzeug.security import check_password_hash

    def ensure() -> bool:
        with one_at_a_time(airflow_settings.engine), get_application_builder() as builder:
            client = boto3.client("secretsmanager")
            changed = [ensure_user(builder.sm, user, client, check_password_hash) for user in users]
            return any(changed)

    return bool(providers_configuration_loaded(ensure)())


def main() -> int:
    """Run as a program; the exit status is 0 unless a user could not be made."""
    try:
        users = wanted_users(os.environ)
        # Airflow and its plug-ins print as they please; stdout carries the answer and nothing else.
        with contextlib.redirect_stdout(sys.stderr):
            changed = run(users)
    except SettingError as error:
        print(f"freehold_airflow.users: {error}", file=sys.stderr)
        return 1
    print("changed" if changed else "unchanged")
    return 0


if __name__ == "__main__":
    sys.exit(main())
