# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine after a reboot: settings in effect, logs bounded, containers as safe as the daemon makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

UNITS = ("docker.service", "systemd-journald.service")
SLEEPER = "freehold-test-sleeper"
PUBLISHED = "freehold-test-port"


def info(machine: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.run("docker info --format '{{json .}}'"))
    return found


@pytest.fixture(scope="module")
def image(machine: Any) -> str:
    """An image made of the host's own shell, since no registry is needed to look at the engine."""
    machine.run(
        "tar --create --dereference --file=- /bin/sh /bin/sleep /bin/cat"
        " $(ldd /bin/sh /bin/sleep | grep -o '/lib[^ ]*' | sort -u)"
        " | docker import - freehold-test:1"
    )
    return "freehold-test:1"


@pytest.fixture(scope="module", autouse=True)
def alone(machine: Any) -> None:
    """Take away what an interrupted verify left."""
    machine.host.run(f"docker rm --force {SLEEPER} {PUBLISHED}")


@pytest.fixture
def sleeper(machine: Any, image: str) -> Iterator[str]:
    """A container that runs and brings no settings of its own."""
    machine.run(
        f"docker run --detach --name {SLEEPER} {image} /bin/sh -c 'echo said by {SLEEPER}; exec /bin/sleep 600'"
    )
    yield SLEEPER
    machine.run(f"docker rm --force {SLEEPER}")


def test_the_engine_runs_after_a_boot(machine: Any) -> None:
    unit = machine.unit("docker.service", "ActiveState", "UnitFileState")
    assert unit == {"ActiveState": "active", "UnitFileState": "enabled"}


def test_the_daemon_says_what_it_was_told(machine: Any) -> None:
    found = info(machine)
    assert found["LiveRestoreEnabled"] is True
    assert found["LoggingDriver"] == "journald"
    assert found["Driver"] == "overlay2"


def test_nobody_reaches_the_daemon_over_the_network(machine: Any, host: Any) -> None:
    assert "docker" not in machine.run("ss --no-header --listening --tcp --processes")
    assert host.file("/run/docker.sock").mode == 0o660
    assert host.file("/run/docker.sock").user == "root"


def test_a_container_gains_no_privileges(machine: Any, sleeper: str) -> None:
    assert "NoNewPrivs:\t1" in machine.run(f"docker exec {sleeper} /bin/cat /proc/1/status")


def test_the_default_bridge_is_told_to_keep_containers_apart(machine: Any) -> None:
    bridge = json.loads(machine.run("docker network inspect bridge"))[0]
    assert bridge["Options"]["com.docker.network.bridge.enable_icc"] == "false"


def test_a_published_port_costs_no_process(machine: Any, image: str) -> None:
    machine.run(f"docker run --detach --name {PUBLISHED} --publish 127.0.0.1:18080:80 {image} /bin/sleep 600")
    try:
        assert not machine.host.run("pgrep docker-proxy").stdout
    finally:
        machine.run(f"docker rm --force {PUBLISHED}")


def test_what_a_container_says_is_in_the_journal_and_nowhere_else(machine: Any, sleeper: str) -> None:
    machine.until(
        "the line is in the journal", lambda: machine.run(f"journalctl --quiet CONTAINER_NAME={sleeper} --output=cat")
    )
    assert f"said by {sleeper}" in machine.run(f"journalctl CONTAINER_NAME={sleeper} --output=cat")
    identity = machine.run(f"docker inspect --format '{{{{.Id}}}}' {sleeper}")
    assert machine.run(f"find /var/lib/docker/containers/{identity} -name '*.log*'") == ""


def test_a_restart_of_the_daemon_leaves_containers_running(machine: Any, sleeper: str) -> None:
    before = machine.run(f"docker inspect --format '{{{{.State.Pid}}}} {{{{.State.StartedAt}}}}' {sleeper}")
    machine.run("systemctl restart docker.service")
    assert machine.run(f"docker inspect --format '{{{{.State.Pid}}}} {{{{.State.StartedAt}}}}' {sleeper}") == before


def test_a_killed_daemon_comes_back_and_finds_its_containers(machine: Any, sleeper: str) -> None:
    before = machine.run(f"docker inspect --format '{{{{.State.Pid}}}}' {sleeper}")
    killed = machine.unit("docker.service", "MainPID")["MainPID"]
    machine.run("kill -KILL %s", killed)
    machine.until(
        "systemd starts the daemon again",
        lambda: machine.is_active("docker.service") and machine.unit("docker.service", "MainPID")["MainPID"] != killed,
    )
    assert machine.run(f"docker inspect --format '{{{{.State.Pid}}}}' {sleeper}") == before


@pytest.mark.usefixtures("rebooted")
def test_the_journal_survives_a_boot_and_is_bounded(machine: Any) -> None:
    settings = machine.run("systemd-analyze cat-config systemd/journald.conf")
    effective = dict(line.split("=", 1) for line in settings.splitlines() if "=" in line and not line.startswith("#"))
    assert effective["Storage"] == "persistent"
    assert effective["SystemMaxUse"] == "1024M"
    # journald says at its start what it holds itself to.
    assert "max 1G" in machine.run(
        "journalctl --boot --unit=systemd-journald.service --grep 'System Journal' --output=cat"
    )


def test_passwords_of_the_registry_come_from_the_instances_role(machine: Any, host: Any) -> None:
    settings = host.file("/root/.docker/config.json")
    assert (settings.user, settings.mode) == ("root", 0o600)
    assert host.file("/root/.docker").mode == 0o700
    registries = json.loads(settings.content_string)["credHelpers"]
    assert list(registries.values()) == ["ecr-login"]
    registry = next(iter(registries))
    assert "ecr" in registry and "/" not in registry
    # The helper asks ECR with the role of the instance.
    login = json.loads(machine.run("echo %s | docker-credential-ecr-login get", registry))
    user, has_secret = login["Username"], bool(login["Secret"])
    assert (user, has_secret) == ("AWS", True)
    assert "auths" not in json.loads(host.file("/root/.docker/config.json").content_string)


def test_the_system_and_its_directories_are_as_they_were(host: Any) -> None:
    for directory in ("/etc", "/usr", "/var", "/etc/systemd/system"):
        found = host.file(directory)
        assert (found.user, found.group, found.mode) == ("root", "root", 0o755), directory
