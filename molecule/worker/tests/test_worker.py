# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker under work: what it runs is finished when it is told to stop, and it reaches no database."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

import pytest

UNIT = "airflow-worker.service"
UNITS = (UNIT, "airflow-scheduler.service", "airflow-dag-processor.service", "airflow-api-server.service")
TRACES = "/var/lib/airflow/molecule"


def airflow(machine: Any, command: str) -> str:
    return str(machine.run("docker exec airflow-scheduler sh -c %s", f"airflow {command} 2>/dev/null"))


@pytest.fixture(scope="module")
def known(machine: Any) -> None:
    """The DAG of the tests is known and not paused."""
    for unit in UNITS:
        machine.until(f"{unit} is ready", lambda unit=unit: machine.is_active(unit), 240)
    machine.until(
        "the DAG is known",
        lambda: machine.host.run("docker exec airflow-scheduler airflow dags unpause molecule_slow").rc == 0,
        180,
    )


def begin(machine: Any, seconds: int) -> str:
    """Trigger a run; return its name when its task has begun."""
    run = f"molecule-{uuid.uuid4().hex[:8]}"
    conf = json.dumps({"seconds": seconds})
    airflow(machine, f"dags trigger molecule_slow --run-id {run} --conf '{conf}'")
    machine.until("the task has begun", lambda: machine.host.file(f"{TRACES}/{run}.begun").exists, 120)
    return run


def state(machine: Any, run: str) -> str:
    rows = json.loads(airflow(machine, f"tasks states-for-dag-run molecule_slow {run} --output json"))
    return str(rows[0]["state"])


def test_a_running_task_is_finished_before_the_worker_stops(machine: Any, known: None) -> None:
    run = begin(machine, seconds=25)
    assert not machine.host.file(f"{TRACES}/{run}.ended").exists
    asked = time.monotonic()
    machine.run("systemctl stop %s", UNIT)
    try:
        assert machine.host.file(f"{TRACES}/{run}.ended").exists
        assert machine.unit(UNIT, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
        # It waited for the task, and not for its whole grace.
        assert 3 < time.monotonic() - asked < 180
        machine.until("Airflow knows of the success", lambda: state(machine, run) == "success", 60)
    finally:
        machine.run("systemctl start %s", UNIT)


def test_a_running_task_outlives_a_restart_of_docker(machine: Any, known: None) -> None:
    run = begin(machine, seconds=25)
    machine.run("systemctl restart docker.service")
    machine.until("the task has ended", lambda: machine.host.file(f"{TRACES}/{run}.ended").exists, 90)
    machine.until("Airflow knows of the success", lambda: state(machine, run) == "success", 60)


def test_a_stopping_worker_takes_no_new_task(machine: Any, known: None) -> None:
    begin(machine, seconds=40)
    stopping = threading.Thread(target=machine.host.run, args=("systemctl stop %s", UNIT))
    stopping.start()
    machine.until("it stops", lambda: machine.unit(UNIT, "ActiveState")["ActiveState"] == "deactivating", 30)
    late = f"molecule-{uuid.uuid4().hex[:8]}"
    airflow(machine, f"dags trigger molecule_slow --run-id {late}")
    stopping.join(180)
    assert not machine.host.file(f"{TRACES}/{late}.begun").exists
    machine.run("systemctl start %s", UNIT)
    machine.until("the next worker takes it", lambda: machine.host.file(f"{TRACES}/{late}.ended").exists, 120)


def test_the_logs_of_running_tasks_are_served_to_nobody_without_a_signature(machine: Any) -> None:
    assert [address for address in machine.listening() if address.endswith(":8793")]
    asked = machine.host.run(
        "curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:8793/log/dag_id=molecule_slow"
    )
    assert asked.stdout in {"403", "404"}


def test_it_takes_from_the_common_queue_and_from_its_own(machine: Any) -> None:
    command = json.loads(machine.run("docker container inspect --format '{{json .Config.Cmd}}' airflow-worker"))
    assert command == ["celery", "worker", "--queues", f"default,{machine.name}"]


def test_it_knows_no_secret_of_the_database(machine: Any) -> None:
    environment = json.loads(machine.run("docker container inspect --format '{{json .Config.Env}}' airflow-worker"))
    assert not [item for item in environment if item.startswith(("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET", "PG"))]
    assert not [item for item in environment if "FERNET" in item or "JWT" in item]
