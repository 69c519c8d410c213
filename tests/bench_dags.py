#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how long it takes until every container holds a commit, against the ways people do it today.

A benchmark, not a test: it judges nothing. Needs an environment in the lab (``make site``). Writes
``docs/benchmarks-dags.md`` and publishes this repository's own DAGs again at the end.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks-dags.md"
SIZES = (10, 1000, 10_000)
# The copy module takes a third of a second for each file, changed or not: larger trees would take an hour, and one row
# of each size says it all.
COPIED = 1000
PEER_NAMES = ("`synchronize` to EFS, s", "`synchronize` to every host, s", "`copy` to EFS, s")
PEERS = "/srv/freehold/peers"
COLUMNS = ("files", "changed", "proved, s", "target, s", "then parsed, s", "bytes sent", *PEER_NAMES)
# What is printed when every container has proved the release: that the play after the proof begins.
PROVED = f"PLAY [{yaml.safe_load((ROOT / 'playbooks' / 'dag_proof.yml').read_text())[1]['name']}]"
# Seconds to the proof, by files and what changed.
TARGETS = {(1000, "one"): "<= 10", (10_000, "one"): "<= 15"}

# Run where the dag-processor runs: processor seconds of a look at the pointer, as a share of the interval, in percent.
REFRESH = """
import time
from airflow.dag_processing.bundles.manager import DagBundlesManager
[bundle] = [one for one in DagBundlesManager().get_all_dag_bundles() if one.name == "dags"]
bundle.initialize()
begin = time.process_time()
for _ in range(200):
    bundle.refresh()
print((time.process_time() - begin) / 200 / bundle.refresh_interval * 100)
"""
DAG = """
from airflow.sdk import dag, task


@dag(schedule=None)
def bench_{number}():
    task(lambda: {version}, task_id="nothing")()


bench_{number}()
"""


def git(tree: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.com", "-c", "gc.auto=0"]
    subprocess.run(["git", "-C", str(tree), *identity, *arguments], check=True, capture_output=True)


def write(tree: Path, number: int, version: int) -> None:
    """Write one file of the tree; one in a hundred is a DAG, the others are what DAGs come with."""
    path = tree / "dags" / f"part_{number % 50}" / (f"dag_{number}.py" if number % 100 == 0 else f"query_{number}.sql")
    path.parent.mkdir(parents=True, exist_ok=True)
    filler = f"-- {number} {version}\n" + "select column_name from table_name where day = '2026-11-23';\n" * 10
    path.write_text(DAG.format(number=number, version=version) if path.suffix == ".py" else filler)


def commit(tree: Path) -> None:
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "bench")


def timed(command: list[str], until: str = "") -> float:
    """Return the seconds until a command ends, or until it prints a line that begins with ``until``."""
    print("$", *command[:3], flush=True)
    begin = time.monotonic()
    found = None
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            lines.append(line)
            if until and found is None and line.startswith(until):
                found = time.monotonic() - begin
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended {process.returncode}:\n{''.join(lines)[-4000:]}")
    if until and found is None:
        sys.exit(f"{' '.join(command)} never printed {until!r}")
    return time.monotonic() - begin if found is None else found


def sync(tree: Path, report: Path) -> tuple[float, dict[str, object]]:
    """Publish a tree; return the seconds until every container has proved it, and the report."""
    given = {"dags_repository": str(tree), "dags_report": str(report)}
    seconds = timed(["ansible-playbook", "playbooks/dag-sync.yml", "-e", json.dumps(given)], PROVED)
    found: dict[str, object] = json.loads(report.read_text())
    return seconds, found


def playbook(folder: Path, tasks: str, hosts: str = "scheduler[0]") -> list[str]:
    """A playbook with some tasks, which finds its hosts as ours do."""
    path = folder / "peer.yml"
    path.write_text(
        f"- import_playbook: {ROOT}/playbooks/find.yml\n- hosts: {hosts}\n  gather_facts: false\n  tasks:\n{tasks}"
    )
    return ["ansible-playbook", str(path)]


