# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with a kernel of its own: control groups of the second version, and the kernel's own NFS client."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

UNITS = ("srv-freehold.mount", "stunnel@efs.service", "docker.service", "airflow-worker.service")
MOUNT, TUNNEL, DOCKER, WORKER = UNITS
ROOT = "/srv/freehold"
# Where this test alone reads and writes.
PLACE = "molecule-vm"
FILES = 500
# The kernel's default for the attributes of files and directories, nfs(5): acregmax, acdirmax.
MOST_CACHED_SECONDS = 60
AWAY_SECONDS = 60
# What is measured, in which words, and how its number is written.
ROWS = [
    ("mount", "a mount through the tunnel, s", ".1f"),
    ("files", "files of 1,000 bytes written one after the other, per second", ".0f"),
    ("open", "a moved pointer is seen by who opens it after, s", ".1f"),
    ("look", "a moved pointer is seen by who only asks for its size after, s", ".1f"),
    ("new", "a new file is seen by who looked for it and found none after, s", ".1f"),
    ("longest", "server away for 60 s: longest time between two reads of a waiting reader, s", ".0f"),
    ("back", "and from its return to the next read, s", ".0f"),
]
PAGE = Path(__file__).parents[3] / "docs" / "benchmarks-nfs.md"


@pytest.fixture(scope="module")
def figures(pytestconfig: pytest.Config) -> Iterator[dict[str, float]]:
    """What was measured; printed at the end, and written to docs/ where FREEHOLD_WRITE_FIGURES is set."""
    measured: dict[str, float] = {}
    yield measured
    text = page(measured)
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{text}")
    if os.environ.get("FREEHOLD_WRITE_FIGURES") and {name for name, _, _ in ROWS} <= set(measured):
        PAGE.write_text(text)


@pytest.fixture(scope="module")
def place(machine: Any) -> Iterator[str]:
    """A directory on the file system, without what an interrupted verify left there."""
    machine.run(f"rm -rf {ROOT}/{PLACE} && mkdir {ROOT}/{PLACE}")
    yield f"{ROOT}/{PLACE}"
    machine.run(f"rm -rf {ROOT}/{PLACE}")


class Elsewhere:
    """Another client, as good as: what changes on the server behind this host's back."""

    def __init__(self, machine: Any, aws: Any) -> None:
        name = machine.run("sed -n 's/^connect = \\(fs-[0-9a-z]*\\).*/\\1/p' /etc/stunnel/efs.conf")
        (found,) = aws("efs").describe_file_systems(FileSystemId=name)["FileSystems"]
        self.container, self.root = f"freehold-lab-efs-{found['FileSystemId']}", f"/efs/{found['FileSystemId']}"

    def run(self, script: str) -> None:
        """Run a shell script in the directory of this test."""
        command = ["docker", "exec", self.container, "sh", "-ec", f"cd {self.root}/{PLACE}; {script}"]
        subprocess.run(command, check=True, capture_output=True)

    def point(self, to: str) -> None:
        """Move the pointer as releases are published: written beside, renamed over."""
        self.run(f"echo {to} > .pointer && mv .pointer pointer")


@pytest.fixture(scope="module")
def elsewhere(machine: Any, aws: Any, place: str) -> Elsewhere:
    return Elsewhere(machine, aws)


def options(machine: Any) -> dict[str, str]:
    """The options in force as the kernel shows them."""
    line = machine.run(f"grep ' {ROOT} ' /proc/mounts").split()
    return dict((*option.partition("=")[::2],) for option in line[3].split(","))


def seen_after(machine: Any, look: str, wanted: str, change: Callable[[], None]) -> float:
    """Seconds from a change elsewhere until a look at the file system, five times a second, shows what is wanted.

    By then the host has looked for so long that it keeps what it knows for as long as it ever does, as it is with a
    pointer that has stood for hours.
    """
    script = f"""
        end=$(($(date +%s) + {2 * MOST_CACHED_SECONDS}))
        while [ $(date +%s) -lt $end ]; do {look} >/dev/null 2>&1; sleep 0.2; done
        echo ready
        until [ "$({look} 2>/dev/null)" = "{wanted}" ]; do sleep 0.2; done
        echo seen
    """
    with machine.spoken(script) as lines:
        assert lines.readline() == "ready\n"
        change()
        began = time.monotonic()
        assert lines.readline() == "seen\n"
        return time.monotonic() - began


