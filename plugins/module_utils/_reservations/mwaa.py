# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which Amazon MWAA environment does the same work as a fleet. Sizes only; prices come from the price list.

https://docs.aws.amazon.com/mwaa/latest/userguide/environment-class.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Tasks that one worker runs at the same time, from the smallest class to the largest.
TASKS = {"mw1.micro": 3, "mw1.small": 5, "mw1.medium": 10, "mw1.large": 20, "mw1.xlarge": 40, "mw1.2xlarge": 80}
# One container that does everything, and that never becomes two.
MICRO = "mw1.micro"
# An environment's price includes one worker and, since Airflow 2, the two schedulers and two web servers it never has
# less of: https://docs.aws.amazon.com/mwaa/latest/API/API_CreateEnvironment.html
_INCLUDED = {"worker": 1, "scheduler": 2, "webserver": 2}
_INCLUDED_IN_MICRO = {"worker": 1, "scheduler": 1, "webserver": 1}
_MOST_SCHEDULERS = 5
# The default of MWAA's quota, which can be raised.
_MOST_WORKERS = 25
# The worker role's own arithmetic: what the system needs, then one task for every 400 MiB.
_SYSTEM_MIB, _TASK_MIB = 512, 400


@dataclass(frozen=True)
class Sizing:
    """An environment; counts are all there are, not only those that cost extra."""

    environment_class: str
    workers: int
    schedulers: int
    webservers: int

    def extra(self) -> dict[str, int]:
        """What costs extra, beside what the environment's price includes."""
        included = _INCLUDED_IN_MICRO if self.environment_class == MICRO else _INCLUDED
        counts = {"worker": self.workers, "scheduler": self.schedulers, "webserver": self.webservers}
        return {part: max(0, count - included[part]) for part, count in counts.items()}


def tasks_at_once(workers: Iterable[tuple[int, int]]) -> int:
    """How many tasks worker hosts run at the same time; each is a count of hosts and the memory of one, in MiB."""
    return sum(count * max(1, (memory - _SYSTEM_MIB) // _TASK_MIB) for count, memory in workers)


def sizing(tasks: int, fleet: Mapping[str, int], given: Mapping[str, object]) -> Sizing:
    """The environment for so many tasks at once; what is C(given) (not empty, not 0) is taken as it is.

    Chosen is the smallest class that runs as many with the workers that MWAA's quota allows by default. Small classes
    do the same for less money, so that MWAA is made out too cheap rather than too dear; the smallest of all is left
    out, because it can't grow. Schedulers and web servers are as many as the fleet has hosts of, within what MWAA has.
    """
    wanted = str(given.get("class") or "")
    workers = int(str(given.get("workers") or 0))
    if not wanted:
        limit = workers or _MOST_WORKERS
        classes = [name for name in TASKS if name != MICRO]
        wanted = next((name for name in classes if TASKS[name] * limit >= tasks), classes[-1])
    if wanted == MICRO:
        return Sizing(wanted, 1, 1, 1)

    def count(key: str, duty: str) -> int:
        return int(str(given.get(key) or 0)) or min(_MOST_SCHEDULERS, max(_INCLUDED[duty], fleet.get(duty, 0)))

    return Sizing(
        wanted,
        workers or max(1, -(-tasks // TASKS[wanted])),
        count("schedulers", "scheduler"),
        count("webservers", "webserver"),
    )
