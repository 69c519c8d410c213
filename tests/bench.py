#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what the project promises and write it down, with the machine it was measured on.

A benchmark, not a test: it judges nothing. From no lab at all to a green DAG run, the same again, and what the
components take. Writes ``docs/benchmarks.md``.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"


def timed(*command: str) -> tuple[float, str]:
    """Run ``command`` in the repository and return its wall time in seconds and what it printed."""
    print("$", *command, flush=True)
    begin = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment()
    )
    seconds = time.monotonic() - begin
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended {done.returncode}:\n{done.stdout[-4000:]}")
    return seconds, done.stdout


def environment() -> dict[str, str]:
    """Return the environment in which Ansible prints the time of every task."""
    return {**os.environ, "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks,ansible.posix.timer"}


def requests() -> list[dict[str, object]]:
    """Return the lab's log of AWS requests."""
    command = ["docker", "exec", "freehold-lab-api", "cat", "/state/requests.jsonl"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def memory() -> dict[str, int]:
    """Return the resident memory of each component's container on the lab's hosts, in MiB, by host and component."""
    listing = ["docker", "ps", "--filter", "label=freehold.lab.kind=instance", "--format", "{{.Names}}"]
    names = subprocess.run(listing, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    found: dict[str, int] = {}
    for name in sorted(names):
        command = ["docker", "exec", name, "docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"]
        lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        host = subprocess.run(
            ["docker", "exec", name, "hostname"], stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
        for line in lines:
            container, usage = line.split()[:2]
            number, unit = re.fullmatch(r"([\d.]+)(\w+)", usage).groups()  # type: ignore[union-attr]
            found[f"{host} {container}"] = round(float(number) * {"GiB": 1024, "MiB": 1, "KiB": 1 / 1024}[unit])
    return found


def tasks(output: str) -> int:
    """Return how many task results, over all hosts, Ansible's recap counts."""
    return sum(int(count) for count in re.findall(r"^\S+\s+: ok=(\d+)", output, flags=re.MULTILINE))


def main() -> None:
    """Measure, and write the page."""
    timed("make", "lab-down")
    timed("make", "setup")
    subprocess.run([sys.executable, "-m", "lab", "down", "--images"], cwd=ROOT, check=True)
    first, first_output = timed("make", "site")
    mark = len(requests())
    second, second_output = timed("make", "site")
    calls = requests()[mark:]
    writes = [call for call in calls if call["write"]]
    used = memory()
    results = tasks(second_output)
    rows = [
        ("no lab, no images, to a green DAG run (`make site`)", f"{first:.0f} s", "<= 480 s"),
        ("the same again", f"{second:.0f} s", "<= 1/4 of the first"),
        ("ratio of the two", f"{second / first:.2f}", "<= 0.25"),
        ("task results in the first and the second run", f"{tasks(first_output)}, {results}", ""),
        ("seconds per task result in the second run", f"{second / results:.2f}", ""),
        ("AWS calls of the second run: read, written", f"{len(calls) - len(writes)}, {len(writes)}", "any, 0"),
        ("memory of all components", f"{sum(used.values())} MiB", ""),
    ]
    machine = f"{os.cpu_count()} cores, {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    page = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Times of a shared machine vary by a fifth from run to run; ratios vary less.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {platform.system()} {platform.release()}, {platform.machine()}.",
        "",
        "| what | measured | target |",
        "|---|---|---|",
        *(f"| {what} | {figure} | {target} |" for what, figure, target in rows),
        "",
        "| component | MiB |",
        "|---|---|",
        *(f"| {name} | {size} |" for name, size in used.items()),
        "",
    ]
    PAGE.write_text("\n".join(page), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