def test_it_is_a_machine_of_its_own(machine: Any) -> None:
    assert machine.run("systemd-detect-virt") == "amazon"
    assert machine.run("uname -r") != platform.release()
    assert "cloud-amd64" in machine.run("uname -r")
    assert machine.run("systemctl is-system-running") == "running"


def test_every_thing_of_the_roles_came_back_by_itself(machine: Any) -> None:
    for unit in UNITS:
        machine.until(f"{unit} is up", lambda unit=unit: machine.is_active(unit), 1800)


def test_chrony_runs_and_asks_the_time_service_of_aws(machine: Any) -> None:
    assert machine.is_active("chrony.service")
    assert "169.254.169.123" in machine.run("chronyc -n sources")
    # Nobody can ask or command it over the network.
    ports = {address.rpartition(":")[2] for address in machine.listening("udp")}
    assert not ports & {"123", "323"}


def test_containers_are_limited_by_control_groups_of_the_second_version(machine: Any) -> None:
    assert machine.run("stat --file-system --format=%s /sys/fs/cgroup", "%T") == "cgroup2fs"
    told = json.loads(machine.run("docker info --format %s", "{{json .}}"))
    assert (told["CgroupVersion"], told["CgroupDriver"]) == ("2", "systemd")
    (container,) = json.loads(machine.run("docker container inspect airflow-worker"))
    wanted = container["HostConfig"]["Memory"]
    assert wanted > 0
    group = f"/sys/fs/cgroup/system.slice/docker-{container['Id']}.scope"
    assert int(machine.run(f"cat {group}/memory.max")) == wanted
    # What the component itself sees.
    assert int(machine.run("docker exec airflow-worker cat /sys/fs/cgroup/memory.max")) == wanted


def test_the_kernels_own_client_mounts_with_the_options_of_the_unit(machine: Any) -> None:
    device, _, kind = machine.run(f"grep ' {ROOT} ' /proc/mounts").split()[:3]
    assert (device, kind) == ("127.0.0.1:/", "nfs4")
    found = options(machine)
    wanted = {
        "vers": "4.1", "rsize": "1048576", "wsize": "1048576", "hard": "", "timeo": "600", "retrans": "2",
        "noresvport": "", "port": "20049", "proto": "tcp",
    }  # fmt: skip
    assert {name: found.get(name) for name in wanted} == wanted


def test_it_was_mounted_at_boot(machine: Any) -> None:
    assert machine.unit(MOUNT, "UnitFileState") == {"UnitFileState": "enabled"}
    reached = machine.unit("multi-user.target", "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"]
    # The first time: it is made again where its tunnel was.
    said = machine.run(f"journalctl --boot --unit={MOUNT} --grep '^Mounted ' --output=json").splitlines()
    assert 0 < int(json.loads(said[0])["__MONOTONIC_TIMESTAMP"]) <= int(reached)


def test_a_mount_takes_seconds(machine: Any, figures: dict[str, float]) -> None:
    # Beside the one of the role, and with a connection of its own.
    machine.run("mkdir -p /run/molecule-vm")
    kept = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,port=20049,nosharecache"
    timed = machine.run(
        "sh -ec %s",
        f"begin=$(date +%s.%N); mount -t nfs4 -o {kept} 127.0.0.1:/ /run/molecule-vm; "
        "echo $begin $(date +%s.%N); umount /run/molecule-vm",
    )
    begin, end = timed.split()
    figures["mount"] = float(end) - float(begin)
    assert figures["mount"] < 30


def test_small_files_are_written_at_a_rate(machine: Any, place: str, figures: dict[str, float]) -> None:
    script = f"""
import os, time
os.makedirs("{place}/small", exist_ok=True)
begin = time.monotonic()
for number in range({FILES}):
    with open(f"{place}/small/{{number}}", "w") as file:
        file.write("x" * 1000)
print(time.monotonic() - begin)
"""
    figures["files"] = FILES / float(machine.run("timeout 300 python3 -c %s", script))
    assert machine.run(f"ls {place}/small | wc -l") == str(FILES)


