# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Buying reservations so that nothing is ever bought twice. Knows neither boto nor a service's names.

A purchase is written into a ledger before it is made, by a write that only one can win, and its outcome afterwards;
nobody begins another one before the last has an outcome. A run that died, or that AWS did not answer, leaves a purchase
without an outcome, and the next run finds it in the account or waits until it can't arrive any more. Why all this:
docs/decisions/0008-nothing-is-bought-twice.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError, difference
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import Reservation, Service
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.offerings import YEAR_SECONDS, matches

# A purchase is sent at most so long after it was written down (a laptop may sleep in between). Its signature is worth
# nothing 15 minutes later, or 30 where the clock is as wrong as AWS allows; the rest is for a list that lags behind. An
# hour after it was written down, a purchase that the account does not show has not happened.
SEND_SECONDS = 300
SETTLE_SECONDS = 3600
_LOOK_AGAIN_SECONDS = 10
_TRIES = 3
_CENT = Decimal("0.01")

Kind = tuple[str, str, str, str, int]
Offering = dict[str, Any]
Intent = dict[str, Any]


class NotBought(FreeholdError):
    """AWS refused the purchase, or it was never sent."""


class Unclear(FreeholdError):
    """Nobody can tell from the answer whether AWS took the purchase."""


@dataclass(frozen=True)
class Order:
    """What should be owned in the end, and on which terms it may be bought.

    ``count`` comes on top of ``claimed``, what other environments count on. ``price_limit`` is for everything that this
    order buys, over its whole term.
    """

    type: str
    product: str
    years: int
    payment: str
    count: int
    price_limit: Decimal
    max_count: int
    zone: str = ""
    tenancy: str = "default"
    offering_class: str = "standard"
    multi_az: bool = False
    claimed: int = 0
    currency: str = "USD"
    monthly_quota: int = 0
    offering_id: str = ""
    environment: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def terms(self) -> dict[str, Any]:
        """What an offering must have, by the names of reserved_offerings_info."""
        names = ("type", "product", "years", "payment", "zone", "tenancy", "offering_class", "multi_az")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return f"{self.type} ({self.product}{', ' + self.zone if self.zone else ''})"


@dataclass(frozen=True)
class Entry:
    """A purchase in the ledger. ``age`` is in seconds by AWS's clock; ``outcome`` is None as long as nobody knows."""

    number: int
    intent: Intent
    outcome: dict[str, Any] | None
    age: float


class Ledger(Protocol):
    """Where purchases are written down; both writes are atomic, and what is written never changes."""

    def last(self) -> Entry | None:
        """The latest purchase, if there was one."""

    def begin(self, number: int, intent: Intent) -> bool:
        """Write a purchase down; False when somebody else has taken the number."""

    def settle(self, number: int, outcome: Mapping[str, Any]) -> None:
        """Write down how it ended; what was written first stays."""


class Shop(Protocol):
    """One service of AWS, as far as a purchase goes."""

    service: Service
    # Whether the buyer chooses the id, which can't be bought under twice.
    named: bool

    def owned(self) -> list[Reservation]:
        """All reservations of the region, whatever their state."""

    def kind(self, fields: Mapping[str, Any]) -> Kind:
        """What an order or an intent is for."""

    def offerings(self, order: Order) -> list[Offering]:
        """What AWS itself sells for an order."""

    def offering(self, name: str) -> Offering | None:
        """One offering by its id, with ``marketplace``; None when it is not sold."""

    def purchase(self, intent: Intent, in_time: Callable[[], None]) -> str:
        """Buy once and return the id; call ``in_time`` right before. Raises NotBought or Unclear."""

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Tag what was bought, where that is not done by the purchase."""


class Clock(Protocol):
    """Time as a purchase needs it."""

    def now(self) -> float:
        """Seconds that never jump, and go on while the machine sleeps."""

    def today(self) -> datetime:
        """The time, with its zone."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


def years_of(number: int) -> str:
    """A term in words."""
    return "1 year" if number == 1 else f"{number} years"


def kind_of(reservation: Reservation) -> Kind:
    """What a reservation is for, in the form of an order's."""
    return (
        reservation.type,
        reservation.product,
        reservation.zone,
        reservation.tenancy,
        reservation.copies,
    )


