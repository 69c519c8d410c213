#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the matching of reservations: 10,000 instances against 1,000 reservations, and ten times less and more.

Writes ``docs/benchmarks-reservations.md``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks-reservations.md"
sys.path[:0] = [str(ROOT / "collections"), str(ROOT)]

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.matching import match  # noqa: E402
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import (  # noqa: E402
    Reservation,
    Usage,
)

from tests.bench_dags import machine  # noqa: E402

TYPES = ("t4g.medium", "t4g.large", "m7g.xlarge")


def seconds(instances: int) -> float:
    """The best of three matches of so many instances with a tenth as many reservations, every fourth of them zonal."""
    usages = [
        Usage(f"i-{number}", "ec2", TYPES[number % 3], "Linux/UNIX", zone="ab"[number % 2])
        for number in range(instances)
    ]
    reservations = [
        Reservation(f"r-{number}", "ec2", TYPES[number % 3], "Linux/UNIX", count=5, zone="" if number % 4 else "a")
        for number in range(instances // 10)
    ]
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        match(usages, reservations)
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    """Measure, and write the page."""
    times = {instances: seconds(instances) for instances in (1_000, 10_000, 100_000)}
    page = [
        "# Benchmarks of matching reservations",
        "",
        "Written by `make bench`. A fleet in one account, a tenth as many reservations of five instances each, every",
        "fourth of them zonal; the best of three.",
        "",
        f"{machine()}.",
        "",
        "| instances | reservations | seconds | times as long as a tenth |",
        "|---|---|---|---|",
        *(
            f"| {instances:,} | {instances // 10:,} | {took:.3f} |"
            + (f" {took / times[instances // 10]:.1f} |" if instances // 10 in times else " |")
            for instances, took in times.items()
        ),
        "",
    ]
    PAGE.write_text("\n".join(page), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
