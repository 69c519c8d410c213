# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every component of Airflow on a host, as systemd, docker and the kernel see it.

A scenario says what is particular to a component in a class of its tests, ``class TestTriggerer(Component)``, which
holds nothing but values. Pytest then looks at all that is said here, and a failure shows the journal of the unit.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, ClassVar

import pytest

# What the roles' defaults give a component to become ready.
READY_SECONDS = 240
UNITS_OF_SPANS = {
    "month": 2629800, "w": 604800, "d": 86400, "h": 3600, "min": 60, "s": 1, "ms": 0.001, "us": 0.000001,
}  # fmt: skip


def seconds(span: str) -> float:
    """Return a span of time as systemd shows it, like ``1min 30s``, in seconds."""
    parts = re.findall(r"([\d.]+)\s*(month|w|d|h|min|ms|us|s)", span)
    assert parts, f"no span of time: {span}"
    return sum(float(number) * UNITS_OF_SPANS[unit] for number, unit in parts)


def container(machine: Any, name: str) -> dict[str, Any]:
    """Return docker's description of a component's container."""
    found: dict[str, Any] = json.loads(machine.run("docker container inspect %s", f"airflow-{name}"))[0]
    return found


def main_process(machine: Any, name: str) -> int:
    """Return the process id, as the host sees it, of the process that a component's container began with; 0 if none."""
    answer = machine.host.run("docker container inspect --format '{{.State.Pid}}' %s", f"airflow-{name}").stdout
    return int(answer.strip() or 0)


def running(machine: Any, name: str) -> dict[str, Any]:
    """Return what must stay the same while a container is left alone."""
    state = container(machine, name)["State"]
    return {"pid": state["Pid"], "since": state["StartedAt"]}


def asked_by(machine: Any, url: str, forwarded_for: str) -> bool:
    """Return whether the api-server takes a proxy's word, in a request from this host, for who asks."""
    began, mark = machine.now(), uuid.uuid4().hex
    machine.run(
        "curl --silent --show-error --fail --output /dev/null --header %s %s",
        *(f"X-Forwarded-For: {forwarded_for}", f"{url}?molecule={mark}"),
    )
    line = machine.until(
        "the request is in the journal",
        lambda: [line for line in machine.said("airflow-api-server.service", began).splitlines() if mark in line],
    )[0]
    assert "client_addr=" in line
    return f"client_addr={forwarded_for}" in line


def is_up(machine: Any, name: str, not_pid: int = 0) -> bool:
    """Return whether a component is ready, and not by the process that it had."""
    return machine.is_active(f"airflow-{name}.service") and main_process(machine, name) not in (0, not_pid)


def come_back_when_killed(machine: Any, *names: str) -> None:
    """Kill components, all at once, as the kernel would; see each ready again."""
    see_back(machine, killed(machine, *names))


def come_back_before_the_database(machine: Any, closed: Any, *names: str) -> None:
    """Kill components, all at once, while the database is away.

    See each started again and ask for it, which is many seconds later, and the start last until it is back.
    """
    silent = set(names)

    def all_asked() -> bool:
        asking = who_asks_in_vain(machine, 5432)
        silent.difference_update([name for name in silent if re.search(rf"airflow {name}\b", asking)])
        return not silent

    with closed("database"):
        processes = killed(machine, *names)
        machine.until("each has asked for the database", all_asked, READY_SECONDS)
        ready = [name for name in names if machine.is_active(f"airflow-{name}.service")]
        assert not ready, "ready without a database"
    see_back(machine, processes)


def killed(machine: Any, *names: str) -> dict[str, int]:
    """Kill the first process of components, all at once; return what each one's was."""
    processes = {name: main_process(machine, name) for name in names}
    assert all(processes.values()), f"not all of them run: {processes}"
    machine.run(f"kill -KILL {' '.join(map(str, processes.values()))}")
    return processes


def see_back(machine: Any, processes: dict[str, int]) -> None:
    """See components ready by themselves, by other processes than those they had."""
    for name, process in processes.items():
        machine.until(
            f"{name} is ready again", lambda name=name, process=process: is_up(machine, name, process), READY_SECONDS
        )


def who_asks_in_vain(machine: Any, port: int) -> str:
    """Return the command lines of the processes that nobody has answered yet who connect to a port."""
    sockets = machine.run(f"ss --no-header --tcp --numeric --processes state syn-sent '( dport = :{port} )'")
    processes = ",".join(re.findall(r"pid=(\d+)", sockets))
    # Its status is 1 where they are gone by now.
    return str(machine.host.run(f"ps -ww -o args= -p {processes}").stdout) if processes else ""


