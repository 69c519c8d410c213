# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file of the commit is, exactly, in every container; whatever happens while it is brought there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from .conftest import ROOT, Run, Site, machines, run, until

COMPONENTS = {
    "lab-scheduler-1": ["scheduler", "dag-processor", "triggerer"],
    "lab-webserver-1": ["api-server"],
    "lab-worker-1": ["worker"],
    "lab-worker-2": ["worker"],
}
COPIES = "/var/lib/airflow/bundles/dags/versions"
SHARED = "/srv/freehold/dags"

# Says what a tree is made of, in a shell that has nothing but find and sha256sum.
LOOK = """
cd "$1" || exit
find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum -z | tr '\\0' '\\n'
find . -type l -printf 'link %p %l\\n' | LC_ALL=C sort
find . -type f -perm -u+x -printf 'executable %p\\n' | LC_ALL=C sort
"""

# A DAG that shows which files it is made of: a module and a data file, read before and after a wait.
SLEEPER = """
import time
from pathlib import Path

from airflow.sdk import Param, dag, task


@task
def look(params: dict[str, int]) -> list[str]:
    before = Path(__file__).with_name("data.txt").read_text()
    time.sleep(params["seconds"])
    import part

    return [before, Path(__file__).with_name("data.txt").read_text(), part.VERSION]


@task
def look_later(params: dict[str, int]) -> list[str]:
    import part

    return [Path(__file__).with_name("data.txt").read_text(), part.VERSION]


@dag(schedule=None, params={"seconds": Param(0, type="integer")})
def sleeper():
    look() >> look_later()


sleeper()
"""


