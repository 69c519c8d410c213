# SPDX-License-Identifier: GPL-3.0-or-later
"""All components of one host: what they share, and what all of them together make of a fault.

What each of them is, is looked at by the scenarios of its duty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from components import container, is_up, main_process, running

NAMES = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
UNITS = (
    *(f"airflow-{name}.service" for name in NAMES),
    *("freehold-dags.service", "docker.service", "valkey-server.service", "srv-freehold.mount", "stunnel@efs.service"),
)
FETCHER = "freehold-dags.service"
ALL_UP = 240.0


def all_up(machine: Any) -> bool:
    return all(is_up(machine, name) for name in NAMES)


def works(airflow: Any) -> None:
    """Fail unless a task runs from its trigger to its end."""
    run = airflow.begin("molecule_sleeper", seconds=0)
    assert airflow.ended(run, ALL_UP) == "success"


@pytest.fixture(autouse=True)
def everything(machine: Any) -> Iterator[None]:
    """Begin each test with all components up; the reboot may just have been."""
    machine.until("all components are up", lambda: all_up(machine), ALL_UP)
    yield


# ---- what they share ----------------------------------------------------------------------------------------


def test_a_host_that_has_booted_runs_dags(airflow: Any) -> None:
    works(airflow)


def test_a_dag_links_to_its_release_in_the_repository(airflow: Any) -> None:
    works(airflow)
    newest = airflow.ask("GET", "/api/v2/dags/molecule_sleeper/dagVersions?order_by=-version_number")["dag_versions"][0]
    assert newest["bundle_url"] == f"https://git.example.com/dags/tree/{newest['bundle_version']}/dags"
    assert newest["bundle_version"]


def test_no_unit_of_the_host_has_failed(machine: Any) -> None:
    failed = machine.run("systemctl list-units --state=failed --plain --no-legend")
    assert failed == ""


def test_nothing_else_of_the_host_can_be_reached(machine: Any) -> None:
    assert machine.exposed() == {
        *("0.0.0.0:22", "[::]:22", f"{machine.private}:6379", "0.0.0.0:8080"),
        *("0.0.0.0:8793", "[::]:8793", "0.0.0.0:8794", "[::]:8794"),
    }


def test_all_of_them_are_one_image_by_its_digest(machine: Any) -> None:
    images = {container(machine, name)["Config"]["Image"] for name in NAMES}
    assert len(images) == 1
    assert re.search(r"@sha256:[0-9a-f]{64}$", images.pop())


def test_no_two_of_them_share_a_directory_for_logs(machine: Any) -> None:
    places = [
        mount["Source"]
        for name in NAMES
        for mount in container(machine, name)["Mounts"]
        if mount["Destination"] == "/opt/airflow/logs"
    ]
    assert len(set(places)) == len(NAMES)


def test_who_waits_for_a_vanished_database_notices_within_half_a_minute(machine: Any) -> None:
    settings = {
        "tcp_keepalive_time": "30", "tcp_keepalive_intvl": "5", "tcp_keepalive_probes": "3", "tcp_retries2": "6",
    }  # fmt: skip
    found = {name: machine.run(f"sysctl --values net.ipv4.{name}") for name in settings}
    assert found == settings


def test_logs_that_nobody_fetched_are_looked_for_every_day(machine: Any) -> None:
    # Age counts from the last change of a file's inode as well, which no test can set back.
    assert "e /var/log/airflow/* - - - 14d" in machine.run("systemd-tmpfiles --cat-config").splitlines()
    assert machine.is_active("systemd-tmpfiles-clean.timer")


# ---- the unit that fetches releases -------------------------------------------------------------------------


def test_releases_are_fetched_by_a_unit_that_can_change_nothing_on_the_host(machine: Any) -> None:
    shown = machine.unit(
        FETCHER,
        *("ActiveState", "UnitFileState", "Restart", "RestartUSec", "NoNewPrivileges", "ProtectSystem"),
        *("ProtectHome", "PrivateTmp", "Wants", "After"),
    )
    wants, after = shown.pop("Wants").split(), shown.pop("After").split()
    assert shown == {
        "ActiveState": "active", "UnitFileState": "enabled", "Restart": "always", "RestartUSec": "10s",
        "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
    }  # fmt: skip
    for unit in ("docker.service", "srv-freehold.mount"):
        assert unit in wants and unit in after
    pid = machine.unit(FETCHER, "MainPID")["MainPID"]
    inside = f"nsenter --target {pid} --mount"
    for place in ("/etc", "/usr", "/var/lib/airflow", "/srv/freehold", "/root"):
        machine.fails(f"{inside} touch {place}/molecule")
    machine.run(f"touch /tmp/molecule && {inside} test ! -e /tmp/molecule && rm /tmp/molecule")


def test_a_release_that_this_host_lost_is_fetched_again(machine: Any) -> None:
    release = machine.run('sed -n \'s/.*"release": "\\([^"]*\\)".*/\\1/p\' /srv/freehold/dags/current')
    copies = "/var/lib/airflow/bundles/dags"
    machine.run(f"rm {copies}/releases/{release}.seal.json")
    machine.until("the release is here", lambda: machine.host.file(f"{copies}/releases/{release}.seal.json").exists)


# ---- faults -------------------------------------------------------------------------------------------------


def test_a_restart_of_docker_takes_no_container_and_no_task_with_it(machine: Any, airflow: Any) -> None:
    before = {name: running(machine, name) for name in NAMES}
    run = airflow.busy()
    machine.run("systemctl restart docker.service")
    machine.until("all units have found their containers", lambda: all_up(machine), ALL_UP)
    assert {name: running(machine, name) for name in NAMES} == before
    airflow.let_go(run)
    airflow.see_outlived(run)


def test_a_killed_docker_takes_no_container_with_it(machine: Any) -> None:
    before = {name: running(machine, name) for name in NAMES}
    killed = machine.unit("docker.service", "MainPID")["MainPID"]
    machine.run("kill -KILL %s", killed)
    machine.until(
        "docker is back", lambda: machine.is_active("docker.service") and machine.host.run("docker ps").rc == 0
    )
    machine.until("all units have found their containers", lambda: all_up(machine), ALL_UP)
    assert {name: running(machine, name) for name in NAMES} == before


def test_a_database_that_is_away_is_waited_for_and_takes_no_task_with_it(
    machine: Any, airflow: Any, closed: Any
) -> None:
    scheduler = running(machine, "scheduler")

    def noticed() -> bool:
        # What stands is cut as well, as in a fail-over: rules let established connections pass.
        machine.run("ss --kill --tcp state established '( dport = :5432 )'")
        return not alike(machine, "scheduler", scheduler)

    run = airflow.busy()
    with closed("database"):
        machine.until("the scheduler has noticed", noticed)
    machine.until("all components are up", lambda: all_up(machine), ALL_UP)
    airflow.let_go(run)
    airflow.see_outlived(run)
    works(airflow)


def alike(machine: Any, name: str, before: dict[str, Any]) -> bool:
    """Return whether a container is the one that it was."""
    if not main_process(machine, name):
        return False
    return bool(running(machine, name) == before)


def test_a_broker_that_is_away_makes_tasks_wait_instead_of_failing(machine: Any, airflow: Any) -> None:
    began = machine.now()
    machine.run("systemctl stop valkey-server.service")
    try:
        waiting = airflow.begin("molecule_sleeper", seconds=0)
        machine.until(
            "the scheduler has tried",
            lambda: "Celery Task Timeout" in machine.said("airflow-scheduler.service", began),
        )
        assert airflow.state(waiting) == "running"
    finally:
        machine.run("systemctl start valkey-server.service")
    assert airflow.ended(waiting, ALL_UP) == "success"
    (task,) = airflow.tasks(waiting)
    assert task["try_number"] == 1


def test_a_full_disk_stops_no_component_and_is_over_when_there_is_room(machine: Any, airflow: Any) -> None:
    """The disk of logs, made small for the time: that of a lab's host is this machine's."""
    logs = "/var/log/airflow/worker"
    machine.run("systemctl stop airflow-worker.service")
    machine.run(f"mount -t tmpfs -o size=1m,mode=0775,uid=0,gid=0 tmpfs {logs}")
    try:
        machine.run("systemctl start airflow-worker.service")
        machine.host.run(f"dd if=/dev/zero of={logs}/full bs=64k status=none")
        write = "docker container exec airflow-worker dd if=/dev/zero of=/opt/airflow/logs/more bs=4k count=1"
        assert "No space left on device" in machine.host.run(write).stderr
        worker = running(machine, "worker")
        run = airflow.begin("molecule_sleeper", seconds=0)
        airflow.ended(run, ALL_UP)
        assert all_up(machine)
        assert running(machine, "worker") == worker
        machine.run(f"rm {logs}/full")
        works(airflow)
        assert running(machine, "worker") == worker
    finally:
        machine.run("systemctl stop airflow-worker.service")
        machine.run(f"umount {logs}")
        machine.run("systemctl start airflow-worker.service")


def test_without_the_shared_file_system_no_container_starts_on_an_empty_directory(machine: Any, closed: Any) -> None:
    with closed("filesystem"):
        machine.reboot()
        assert machine.is_active("ssh.service") and machine.is_active("docker.service")
        machine.fails("mountpoint --quiet /srv/freehold")
        for name in NAMES:
            machine.until(
                f"{name} has been refused twice",
                lambda name=name: int(machine.unit(f"airflow-{name}.service", "NRestarts")["NRestarts"]) > 1,
            )
            assert main_process(machine, name) == 0, name
    machine.until("all components are up by themselves", lambda: all_up(machine), ALL_UP)


def test_it_all_works_after_all_of_that(airflow: Any) -> None:
    works(airflow)
