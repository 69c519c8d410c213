#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every test there is, one after the other, and write down how it went.

    tools/test_all.py PAGE STEP [STEP...]

A step is a target of the Makefile. All are run, whatever becomes of the ones before; the status is 1 when one failed.
``PAGE`` is written anew at the end, with the date, the machine and the commit.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = re.compile(r"^=*\s*((?:\d+ (?:passed|failed|error|errors|skipped|xfailed|xpassed|warnings?),? ?)+)in [\d.]+s")
COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)")


@dataclass
class Step:
    """How a step went."""

    name: str
    status: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """Take pytest's last line; of several runs the sum counts."""
        found = SUMMARY.match(line)
        if found:
            for number, what in COUNT.findall(found[1]):
                self.counts[what] = self.counts.get(what, 0) + int(number)

    @property
    def row(self) -> str:
        """The step's row of the table."""
        counts = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        verdict = "ended well" if self.status == 0 else f"**ended with {self.status}**"
        return f"| `make {self.name}` | {verdict} | {counts} | {self.seconds / 60:.1f} |"


def run(name: str) -> Step:
    """Run a target of the Makefile, showing what it prints."""
    step, begin = Step(name), time.monotonic()
    command = ["make", "--no-print-directory", name]
    with subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            step.add(line)
    step.status, step.seconds = process.returncode, time.monotonic() - begin
    return step


def page(steps: Iterable[Step], commit: str) -> str:
    """The page, in Markdown."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    lines = [
        "# All tests",
        "",
        f"Written by `make test-all` on {datetime.now(UTC):%Y-%m-%d} at {commit}, on {os.cpu_count()} cores,",
        f"{memory:.0f} GiB, {system}.",
        "",
        "| step | verdict | tests | minutes |",
        "|---|---|---|---|",
        *(step.row for step in steps),
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run as a program."""
    target, *names = arguments
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    steps = [run(name) for name in names]
    Path(target).write_text(page(steps, described.stdout.strip()), encoding="utf-8")
    print(Path(target).read_text(encoding="utf-8"))
    return int(any(step.status for step in steps))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