class Component:
    """What is looked at; the values are those of a role's defaults where they are the same for most components."""

    name: ClassVar[str]
    # Words of the command line of the process that does the work.
    works: ClassVar[str]
    memory_mib: ClassVar[int]
    processes: ClassVar[int] = 1024
    stop_seconds: ClassVar[int] = 60
    ready_seconds: ClassVar[int] = READY_SECONDS
    # Where it listens, as address:port.
    listens: ClassVar[tuple[str, ...]] = ()
    # Directories that are mounted for it to write to besides its own.
    writes: ClassVar[tuple[str, ...]] = ()
    # The secrets it is told the names of.
    secrets: ClassVar[tuple[str, ...]]
    # Directory that the shared file system is mounted on; empty where the DAGs are in the image.
    dags_mount: ClassVar[str] = "/srv/freehold"
    # Environment that is particular to it here, as NAME=value.
    environment: ClassVar[tuple[str, ...]]

    @property
    def unit(self) -> str:
        """The unit's name."""
        return f"airflow-{self.name}.service"

    def inside(self, machine: Any, script: str) -> Any:
        """Run a script in the container; return how it ended."""
        return machine.host.run("docker container exec %s sh -c %s", f"airflow-{self.name}", script)

    # ---- the unit --------------------------------------------------------------------------------------------

    def test_it_runs_and_will_after_a_boot(self, machine: Any) -> None:
        shown = machine.unit(self.unit, "ActiveState", "SubState", "UnitFileState", "Result", "Type", "Description")
        assert shown == {
            "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled", "Result": "success",
            "Type": "exec", "Description": f"Airflow {self.name}",
        }  # fmt: skip
        assert container(machine, self.name)["State"]["Running"]

    def test_it_is_tried_again_for_ever(self, machine: Any) -> None:
        shown = machine.unit(self.unit, "Restart", "RestartUSec", "StartLimitIntervalUSec", "SuccessExitStatus")
        assert shown == {
            "Restart": "always", "RestartUSec": "5s", "StartLimitIntervalUSec": "0", "SuccessExitStatus": "143",
        }  # fmt: skip

    def test_it_starts_after_what_it_needs_and_falls_with_none_of_it(self, machine: Any) -> None:
        wanted = {"docker.service", "network-online.target"}
        if self.dags_mount:
            wanted.add(machine.run("systemd-escape --path --suffix=mount %s", self.dags_mount))
        shown = machine.unit(
            self.unit, "Wants", "After", "Requires", "Requisite", "BindsTo", "PartOf", "WantedBy", "ConsistsOf"
        )
        assert wanted <= set(shown["Wants"].split())
        assert wanted | {"time-sync.target"} <= set(shown["After"].split())
        for kind in ("Requires", "Requisite", "BindsTo", "PartOf"):
            assert not wanted & set(shown.get(kind, "").split()), kind
        assert shown["WantedBy"] == "multi-user.target"

    def test_it_has_its_time_to_start_and_its_whole_grace_to_stop(self, machine: Any) -> None:
        shown = machine.unit(self.unit, "TimeoutStartUSec", "TimeoutStopUSec", "ExecStop", "ExecStartPost")
        assert seconds(shown["TimeoutStartUSec"]) == self.ready_seconds + 120
        assert seconds(shown["TimeoutStopUSec"]) == self.stop_seconds + 30
        assert f"stop --time={self.stop_seconds} airflow-{self.name} " in shown["ExecStop"]
        assert f" await airflow-{self.name} {self.ready_seconds} " in shown["ExecStartPost"]

    # ---- the process -----------------------------------------------------------------------------------------

    def test_its_processes_are_nobody_on_the_host_and_can_become_nobody_else(self, machine: Any) -> None:
        lines = machine.run(f"docker container top airflow-{self.name} -eo uid,gid,pid,args").splitlines()[1:]
        assert {tuple(line.split()[:2]) for line in lines} == {("50000", "0")}
        assert [line for line in lines if self.works in line], lines
        status = machine.run(f"cat /proc/{main_process(machine, self.name)}/status")
        facts = {
            key: " ".join(value.split()) for key, _, value in (line.partition(":") for line in status.splitlines())
        }
        assert facts["Uid"] == "50000 50000 50000 50000"
        assert facts["NoNewPrivs"] == "1"
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(facts[capabilities], 16) == 0, capabilities

    def test_its_memory_and_processes_are_limited(self, machine: Any) -> None:
        limits = container(machine, self.name)["HostConfig"]
        # As much with swap as without: none.
        assert (limits["Memory"], limits["MemorySwap"]) == (self.memory_mib << 20, self.memory_mib << 20)
        assert limits["PidsLimit"] == self.processes
        # What the kernel holds it to, in either layout of control groups.
        groups = "cd /sys/fs/cgroup; cat {0} {1}/{2} 2>/dev/null"
        memory = self.inside(machine, groups.format("memory.max", "memory", "memory.limit_in_bytes")).stdout
        assert int(memory) == self.memory_mib << 20
        assert int(self.inside(machine, groups.format("pids.max", "pids", "pids.max")).stdout) == self.processes

    def test_it_listens_where_it_is_said_to(self, machine: Any) -> None:
        pids = set(machine.run(f"docker container top airflow-{self.name} -eo pid").split()[1:])
        lines = machine.run("ss --no-header --listening --numeric --tcp --udp --processes").splitlines()
        found = {line.split()[4] for line in lines if set(re.findall(r"pid=(\d+)", line)) & pids}
        assert found == set(self.listens)

    def test_systemd_is_its_only_master(self, machine: Any) -> None:
        settings = container(machine, self.name)["HostConfig"]
        assert settings["RestartPolicy"]["Name"] == "no"
        assert settings["NetworkMode"] == "host"
        assert settings["Privileged"] is False

    # ---- its files -------------------------------------------------------------------------------------------

    def test_it_can_write_its_own_directories_and_nothing_else(self, machine: Any) -> None:
        lines = machine.run(f"cat /proc/{main_process(machine, self.name)}/mounts").splitlines()
        mounts = {line.split()[1]: line.split()[3].split(",")[0] for line in lines}
        wanted = {
            "/": "ro", "/etc/freehold": "ro", "/tmp": "rw", "/opt/airflow": "rw", "/opt/airflow/logs": "rw",  # noqa: S108
            "/var/lib/airflow": "rw",
        }  # fmt: skip
        if self.dags_mount:
            wanted[self.dags_mount] = "ro"
        assert {place: mounts.get(place) for place in wanted} == wanted
        # The kernel's own places apart.
        writable = {
            place for place, how in mounts.items() if how == "rw" and not place.startswith(("/proc", "/dev", "/sys"))
        }
        assert writable == {place for place, how in wanted.items() if how == "rw"} | set(self.writes)
        tries = [f"touch {place}/molecule && rm {place}/molecule && echo {place}" for place in wanted]
        done = self.inside(machine, "; ".join(tries))
        assert set(done.stdout.split()) == {place for place, may in wanted.items() if may == "rw"}, done.stderr

    def test_what_it_keeps_is_on_the_host(self, machine: Any) -> None:
        sources = {mount["Destination"]: mount["Source"] for mount in container(machine, self.name)["Mounts"]}
        assert sources["/opt/airflow/logs"] == f"/var/log/airflow/{self.name}"
        assert sources["/var/lib/airflow"] == "/var/lib/airflow"
        assert (sources.get(self.dags_mount) == self.dags_mount) if self.dags_mount else "/srv/freehold" not in sources
        for directory in (sources["/opt/airflow/logs"], sources["/var/lib/airflow"]):
            assert machine.run("stat --format=%s %s", "%a %g", directory) == "775 0"

    # ---- its journal and its secrets -------------------------------------------------------------------------

    def test_its_log_is_in_the_journal_under_its_name_and_nowhere_else(self, machine: Any) -> None:
        assert container(machine, self.name)["HostConfig"]["LogConfig"]["Type"] == "none"
        assert machine.run(f"journalctl --boot --identifier=airflow-{self.name} --lines=1 --output=cat")
        machine.fails(f"docker container logs airflow-{self.name}")
        assert machine.unit(self.unit, "LogRateLimitIntervalUSec") == {"LogRateLimitIntervalUSec": "0"}

    def test_it_is_told_the_names_of_its_own_secrets_and_no_value_of_any(
        self, machine: Any, secret_values: dict[str, str]
    ) -> None:
        environment = dict(item.split("=", 1) for item in container(machine, self.name)["Config"]["Env"])
        assert {value for key, value in environment.items() if key.endswith("_SECRET")} == set(self.secrets)
        # All of it, or none.
        shown = machine.run(
            f"set -e; docker container inspect airflow-{self.name};"
            f" cat /etc/airflow/airflow-{self.name}.* /etc/systemd/system/{self.unit};"
            f" tr '\\0' '\\n' < /proc/{main_process(machine, self.name)}/environ;"
            f" journalctl --boot --no-pager --output=cat --unit={self.unit}"
        )
        assert not [name for name, value in secret_values.items() if value in shown]

    def test_its_settings_are_what_the_scenario_says(self, machine: Any) -> None:
        assert set(self.environment) <= set(container(machine, self.name)["Config"]["Env"])

    @pytest.mark.usefixtures("rebooted")
    def test_the_reboot_stopped_it_in_its_time_and_well(self, machine: Any) -> None:
        said = machine.run(f"journalctl --boot=-1 --no-pager --output=cat --unit={self.unit}")
        stop = said.rpartition(f"Stopping {self.unit}")[2]
        assert f"{self.unit}: Deactivated successfully" in stop and f"Stopped {self.unit}" in stop
        assert "timed out" not in stop and "SIGKILL" not in stop
