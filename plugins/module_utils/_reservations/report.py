# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a match means for a fleet: coverage, waste, gap, what ends soon and what is left then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.gap import closing, rests
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.matching import Match, match
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import Reservation, Usage
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.rules import is_flexible, pool_of, worth
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.units import (
    split_type,
    twentieths,
    units,
)


def coverage_report(
    usages: Collection[Usage], reservations: Collection[Reservation], now: datetime, days: int
) -> dict[str, Any]:
    """The state of affairs as plain data.

    ``fleet`` has one entry for everything of ours, ``families`` sums them where reservations can be shared,
    ``services`` sums those; units of different services are never added up. ``reservations`` has one entry for each,
    with what it gives and to whom; ``later`` is ``services`` in so many days, when what ends until then is gone and
    what is pending and begins until then has been paid.

    ``paid`` is ``services`` as if all that is bought, whatever its date, were paid and in force. What is open even then
    is the gap: ``closing`` are reservations that would close it, ``rests`` what they leave because it is less than one
    of the smallest that is open, and ``closed`` is ``services`` with all of them: less where others take a part.
    """
    later = now + timedelta(days=days)
    active = [item for item in reservations if item.standing(now) == "active"]
    found = match(usages, active)
    bought = match(usages, [item for item in reservations if item.standing(now) != "ended"])
    wanted = closing(bought)
    then = match(usages, [item for item in reservations if item.counts_at(later)])
    closed = match(usages, [*(supply.reservation for supply in bought.supplies), *wanted])
    fleet = _fleet(found)
    return {
        "at": now.isoformat(),
        "days": days,
        "fleet": fleet,
        "families": _sums(fleet, ("service", "family", "product", "tenancy", "flexible")),
        "services": _sums(fleet, ("service",)),
        "reservations": _reservations(found, bought, reservations, now, later),
        "later": _sums(_fleet(then), ("service",)),
        "paid": _sums(_fleet(bought), ("service",)),
        "closing": [_wanted(item, bought) for item in wanted],
        "rests": [_rest(one, amount) for one, amount in rests(bought)],
        "closed": _sums(_fleet(closed), ("service",)),
    }


def percent(covered: float, wanted: float) -> float:
    """Share in percent, cut off and never rounded up: 100 means all of it."""
    return int(covered * 1000 // wanted) / 10 if wanted else 100.0


def _fleet(found: Match) -> list[dict[str, Any]]:
    sources: dict[int, set[str]] = defaultdict(set)
    for grant in found.grants:
        sources[id(grant.need)].add(grant.supply.reservation.id)
    fleet = []
    for need in found.needs:
        usage = need.usage
        if usage.ours:
            fleet.append(
                {
                    "name": usage.name,
                    "service": usage.service,
                    "type": usage.type,
                    "family": split_type(usage.type)[0],
                    "product": usage.product,
                    "zone": usage.zone,
                    "tenancy": usage.tenancy,
                    "copies": usage.copies,
                    "flexible": is_flexible(usage.service, usage.type, usage.product, usage.tenancy),
                    "units": units(need.amount),
                    "covered": units(need.amount - need.open),
                    "open": units(need.open),
                    "percent": percent(need.amount - need.open, need.amount),
                    "reservations": sorted(sources[id(need)]),
                }
            )
    return sorted(fleet, key=lambda item: (item["service"], item["name"]))


def _wanted(item: Reservation, bought: Match) -> dict[str, Any]:
    """One that would close the gap, and how many units of what is owned and fits the same others use."""
    theirs = sum(
        grant.amount
        for grant in bought.grants
        if not grant.need.usage.ours and pool_of(grant.supply.reservation) == pool_of(item)
    )
    return {
        "service": item.service,
        "type": item.type,
        "product": item.product,
        "tenancy": item.tenancy,
        "multi_az": item.copies > 1,
        "count": item.count,
        "units": units(worth(item) * item.count),
        "used_by_others": units(theirs),
    }


def _rest(one: Reservation, amount: int) -> dict[str, Any]:
    return {"service": one.service, "type": one.type, "product": one.product, "units": units(amount)}


def _sums(fleet: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for item in fleet:
        groups[tuple(item[key] for key in keys)].append(item)
    return [
        {
            **dict(zip(keys, group, strict=True)),
            "count": len(items),
            **_total(items),
        }
        for group, items in sorted(groups.items())
    ]


def _total(items: list[dict[str, Any]]) -> dict[str, float]:
    # Sums of twentieths are exact, sums of floats are not.
    amounts = {key: sum(round(item[key] * 20) for item in items) for key in ("units", "covered", "open")}
    shown = {key: units(amount) for key, amount in amounts.items()}
    return {**shown, "percent": percent(amounts["covered"], amounts["units"])}


def _reservations(
    found: Match, bought: Match, reservations: Collection[Reservation], now: datetime, later: datetime
) -> list[dict[str, Any]]:
    ours, then = _used_by_us(found), _used_by_us(bought)
    shares = [
        (supply.reservation, supply.amount, supply.open, ours[id(supply.reservation)]) for supply in found.supplies
    ]
    shares += [(item, 0, 0, 0) for item in reservations if item.standing(now) != "active"]
    listed = []
    for item, brings, unused, used_by_us in shares:
        standing = item.standing(now)
        listed.append(
            {
                "id": item.id,
                "service": item.service,
                "type": item.type,
                "product": item.product,
                "zone": item.zone,
                "tenancy": item.tenancy,
                "copies": item.copies,
                "count": item.count,
                "state": item.state,
                "standing": standing,
                "start": item.start.isoformat() if item.start else "",
                "end": item.end.isoformat() if item.end else "",
                "days_left": (item.end - now).days if item.end and standing == "active" else None,
                "ends_soon": bool(standing == "active" and item.end and item.end <= later),
                "normalized": twentieths(item.type) is not None,
                "units": units(brings),
                "used": units(brings - unused),
                "used_by_us": units(used_by_us),
                "used_by_us_when_paid": units(then[id(item)]),
                "unused": units(unused),
            }
        )
    return sorted(listed, key=lambda entry: (entry["service"], entry["standing"], entry["end"], entry["id"]))


def _used_by_us(found: Match) -> dict[int, int]:
    """How much of each reservation ours uses, by the reservation's identity: equal ones are different purchases."""
    used: dict[int, int] = defaultdict(int)
    for grant in found.grants:
        if grant.need.usage.ours:
            used[id(grant.supply.reservation)] += grant.amount
    return used
