# SPDX-License-Identifier: GPL-3.0-or-later
"""The api-server on its host: who reaches it, and what it makes of a database that comes late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from components import Component, asked_by, come_back_before_the_database

UNITS = ("airflow-api-server.service", "docker.service", "srv-freehold.mount")
URL = "http://api-server.molecule.internal:8080"


class TestApiServer(Component):
    """One component, with its defaults."""

    name = "api-server"
    works = "airflow api_server"
    memory_mib = 2867
    listens = ("0.0.0.0:8080",)
    secrets = ("sql_alchemy_conn", "fernet_key", "jwt_secret", "api_secret_key")
    environment = (
        "AIRFLOW__API__WORKERS=1",
        "FORWARDED_ALLOW_IPS=10.21.0.0/16",
        f"AIRFLOW__CORE__EXECUTION_API_SERVER_URL={URL}/execution/",
        "PGSSLMODE=verify-full",
    )


def test_it_answers_under_its_name_in_the_vpc(machine: Any) -> None:
    assert '"version"' in machine.run(f"curl --silent --show-error --fail {URL}/api/v2/version")


def test_it_shows_nothing_to_who_has_not_logged_in(machine: Any) -> None:
    status = "curl --silent --output /dev/null --write-out '%%{http_code}' %s"
    for path in ("dags", "variables", "connections", "config"):
        assert machine.run(status, f"{URL}/api/v2/{path}") == "401", path


def test_the_administrator_made_by_the_migration_logs_in(airflow: Any) -> None:
    # Nobody else may ask for the users.
    users = airflow.ask("GET", "/auth/fab/v1/users")["users"]
    assert "admin" in {user["username"] for user in users}


def test_only_who_carries_the_right_security_group_reaches_it(kept_out: Callable[[str, int], None]) -> None:
    kept_out("webserver", 8080)


def test_a_load_balancer_in_the_vpc_is_believed_who_asks_and_nobody_else_is(machine: Any) -> None:
    assert asked_by(machine, f"{URL}/api/v2/version", "198.51.100.1")
    # Loopback is no part of the VPC.
    assert not asked_by(machine, "http://127.0.0.1:8080/api/v2/version", "198.51.100.2")


def test_killed_it_comes_back_and_its_start_lasts_until_the_database_is_there(machine: Any, closed: Any) -> None:
    come_back_before_the_database(machine, closed, "api-server")
