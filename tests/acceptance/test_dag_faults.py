# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens while DAGs are published, one whole release is current, and all of it is found out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from .conftest import ENDPOINT, Interruptible, lab_session, machines, until
from .releases import COMPONENTS, COPIES, SHARED, SLEEPER, Dags, assert_everywhere, pointer, shell


def test_two_at_once_leave_one_whole_release(dags: Dags, hosts: dict[str, Container], tmp_path: Path) -> None:
    one = dags.version("left")
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", str(dags.path), str(other)], check=True)
    two = dags.version("right")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(dags.sync, False)
        second = pool.submit(dags.sync, False, dags_repository=str(other), dags_report=str(tmp_path / "other.json"))
        outcomes = [first.result().returncode, second.result().returncode]
    # The one that was overtaken says so, because the proof then shows another release.
    assert 0 in outcomes
    assert pointer(hosts) in (one, two)
    dags.sync()
    assert pointer(hosts) == two
    dags.verify()


def test_a_publication_that_hangs_is_waited_for_so_long_and_no_longer(dags: Dags, hosts: dict[str, Container]) -> None:
    before = pointer(hosts)
    after = dags.version("behind another")
    hosts["lab-scheduler-1"].exec_run(["flock", f"{SHARED}/.lock", "sleep", "75"], detach=True)
    done = dags.sync(ok=False, dags_proof_seconds=20)
    assert done.returncode == 2
    assert "was still going on after 20 s (dags_proof_seconds)" in " ".join(done.output.split())
    assert pointer(hosts) == before
    dags.sync()
    assert pointer(hosts) == after


# The task that was the last to begin, how long after that, and whether the release is current then.
DEATHS = {
    "before anything": ("Reach the host", 0, {False}),
    "while it looks": ("Publish the DAGs of the commit", 0.5, {False}),
    "while DAGs are imported": ("Publish the DAGs of the commit", 3, {False}),
    "about when the pointer moves": ("Publish the DAGs of the commit", 6, {False, True}),
    "during the proof": ("Ask each container which DAGs it sees", 0.5, {True}),
    "while Airflow parses": ("Wait until Airflow has parsed the release", 0.5, {True}),
    "while old releases go": ("Remove releases that nobody needs", 0.5, {True}),
}


@pytest.mark.parametrize("moment", DEATHS)
def test_a_controller_that_dies_leaves_a_whole_release(dags: Dags, hosts: dict[str, Container], moment: str) -> None:
    task, seconds, moved = DEATHS[moment]
    before = pointer(hosts)
    after = dags.version(f"interrupted {moment}")
    run = Interruptible("ansible-playbook", "playbooks/dag-sync.yml", *dags.arguments())
    run.reach(task)
    time.sleep(seconds)
    run.end(signal.SIGKILL)
    current = pointer(hosts)
    assert current in {after if there else before for there in moved}
    dags.git("checkout", "--quiet", current)
    until("all hosts have it", lambda: all(current in shell(host, f"ls {COPIES}") for host in hosts.values()), 60)
    assert_everywhere(hosts, dags, current)
    dags.git("checkout", "--quiet", "main")
    dags.sync()
    assert pointer(hosts) == after
    assert_everywhere(hosts, dags, after)
    assert shell(hosts["lab-scheduler-1"], f"find {SHARED} -name '.incoming*'") == ""


def caught_up(dags: Dags, host: Container, release: str) -> None:
    """Wait until a host that was away has the release without anybody's help, and all is exact."""
    until("the host has caught up", lambda: release in shell(host, f"ls {COPIES}"), 120)
    until("all is exact", lambda: dags.verify(ok=False).returncode == 0, 180, every=5)


def test_a_silent_host_stops_nobody_and_catches_up(dags: Dags, hosts: dict[str, Container]) -> None:
    release = dags.version("while one was silent")
    away = hosts["lab-worker-2"]
    chains = ("INPUT", "OUTPUT")
    shell(away, "; ".join(f"iptables -I {chain} -j DROP" for chain in chains))
    try:
        done = dags.sync(ok=False)
        assert done.returncode != 0
        assert "lab-worker-2" in done.output and "did not answer" in done.output
        exact = {row["host"]: row["exact"] for row in dags.report()["containers"]}
        assert exact == {name: name != "lab-worker-2" for name in COMPONENTS}
        # Old releases go all the same, or a host that is away for weeks would fill the file system.
        assert dags.report()["parsed"]["parsed"] and dags.report()["retained"]["errors"] == []
    finally:
        shell(away, "; ".join(f"iptables -D {chain} -j DROP" for chain in chains))
    caught_up(dags, away, release)


