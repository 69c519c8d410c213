# SPDX-License-Identifier: GPL-3.0-or-later
"""scheduler, dag-processor and triggerer: healthy by their own word, asked by nobody who should not."""

from __future__ import annotations

import json
from typing import Any

import pytest

UNITS = ("airflow-scheduler.service", "airflow-dag-processor.service", "airflow-triggerer.service")


@pytest.fixture(autouse=True)
def ready(machine: Any) -> None:
    """All three are ready."""
    for unit in UNITS:
        machine.until(f"{unit} is ready", lambda unit=unit: machine.is_active(unit), 240)


def test_the_schedulers_health_is_asked_from_its_own_host_only(machine: Any) -> None:
    assert {address for address in machine.listening() if address.endswith(":8974")} == {"127.0.0.1:8974"}
    health = json.loads(machine.run("curl --silent --fail http://127.0.0.1:8974/health"))
    assert health["scheduler"]["status"] == "healthy"


def test_the_logs_of_triggers_are_served_on_their_port(machine: Any) -> None:
    assert [address for address in machine.listening() if address.endswith(":8794")]


@pytest.mark.parametrize("path", ["/log/", "/log/../../../etc/passwd"])
def test_logs_are_given_to_nobody_without_a_signature(machine: Any, path: str) -> None:
    asked = machine.host.run(
        f"curl --silent --path-as-is --output /dev/null --write-out '%{{http_code}}' http://127.0.0.1:8794{path}"
    )
    assert asked.stdout in {"403", "404"}


def test_the_published_dags_are_parsed(machine: Any) -> None:
    listed = machine.until(
        "the DAG is known",
        lambda: [
            row["dag_id"]
            for row in json.loads(
                machine.run("docker exec airflow-scheduler airflow dags list --output json 2>/dev/null")
            )
            if row["dag_id"] == "molecule_slow"
        ],
        180,
    )
    assert listed == ["molecule_slow"]


@pytest.mark.parametrize("unit", UNITS)
def test_each_stops_within_its_grace(machine: Any, unit: str) -> None:
    machine.run("systemctl stop %s", unit)
    assert machine.unit(unit, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    machine.run("systemctl start %s", unit)
