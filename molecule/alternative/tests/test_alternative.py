# SPDX-License-Identifier: GPL-3.0-or-later
"""The service roles with many variables changed: each change arrives where it is meant to, and Airflow works."""

from __future__ import annotations

from typing import Any

from components import Component, asked_by, container

NAMES = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
UNITS = (*(f"airflow-{name}.service" for name in NAMES), "docker.service", "valkey-server.service")
EVERYWHERE = ("AIRFLOW__CORE__DEFAULT_TIMEZONE=Europe/Vienna", 'MOLECULE_SAYS=50 % "of" $HOME')


class Changed(Component):
    """What is the same for all of them."""

    ready_seconds = 200
    dags_mount = ""
    writes = ("/opt/scratch",)


class TestApiServer(Changed):
    """Two processes, less memory, less time."""

    name = "api-server"
    works = "airflow api_server"
    memory_mib = 2048
    stop_seconds = 20
    listens = ("0.0.0.0:8080",)
    secrets = ("sql_alchemy_conn", "fernet_key", "jwt_secret", "api_secret_key")
    environment = (
        *EVERYWHERE,
        "AIRFLOW__API__WORKERS=2",
        "FORWARDED_ALLOW_IPS=192.0.2.1",
        "PGSSLMODE=verify-ca",
        "PGCONNECT_TIMEOUT=5",
    )


class TestScheduler(Changed):
    """Fewer tasks, less memory, less time."""

    name = "scheduler"
    works = "airflow scheduler"
    memory_mib = 1024
    stop_seconds = 25
    listens = ("127.0.0.1:8974",)
    secrets = ("sql_alchemy_conn", "fernet_key", "jwt_secret", "broker_url", "result_backend")
    environment = (
        *EVERYWHERE,
        "AIRFLOW__CORE__PARALLELISM=7",
    )


class TestDagProcessor(Changed):
    """One file at a time, every eleven seconds."""

    name = "dag-processor"
    works = "airflow dag-processor"
    memory_mib = 1228
    stop_seconds = 25
    secrets = ("sql_alchemy_conn", "fernet_key")
    environment = (
        *EVERYWHERE,
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL=11",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES=1",
    )


class TestTriggerer(Changed):
    """Less memory, less time."""

    name = "triggerer"
    works = "airflow triggerer"
    memory_mib = 819
    stop_seconds = 25
    listens = ("0.0.0.0:8794", "[::]:8794")
    secrets = ("sql_alchemy_conn", "fernet_key", "api_secret_key")
    environment = EVERYWHERE


class TestWorker(Changed):
    """Other queues, fewer tasks, processes and seconds."""

    name = "worker"
    works = ":MainProcess"
    memory_mib = 1638
    processes = 512
    stop_seconds = 30
    listens = ("0.0.0.0:8793", "[::]:8793")
    secrets = ("broker_url", "result_backend", "api_secret_key")
    environment = (
        *EVERYWHERE,
        "AIRFLOW__CELERY__WORKER_CONCURRENCY=3",
    )


def test_the_worker_takes_tasks_from_the_queues_it_was_given_and_its_own(machine: Any) -> None:
    command = container(machine, "worker")["Config"]["Cmd"]
    assert command == ["celery", "worker", "--queues", "small,large,molecule-alternative-1"]


def test_three_tasks_at_once_and_no_more(machine: Any) -> None:
    titles = machine.run("docker container top airflow-worker -eo pid,args")
    assert len({line for line in titles.splitlines() if "ForkPoolWorker" in line}) == 3


def test_what_was_mounted_besides_is_there(machine: Any) -> None:
    for name in NAMES:
        assert "1.0M" in machine.run(f"docker container exec airflow-{name} df --human-readable /opt/scratch"), name


def test_containers_are_called_by_the_address_where_names_are_not_wanted(machine: Any) -> None:
    private = machine.private
    for name in NAMES:
        assert container(machine, name)["Config"]["Hostname"] == private, name


def test_nobody_in_the_vpc_is_believed_who_asks(machine: Any) -> None:
    assert not asked_by(machine, "http://api-server.molecule.internal:8080/api/v2/version", "198.51.100.1")


def test_nothing_fetches_releases_where_dags_are_in_the_image(machine: Any) -> None:
    assert machine.unit("freehold-dags.service", "LoadState")["LoadState"] == "not-found"
    machine.fails("mountpoint --quiet /srv/freehold")


def test_a_dag_of_the_image_runs_and_its_log_is_fetched_from_the_worker(machine: Any, airflow: Any) -> None:
    run = airflow.begin("freehold_smoke")
    queue = "molecule-alternative-1"
    machine.until(
        "the task in the host's own queue succeeds",
        lambda: {"success"} == {task["state"] for task in airflow.tasks(run) if task["queue"] == queue},
    )
    (task,) = (task for task in airflow.tasks(run) if task["queue"] == queue)
    assert "Answered on" in airflow.log(run, task)
    # Nobody here takes tasks from the default queue.
    assert {task["state"] for task in airflow.tasks(run) if task["queue"] == "default"} == {"queued"}
    airflow.ask("PATCH", run, {"state": "failed"})
    assert machine.run("find /var/log/airflow/worker -type f -path '*freehold_smoke*'")