def test_a_stopped_host_is_not_waited_for_and_catches_up(
    dags: Dags, hosts: dict[str, Container], engine: docker.DockerClient
) -> None:
    ec2 = lab_session().client("ec2", endpoint_url=ENDPOINT)
    mine = [{"Name": "tag:Name", "Values": ["lab-worker-2"]}, {"Name": "instance-state-name", "Values": ["running"]}]
    [launched] = ec2.describe_instances(Filters=mine)["Reservations"]  # type: ignore[arg-type]
    ids = [instance["InstanceId"] for instance in launched["Instances"]]
    often: Any = {"Delay": 1, "MaxAttempts": 120}
    ec2.stop_instances(InstanceIds=ids)
    ec2.get_waiter("instance_stopped").wait(InstanceIds=ids, WaiterConfig=often)
    try:
        release = dags.version("while one was stopped")
        done = dags.sync()
        assert "lab-worker-2" not in {row["host"] for row in dags.report()["containers"]}
        assert dags.report()["stopped"] == ["lab-worker-2"]
        assert "lab-worker-2 is stopped and was not asked" in done.output
    finally:
        ec2.start_instances(InstanceIds=ids)
        ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=often)
    caught_up(dags, machines(engine)["lab-worker-2"], release)


HARM = {
    "changed": "chmod u+w {0}/data.txt; echo harm >> {0}/data.txt",
    "extra": "echo harm > {0}/harm.py",
    "missing": "rm {0}/data.txt",
    "unreadable": "chmod 000 {0}/data.txt; chown root {0}/data.txt",
}


@pytest.mark.parametrize("kind", HARM)
def test_harm_to_a_copy_is_found_and_repaired(dags: Dags, hosts: dict[str, Container], kind: str) -> None:
    shell(hosts["lab-worker-1"], HARM[kind].format(f"{COPIES}/{pointer(hosts)}"))
    done = dags.verify(ok=False)
    assert done.returncode == 2
    [row] = [row for row in dags.report()["containers"] if not row["exact"]]
    assert (row["host"], row["component"]) == ("lab-worker-1", "worker")
    assert row["differs"][kind] == ["harm.py" if kind == "extra" else "data.txt"]
    dags.sync()
    dags.verify()


@pytest.mark.parametrize(
    "where", ["packs/*.tar.gz", 'releases/$(sed \'s/.*release": "\\([^"]*\\).*/\\1/\' current).json.gz']
)
def test_a_flipped_bit_on_the_shared_file_system_is_found_and_repaired(
    dags: Dags, hosts: dict[str, Container], where: str
) -> None:
    flip = f"""
        cd {SHARED}
        file=$(ls -t {where} | head -n 1)
        printf '\\377' | dd of="$file" bs=1 seek=40 conv=notrunc status=none
    """
    shell(hosts["lab-scheduler-1"], flip)
    done = dags.verify(ok=False)
    assert done.returncode == 2
    assert "the shared file system" in done.output
    dags.sync()
    assert pointer(hosts) == dags.git("rev-parse", "HEAD")
    dags.verify()


def test_a_file_that_belongs_to_no_release_is_found(dags: Dags, hosts: dict[str, Container]) -> None:
    shell(hosts["lab-scheduler-1"], f"touch {SHARED}/packs/stranger")
    done = dags.verify(ok=False)
    assert done.returncode == 2
    assert "packs/stranger belongs to no release" in done.output
    dags.sync()
    dags.verify()


def test_a_pointer_that_names_a_missing_release_takes_no_dag_away(dags: Dags, hosts: dict[str, Container]) -> None:
    good = shell(hosts["lab-scheduler-1"], f"cat {SHARED}/current")
    bad = json.dumps({**json.loads(good), "release": "0" * 40})
    shell(hosts["lab-scheduler-1"], f"echo '{bad}' > {SHARED}/current")
    try:
        assert dags.verify(ok=False).returncode == 2
        time.sleep(30)  # a few looks of the dag-processor
        assert dags.site.api("GET", "dags/sleeper")["is_stale"] is False
        name = dags.trigger()
        assert dags.ended(name)[0] == "success"
    finally:
        dags.sync()
    dags.verify()


