# SPDX-License-Identifier: GPL-3.0-or-later
"""The celery worker: what it has of the environment, and that no task is lost by a stop, a late broker or a reboot."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any

from components import READY_SECONDS, Component, come_back_when_killed, container, is_up, main_process

UNITS = (
    *("airflow-worker.service", "airflow-scheduler.service", "airflow-api-server.service", "valkey-server.service"),
    *("docker.service", "srv-freehold.mount"),
)
UNIT = UNITS[0]


class TestWorker(Component):
    """One component, with its defaults."""

    name = "worker"
    works = "celeryd: celery@molecule-worker-1.molecule.internal:MainProcess"
    memory_mib = 3481
    processes = 4096
    stop_seconds = 3600
    # The log of running tasks; both families, because it asks for `::`.
    listens = ("0.0.0.0:8793", "[::]:8793")
    secrets = ("broker_url", "result_backend", "api_secret_key")
    environment = (
        "AIRFLOW__CELERY__WORKER_CONCURRENCY=8",
        "FREEHOLD_WORKER_HOSTS=molecule-worker-1",
    )


def test_it_takes_tasks_from_the_default_queue_and_its_own(machine: Any) -> None:
    assert container(machine, "worker")["Config"]["Cmd"] == [
        "celery",
        "worker",
        "--queues",
        "default,molecule-worker-1",
    ]


def test_it_has_no_way_into_the_database(machine: Any) -> None:
    environment = machine.run("docker container exec airflow-worker env")
    assert "this-process-has-no-database.invalid" in environment
    assert "PGSSL" not in environment


def test_tasks_run_from_both_queues_and_their_logs_are_kept(machine: Any, airflow: Any) -> None:
    run = airflow.begin("freehold_smoke")
    assert airflow.ended(run) == "success"
    tasks = airflow.tasks(run)
    assert {task["queue"] for task in tasks} == {"default", "molecule-worker-1"}
    assert {task["hostname"] for task in tasks} == {"molecule-worker-1.molecule.internal"}
    task = tasks[0]
    # Uploaded is kept once; what is shown after that comes from the bucket.
    name = urllib.parse.unquote(run.rpartition("/")[2])
    machine.until(
        "nothing of it stays on the host",
        lambda: not machine.run("find /var/log/airflow/worker -type f -path %s", f"*run_id={name}*"),
    )
    machine.until("the log is in the bucket", lambda: "Answered on" in airflow.log(run, task))


def test_the_logs_of_running_tasks_are_for_api_servers_alone(
    machine: Any, kept_out: Callable[[str, int], None]
) -> None:
    kept_out("worker", 8793)
    status = "curl --silent --output /dev/null --write-out '%%{http_code}' %s"
    assert machine.run(status, "http://127.0.0.1:8793/log/x") == "403"


def test_a_running_task_survives_a_stop_and_a_queued_one_a_broker_that_comes_late(machine: Any, airflow: Any) -> None:
    run = airflow.busy()
    (task,) = airflow.tasks(run)
    machine.until("its log is shown", lambda: "Second" in airflow.log(run, task))
    began = machine.now()
    machine.run("systemctl stop --no-block %s", UNIT)
    try:
        machine.until("it was asked to end", lambda: "Warm shutdown" in machine.said(UNIT, began))
        assert airflow.is_running(run)
        airflow.let_go(run)
        airflow.see_outlived(run)
        machine.until("it has stopped", lambda: machine.unit(UNIT, "ActiveState")["ActiveState"] == "inactive")
        assert machine.unit(UNIT, "Result") == {"Result": "success"}
        assert main_process(machine, "worker") == 0
        waiting = airflow.begin("molecule_sleeper", seconds=0)
        machine.until("it is queued", lambda: [task["state"] for task in airflow.tasks(waiting)] == ["queued"])
        machine.run("systemctl stop valkey-server.service")
        began = machine.now()
        machine.run("systemctl start --no-block %s", UNIT)
        machine.until("it has asked for the broker", lambda: "Cannot connect to redis" in machine.said(UNIT, began))
        assert not machine.is_active(UNIT), "it counts as ready without a broker"
    finally:
        machine.run("systemctl start valkey-server.service")
        machine.run("systemctl start --no-block %s", UNIT)
    machine.until("it is ready", lambda: is_up(machine, "worker"), READY_SECONDS)
    assert airflow.ended(waiting) == "success"
    (late,) = airflow.tasks(waiting)
    assert late["try_number"] == 1


def test_killed_it_comes_back(machine: Any) -> None:
    come_back_when_killed(machine, "worker")