def peers(folder: Path, tree: Path, size: int) -> dict[str, Callable[[], float]]:
    """The other ways to bring a tree to where Airflow reads it, each as a function that returns seconds."""
    copy = f"    - copy: {{src: '{tree}/dags/', dest: '{PEERS}/copy/', mode: preserve}}\n"
    to_efs = (
        f"    - synchronize: {{src: '{tree}/dags/', dest: '{PEERS}/synchronize/', delete: true, archive: true,"
        " rsync_opts: ['--mkpath'], use_ssh_args: true, verify_host: true}\n"
    )
    everywhere = to_efs.replace(f"{PEERS}/synchronize", "/var/tmp/freehold-bench")  # noqa: S108  # a path on hosts
    found = {
        PEER_NAMES[0]: lambda: timed(playbook(folder, to_efs)),
        PEER_NAMES[1]: lambda: timed(playbook(folder, everywhere, "airflow")),
    }
    if size <= COPIED:
        found[PEER_NAMES[2]] = lambda: timed(playbook(folder, copy))
    return found


def measure(size: int, folder: Path) -> list[list[str]]:
    """The rows of one size of tree."""
    tree = folder / f"tree-{size}"
    tree.mkdir()
    git(tree, "init", "--quiet", "--initial-branch=main")
    for number in range(size):
        write(tree, number, 1)
    report = folder / "report.json"
    others = peers(folder, tree, size)

    def change(what: str, version: int) -> None:
        for number in {"all": range(size), "one": range(1, 2), "none": range(0)}[what]:
            write(tree, number, version)
        commit(tree)

    rows = []
    for version, what in enumerate(("all", "none", "one", "all"), start=1):
        change(what, version)
        seconds, found = sync(tree, report)
        parsed = found["parsed"]
        assert isinstance(parsed, dict)
        row = [f"{size}", "first" if version == 1 else what, f"{seconds:.1f}", TARGETS.get((size, what), "")]
        row += [f"{parsed['seconds']:.1f}", f"{found['sent_bytes']}"]
        measured = PEER_NAMES if what == "one" else PEER_NAMES[:2] if version > 1 else ()
        row += [f"{others[name]():.1f}" if name in measured and name in others else "" for name in PEER_NAMES]
        rows.append(row)
        print("|", " | ".join(row), "|", flush=True)
    shutil.rmtree(tree)
    return rows


def refresh_cost() -> float:
    """Return the share of a core in percent, that looking at the pointer costs while nothing changes."""
    command = ["docker", "ps", "--quiet", "--filter", "name=airflow-dag-processor"]
    listing = ["docker", "ps", "--format", "{{.Names}}", "--filter", "label=freehold.lab.kind=instance"]
    # No engine, no host: either way there is nothing to measure.
    for host in subprocess.run(listing, check=False, capture_output=True, text=True).stdout.split():
        inside = ["docker", "exec", host]
        if subprocess.run([*inside, *command], check=True, capture_output=True, text=True).stdout.strip():
            program = [*inside, "docker", "exec", "airflow-dag-processor", "python", "-c", REFRESH]
            done = subprocess.run(program, check=True, capture_output=True, text=True)
            return float(done.stdout.splitlines()[-1])
    sys.exit("no host of the lab runs a dag-processor: run make site")


def machine() -> str:
    """Return when and on what this was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GiB, {system}"


def main() -> None:
    """Measure, and write the page."""
    rows = []
    idle = refresh_cost()
    with tempfile.TemporaryDirectory(prefix="freehold-bench-") as folder:
        try:
            # Our hosts have no use for it, the peers do.
            timed(playbook(Path(folder), "    - apt: {name: rsync, install_recommends: false}\n", "airflow"))
            for size in SIZES:
                rows += measure(size, Path(folder))
        finally:
            timed(["ansible-playbook", "playbooks/dag-sync.yml"])
            timed(playbook(Path(folder), f"    - file: {{path: {PEERS}, state: absent}}\n"))
    page = [
        "# Benchmarks of DAG releases",
        "",
        "Written by `make bench`. Seconds from the start of the command until every container of all four hosts has",
        "proved the release; then until Airflow has parsed it. The others bring files only: nothing is checked, proved",
        "or atomic, and the copy module leaves deleted files behind. One file in a hundred is a DAG. Each release",
        "is of a commit of its own, also where that changed nothing: its DAGs are imported, and every host makes a",
        "copy of it.",
        "",
        f"{machine()}; all four hosts are containers on this one machine, so that their work adds up.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|" + "---|" * len(COLUMNS),
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"The dag-processor's look at the pointer every 5 seconds costs {idle:.2f} % of a core while nothing changes.",
        "",
    ]
    PAGE.write_text("\n".join(page), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
