# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh with the environment's ssh_config against real SSH servers: one shared connection, whatever becomes of hosts."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from lab import tunnel
from lab.tests.tunnel.conftest import FakeEc2, Service

SSHD = "/usr/sbin/sshd"
ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.usefixtures("aws_environment"), pytest.mark.timeout(120)]

Answer = subprocess.CompletedProcess[str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Hosts:
    """SSH servers, each at a loopback address of its own, all on one port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.keys: dict[str, str] = {}
        subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", directory / "user"], check=True)
        shutil.copy(directory / "user.pub", directory / "authorized")

    def start(self, address: str) -> None:
        assert Path(SSHD).exists(), "no SSH server program on this machine: tools/bootstrap unit installs it"
        key = self.directory / f"host-{address}"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", key], check=True)
        self.keys[address] = " ".join(key.with_suffix(key.suffix + ".pub").read_text().split()[:2])
        options = {
            "HostKey": key,
            "AuthorizedKeysFile": self.directory / "authorized",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "MaxStartups": 100,
        }
        arguments = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        self.processes[address] = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", "/dev/null", "-o", f"ListenAddress={address}:{self.port}", *arguments],
            stderr=(self.directory / f"log-{address}").open("wb"),
            start_new_session=True,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection((address, self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError((self.directory / f"log-{address}").read_text())

    def die(self, address: str) -> None:
        """End the server and everything in it, as a host that is shut down."""
        process = self.processes.pop(address)
        for pid in [process.pid, *descendants(process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def descendants(ancestor: int) -> list[int]:
    """The processes below one; sshd gives every connection a session of its own, so no group holds them all."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in table.splitlines()}
    found: list[int] = []
    generation = {ancestor}
    while generation := {pid for pid, parent in parents.items() if parent in generation}:
        found += sorted(generation)
    return found


class Environment:
    """An environment's ssh_config and what stands behind it."""

    def __init__(self, directory: Path, hosts: Hosts, service: Service, ec2: FakeEc2) -> None:
        self.directory = directory
        self.hosts = hosts
        self.service = service
        self.ec2 = ec2
        self.config = directory / "ssh_config"

    def launch(self, name: str, address: str, *, up: bool = True) -> None:
        """Have a running instance, with or without an SSH server."""
        if up:
            self.hosts.start(address)
        self.ec2.hosts.append((address, name))
        self.service.account.hosts.add(address)
        with (self.directory / "known_hosts").open("a") as known:
            key = self.hosts.keys.get(
                address, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
            )
            known.write(f"[{address}]:{self.hosts.port} {key}\n")

    def ssh(self, host: str, *command: str) -> Answer:
        return subprocess.run(
            ["ssh", "-F", str(self.config), "-o", "BatchMode=yes", host, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def open_tunnels(self) -> int:
        return sum(self.service.server.open_tunnels().values())

    def sockets(self) -> list[Path]:
        return [path for path in self.directory.glob("jump-*") if path.is_socket()]

    def close(self) -> None:
        for path in self.sockets():
            subprocess.run(
                ["ssh", "-F", str(self.config), "-o", f"ControlPath={path}", "-O", "exit", "jump"],
                capture_output=True,
                check=False,
            )


@pytest.fixture(scope="module")
def written_config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the role writes, with DIRECTORY, TUNNEL, EC2 and USER in the places of what differs between tests."""
    directory = tmp_path_factory.mktemp("role")
    play = directory / "play.yml"
    play.write_text(
        f"""
- hosts: localhost
  gather_facts: false
  vars:
    environment_name: test
    freehold_aws_connection: {{region: eu-west-1, endpoint_url: EC2}}
  roles:
    - role: freehold.airflow.access
      access_directory: {directory}
      access_user: {getpass.getuser()}
      access_private_key: {directory}/user
      access_tunnel_url: TUNNEL
      access_hosts: [{{name: test-worker-1, private_ip: 127.0.0.3}}, {{name: test-scheduler-1, private_ip: 127.0.0.2}}]
"""
    )
    subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", play],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return (directory / "ssh_config").read_text().replace(str(directory), "DIRECTORY")


@pytest.fixture
def environment(
    written_config: str, service: Service, ec2: FakeEc2, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Environment]:
    # pytest's own directories are too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="jump") as name:
        yield from made_environment(Path(name), written_config, service, ec2, monkeypatch)


def made_environment(
    directory: Path, written_config: str, service: Service, ec2: FakeEc2, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Environment]:
    hosts = Hosts(directory)
    monkeypatch.setattr(tunnel, "_PORTS", (hosts.port,))
    made = Environment(directory, hosts, service, ec2)
    text = written_config.replace("DIRECTORY", str(directory)).replace("TUNNEL", service.url).replace("EC2", ec2.url)
    made.config.write_text(f"{text}\n  Port {hosts.port}\n")
    yield made
    made.close()
    for address in list(hosts.processes):
        hosts.die(address)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_host_is_reached_by_its_name_through_the_first_scheduler(environment: Environment) -> None:
    environment.launch("test-worker-1", "127.0.0.3")
    environment.launch("test-scheduler-1", "127.0.0.2")
    answer = environment.ssh("test-worker-1", "echo $SSH_CONNECTION")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split()[2] == "127.0.0.3"
    assert [path.name.rpartition("-")[2] for path in environment.sockets()] == ["2"]


def test_the_jump_host_itself_is_reached_the_same_way(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    answer = environment.ssh("test-scheduler-1", "echo $SSH_CONNECTION")
    assert answer.stdout.split()[2] == "127.0.0.2", answer.stderr
    assert environment.open_tunnels() == 1


def test_thirty_connections_at_once_share_one_tunnel(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    environment.launch("test-worker-1", "127.0.0.3")
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda number: environment.ssh("test-worker-1", f"echo {number}"), range(30)))
    assert [answer.stdout for answer in answers] == [f"{number}\n" for number in range(30)], answers[0].stderr
    assert environment.open_tunnels() == 1
    assert environment.ec2.calls == ["DescribeInstances", "DescribeInstanceConnectEndpoints"]


def test_a_host_without_an_entry_is_reached_by_its_address(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    environment.launch("test-worker-9", "127.0.0.9")
    assert environment.ssh("127.0.0.9", "echo here").stdout == "here\n"


def test_the_next_host_becomes_jump_host_when_the_first_does_not_answer(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2", up=False)
    environment.launch("test-worker-1", "127.0.0.3")
    assert environment.ssh("test-worker-1", "echo here").stdout == "here\n"
    environment.close()
    assert eventually(lambda: not environment.sockets())
    # The second time nobody waits for the one that failed.
    environment.ec2.calls.clear()
    assert environment.ssh("test-worker-1", "echo here").stdout == "here\n"
    assert environment.ec2.calls.count("DescribeInstanceConnectEndpoints") == 1


def test_a_jump_host_that_dies_is_replaced_at_the_next_connection(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    environment.launch("test-worker-1", "127.0.0.3")
    assert environment.ssh("test-worker-1", "echo here").stdout == "here\n"
    environment.hosts.die("127.0.0.2")
    assert eventually(lambda: not environment.sockets())
    answer = environment.ssh("test-worker-1", "echo again")
    assert answer.stdout == "again\n", answer.stderr
    assert environment.open_tunnels() == 1


def test_ssh_ends_when_the_jump_host_dies(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    environment.launch("test-worker-1", "127.0.0.3")
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(environment.ssh, "test-worker-1", "sleep 50")
        assert eventually(lambda: "session opened" in _log(environment, "127.0.0.3") or _connected(environment))
        environment.hosts.die("127.0.0.2")
        assert answer.result(30).returncode == 255
    assert time.monotonic() - started < 20


def _log(environment: Environment, address: str) -> str:
    return (environment.directory / f"log-{address}").read_text()


def _connected(environment: Environment) -> bool:
    return "Accepted publickey" in _log(environment, "127.0.0.3")


def test_ssh_ends_when_the_host_dies(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    environment.launch("test-worker-1", "127.0.0.3")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(environment.ssh, "test-worker-1", "sleep 50")
        assert eventually(lambda: _connected(environment))
        environment.hosts.die("127.0.0.3")
        assert answer.result(20).returncode == 255
    # The way to the others stays.
    assert environment.ssh("test-scheduler-1", "echo here").stdout == "here\n"
    assert environment.open_tunnels() == 1


def test_a_host_with_another_key_is_refused(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    environment.launch("test-worker-1", "127.0.0.3")
    known = environment.directory / "known_hosts"
    lines = known.read_text().splitlines()
    known.write_text("\n".join([lines[0], lines[1].split()[0] + " " + lines[0].partition(" ")[2]]) + "\n")
    answer = environment.ssh("test-worker-1", "echo here")
    assert answer.returncode == 255
    assert "Host key verification failed" in answer.stderr


def test_a_jump_host_with_another_key_is_refused(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    known = environment.directory / "known_hosts"
    known.write_text("")
    answer = environment.ssh("test-scheduler-1", "echo here")
    assert answer.returncode == 255
    assert "No host of the environment can be used as jump host. test-scheduler-1: " in answer.stderr
    assert "Host key verification failed" in answer.stderr


def test_why_no_jump_host_works_is_one_sentence(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2", up=False)
    answer = environment.ssh("test-scheduler-1", "echo here")
    assert answer.returncode == 255
    assert answer.stderr.startswith(
        "freehold: No host of the environment can be used as jump host. test-scheduler-1: 127.0.0.2 does not answer on"
        f" port {environment.hosts.port}: it is not up yet, or its security group does not let the endpoint in.\n"
    ), answer.stderr


def test_connections_that_waited_for_one_that_failed_fail_with_it(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2", up=False)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: environment.ssh("test-scheduler-1", "true"), range(6)))
    assert all("No host of the environment can be used as jump host" in answer.stderr for answer in answers)
    assert environment.ec2.calls.count("DescribeInstances") < 4


def test_an_environment_without_hosts_says_so(environment: Environment) -> None:
    answer = environment.ssh("test-worker-1", "echo here")
    assert "freehold: The environment 'test' has no running host to jump through.\n" in answer.stderr


def test_new_connections_leave_an_old_tunnel_to_those_that_are_on_it(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    arrived, seen = environment.directory / "arrived", environment.directory / "seen"
    with ThreadPoolExecutor(1) as pool:
        command = f"touch {arrived}; until test -e {seen}; do sleep 0.1; done; echo first"
        first = pool.submit(environment.ssh, "test-scheduler-1", command)
        try:
            assert eventually(arrived.exists)
            [socket_of_first] = environment.sockets()
            # Its name tells its age; past half of its time nobody new gets on it.
            _, made, host = socket_of_first.name.split("-")
            socket_of_first.rename(socket_of_first.with_name(f"jump-{int(made) - 1801}-{host}"))
            assert environment.ssh("test-scheduler-1", "echo second").stdout == "second\n"
            assert environment.open_tunnels() == 2
        finally:
            seen.touch()
        assert first.result(20).stdout == "first\n"


def test_a_socket_that_nobody_answers_is_swept_away(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    dead = environment.directory / f"jump-{int(time.time())}-2"
    with socket.socket(socket.AF_UNIX) as left:
        os.chdir(environment.directory)
        left.bind(dead.name)
    assert environment.ssh("test-scheduler-1", "echo here").stdout == "here\n"


def test_ssh_does_not_leave_a_program_behind_that_holds_its_output_open(environment: Environment) -> None:
    environment.launch("test-scheduler-1", "127.0.0.2")
    started = time.monotonic()
    assert environment.ssh("test-scheduler-1", "echo here").stdout == "here\n"
    # The shared connection lives on for two minutes; whoever reads ssh's output must not wait for it.
    assert time.monotonic() - started < 20
    assert environment.open_tunnels() == 1