def bought_in_month(owned: Iterable[Reservation], zone: str, day: datetime) -> int:
    """How many reserved instances of a zone, or regional ones, began in the month of a day; AWS has a quota of those.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ri-limits.html
    """
    return sum(
        item.count
        for item in owned
        if item.zone == zone and item.start and (item.start.year, item.start.month) == (day.year, day.month)
    )


class Buyer:
    """Brings an account to own what an order says.

    ``patience`` is how long to wait for AWS to show something; ``warnings`` takes what went wrong beside a purchase,
    whether the purchase succeeds or not.
    """

    def __init__(self, shop: Shop, ledger: Ledger, clock: Clock, patience: float, warnings: list[str]) -> None:
        self.shop = shop
        self.ledger = ledger
        self.clock = clock
        self.patience = patience
        self.warnings = warnings

    def ensure(self, order: Order, write: bool = True) -> dict[str, Any]:
        """Buy what is missing, if anything is, and return the module's result."""
        settled: list[dict[str, Any]] = []
        for _try in range(_TRIES):
            last, found = self.settle(write)
            settled += found
            # In this order: whoever wins the next number has seen all that was bought under the numbers before.
            owned = self._owned_since(last)
            kind = self.shop.kind(order.terms())
            have = sum(item.count for item in owned if kind_of(item) == kind and self._counts(item))
            wanted = order.claimed + order.count
            result = {"owned": have, "wanted": wanted, "bought": [], "settled": settled, "differences": []}
            if have >= wanted:
                return {**result, "changed": bool(settled)}
            lack = wanted - have
            offering = self._choose(order)
            total = self._total(order, offering, lack, owned)
            result["differences"] = [difference(str(order), have, wanted)]
            result["diff"] = {"before": {"owned": have}, "after": {"owned": wanted}}
            intent = self._intent(order, offering, lack, total, owned)
            if not write:
                return {**result, "changed": True, "would_buy": [_shown(intent)]}
            begun = self.clock.now()
            number = last.number + 1 if last else 1
            if self.ledger.begin(number, intent):
                bought = self._buy(number, intent, begun)
                return {**result, "owned": wanted, "bought": [bought], "changed": True}
        raise FreeholdError(message=f"Others buy reservations at the same time; no {order} was bought. Run it again.")

    def settle(self, write: bool = True) -> tuple[Entry | None, list[dict[str, Any]]]:
        """Find out how the last purchase ended, if nobody wrote it down.

        Returns the last purchase and, when it was settled by this call, what it bought. Raises FreeholdError while
        nobody can know.
        """
        entry = self.ledger.last()
        deadline = self.clock.now() + self.patience
        while entry is not None and entry.outcome is None:
            found = self._identify(entry.intent, self.shop.owned())
            if found is not None:
                self._compare(entry.intent, found)
                if write:
                    self._record(entry.number, entry.intent, found.id)
                outcome = {"bought": found.id}
                return Entry(entry.number, entry.intent, outcome, entry.age), [_shown(entry.intent, found)]
            if entry.age >= SETTLE_SECONDS:
                never = {"bought": None, "why": "an hour later the account did not show it"}
                if write:
                    self.ledger.settle(entry.number, never)
                return Entry(entry.number, entry.intent, never, entry.age), []
            if not write or self.clock.now() >= deadline:
                raise FreeholdError(message=_open_sentence(entry))
            self.clock.sleep(_LOOK_AGAIN_SECONDS)
            entry = self.ledger.last()
        return entry, []

    def _counts(self, item: Reservation) -> bool:
        """Whether it is one that we have; in doubt it is, so that no second one is bought."""
        return item.standing(self.clock.today()) != "ended"

    def _until(self, condition: Callable[[], Any]) -> Any:
        """The first true value of a condition, or its last one when patience is over."""
        deadline = self.clock.now() + self.patience
        while True:
            value = condition()
            if value or self.clock.now() >= deadline:
                return value
            self.clock.sleep(_LOOK_AGAIN_SECONDS)

    def _owned_since(self, last: Entry | None) -> list[Reservation]:
        """What is owned, with what was bought last: AWS's lists may lag behind."""
        name = (last.outcome or {}).get("bought") if last and last.age < SETTLE_SECONDS else None
        if name is None:
            return self.shop.owned()

        def seen() -> list[Reservation]:
            owned = self.shop.owned()
            return owned if any(item.id == name for item in owned) else []

        owned: list[Reservation] = self._until(seen)
        if not owned:
            message = f"AWS does not show the reservation {name} yet, which was just bought. Run it again later."
            raise FreeholdError(message=message)
        return owned

    def _choose(self, order: Order) -> Offering:
        """The one offering that an order means. Raises FreeholdError for none, several or an unsuitable one."""
        sold = [item for item in self.shop.offerings(order) if matches(item, order.terms())]
        if order.offering_id:
            for item in sold:
                if item["id"] == order.offering_id:
                    return item
            raise FreeholdError(message=self._why_not(order))
        if len(sold) == 1:
            return sold[0]
        terms = f"{order} for {years_of(order.years)}, {order.payment}"
        if sold:
            names = ", ".join(item["id"] for item in sold)
            raise FreeholdError(message=f"Several offerings match {terms}: {names}. Say which by offering_id.")
        raise FreeholdError(message=f"AWS sells no reservation of {terms} in this region.")

    def _why_not(self, order: Order) -> str:
        """What is wrong with the offering that was asked for."""
        found = self.shop.offering(order.offering_id)
        begin = f"The offering {order.offering_id}"
        if found is None:
            return f"{begin} is not sold, or not any more; look at what is sold now."
        if found["marketplace"]:
            return f"{begin} is another customer's on the marketplace; only AWS's own are bought."
        wrong = [
            f"its {name.replace('_', ' ')} is '{found[name]}' and not '{value}'"
            for name, value in order.terms().items()
            if found[name] != value
        ]
        return f"{begin} is not what was asked for: {', '.join(wrong) or 'its terms differ'}."

    def _total(self, order: Order, offering: Offering, lack: int, owned: Collection[Reservation]) -> Decimal:
        """What the missing ones cost over their term. Raises FreeholdError beyond any limit."""
        # ElastiCache does not say its currency.
        if offering["currency"] not in ("", order.currency):
            message = f"The price of {order} is in {offering['currency']} and not in {order.currency}."
            raise FreeholdError(message=message)
        if lack > order.max_count:
            message = f"{lack} of {order} are missing, but max_count allows {order.max_count} to be bought at once."
            raise FreeholdError(message=message)
        total = Decimal(str(offering["total"])) * lack
        if total > order.price_limit:
            message = (
                f"{lack} x {order} would cost {total:.2f} {order.currency} over {years_of(order.years)}, which is"
                f" above the limit of {order.price_limit:.2f}."
            )
            raise FreeholdError(message=message)
        if order.monthly_quota:
            zone = order.zone
            spent = bought_in_month(owned, zone, self.clock.today())
            if spent + lack > order.monthly_quota:
                where = f"the zone {zone}" if zone else "a region"
                message = (
                    f"AWS sells {order.monthly_quota} reserved instances a month for {where}; {spent} were bought this"
                    f" month and {lack} are missing. Buy fewer, wait for the next month, or ask AWS for a higher quota"
                    " (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ri-limits.html) and raise monthly_quota."
                )
                raise FreeholdError(message=message)
        return total

    def _intent(
        self, order: Order, offering: Offering, lack: int, total: Decimal, owned: Collection[Reservation]
    ) -> Intent:
        """All that is needed to find the purchase in the account later."""
        token = secrets.token_hex(8)
        terms = order.terms()
        kind = self.shop.kind(terms)
        return {
            **terms,
            "service": self.shop.service,
            "count": lack,
            "offering": offering["id"],
            "currency": offering["currency"] or order.currency,
            "total": f"{total:.2f}",
            "environment": order.environment,
            "tags": dict(order.tags),
            "token": token,
            # At most 38 characters, which is within what every service takes for an id.
            "name": f"freehold-{order.environment}-{token[:8]}" if self.shop.named else "",
            "at": self.clock.today().isoformat(timespec="seconds"),
            "before": sorted(item.id for item in owned if kind_of(item) == kind),
        }

    def _buy(self, number: int, intent: Intent, begun: float) -> dict[str, Any]:
        """Send the purchase once, and find out what became of it."""

        def in_time() -> None:
            late = self.clock.now() - begun
            if late > SEND_SECONDS:
                raise NotBought(message=f"The purchase was not sent, because {late:.0f} seconds have passed since.")

        try:
            name = self.shop.purchase(intent, in_time)
        except NotBought as refusal:
            self._write_down(number, {"bought": None, "why": str(refusal.message)})
            raise
        except Unclear as doubt:
            found = self._until(lambda: self._identify(intent, self.shop.owned()))
            if found is None:
                message = (
                    f"{doubt.message} Whether AWS took the purchase of {intent['count']} x {intent['type']} is not"
                    " known, and the account does not show it yet. Nothing more is bought until that is settled: run"
                    " this again an hour from now; it looks at the account first."
                )
                raise FreeholdError(message=message, exception=doubt.exception) from doubt
        else:
            found = self._until(lambda: next((item for item in self.shop.owned() if item.id == name), None))
        if found:
            self._compare(intent, found)
        bought = found.id if found else name
        self._record(number, intent, bought)
        return {**_shown(intent, found), "id": bought}

    def _identify(self, intent: Intent, owned: Collection[Reservation]) -> Reservation | None:
        """The reservation that came from an intent."""
        if intent["name"]:
            return next((item for item in owned if item.id == intent["name"]), None)
        kind = self.shop.kind(intent)
        new = [
            item
            for item in owned
            if item.id not in intent["before"] and item.count == intent["count"] and kind_of(item) == kind
        ]
        return min(new, key=lambda item: (str(item.start), item.id), default=None)

    def _compare(self, intent: Intent, found: Reservation) -> None:
        """Warn where what AWS shows is not what was ordered: it can't be given back, but somebody has to know."""
        names = ("type", "product", "zone", "tenancy", "copies", "count")
        told = dict(zip(names, (*kind_of(found), found.count), strict=True))
        ordered = dict(zip(names, (*self.shop.kind(intent), intent["count"]), strict=True))
        if found.price:
            total = found.price.total * found.count
            told["years"], ordered["years"] = float(found.price.hours * 3600 / YEAR_SECONDS), intent["years"]
            # Amounts are floats, rounded to the cent for each reservation.
            if abs(total - Decimal(intent["total"])) >= _CENT * found.count:
                told["total"], ordered["total"] = f"{total:.2f}", intent["total"]
        wrong = [
            f"its {name} is {told[name]!r} and not {ordered[name]!r}" for name in told if told[name] != ordered[name]
        ]
        if wrong:
            self.warnings.append(f"{found.id} is not what was ordered: {', '.join(wrong)}. Ask AWS's support at once.")

    def _record(self, number: int, intent: Intent, name: str) -> None:
        """Tag what was bought and write it down. Neither failing makes the purchase a failure."""
        try:
            self.shop.tag(name, intent["tags"])
        except FreeholdError as error:
            self.warnings.append(f"{name} was bought, but could not be tagged: {error.message}: {error.exception}")
        self._write_down(number, {"bought": name})

    def _write_down(self, number: int, outcome: Mapping[str, Any]) -> None:
        try:
            self.ledger.settle(number, outcome)
        except FreeholdError as error:
            self.warnings.append(f"How purchase {number} ended is not written down; the next run does it: {error}")


def _shown(intent: Intent, found: Reservation | None = None) -> dict[str, Any]:
    """A purchase as a module's result shows it."""
    names = ("service", "type", "product", "count", "years", "payment", "currency", "total", "offering")
    state = {"id": found.id, "state": found.state} if found else {}
    return {**{name: intent[name] for name in names}, **state}


def _open_sentence(entry: Entry) -> str:
    intent, left = entry.intent, (SETTLE_SECONDS - entry.age) / 60
    return (
        f"The purchase of {intent['count']} x {intent['type']} for the environment '{intent['environment']}', begun"
        f" {intent['at']}, has no outcome yet: another run is at it, or it died. Nothing more is bought until that is"
        f" settled: run this again {left:.0f} minutes from now, or once the other run has ended."
    )
