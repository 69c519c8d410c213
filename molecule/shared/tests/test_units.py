# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every component after a reboot, as systemd, docker and the kernel see it."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

COMPONENTS = {
    "webserver": ("api-server",),
    "scheduler": ("scheduler", "dag-processor", "triggerer"),
    "worker": ("worker",),
    "component": ("api-server", "scheduler", "dag-processor", "triggerer", "worker"),
}[os.environ["MOLECULE_SCENARIO_NAME"]]
UNITS = tuple(f"airflow-{name}.service" for name in COMPONENTS)
# Seconds: to stop, MiB of the 4096 of the instance's type.
GRACE = {"worker": 3600}
MEMORY = {"api-server": 2867, "scheduler": 1638, "dag-processor": 1638, "triggerer": 1228, "worker": 3481}

each_component = pytest.mark.parametrize("name", COMPONENTS)


def container(machine: Any, name: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(machine.run("docker container inspect %s", f"airflow-{name}"))[0]
    return described


def inside(machine: Any, name: str, command: str) -> str:
    return str(machine.run("docker container exec %s sh -c %s", f"airflow-{name}", command))


def started(machine: Any, name: str) -> str:
    state = container(machine, name)["State"]
    return f"{state['Pid']} {state['StartedAt']}"


def running(machine: Any, name: str) -> bool:
    return f"airflow-{name}" in machine.run("docker container ls --format '{{.Names}}'").split()


@pytest.fixture(autouse=True)
def ready(machine: Any) -> None:
    """Every test begins with components that are ready, after a reboot or after what the test before did to them."""
    for unit in UNITS:
        machine.until(f"{unit} is ready", lambda unit=unit: machine.is_active(unit), 240)


@each_component
def test_a_component_starts_at_boot_and_for_ever(machine: Any, name: str) -> None:
    unit = machine.unit(
        f"airflow-{name}.service",
        *("UnitFileState", "Restart", "RestartUSec", "StartLimitIntervalUSec", "TimeoutStartUSec", "Type"),
    )
    assert unit == {
        "UnitFileState": "enabled",
        "Restart": "always",
        "RestartUSec": "5s",
        "StartLimitIntervalUSec": "0",
        "TimeoutStartUSec": "6min",
        "Type": "exec",
    }


@each_component
def test_a_component_wants_what_it_needs_and_requires_nothing(machine: Any, name: str) -> None:
    unit = machine.unit(f"airflow-{name}.service", "Wants", "After", "Requires", "BindsTo", "PartOf", "WantsMountsFor")
    assert {"docker.service", "network-online.target", "srv-freehold.mount"} <= set(unit["Wants"].split())
    assert {"docker.service", "network-online.target", "time-sync.target", "srv-freehold.mount"} <= set(
        unit["After"].split()
    )
    required = {dependency for dependency in unit["Requires"].split() if not dependency.endswith(".slice")}
    assert not required - {"sysinit.target", "-.mount", "var.mount"}
    assert (unit["BindsTo"], unit["PartOf"]) == ("", "")


@each_component
def test_a_component_has_its_whole_grace_to_stop(machine: Any, name: str) -> None:
    grace = GRACE.get(name, 60)
    unit = machine.unit(f"airflow-{name}.service", "TimeoutStopUSec", "ExecStop", "SuccessExitStatus")
    minutes, seconds = divmod(grace + 30, 60)
    hours, minutes = divmod(minutes, 60)
    spoken = " ".join(f"{value}{word}" for value, word in ((hours, "h"), (minutes, "min"), (seconds, "s")) if value)
    assert unit["TimeoutStopUSec"] == spoken
    assert f"container stop --time={grace} airflow-{name} " in unit["ExecStop"]
    assert "143" in unit["SuccessExitStatus"].split()


@each_component
def test_no_line_of_a_component_is_dropped(machine: Any, name: str) -> None:
    unit = machine.unit(f"airflow-{name}.service", "LogRateLimitIntervalUSec", "SyslogIdentifier", "StandardOutput")
    assert unit == {"LogRateLimitIntervalUSec": "0", "SyslogIdentifier": f"airflow-{name}", "StandardOutput": "journal"}
    assert machine.run("journalctl --boot --identifier=%s --output=cat --lines=5", f"airflow-{name}")
    assert container(machine, name)["HostConfig"]["LogConfig"]["Type"] == "none"


@each_component
def test_a_component_runs_as_nobody_in_particular(machine: Any, name: str) -> None:
    assert inside(machine, name, "id -u; id -g").split() == ["50000", "0"]
    status = dict(
        line.split(":\t", 1) for line in inside(machine, name, "cat /proc/1/status").splitlines() if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    for held in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[held], 16) == 0, held
    assert status["Seccomp"] == "2"


@each_component
@pytest.mark.parametrize("place", ["/", "/etc/freehold", "/srv/freehold", "/home/airflow", "/usr/local/bin"])
def test_a_component_can_change_neither_its_image_nor_the_shared_files(machine: Any, name: str, place: str) -> None:
    said = machine.fails("docker container exec %s touch %s", f"airflow-{name}", f"{place}/molecule")
    assert "Read-only file system" in said or "No such file" in said, said


@each_component
def test_a_component_can_write_where_it_must(machine: Any, name: str) -> None:
    for place in ("/tmp", "/opt/airflow", "/opt/airflow/logs", "/var/lib/airflow"):  # noqa: S108
        inside(machine, name, f"touch {place}/molecule && rm {place}/molecule")
    assert machine.run("stat --format='%a' %s", f"/var/log/airflow/{name}") == "775"
    assert machine.run("stat --format='%a' /var/lib/airflow") == "775"


@each_component
def test_a_component_is_limited_in_memory_and_processes(machine: Any, name: str) -> None:
    limits = container(machine, name)["HostConfig"]
    assert limits["Memory"] == MEMORY[name] * 1024 * 1024
    assert limits["MemorySwap"] == limits["Memory"]
    assert limits["PidsLimit"] == (4096 if name == "worker" else 1024)


@each_component
def test_only_systemd_starts_the_container_and_only_by_digest(machine: Any, name: str) -> None:
    described = container(machine, name)
    assert described["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert described["HostConfig"]["NetworkMode"] == "host"
    assert "@sha256:" in described["Config"]["Image"]
    assert described["Config"]["Hostname"] == f"{machine.name}.molecule.internal"


@each_component
def test_a_signal_reaches_the_main_process_only(machine: Any, name: str) -> None:
    environment = container(machine, name)["Config"]["Env"]
    assert "DUMB_INIT_SETSID=0" in environment
    assert "dumb-init" in inside(machine, name, "cat /proc/1/cmdline | tr '\\0' ' '")


@each_component
def test_no_secret_is_in_the_container_settings(machine: Any, aws: Any, name: str) -> None:
    secrets = aws("secretsmanager")
    settings = json.dumps(container(machine, name))
    for secret in ("database_password", "broker_password", "config/fernet_key", "config/jwt_secret"):
        value = secrets.get_secret_value(SecretId=f"freehold/molecule/{secret}")["SecretString"]
        assert value not in settings, secret


@each_component
def test_a_restart_of_docker_ends_no_component(machine: Any, name: str) -> None:
    before = started(machine, name)
    machine.run("systemctl restart docker.service")
    unit = f"airflow-{name}.service"
    machine.until(f"{unit} found its container again", lambda: machine.is_active(unit), 120)
    assert started(machine, name) == before


@each_component
def test_a_killed_component_comes_back(machine: Any, name: str) -> None:
    before = started(machine, name)
    machine.run("docker container kill --signal=KILL %s", f"airflow-{name}")
    machine.until("there is a new container", lambda: running(machine, name) and started(machine, name) != before, 60)
    machine.until("it is ready", lambda: machine.is_active(f"airflow-{name}.service"), 240)


def test_the_kernel_notices_a_database_that_is_gone(machine: Any) -> None:
    wanted = {"tcp_keepalive_time": "30", "tcp_keepalive_intvl": "5", "tcp_keepalive_probes": "3", "tcp_retries2": "6"}
    found = {name: machine.run("cat /proc/sys/net/ipv4/%s", name) for name in wanted}
    assert found == wanted


def test_logs_that_nobody_fetched_go_after_two_weeks(machine: Any) -> None:
    assert "e /var/log/airflow/* - - - 14d" in machine.run("systemd-tmpfiles --cat-config")


def test_releases_are_fetched_by_a_unit_that_can_change_nothing(machine: Any) -> None:
    unit = machine.unit(
        "freehold-dags.service",
        *("ActiveState", "UnitFileState", "Restart", "RestartUSec", "NoNewPrivileges", "ProtectSystem", "ProtectHome"),
        *("PrivateTmp",),
    )
    assert unit == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "Restart": "always",
        "RestartUSec": "10s",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
    }
