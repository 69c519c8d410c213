# SPDX-License-Identifier: GPL-3.0-or-later
"""The api-server on its host: who reaches it, and what it makes of a database that comes late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from components import Component, asked_by, come_back_when_killed, is_up, main_process, see_stopped

UNITS = ("airflow-api-server.service",)
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
    assert airflow.ask("GET", "/api/v2/dags")["total_entries"] >= 0


def test_only_who_carries_the_right_security_group_reaches_it(
    machine: Any, reachable: Callable[[int], bool], opened: Any
) -> None:
    assert not reachable(8080)
    with opened("webserver", 8080):
        # It is the group, and nothing else, that keeps this machine out.
        machine.until("the port is open to everybody", lambda: reachable(8080), 30)
    machine.until("the port is closed again", lambda: not reachable(8080), 30)


def test_a_load_balancer_in_the_vpc_is_believed_who_asks_and_nobody_else_is(machine: Any) -> None:
    assert asked_by(machine, f"{URL}/api/v2/version", "198.51.100.1")
    # Loopback is no part of the VPC.
    assert not asked_by(machine, "http://127.0.0.1:8080/api/v2/version", "198.51.100.2")


def test_killed_it_comes_back(machine: Any) -> None:
    come_back_when_killed(machine, "api-server")


def test_stopped_and_started_it_comes_up_by_itself_when_the_database_comes_late(machine: Any, closed: Any) -> None:
    machine.run("systemctl stop airflow-api-server.service")
    try:
        see_stopped(machine, "api-server")
        with closed("database"):
            machine.run("systemctl start --no-block airflow-api-server.service")
            machine.until("its container runs", lambda: main_process(machine, "api-server"), 60)
            assert not machine.is_active("airflow-api-server.service"), "it counts as ready without a database"
    finally:
        machine.run("systemctl start airflow-api-server.service")
    assert is_up(machine, "api-server")
