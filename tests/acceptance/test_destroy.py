# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment goes only on purpose, keeps its data, and comes back, also when that is interrupted."""

from __future__ import annotations

import re
import signal
import time

import docker
import pytest

from .conftest import ENDPOINT, Interruptible, Requests, Run, Site, lab_session, machines, run

MINE = [{"Name": "tag:freehold:environment", "Values": ["lab"]}]


def file_systems() -> list[str]:
    """The ids of all file systems."""
    efs = lab_session().client("efs", endpoint_url=ENDPOINT)
    return [found["FileSystemId"] for found in efs.describe_file_systems()["FileSystems"]]


def test_without_the_name_nothing_goes(site: Site, requests_log: object) -> None:
    mark = requests_log.mark()  # type: ignore[attr-defined]
    done = run("ansible-playbook", "playbooks/destroy.yml", ok=False)
    assert done.returncode != 0
    assert "confirm" in done.output
    assert [request for request in requests_log.since(mark) if request["write"]] == []  # type: ignore[attr-defined]


def test_with_a_wrong_name_nothing_goes(site: Site) -> None:
    done = run("make", "destroy", typed="production", ok=False)
    assert "Type the name of the environment to delete" in done.output
    assert done.returncode != 0
    assert site.http().request("GET", "/api/v2/version").status == 200


@pytest.fixture(scope="module")
def destroyed(site: Site) -> Run:
    """The environment destroyed on purpose, its data kept."""
    return run("make", "destroy", typed="lab")


def test_only_the_data_is_left(destroyed: Run) -> None:
    session = lab_session()
    ec2 = session.client("ec2", endpoint_url=ENDPOINT)
    live = [*MINE, {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    assert ec2.describe_instances(Filters=live)["Reservations"] == []  # type: ignore[arg-type]
    rds = session.client("rds", endpoint_url=ENDPOINT)
    assert rds.describe_db_instances()["DBInstances"] == []
    [snapshot] = rds.describe_db_snapshots()["DBSnapshots"]
    assert snapshot["SnapshotType"] == "manual"
    assert session.client("elbv2", endpoint_url=ENDPOINT).describe_load_balancers()["LoadBalancers"] == []
    assert len(file_systems()) == 1


def test_it_says_what_was_kept(destroyed: Run) -> None:
    assert "snapshot" in destroyed.output
    assert "fs-" in destroyed.output


def test_destroying_again_changes_nothing(destroyed: Run) -> None:
    again = run("ansible-playbook", "playbooks/destroy.yml", "-e", "confirm=lab")
    assert again.recap()["localhost"]["changed"] == 0


# Tasks in whose midst the run is ended, and how: by whoever sits before it, or by a machine that goes away.
PROVISIONING = [
    ("network : Make the missing subnets", signal.SIGKILL),
    ("hosts : Launch the missing hosts", signal.SIGINT),
    ("image : Build and push the image", signal.SIGKILL),
]
CONFIGURING = [
    ("docker : Install docker", signal.SIGKILL),
    ("component : Run the command in a container of its own", signal.SIGKILL),
    ("component : Run each component as its unit says", signal.SIGKILL),
]


@pytest.fixture(scope="module")
def interrupted(destroyed: Run) -> list[str]:
    """What runs of provisioning that never came to their end have left; give what file systems were before."""
    kept = file_systems()
    interrupt(PROVISIONING)
    return kept


def test_check_mode_says_what_hides_the_hosts_of_an_interrupted_provisioning(interrupted: list[str]) -> None:
    done = run("ansible-playbook", "site.yml", "--check", ok=False)
    assert done.returncode != 0
    assert re.search(
        r"A check run can't look into the hosts of 'lab', because an interrupted provisioning left out \S+'s host key",
        done.output,
    ), done.output[-3000:]
    assert "its image reference: run playbooks/provision.yml, then check again" in done.output


@pytest.fixture(scope="module")
def provisioned(interrupted: list[str]) -> list[str]:
    """What AWS provides, whole; hosts have nothing yet. Give what file systems were before."""
    run("ansible-playbook", "playbooks/provision.yml")
    return interrupted


def test_check_mode_says_what_would_come_to_bare_hosts_and_leaves_them_so(
    provisioned: list[str], requests_log: Requests, engine: docker.DockerClient
) -> None:
    mark = requests_log.mark()
    done = run("ansible-playbook", "site.yml", "--check", "--diff")
    figures = done.recap()
    del figures["localhost"]
    assert len(figures) == 4
    assert all(host["changed"] >= 10 for host in figures.values()), figures
    assert [request for request in requests_log.since(mark) if request["write"]] == []
    for name, host in machines(engine).items():
        look = "ls -d /etc/docker /etc/airflow /etc/valkey /srv/freehold; command -v dockerd stunnel4 valkey-server"
        assert host.exec_run(["sh", "-c", f"{{ {look}; }} 2>/dev/null"]).output == b"", name


def test_it_comes_back_with_its_file_system_however_often_it_is_interrupted(provisioned: list[str], site: Site) -> None:
    interrupt(CONFIGURING)
    run("make", "site")
    assert site.http().request("GET", "/api/v2/version").status == 200
    assert file_systems() == provisioned


def interrupt(interruptions: list[tuple[str, signal.Signals]]) -> None:
    """Begin with the environment as often as there are interruptions, and end each run so."""
    for task, how in interruptions:
        interrupted = Interruptible("make", "site")
        interrupted.reach(task)
        # In the middle of it.
        time.sleep(1)
        interrupted.end(how)
