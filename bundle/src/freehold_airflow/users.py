# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the users that an environment begins with: ``python -m freehold_airflow.users [--check]``.

Prints ``changed`` or ``unchanged``; everything else goes to stderr. With ``--check`` it only says what it would do.
Where the database has another schema than this Airflow's, nothing is looked at and the exit status is 3.

Passwords are read from Secrets Manager by this process, so that they are never an argument, an environment variable or
a line of output. A person's user that exists is left as it is, password included: people change their passwords. A
program's always gets the password of its secret.

Environment: ``FREEHOLD_USERS``, a JSON list of objects with ``name``, ``email``, ``role`` (one of FAB's), ``secret``
(name or ARN of the secret whose string is the password) and ``person`` (true or false), beside Airflow's own settings
for the metadata database.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# The exit status where the schema is another.
OTHER_SCHEMA = 3
# Any number will do, as long as nobody else in this database uses it: "freehold" in ASCII.
LOCK_KEY = int.from_bytes(b"freehold", "big")


class SettingError(Exception):
    """A setting is missing or unusable; the text says which."""


class SchemaError(Exception):
    """The metadata database has another schema than this Airflow's; the text says which."""


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


def ensure_user(
    manager: SecurityManager, user: User, client: Any, matches: Callable[[str, str], bool], check: bool = False
) -> bool:
    """Create the user unless it exists, and set a program's password right; return whether something was changed.

    A person's secret is read only when the user is missing. ``matches`` compares a hash with a password. With ``check``
    nothing is changed, and the answer is whether it would be.
    """
    found = manager.find_user(username=user.name)
    if found and user.person:
        return False
    password = read_password(client, user.secret)
    if found and matches(found.password, password):
        return False
    if check:
        return True
    if found:
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


def run(users: list[User], check: bool) -> bool:
    """Connect to Airflow's database and to Secrets Manager and make sure that the users are there.

    Raises SchemaError before anything else where the database is not this Airflow's.
    """
    import boto3
    from airflow import settings as airflow_settings
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.utils.db import check_migrations
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded
    from werkzeug.security import check_password_hash

    def ensure() -> bool:
        try:
            check_migrations(timeout=1)
        except TimeoutError as error:
            raise SchemaError(str(error)) from error
        with one_at_a_time(airflow_settings.engine), get_application_builder() as builder:
            client = boto3.client("secretsmanager")
            changed = [ensure_user(builder.sm, user, client, check_password_hash, check) for user in users]
            return any(changed)

    return bool(providers_configuration_loaded(ensure)())


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; the exit status is 1 where a user could not be made, and 3 where the schema is another."""
    parser = argparse.ArgumentParser(prog="freehold_airflow.users", allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="say what would be done, and do nothing")
    asked = parser.parse_args(arguments)
    try:
        users = wanted_users(os.environ)
        # Airflow and its plug-ins print as they please; stdout carries the answer and nothing else.
        with contextlib.redirect_stdout(sys.stderr):
            changed = run(users, asked.check)
    except (SettingError, SchemaError) as error:
        print(f"freehold_airflow.users: {error}", file=sys.stderr)
        return OTHER_SCHEMA if isinstance(error, SchemaError) else 1
    print("changed" if changed else "unchanged")
    return 0


if __name__ == "__main__":
    sys.exit(main())
