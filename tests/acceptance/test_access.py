# SPDX-License-Identifier: GPL-3.0-or-later
"""How a person reaches the hosts: the ssh_config that the playbooks wrote, one tunnel, host keys checked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from .conftest import ENDPOINT, STATE, Site, lab_session, machines

CONFIG = STATE.parent / "freehold" / "lab" / "ssh_config"
HOSTS = ["lab-scheduler-1", "lab-webserver-1", "lab-worker-1", "lab-worker-2"]


def ssh(host: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ssh", "-F", str(CONFIG), "-o", "BatchMode=yes", host, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def forget_the_shared_connection() -> None:
    for path in CONFIG.parent.glob("jump-*"):
        command = ["ssh", "-F", str(CONFIG), "-o", f"ControlPath={path}", "-O", "exit", "jump"]
        subprocess.run(command, capture_output=True, check=False)


@pytest.fixture
def scheduler(site: Site, engine: docker.DockerClient) -> Iterator[Container]:
    """The machine of the first scheduler, whose SSH server runs again afterwards."""
    container = machines(engine)["lab-scheduler-1"]
    yield container
    container.exec_run(["systemctl", "start", "ssh"])


@pytest.mark.parametrize("host", HOSTS)
def test_a_person_reaches_every_host_by_its_name(site: Site, host: str) -> None:
    answer = ssh(host, "sudo", "-n", "id", "-un")
    assert (answer.returncode, answer.stdout) == (0, "root\n"), answer.stderr


def test_many_connections_at_once_are_one_connection_through_the_endpoint(site: Site, scheduler: Container) -> None:
    forget_the_shared_connection()
    [endpoint] = (
        lab_session()
        .client("ec2", endpoint_url=ENDPOINT)
        .describe_instance_connect_endpoints()["InstanceConnectEndpoints"]
    )
    [interface] = (
        lab_session()
        .client("ec2", endpoint_url=ENDPOINT)
        .describe_network_interfaces(NetworkInterfaceIds=endpoint["NetworkInterfaceIds"])["NetworkInterfaces"]
    )
    count = (
        f"journalctl --unit ssh --output cat | grep -c 'Accepted publickey .* from {interface['PrivateIpAddress']} '"
    )

    def accepted() -> int:
        _, output = scheduler.exec_run(["sh", "-c", count])
        assert isinstance(output, bytes)
        return int(output)

    before = accepted()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda host: ssh(host, "true"), HOSTS * 3))
    assert [answer.returncode for answer in answers] == [0] * 12, answers[0].stderr
    assert accepted() == before + 1


def test_another_host_is_the_jump_host_while_the_first_does_not_answer(site: Site, scheduler: Container) -> None:
    forget_the_shared_connection()
    scheduler.exec_run(["systemctl", "stop", "ssh"])
    answer = ssh("lab-worker-1", "hostname")
    assert answer.returncode == 0, answer.stderr


def test_a_host_key_that_nobody_vouched_for_is_refused(site: Site, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    answer = subprocess.run(
        ["ssh", "-F", str(CONFIG), "-o", f"UserKnownHostsFile={empty}", "-o", "BatchMode=yes", "lab-worker-1", "true"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode == 255
    assert "Host key verification failed" in answer.stderr