class Dags:
    """A repository of DAGs that is published in place of ours."""

    def __init__(self, path: Path, site: Site) -> None:
        self.path, self.site = path, site
        self.report_file = path.parent / "report.json"
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        command = ["git", "-C", str(self.path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, **files: str) -> str:
        """Write files (``__`` in a name stands for a dot) and commit everything."""
        for name, content in files.items():
            (self.path / name.replace("__", ".")).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A change")
        return self.git("rev-parse", "HEAD")

    def version(self, version: str) -> str:
        """Commit the sleeper as ``version``."""
        return self.commit(sleeper__py=SLEEPER, part__py=f"VERSION = {version!r}\n", data__txt=version)

    def arguments(self, **variables: Any) -> list[str]:
        given = {
            "dags_repository": str(self.path),
            "dags_folder": ".",
            "dags_report": str(self.report_file),
            **variables,
        }
        return ["-e", json.dumps(given)]

    def sync(self, ok: bool = True, **variables: Any) -> Run:
        return run("ansible-playbook", "playbooks/dag-sync.yml", *self.arguments(**variables), ok=ok)

    def verify(self, ok: bool = True) -> Run:
        return run("ansible-playbook", "playbooks/dag-verify.yml", *self.arguments(), ok=ok)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.report_file.read_text())
        return found

    def trigger(self, seconds: int = 0) -> str:
        self.site.api("PATCH", "dags/sleeper", {"is_paused": False})
        body = {"logical_date": datetime.now(UTC).isoformat(), "conf": {"seconds": seconds}}
        return str(self.site.api("POST", "dags/sleeper/dagRuns", body)["dag_run_id"])

    def run_of(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.site.api("GET", f"dags/sleeper/dagRuns/{name}")
        return found

    def ended(self, name: str, seconds: float = 240) -> tuple[str, str, set[str]]:
        """Wait for a run; return its state, its release, and every version that its tasks saw."""
        until(f"the end of {name}", lambda: self.run_of(name)["state"] in ("success", "failed"), seconds, every=2)
        found = self.run_of(name)
        seen = set()
        for task in ("look", "look_later"):
            path = f"dags/sleeper/dagRuns/{name}/taskInstances/{task}/xcomEntries/return_value"
            value = self.site.api("GET", path)["value"]
            seen |= set(json.loads(value) if isinstance(value, str) else value)
        return found["state"], found["bundle_version"], seen


@pytest.fixture(scope="module")
def hosts(site: Site, engine: docker.DockerClient) -> dict[str, Container]:
    """The machines of the environment by their names."""
    found = machines(engine)
    assert set(found) == set(COMPONENTS)
    return found


@pytest.fixture(scope="module")
def dags(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dags]:
    """A repository whose first version is published, for the length of this module."""
    made = Dags(tmp_path_factory.mktemp("dags") / "clone", site)
    made.version("one")
    made.sync()
    yield made
    run("ansible-playbook", "playbooks/dag-sync.yml")


def inside(host: Container, component: str, *command: str) -> str:
    """Run a command in a component's container and return what it printed."""
    code, output = host.exec_run(["docker", "exec", f"airflow-{component}", *command])
    assert code == 0, output
    assert isinstance(output, bytes)
    return output.decode()


def shell(host: Container, script: str) -> str:
    """Run a script as root on a machine."""
    code, output = host.exec_run(["sh", "-ec", script])
    assert code == 0, output
    assert isinstance(output, bytes)
    return output.decode()


def expected(folder: Path) -> list[str]:
    """What LOOK prints for a folder, by other means."""
    paths = [path for path in folder.rglob("*") if ".git" not in path.relative_to(folder).parts]
    files = sorted((path for path in paths if path.is_file() and not path.is_symlink()), key=lambda p: os.fsencode(p))
    links = sorted((path for path in paths if path.is_symlink()), key=lambda p: os.fsencode(p))
    return [
        *(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(folder)}" for path in files),
        *(f"link ./{path.relative_to(folder)} {path.readlink()}" for path in links),
        *(
            f"executable ./{path.relative_to(folder)}"
            for path in files
            if os.access(path, os.X_OK) and _executable(path)
        ),
    ]


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def assert_everywhere(hosts: dict[str, Container], dags: Dags, release: str) -> None:
    """Compare what each container sees with the work tree, without any of our own code."""
    wanted = expected(dags.path)
    for name, components in COMPONENTS.items():
        for component in components:
            seen = inside(hosts[name], component, "sh", "-c", LOOK, "look", f"{COPIES}/{release}")
            assert seen.splitlines() == wanted, f"{name} {component}"


def pointer(hosts: dict[str, Container]) -> str:
    return str(json.loads(shell(hosts["lab-scheduler-1"], f"cat {SHARED}/current"))["release"])


def started(hosts: dict[str, Container]) -> dict[str, str]:
    """When each container was started."""
    form = "{{.Name}} {{.State.StartedAt}}"
    return {name: shell(host, f"docker inspect --format '{form}' $(docker ps -q)") for name, host in hosts.items()}


def test_every_kind_of_file_is_in_every_container_and_none_restarted(dags: Dags, hosts: dict[str, Container]) -> None:
    before = started(hosts)
    folder = dags.path / "with space" / "ä ☃"
    folder.mkdir(parents=True)
    (folder / "query.sql").write_text("select 1;\n")
    (dags.path / "empty").touch()
    (dags.path / ".airflowignore").write_text("drafts/\n")
    (dags.path / "drafts").mkdir()
    (dags.path / "drafts" / "broken.py").write_text("from airflow import not yet\n")
    (dags.path / "binary.bin").write_bytes(bytes(range(256)) * 100)
    (dags.path / "run.sh").write_text("#!/bin/sh\n")
    (dags.path / "run.sh").chmod(0o755)
    (dags.path / "link.sql").symlink_to("with space/ä ☃/query.sql")
    (dags.path / ".gitattributes").write_text("empty export-ignore\n*.sql text eol=crlf\n")
    (dags.path / ".gitignore").write_text("*.log\n")
    release = dags.commit()
    (dags.path / "noise.log").write_text("ignored")
    dags.sync()
    (dags.path / "noise.log").unlink()
    assert_everywhere(hosts, dags, release)
    report = dags.report()
    assert report["exact"] and report["release"] == release
    assert len(report["containers"]) == 6
    assert started(hosts) == before


@pytest.mark.parametrize("edit", ["same size", "mode", "rename", "remove"])
def test_changes_that_others_miss_arrive(dags: Dags, hosts: dict[str, Container], edit: str) -> None:
    data = dags.path / "data.txt"
    status = data.stat()
    if edit == "same size":
        data.write_text("two")
        os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
        dags.git("rm", "--quiet", "--cached", "data.txt")
    elif edit == "mode":
        (dags.path / "run.sh").chmod(0o644)
    elif edit == "rename":
        (dags.path / "binary.bin").rename(dags.path / "other.bin")
    else:
        (dags.path / "other.bin").unlink()
    release = dags.commit()
    dags.sync()
    assert_everywhere(hosts, dags, release)


def test_publishing_what_is_published_changes_nothing(dags: Dags, hosts: dict[str, Container]) -> None:
    look = f"find {SHARED} -printf '%p %T@ %i\\n' | sort"
    before = shell(hosts["lab-scheduler-1"], look)
    done = dags.sync()
    assert {host: figures["changed"] for host, figures in done.recap().items() if figures["changed"]} == {}
    assert shell(hosts["lab-scheduler-1"], look) == before


def test_check_mode_tells_and_does_nothing(dags: Dags, hosts: dict[str, Container]) -> None:
    before = pointer(hosts)
    (dags.path / "added.txt").touch()
    release = dags.commit()
    done = run("ansible-playbook", "playbooks/dag-sync.yml", *dags.arguments(), "--check", "--diff")
    assert "+ added.txt" in done.output
    assert pointer(hosts) == before
    assert release not in shell(hosts["lab-scheduler-1"], f"ls {COPIES} {SHARED}/releases")
    dags.sync()


def test_a_run_keeps_the_release_it_began_with_and_the_next_takes_the_new_one(dags: Dags) -> None:
    old = dags.version("old")
    dags.sync()
    first = dags.trigger(seconds=60)
    until("its start", lambda: dags.run_of(first)["state"] == "running", 60)
    new = dags.version("new")
    dags.sync()
    second = dags.trigger()
    assert dags.ended(second) == ("success", new, {"new"})
    assert dags.ended(first) == ("success", old, {"old"})


BROKEN = {
    "a syntax error": ("broken.py", "x = 1\nfrom airflow import (\n", "broken.py:2"),
    "an import error": ("broken.py", "\nimport no_such_module_anywhere\n", "broken.py:2"),
    "a DAG id that is there twice": ("twin.py", SLEEPER, "sleeper"),
    "an import that hangs": ("hangs.py", "import time\nfrom airflow.sdk import dag\ntime.sleep(600)\n", "hangs.py"),
    "a link that leads outside": ("outside", "../../etc/passwd", "points outside the tree"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_airflow_cannot_use_is_not_published(dags: Dags, hosts: dict[str, Container], case: str) -> None:
    name, content, said = BROKEN[case]
    before = shell(hosts["lab-scheduler-1"], f"find {SHARED} {COPIES} -maxdepth 2 | sort")
    path = dags.path / name
    path.symlink_to(content) if name == "outside" else path.write_text(content)
    dags.commit()
    try:
        done = dags.sync(ok=False, dags_import_seconds=5)
        assert done.returncode == 2
        assert said in done.output
        assert shell(hosts["lab-scheduler-1"], f"find {SHARED} {COPIES} -maxdepth 2 | sort") == before
    finally:
        path.unlink()
        dags.commit()


def test_uncommitted_changes_are_refused_and_named(dags: Dags) -> None:
    (dags.path / "data.txt").write_text("not committed")
    done = dags.sync(ok=False)
    assert done.returncode == 2
    assert "data.txt" in done.output and "dags_allow_dirty" in done.output
    dags.sync(dags_allow_dirty=True)
    assert "-dirty-" in dags.report()["release"]
    dags.git("checkout", "--", "data.txt")


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


@pytest.mark.parametrize("seconds", [4, 6, 8, 10, 12])
def test_a_controller_that_dies_leaves_a_whole_release(dags: Dags, hosts: dict[str, Container], seconds: int) -> None:
    before = pointer(hosts)
    after = dags.version(f"interrupted after {seconds}")
    command = ["ansible-playbook", "playbooks/dag-sync.yml", *dags.arguments()]
    environment = {**os.environ, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert pointer(hosts) in (before, after)
    dags.sync()
    assert pointer(hosts) == after
    assert_everywhere(hosts, dags, after)
    assert shell(hosts["lab-scheduler-1"], f"find {SHARED} -name '.incoming*'") == ""


def test_a_silent_host_stops_nobody_and_catches_up(dags: Dags, hosts: dict[str, Container]) -> None:
    release = dags.version("while one was away")
    away = hosts["lab-worker-2"]
    away.pause()
    try:
        done = dags.sync(ok=False)
        assert done.returncode != 0
        assert "lab-worker-2" in done.output and "did not answer" in done.output
        exact = {row["host"]: row["exact"] for row in dags.report()["containers"]}
        assert exact == {name: name != "lab-worker-2" for name in COMPONENTS}
    finally:
        away.unpause()
    until("the host has caught up", lambda: release in shell(away, f"ls {COPIES}"), 60)
    until("all is exact", lambda: dags.verify(ok=False).returncode == 0, 90, every=5)


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


def test_rolling_back_and_back_again(dags: Dags, hosts: dict[str, Container]) -> None:
    old = dags.version("before")
    dags.sync()
    new = dags.version("after")
    dags.sync()
    run("ansible-playbook", "playbooks/dag-rollback.yml")
    assert pointer(hosts) == old
    assert dags.ended(dags.trigger())[1:] == (old, {"before"})
    run("ansible-playbook", "playbooks/dag-rollback.yml", "-e", f"dags_rollback_to={new}")
    assert pointer(hosts) == new
    refused = run("ansible-playbook", "playbooks/dag-rollback.yml", "-e", "dags_rollback_to=nothing", ok=False)
    assert refused.returncode == 2
    assert "dags_rollback_to (nothing)" in refused.output and new in refused.output
    assert pointer(hosts) == new


def test_what_runs_use_is_kept_and_the_rest_goes(dags: Dags, hosts: dict[str, Container]) -> None:
    used = dags.version("in use")
    dags.sync()
    name = dags.trigger(seconds=100)
    until("its start", lambda: dags.run_of(name)["state"] == "running", 60)
    releases = [dags.version(f"number {number}") for number in range(3)]
    for release in releases:
        dags.git("checkout", "--quiet", release)
        dags.sync(dags_keep=1)
    dags.git("checkout", "--quiet", "main")
    left = shell(hosts["lab-scheduler-1"], f"ls {SHARED}/releases").replace(".json.gz", "").split()
    # In use, the one before, the current one.
    assert set(left) == {used, *releases[1:]}
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
    dags.sync(dags_delete_gone=True)
    known = {dag["dag_id"] for dag in dags.site.api("GET", "dags?limit=500&exclude_stale=false")["dags"]}
    assert "sleeper" in known and "short_lived" not in known


def test_no_task_ever_sees_two_commits(dags: Dags) -> None:
    runs: list[tuple[str, str]] = []
    for number in range(20):
        version = f"sync {number}"
        release = dags.version(version)
        dags.sync()
        runs.append((dags.trigger(seconds=7), release))
    seen = [dags.ended(name) for name, _ in runs]
    assert [state for state, _, _ in seen] == ["success"] * 20
    assert [release for _, release, _ in seen] == [release for _, release in runs]
    assert [versions for _, _, versions in seen] == [{f"sync {number}"} for number in range(20)]