def test_a_moved_pointer_is_seen(machine: Any, place: str, elsewhere: Elsewhere, figures: dict[str, float]) -> None:
    elsewhere.point("one")
    # Opening asks the server (close-to-open consistency).
    figures["open"] = seen_after(machine, f"cat {place}/pointer", "three", lambda: elsewhere.point("three"))
    # Looking does not: this size is what the host remembers.
    size = f"stat --format=%s {place}/pointer"
    figures["look"] = seen_after(machine, size, "7", lambda: elsewhere.point("eleven"))
    assert figures["open"] < 10
    assert figures["look"] < MOST_CACHED_SECONDS + 10


def test_a_file_that_was_missing_is_seen(
    machine: Any, place: str, elsewhere: Elsewhere, figures: dict[str, float]
) -> None:
    figures["new"] = seen_after(machine, f"cat {place}/new", "here", lambda: elsewhere.run("echo here > new"))
    assert figures["new"] < MOST_CACHED_SECONDS + 10


def test_readers_wait_for_a_server_that_is_away_and_get_no_error(
    machine: Any, place: str, closed: Any, figures: dict[str, float]
) -> None:
    machine.run(f"sh -c 'echo before > {place}/kept'")
    # Each opens the file anew, and so asks the server.
    read = f'if text=$(cat {place}/kept); then echo "$(date +%s.%N) $text"; else echo error; fi'
    machine.host.run("systemctl stop molecule-reader.service; rm --force /run/molecule-reader")
    unit = "systemd-run --quiet --collect --unit=molecule-reader --property=StandardOutput=file:/run/molecule-reader"
    # One file is open all the time, as of a component that runs, so that the mount stays where it is.
    machine.run(f"{unit} sh -c %s", f"exec 3<{place}/kept; while :; do {read}; sleep 1; done")
    try:
        machine.until("somebody reads", lambda: "before" in machine.run("cat /run/molecule-reader"))
        with closed("filesystem"):
            # The filter lets go on what is connected: that ends with its tunnel, and there is no new one.
            machine.run("kill -KILL %s", machine.unit(TUNNEL, "MainPID")["MainPID"])
            # The outage itself; there is nothing to wait for.
            time.sleep(AWAY_SECONDS)
            silent = machine.run("tail -n 1 /run/molecule-reader")
        began = time.monotonic()
        machine.until("it reads again", lambda: machine.run("tail -n 1 /run/molecule-reader") != silent, 300)
        figures["back"] = time.monotonic() - began
        lines = machine.run("cat /run/molecule-reader").splitlines()
        assert [line.split()[-1] for line in lines] == ["before"] * len(lines)
        times = [float(line.split()[0]) for line in lines]
        figures["longest"] = max(later - earlier for earlier, later in itertools.pairwise(times))
        assert figures["longest"] > AWAY_SECONDS / 2
    finally:
        machine.host.run("systemctl stop molecule-reader.service")
    assert machine.is_active(MOUNT)


def page(measured: dict[str, float]) -> str:
    """The figures as docs/benchmarks-nfs.md."""
    with Path("/proc/meminfo").open() as file:
        memory = int(re.findall(r"\d+", file.readline())[0]) // 2**20
    lines = [
        "# Benchmarks of the shared file system",
        "",
        "Written by `FREEHOLD_WRITE_FIGURES=1 molecule verify -s vm`. The kernel's NFS 4.1 client of Debian 13 in a",
        "virtual machine of the lab, through stunnel to nfs-ganesha on the same machine, with the mount options of the",
        "role `efs`. A look is made five times a second, by a host that has looked for two minutes before the change.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, "
        f"{platform.machine()}; the virtual machine's processors are emulated.",
        "",
        "| what | figure |",
        "|---|---|",
        *(f"| {words} | {measured[name]:{how}} |" for name, words, how in ROWS if name in measured),
        "",
    ]
    return "\n".join(lines)
