# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduler, dag-processor and triggerer on their host."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from components import (
    Component,
    come_back_before_the_database,
    container,
    running,
)

NAMES = ("scheduler", "dag-processor", "triggerer")
UNITS = (*(f"airflow-{name}.service" for name in NAMES), "docker.service", "srv-freehold.mount")


class TestScheduler(Component):
    """One component, with its defaults."""

    name = "scheduler"
    works = "airflow scheduler"
    memory_mib = 1638
    listens = ("127.0.0.1:8974",)
    secrets = ("sql_alchemy_conn", "fernet_key", "jwt_secret", "broker_url", "result_backend")
    environment = ("AIRFLOW__CORE__PARALLELISM=32",)


class TestDagProcessor(Component):
    """One component, with its defaults."""

    name = "dag-processor"
    works = "airflow dag-processor"
    memory_mib = 1638
    secrets = ("sql_alchemy_conn", "fernet_key")
    environment = (
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL=5",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES=2",
        "FREEHOLD_WORKER_HOSTS=molecule-scheduler-1",
    )


class TestTriggerer(Component):
    """One component, with its defaults."""

    name = "triggerer"
    works = "airflow triggerer"
    memory_mib = 1228
    # The log of running triggers; both families, because it asks for `::`.
    listens = ("0.0.0.0:8794", "[::]:8794")
    secrets = ("sql_alchemy_conn", "fernet_key", "api_secret_key")
    environment = ("PGSSLMODE=verify-full",)


def test_the_health_of_the_scheduler_is_told_on_the_host_alone(machine: Any) -> None:
    # 200, and not a word.
    assert machine.run("curl --silent --show-error --fail http://127.0.0.1:8974/health") == ""
    machine.fails("curl --silent --max-time 3 %s", f"http://{machine.private}:8974/health")


def test_the_logs_of_triggers_are_for_api_servers_alone(machine: Any, kept_out: Callable[[str, int], None]) -> None:
    kept_out("scheduler", 8794)
    # Not even one that gets there is told anything without a token.
    status = "curl --silent --output /dev/null --write-out '%%{http_code}' %s"
    assert machine.run(status, "http://127.0.0.1:8794/log/x") == "403"


def test_the_published_dags_are_parsed_by_this_dag_processor(machine: Any) -> None:
    # The database may know them from another scenario's host.
    began = datetime.fromisoformat(container(machine, "dag-processor")["State"]["StartedAt"])
    known = "airflow dags list --columns dag_id,last_parsed_time --output plain 2>/dev/null"

    def parsed() -> bool:
        told = machine.run(f"docker container exec airflow-dag-processor {known}")
        times = dict(re.findall(r"^(\w+)\s+(\d{4}-\S+ \S+)", told, re.MULTILINE))
        return all(
            dag in times and datetime.fromisoformat(times[dag]) > began
            for dag in ("molecule_sleeper", "freehold_smoke")
        )

    machine.until("both are parsed", parsed)


def test_one_that_wants_more_memory_than_its_limit_takes_no_other_with_it(machine: Any) -> None:
    before = {name: running(machine, name) for name in NAMES}
    limit = container(machine, "triggerer")["HostConfig"]["Memory"]
    taken = f"docker container exec airflow-triggerer python -c 'x = bytearray({limit}); print(len(x))'"
    assert machine.host.run(taken).rc == 137
    assert {name: running(machine, name) for name in before} == before


def test_killed_they_come_back_and_their_start_lasts_until_the_database_is_there(machine: Any, closed: Any) -> None:
    come_back_before_the_database(machine, closed, *NAMES)