def test_a_full_file_system_stops_the_publication_and_nothing_else(dags: Dags, hosts: dict[str, Container]) -> None:
    (dags.path / "big.bin").write_bytes(os.urandom(500_000))
    dags.commit()
    # What is there, on a file system with room for little more.
    full = f"""
        size=$(($(du -sk {SHARED} | cut -f1) + 200))
        mount -t tmpfs -o size=${{size}}k,mode=755 tmpfs /mnt
        cp -a {SHARED}/. /mnt
        mount --bind /mnt {SHARED}
        umount /mnt
    """
    look = f"cd {SHARED} && cat current && find . -type f ! -name .lock -exec sha256sum {{}} + | sort"
    before = shell(hosts["lab-scheduler-1"], look)
    shell(hosts["lab-scheduler-1"], full)
    try:
        assert shell(hosts["lab-scheduler-1"], look) == before
        done = dags.sync(ok=False)
        assert done.returncode == 2
        said = " ".join(done.output.split())
        assert "The command 'write' ended with status 1: freehold_airflow.publish: [Errno 28] No space left" in said
        assert shell(hosts["lab-scheduler-1"], look) == before
    finally:
        shell(hosts["lab-scheduler-1"], f"umount {SHARED}")
        (dags.path / "big.bin").unlink()
        dags.commit()
    dags.sync()


def test_a_file_system_that_goes_away_takes_no_dag_with_it(dags: Dags, hosts: dict[str, Container]) -> None:
    shell(hosts["lab-scheduler-1"], f"chmod 000 {SHARED}")
    try:
        time.sleep(30)  # a few looks of the dag-processor
        assert dags.site.api("GET", "dags/sleeper")["is_stale"] is False
        assert dags.ended(dags.trigger())[0] == "success"
        assert dags.verify(ok=False).returncode == 2
    finally:
        shell(hosts["lab-scheduler-1"], f"chmod 755 {SHARED}")
    release = dags.version("after it came back")
    dags.sync()
    assert pointer(hosts) == release


def test_what_runs_use_is_kept_and_the_rest_goes(dags: Dags, hosts: dict[str, Container]) -> None:
    used = dags.version("in use")
    dags.sync()
    name = dags.hold()
    releases = [dags.version(f"number {number}") for number in range(3)]
    for release in releases:
        dags.git("checkout", "--quiet", release)
        dags.sync(dags_keep=1)
    dags.git("checkout", "--quiet", "main")
    left = shell(hosts["lab-scheduler-1"], f"ls {SHARED}/releases").replace(".json.gz", "").split()
    # In use, the one before, the current one.
    assert set(left) == {used, *releases[1:]}
    dags.let_go(name)
    assert dags.ended(name) == ("success", used, {"in use"})


def test_a_dag_that_is_gone_is_deactivated_and_by_a_switch_deleted(dags: Dags) -> None:
    gone = SLEEPER.replace("sleeper", "short_lived")
    dags.commit(short_lived__py=gone)
    dags.sync()
    assert dags.site.api("GET", "dags/short_lived")["is_stale"] is False
    (dags.path / "short_lived.py").unlink()
    dags.commit()
    dags.sync()
    assert dags.site.api("GET", "dags/short_lived")["is_stale"] is True

    def known() -> set[str]:
        found = dags.site.api("GET", "dags?limit=500&exclude_stale=false")["dags"]
        return {dag["dag_id"] for dag in found}

    # Who only looks deletes nothing, whatever group_vars say.
    dags.verify(dags_delete_gone=True)
    assert {"sleeper", "short_lived"} <= known()
    said = " ".join(dags.sync(dags_delete_gone=True).output.split())
    assert "short_lived" in dags.report()["retained"]["deleted"]
    assert "Deleted DAGs that are gone, with their history (" in said
    assert "sleeper" in known() and "short_lived" not in known()


def test_no_task_ever_sees_two_commits(dags: Dags) -> None:
    runs: list[tuple[str, str]] = []
    for number in range(20):
        release = dags.version(f"sync {number}")
        dags.sync()
        # Each run was at work while the next release became current.
        for name, _ in runs[-1:]:
            dags.let_go(name)
        runs.append((dags.hold(), release))
    dags.let_go(runs[-1][0])
    seen = [dags.ended(name) for name, _ in runs]
    assert [state for state, _, _ in seen] == ["success"] * 20
    assert [release for _, release, _ in seen] == [release for _, release in runs]
    assert [versions for _, _, versions in seen] == [{f"sync {number}"} for number in range(20)]
