#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the matching of reservations: 10,000 instances against 1,000 reservations, and ten times less and more."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "collections"))

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.matching import match
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import (
    Reservation,
    Usage,
)

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
    """Print the times and how they grow."""
    before = None
    for instances in (1_000, 10_000, 100_000):
        took = seconds(instances)
        growth = f", {took / before:.1f} times as long" if before else ""
        print(f"reservations: {instances} instances, {instances // 10} reservations: {took:.3f} s{growth}")
        before = took


if __name__ == "__main__":
    main()
