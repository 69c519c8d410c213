# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Share reservations out over what runs, as AWS's billing does, in normalized units.

Within a pool the smallest instances come first and the last one may be covered in part
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html#ri-instance-size-flexibility; of RDS and ElastiCache
AWS does not write down the order, and the same is taken). An account's reservations go to its own usage first, what is
left to the other accounts of the organization (same page, scenario 3).

Which of two equal instances gets a discount that is enough for one only, AWS does not say. Here the one of others does,
so that what is called covered is sure to be.

All of one region: reservations never reach beyond theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import Reservation, Usage
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.rules import (
    Pool,
    pool_of,
    pools_of,
    worth,
)


@dataclass
class Need:
    """Something that runs, and how much of it is not covered yet."""

    usage: Usage
    amount: int
    open: int


@dataclass
class Supply:
    """A reservation, and how much of it is not used yet."""

    reservation: Reservation
    amount: int
    open: int


@dataclass(frozen=True)
class Grant:
    """So many twentieths of a unit of a reservation go to something that runs."""

    need: Need
    supply: Supply
    amount: int


@dataclass
class Match:
    """Who got what. Amounts are twentieths of a unit."""

    needs: list[Need] = field(default_factory=list)
    supplies: list[Supply] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)


def match(usages: Iterable[Usage], reservations: Iterable[Reservation]) -> Match:
    """Share out reservations that are in force over everything that runs; the order of neither matters.

    Raises ValueError for an instance type that is none.
    """
    found = Match(
        needs=[Need(usage, worth(usage), worth(usage)) for usage in sorted(usages, key=_smallest_and_others_first)],
        supplies=[_supply(reservation) for reservation in sorted(reservations, key=_first_to_end)],
    )
    needs_of: dict[Pool, list[Need]] = defaultdict(list)
    for need in found.needs:
        for pool in pools_of(need.usage):
            needs_of[pool].append(need)
    supplies_of: dict[Pool, list[Supply]] = defaultdict(list)
    for supply in found.supplies:
        supplies_of[pool_of(supply.reservation)].append(supply)
    # Pools of one turn have nothing in common.
    for pool in sorted(supplies_of):
        if pool in needs_of:
            found.grants.extend(_share(supplies_of[pool], needs_of[pool]))
    return found


def near_ours(
    usages: Collection[Usage], reservations: Collection[Reservation]
) -> tuple[list[Usage], list[Reservation]]:
    """What can decide how much of ours is covered, and by which reservations: an account may hold far more than that.

    It is what draws on the same pools, what draws on a pool together with that, and so on.
    """
    by_pools: dict[tuple[Pool, ...], list[Usage]] = defaultdict(list)
    for usage in usages:
        by_pools[tuple(pools_of(usage))].append(usage)
    near = {pool for pools, drawing in by_pools.items() if any(usage.ours for usage in drawing) for pool in pools}
    known = -1
    while known != len(near):
        known = len(near)
        near |= {pool for pools in by_pools if near.intersection(pools) for pool in pools}
    return (
        [usage for pools, drawing in by_pools.items() if near.intersection(pools) for usage in drawing],
        [reservation for reservation in reservations if pool_of(reservation) in near],
    )


def _supply(reservation: Reservation) -> Supply:
    amount = worth(reservation) * reservation.count
    return Supply(reservation, amount, amount)


def _smallest_and_others_first(usage: Usage) -> tuple[int, bool, str, str, str, str, str]:
    # Names should tell things apart; where they don't, whatever may decide who gets what does.
    return worth(usage), usage.ours, usage.account, usage.name, usage.type, usage.product, usage.zone


def _first_to_end(reservation: Reservation) -> tuple[bool, float, str, str, str, str]:
    """AWS does not say which of two that fit it takes; this only decides which one is named."""
    end = reservation.end
    return (
        end is None,
        end.timestamp() if end else 0.0,
        reservation.id,
        reservation.type,
        reservation.zone,
        reservation.account,
    )


def _share(supplies: list[Supply], needs: list[Need]) -> list[Grant]:
    """Fill one pool's needs: each account's own reservations first, then whatever is left."""
    own_supplies: dict[str, list[Supply]] = defaultdict(list)
    for supply in supplies:
        own_supplies[supply.reservation.account].append(supply)
    own_needs: dict[str, list[Need]] = defaultdict(list)
    for need in needs:
        own_needs[need.usage.account].append(need)
    grants = [
        grant
        for account, own in own_supplies.items()
        if account in own_needs
        for grant in _pour(own, own_needs[account])
    ]
    return grants + _pour(supplies, needs)


def _pour(supplies: list[Supply], needs: list[Need]) -> list[Grant]:
    """One after the other, until either runs out: in the time of reading both lists once."""
    grants = []
    waiting = iter(need for need in needs if need.open)
    need = next(waiting, None)
    for supply in supplies:
        while need is not None and supply.open:
            amount = min(supply.open, need.open)
            supply.open -= amount
            need.open -= amount
            grants.append(Grant(need, supply, amount))
            if not need.open:
                need = next(waiting, None)
    return grants
