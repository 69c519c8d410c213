# SPDX-License-Identifier: GPL-3.0-or-later
"""Components whose file system, database and broker are not there when the host boots, and come one after the other."""

from __future__ import annotations

from typing import Any

import pytest

FIRST = ("airflow-api-server.service", "airflow-worker.service")
UNITS = (
    *FIRST,
    *("airflow-scheduler.service", "airflow-dag-processor.service", "airflow-triggerer.service"),
    *("srv-freehold.mount", "stunnel@efs.service", "valkey-server.service"),
)
COMPONENTS = UNITS[:5]


def states(machine: Any, *units: str) -> set[str]:
    return {machine.unit(unit, "ActiveState")["ActiveState"] for unit in units}


@pytest.fixture
def no_broker(machine: Any) -> Any:
    """The broker does not start at boot."""
    machine.run("systemctl disable valkey-server.service")
    yield
    machine.run("systemctl enable --now valkey-server.service")


def test_what_comes_late_is_waited_for(machine: Any, closed: Any, no_broker: None) -> None:
    with closed("database"):
        with closed("filesystem"):
            machine.reboot()
            # The host is up and can be reached; nothing has been given up, nothing runs on an empty directory.
            assert machine.run("docker ps --quiet") == ""
            assert states(machine, *COMPONENTS) <= {"activating"}
            for unit in COMPONENTS:
                assert machine.unit(unit, "Restart", "Result")["Restart"] == "always"
        machine.until(
            "the file system is mounted by the next try of a component",
            lambda: machine.host.run("mountpoint --quiet /srv/freehold").rc == 0,
            120,
        )
        # Without database and broker there is no worker and no scheduler yet, but they are tried.
        assert "active" not in states(machine, "airflow-scheduler.service", "airflow-worker.service")
    for unit in ("airflow-api-server.service", "airflow-dag-processor.service", "airflow-triggerer.service"):
        machine.until(f"{unit} came with the database", lambda unit=unit: machine.is_active(unit), 240)
    assert not machine.is_active("airflow-worker.service")
    machine.run("systemctl start valkey-server.service")
    for unit in COMPONENTS:
        machine.until(f"{unit} came with the broker", lambda unit=unit: machine.is_active(unit), 240)


def test_a_component_refuses_to_start_on_an_empty_directory(machine: Any) -> None:
    unit = "airflow-triggerer.service"
    machine.run("systemctl stop %s", unit)
    machine.run("systemctl mask --runtime --now srv-freehold.mount || umount --lazy /srv/freehold")
    machine.host.run("umount --lazy /srv/freehold")
    try:
        machine.fails("mountpoint --quiet /srv/freehold")
        machine.host.run("systemctl start --no-block %s", unit)
        machine.until(
            "it says what it misses",
            lambda: (
                "mountpoint" in machine.unit(unit, "ExecStartPre")["ExecStartPre"]
                and machine.unit(unit, "SubState", "NRestarts")["SubState"] == "auto-restart"
            ),
            60,
        )
        assert "airflow-triggerer" not in machine.run("docker ps --format '{{.Names}}'")
    finally:
        machine.run("systemctl unmask --runtime srv-freehold.mount")
    machine.until("it came back with its file system", lambda: machine.is_active(unit), 240)
