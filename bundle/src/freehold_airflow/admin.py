# SPDX-License-Identifier: GPL-3.0-or-later
"""Create Airflow's first administrator, once: ``python -m freehold_airflow.admin``.

Prints ``created`` or ``unchanged``; everything else goes to stderr. The password is read from Secrets Manager by this
process, so that it is never an argument, an environment variable or a line of output. A user that exists is left as it
is, password included: people change their passwords.

Environment: ``FREEHOLD_ADMIN_SECRET`` (name or ARN of the secret whose string is the password),
``FREEHOLD_ADMIN_USER`` and ``FREEHOLD_ADMIN_EMAIL``, beside Airflow's own settings for the metadata database.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# Any number will do, as long as nobody else in this database uses it: "freehold" in ASCII.
LOCK_KEY = int.from_bytes(b"freehold", "big")
ROLE = "Admin"


class SettingError(Exception):
    """A setting is missing or unusable; the text says which."""


@dataclass(frozen=True)
class Settings:
    """What the environment asks for."""

    secret: str
    user: str
    email: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the three settings; raise SettingError naming all that are missing."""
        names = {"secret": "FREEHOLD_ADMIN_SECRET", "user": "FREEHOLD_ADMIN_USER", "email": "FREEHOLD_ADMIN_EMAIL"}
        missing = [name for name in names.values() if not environment.get(name)]
        if missing:
            raise SettingError(f"set {', '.join(missing)}")
        return cls(**{field: environment[name] for field, name in names.items()})


class SecurityManager(Protocol):
    """The part of FAB's security manager that is used here."""

    def find_user(self, username: str) -> Any: ...

    def find_role(self, name: str) -> Any: ...

    def add_user(self, username: str, first_name: str, last_name: str, email: str, role: Any, password: str) -> Any: ...


def read_password(client: Any, secret: str) -> str:
    """Return the secret's string; raise SettingError if it has none. The text never holds the value."""
    answer: Mapping[str, Any] = client.get_secret_value(SecretId=secret)
    password = answer.get("SecretString")
    if not isinstance(password, str) or not password:
        raise SettingError(f"the secret {secret} has no string value")
    return password


def ensure_admin(manager: SecurityManager, settings: Settings, client: Any) -> bool:
    """Create the user unless it exists; return whether it was created.

    The secret is read only when the user is missing, so that the usual run makes no call to AWS.
    """
    if manager.find_user(username=settings.user):
        return False
    role = manager.find_role(ROLE)
    if not role:
        raise SettingError(f"the metadata database has no role {ROLE}; run `airflow db migrate` first")
    password = read_password(client, settings.secret)
    if not manager.add_user(settings.user, "Airflow", "Administrator", settings.email, role, password):
        raise SettingError(f"FAB refused to create the user {settings.user}; see the log above")
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


def run(settings: Settings) -> bool:
    """Connect to Airflow's database and to Secrets Manager and make sure that the user is there."""
    import boto3
    from airflow import settings as airflow_settings
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    def ensure() -> bool:
        with one_at_a_time(airflow_settings.engine), get_application_builder() as builder:
            return ensure_admin(builder.sm, settings, boto3.client("secretsmanager"))

    return bool(providers_configuration_loaded(ensure)())


def main() -> int:
    """Run as a program; the exit status is 0 unless the user could not be made."""
    try:
        settings = Settings.from_environment(os.environ)
        # Airflow and its plug-ins print as they please; stdout carries the answer and nothing else.
        with contextlib.redirect_stdout(sys.stderr):
            created = run(settings)
    except SettingError as error:
        print(f"freehold_airflow.admin: {error}", file=sys.stderr)
        return 1
    print("created" if created else "unchanged")
    return 0


if __name__ == "__main__":
    sys.exit(main())
