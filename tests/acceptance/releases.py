# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository of DAGs that is published in place of ours, and what each container shows of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from .conftest import Run, Site, run, until

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

# A DAG that shows which files it is made of: a module and a data file, read before and after a wait, in the last of
# the tries that its first task is told to need. A run that is held waits for an Airflow variable of its own name.
SLEEPER = """
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import Param, Variable, dag, task


@task(retries=1, retry_delay=timedelta(seconds=1), execution_timeout=timedelta(minutes=10))
def look(params: dict[str, int | bool], ti) -> list[str]:
    before = Path(__file__).with_name("data.txt").read_text()
    if ti.try_number > params["tries"]:
        raise RuntimeError("the try before failed, and was not told to")
    while params["held"] and Variable.get(ti.run_id, default=None) is None:
        time.sleep(1)
    if ti.try_number < params["tries"]:
        raise RuntimeError("once more")
    import part

    return [before, Path(__file__).with_name("data.txt").read_text(), part.VERSION]


@task
def look_later() -> list[str]:
    import part

    return [Path(__file__).with_name("data.txt").read_text(), part.VERSION]


@dag(schedule=None, params={"held": Param(False, type="boolean"), "tries": Param(1, type="integer")})
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

    def verify(self, ok: bool = True, **variables: Any) -> Run:
        return run("ansible-playbook", "playbooks/dag-verify.yml", *self.arguments(**variables), ok=ok)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.report_file.read_text())
        return found

    def trigger(self, tries: int = 1, held: bool = False) -> str:
        """Start a run of the sleeper, whose first task fails in all tries but the last, and waits in each if held."""
        self.site.api("PATCH", "dags/sleeper", {"is_paused": False})
        name, now = f"run-{uuid.uuid4()}", datetime.now(UTC).isoformat()
        body = {"dag_run_id": name, "logical_date": now, "conf": {"held": held, "tries": tries}}
        return str(self.site.api("POST", "dags/sleeper/dagRuns", body)["dag_run_id"])

    def hold(self, tries: int = 1) -> str:
        """Start a run and wait until its first task is at work, which ends no try before it is let go."""
        name = self.trigger(tries, held=True)
        until(f"the start of {name}", lambda: self.task_of(name)["state"] == "running", 60)
        return name

    def let_go(self, name: str) -> None:
        """Let a run that is held go on, which must be at work in its first try."""
        at_work = self.task_of(name)
        assert (at_work["state"], at_work["try_number"]) == ("running", 1)
        self.site.api("POST", "variables", {"key": name, "value": "go on"})

    def task_of(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.site.api("GET", f"dags/sleeper/dagRuns/{name}/taskInstances/look")
        return found

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
