# SPDX-License-Identifier: GPL-3.0-or-later
"""A key besides the launch key: it runs commands and is forwarded to other hosts, and opens nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

UNITS = ("ssh.service",)
DIRECTORY = "/run/molecule-keys"
REFUSED = 9
Login = Callable[..., Any]


@pytest.fixture(scope="module")
def login(machine: Any) -> Iterator[Login]:
    """Log in from the host to itself with the scenario's key and no other; the way there is looked at elsewhere."""
    key = (Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "authorized").read_text()
    # An interrupted verify leaves it, and ssh-keygen writes over no key.
    machine.run("rm --recursive --force %s", DIRECTORY)
    machine.run("install --directory --mode=0700 %s", DIRECTORY)
    assert machine.told(key, f"sh -c 'umask 077; cat > {DIRECTORY}/key'").returncode == 0
    machine.run(f"ssh-keygen -q -t ed25519 -N '' -f {DIRECTORY}/stranger")
    machine.run(f"sed 's/^/127.0.0.1 /' /etc/ssh/ssh_host_ed25519_key.pub > {DIRECTORY}/known_hosts")
    options = f"-F none -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile={DIRECTORY}/known_hosts"

    def run(command: str = "", more: str = "", key: str = "key", user: str = "admin") -> Any:
        # 255 is ssh's own failure, which testinfra would take for that of its own connection.
        failed = f"{{ status=$?; [ $status -ne 255 ] || status={REFUSED}; exit $status; }}"
        return machine.host.run(f"ssh {options} -i {DIRECTORY}/{key} {more} {user}@127.0.0.1 {command} || {failed}")

    yield run
    machine.run("rm --recursive %s", DIRECTORY)


def test_the_key_runs_commands(login: Login) -> None:
    done = login("id --user --name")
    assert (done.rc, done.stdout.strip()) == (0, "admin"), done.stderr


def test_the_key_is_forwarded_to_other_hosts(login: Login) -> None:
    assert login(more="-W 127.0.0.1:22").stdout.startswith("SSH-2.0-")


def test_the_key_gets_no_terminal_and_no_agent(machine: Any, login: Login) -> None:
    assert "PTY allocation request failed" in login("true", more="-tt").stderr
    agent = re.findall(r"SSH_AGENT_PID=(\d+)", machine.run(f"ssh-agent -s -a {DIRECTORY}/agent"))
    try:
        forwarded = login("printenv SSH_AUTH_SOCK", more=f"-o ForwardAgent={DIRECTORY}/agent")
        assert (forwarded.rc, forwarded.stdout) == (1, "")
    finally:
        machine.run("kill %s", *agent)


def test_another_key_and_another_user_are_refused(login: Login) -> None:
    for wrong in ({"key": "stranger"}, {"user": "root"}):
        done = login("true", **wrong)
        assert done.rc == REFUSED
        assert "Permission denied" in done.stderr


def test_root_alone_says_who_may_log_in(host: Any, machine: Any) -> None:
    directory, file = host.file("/etc/ssh/authorized_keys.d"), host.file("/etc/ssh/authorized_keys.d/admin")
    assert (directory.user, directory.mode) == ("root", 0o755)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    keys = [line for line in file.content_string.splitlines() if not line.startswith("#")]
    assert len(keys) == 1
    assert keys[0].startswith("restrict,port-forwarding ssh-ed25519 ")
    machine.fails("setpriv --reuid=admin --regid=admin --init-groups touch /etc/ssh/authorized_keys.d/admin")


def test_the_launch_key_still_opens_the_host(machine: Any) -> None:
    effective = machine.run("sshd -T")
    assert "authorizedkeysfile .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u" in effective
    assert "passwordauthentication no" in effective
    machine.hang_up()
    assert machine.run("id --user") == "0"


def test_the_server_runs_and_accepts_its_files(machine: Any) -> None:
    assert machine.unit("ssh.service", "ActiveState", "Result") == {"ActiveState": "active", "Result": "success"}
    machine.run("sshd -t")
