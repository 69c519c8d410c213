# SPDX-License-Identifier: GPL-3.0-or-later
"""What the reservations of all services have in common: sample prices, terms, payment, pages."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from lab.api.errors import AwsError
from lab.api.state import current

YEAR_SECONDS = 31536000
HOURS_PER_YEAR = 8760
_NAMESPACE = uuid.UUID("6f0c2f6e-0d2b-4c1e-9b43-7a5f0f4f5a11")


@cache
def _sample() -> dict[str, Any]:
    """The sample data; the file says where it comes from."""
    read: dict[str, Any] = json.loads(Path(__file__).with_name("reservation_prices.json").read_text())
    return read


@cache
def prices(service: str) -> dict[str, Any]:
    """The sample prices of a service that sells reservations."""
    found: dict[str, Any] = _sample()[service]
    return {**found, "units": _sample()["units"]}


def beside() -> list[dict[str, Any]]:
    """The sample prices of what nobody can reserve."""
    rows: list[dict[str, Any]] = _sample()["beside"]
    return rows


@dataclass(frozen=True)
class Price:
    """What one reservation costs."""

    years: int
    payment: str
    upfront: float
    hourly: float

    @property
    def duration(self) -> int:
        """Seconds of the term; AWS's year has 365 days."""
        return self.years * YEAR_SECONDS


def on_demand(service: str) -> Iterator[tuple[str, float]]:
    """Every type of a service that reservations are sold for, with its hourly price."""
    known = prices(service)
    for family, spec in known["families"].items():
        for size in spec["sizes"].split():
            yield f"{family}.{size}", spec["hourly"] * known["units"][size]


def term_prices(hourly: float, discounts: dict[str, dict[str, float]]) -> Iterator[Price]:
    """The ways in which a reservation of something with this price is sold."""
    for years, payments in discounts.items():
        for payment, discount in payments.items():
            whole = hourly * (1 - discount) * HOURS_PER_YEAR * int(years)
            part = {"No Upfront": 0.0, "Partial Upfront": 0.5, "All Upfront": 1.0}[payment]
            upfront = round(whole * part)
            rest = 0.0 if part == 1.0 else (whole - upfront) / (HOURS_PER_YEAR * int(years))
            yield Price(int(years), payment, float(upfront), round(rest, 4))


def offering_id(*parts: object) -> str:
    """An id that stays the same for the same offering."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(str(part) for part in parts)))


def now() -> datetime:
    """The lab's time, to the second as AWS shows it."""
    return datetime.now(UTC).replace(microsecond=0)


def start_payment(name: str, reservation: dict[str, Any]) -> None:
    """Ask for the money: it is C(payment-pending) at least until that was seen once."""
    reservation["State"] = "payment-pending"

    def paid(state: str) -> None:
        reservation["State"] = state

    current().lifecycle.begin("reservation", name, "active", paid)


def seen(name: str, reservation: dict[str, Any]) -> None:
    """Somebody was shown the reservation; a payment that is under way may end now."""
    if reservation["State"] == "payment-pending":
        current().lifecycle.observe("reservation", name, "active")


def end_of(start: datetime, seconds: int) -> datetime:
    """When a term is over."""
    return start + timedelta(seconds=seconds)


def page(entries: list[Any], token: Any, size: int, error: AwsError) -> tuple[list[Any], str | None]:
    """A page of a list and the token of the next; the token is the place in the list, whoever made it up."""
    if token and not str(token).isdigit():
        raise error
    start = int(token or 0)
    following = start + size
    return entries[start:following], str(following) if following < len(entries) else None
