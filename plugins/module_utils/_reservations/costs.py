# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a fleet costs by the hour and over three years: on demand, as it is covered, and with a purchase.

An hour costs the price on demand of whatever is open, in proportion to its units, and our share of the reservations
that are owned, with what was paid for them at the start spread over their term. What is bought now is paid in full,
whoever uses it. Amounts are exact until they are shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.matching import Match, match
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import Price, Reservation, Usage
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.prices import MONTH_HOURS

MONTHS = 36
# The state that gap.closing gives to what is not owned yet.
WANTED = "wanted"

Tariff = Mapping[tuple[str, str, str, int], Decimal]


@dataclass(frozen=True)
class Rate:
    """What an hour costs: on demand, and our share of what is owned."""

    open: Decimal
    reserved: Decimal

    @property
    def total(self) -> Decimal:
        return self.open + self.reserved


@dataclass(frozen=True)
class Bought:
    """One kind of reservation that would be bought, and what one of it costs."""

    reservation: Reservation
    price: Price

    @property
    def upfront(self) -> Decimal:
        return self.price.upfront * self.reservation.count

    @property
    def hourly(self) -> Decimal:
        return self.price.hourly * self.reservation.count

    @property
    def amortised(self) -> Decimal:
        return self.price.amortised * self.reservation.count


def tariff_key(usage: Usage) -> tuple[str, str, str, int]:
    """What has one price on demand."""
    return usage.service, usage.type, usage.product, usage.copies


def on_demand(usages: Collection[Usage], tariff: Tariff) -> Decimal:
    """What an hour of ours costs without any reservation. Raises KeyError for what has no price."""
    return sum((tariff[tariff_key(usage)] for usage in usages if usage.ours), Decimal(0))


def rate(found: Match, tariff: Tariff) -> Rate:
    """What an hour of ours costs under a match, without what is only wanted.

    Raises KeyError for what has no price on demand, ValueError for a reservation that we use and that has none.
    """
    still = sum(
        (tariff[tariff_key(need.usage)] * need.open / need.amount for need in found.needs if need.usage.ours),
        Decimal(0),
    )
    reserved = Decimal(0)
    for grant in found.grants:
        reservation = grant.supply.reservation
        if not grant.need.usage.ours or reservation.state == WANTED:
            continue
        if reservation.price is None:
            raise ValueError(reservation.id)
        reserved += reservation.price.amortised * reservation.count * grant.amount / grant.supply.amount
    return Rate(still, reserved)


def course(
    usages: Collection[Usage],
    reservations: Collection[Reservation],
    now: datetime,
    tariff: Tariff,
    wanted: Sequence[Reservation] = (),
) -> list[Decimal]:
    """What has been paid after each of the months, from none to all of them, without the price of what is wanted.

    A reservation that ends is not renewed: its part is billed on demand from that second. One that is queued, or being
    paid, counts from its beginning.
    """
    paid = [Decimal(0)] * (MONTHS + 1)
    for begin, until, active in _spans(reservations, now):
        hourly = rate(match(usages, [*active, *wanted]), tariff).total
        for month in range(1, MONTHS + 1):
            seconds = (min(until, now + _months(month)) - begin).total_seconds()
            if seconds > 0:
                paid[month] += hourly * Decimal(seconds) / 3600
    return paid


def used(usages: Collection[Usage], reservations: Collection[Reservation], now: datetime) -> set[str]:
    """The ids of the reservations of which we use a part in any of the months."""
    return {
        grant.supply.reservation.id
        for _begin, _until, active in _spans(reservations, now)
        for grant in match(usages, active).grants
        if grant.need.usage.ours
    }


def _spans(
    reservations: Collection[Reservation], now: datetime
) -> Iterator[tuple[datetime, datetime, list[Reservation]]]:
    """The times of all months in which the same reservations are in force, and those."""
    end = now + _months(MONTHS)
    changes = {moment for item in reservations for moment in (item.start, item.end) if moment and now < moment < end}
    for begin, until in pairwise(sorted({now, end, *changes})):
        yield begin, until, [item for item in reservations if item.counts_at(begin)]


def purchase_course(bought: Sequence[Bought], years: int) -> list[Decimal]:
    """What has been paid for a purchase after each month; it is made again at the same price when its term is over."""
    upfront = sum((item.upfront for item in bought), Decimal(0))
    monthly = sum((item.hourly for item in bought), Decimal(0)) * MONTH_HOURS
    term = years * 12
    return [upfront * max(1, -(-month // term)) + monthly * month for month in range(MONTHS + 1)]


def break_even(without: Sequence[Decimal], with_it: Sequence[Decimal], months: int) -> int | None:
    """The month by whose end a purchase has paid for itself, to the end of its term; none where it has not by then.

    Nought for one that costs nothing at the start, saves from the first hour, and is ahead in every month.
    """
    behind = max((month for month in range(1, months + 1) if with_it[month] > without[month]), default=0)
    if behind == months:
        return None
    if behind == 0 and with_it[0] == 0 and with_it[1] < without[1]:
        return 0
    return behind + 1


def _months(count: int) -> timedelta:
    return timedelta(hours=float(MONTH_HOURS) * count)
