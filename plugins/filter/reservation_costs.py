# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an environment costs, with and without reservations, and what the same work costs on Amazon MWAA."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations import costs, mwaa, reading, words
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.matching import match, near_ours
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import (
    MULTI_AZ,
    SINGLE,
    Price,
    Reservation,
    Usage,
)
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.offerings import YEAR_SECONDS
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.prices import HOUR, MONTH_HOURS
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.reading import RESERVATION_READERS

Data = Mapping[str, Any]
Line = dict[str, Any]

PAYMENTS = ("No Upfront", "Partial Upfront", "All Upfront")
YEARS = (1, 3)
_ITEM_KEYS = ("service", "type", "product", "copies")

# What is billed by use, which nobody knows beforehand.
_NOT_INCLUDED = [
    "EFS: what is stored, read and written",
    "traffic: through the NAT gateway and the load balancer (its capacity units), between zones, to the internet",
    "S3, CloudWatch, ECR, Secrets Manager, KMS and Route 53: what is stored and asked for",
    "snapshots, and backups beyond the size of the database",
    "extra CPU credits of burstable types, storage that the database adds by itself",
    "taxes, support, Savings Plans and other discounts of the account",
]
_NOT_INCLUDED_IN_MWAA = (
    "of Amazon MWAA: its network (NAT gateway or endpoints), metadata storage, logs and S3, workers that scaling adds"
)


def reservation_beside(fleet: Iterable[Data], given: Data) -> list[Line]:
    """What an environment needs that nobody can reserve, as lines with C(what), C(item), C(count) and C(unit).

    I(given) has C(database_storage_gib), C(database_multi_az), C(load_balancers), C(nat_gateways) and
    C(public_addresses).
    """
    disks = sum(int(entry["count"]) * int(entry["volume_gib"]) for entry in fleet)
    standby = bool(given["database_multi_az"])
    lines = [
        _line("Disks of the hosts (gp3)", disks, "GiB", service="ebs", type="gp3"),
        _line(
            "Storage of the database (gp3)" + (" and its standby" if standby else ""),
            int(given["database_storage_gib"]),
            "GiB",
            service="rds_storage",
            type="gp3",
            product="postgresql",
            copies=MULTI_AZ if standby else SINGLE,
        ),
        _line("Load balancer", int(given["load_balancers"]), "", service="load_balancer"),
        _line("NAT gateway", int(given["nat_gateways"]), "", service="nat_gateway"),
        _line("Public IPv4 addresses", int(given["public_addresses"]), "", service="public_ipv4"),
    ]
    return [line for line in lines if line["count"]]


def reservation_mwaa(fleet: Sequence[Data], types: Mapping[str, Data], given: Data) -> dict[str, Any]:
    """The Amazon MWAA environment that does a fleet's work; module_utils/_reservations/mwaa.py has the rule.

    I(types) is what ec2_instance_type_info says of the types; I(given) has C(class), C(workers), C(schedulers) and
    C(webservers), empty or 0 for what is to be chosen. Without the memory of a worker's type C(lines) is empty and
    C(why) says so, unless class and workers are given.
    """
    workers = [entry for entry in fleet if "worker" in entry["duties"]]
    unknown = sorted({entry["instance_type"] for entry in workers if entry["instance_type"] not in types})
    if unknown and not (given.get("class") and given.get("workers")):
        why = (
            f"EC2 does not know {', '.join(unknown)} here, so that nobody can tell how many tasks its hosts run at once"
        )
        return {"lines": [], "why": why}
    tasks = (
        0
        if unknown
        else mwaa.tasks_at_once(
            (int(entry["count"]), int(types[entry["instance_type"]]["memory_mib"])) for entry in workers
        )
    )
    duties = {
        duty: sum(int(entry["count"]) for entry in fleet if duty in entry["duties"])
        for duty in ("scheduler", "webserver")
    }
    chosen = mwaa.sizing(tasks, duties, given)
    name, extra = chosen.environment_class, chosen.extra()
    words = {"worker": "Further workers", "scheduler": "Further schedulers", "webserver": "Further web servers"}
    lines = [_line(f"Environment {name}", 1, "", service="mwaa", type=name, product="environment")]
    lines += [
        _line(words[part], count, "", service="mwaa", type=name, product=part) for part, count in extra.items() if count
    ]
    return {
        "class": name,
        "workers": chosen.workers,
        "schedulers": chosen.schedulers,
        "webservers": chosen.webservers,
        "tasks": tasks,
        "tasks_per_worker": mwaa.TASKS[name],
        "stated": sorted(key for key, value in given.items() if value),
        "lines": lines,
        "why": "",
    }


def reservation_price_items(report: Data, beside: Iterable[Data] = (), same_work: Data | None = None) -> list[Line]:
    """What price_list_info must be asked: the fleet, what would close its gap, what stands beside it, and MWAA."""
    asked = [{key: item[key] for key in _ITEM_KEYS} for item in report["fleet"]]
    asked += [
        {**{key: item[key] for key in _ITEM_KEYS[:3]}, "copies": MULTI_AZ if item["multi_az"] else SINGLE}
        for item in report["closing"]
    ]
    asked += [line["item"] for line in [*beside, *(same_work or {}).get("lines", [])]]
    return [item for place, item in enumerate(asked) if item not in asked[:place]]


def reservation_costs(report: Data, wanted: Sequence[Data], running: Sequence[Data], given: Data) -> dict[str, Any]:
    """The report with C(costs), everything a plan says of money.

    I(report) is that of reservation_offers; I(wanted) and I(running) are what reservation_report got. I(given) has
    C(reserved) as reservation_report got it, C(prices) and C(unknown) as price_list_info returns them, C(beside),
    C(mwaa), and what the plan wants to know: C(region), C(currency), C(years) and C(payment) of the recommended
    purchase, and C(without), why there are no prices at all.
    """
    book = _PriceBook(given["prices"], given["unknown"], str(given["currency"]))
    usages = [Usage(**{**item, "ours": True}) for item in wanted]
    usages += [Usage(**item) for item in running if not item["ours"]]
    owned = [RESERVATION_READERS[service](item) for service, items in given["reserved"].items() for item in items]
    usages, near = near_ours(usages, owned)
    now = reading.moment(report["at"])
    if now is None:
        raise ValueError("costs need a time")
    beside, same_work = book.priced(given["beside"]), book.priced(given["mwaa"]["lines"])
    without = str(given.get("without") or "")
    if not without and given["unknown"] and not given["prices"]:
        without = f"the price list has no price of any of it for {given['region']}"
    found: dict[str, Any] = {
        "currency": book.currency,
        "without": without,
        "price_lists": book.lists,
        "read": book.oldest,
        # One reason for all of them is told once.
        "missing": [] if without else [*book.missing_of(usages), *_unpriced(report, usages, near, now, book.currency)],
        "beside": {"lines": beside, "month": None if _all_unknown(beside) else _sum_of(beside)},
        "not_included": [
            *(f"{line['what']}: {line['why']}" for line in beside if line["month"] is None and not without),
            *_NOT_INCLUDED,
            _NOT_INCLUDED_IN_MWAA,
        ],
        "mwaa": {
            **given["mwaa"],
            "lines": same_work,
            # A part of its price would be an invented one.
            "month": None if any(line["month"] is None for line in same_work) or not same_work else _sum_of(same_work),
        },
        "on_demand": None,
        "today": None,
        "options": [],
        "idle": [],
    }
    if not found["missing"] and not without:
        own = _Own(usages, near, now, book.tariff, _exact(found["beside"]["month"] or 0))
        found |= own.told()
        found["idle"] = _idle(report, owned)
        found["options"] = _options(report, own, book.currency, int(given["years"]), str(given["payment"]))
    if found["mwaa"]["month"] is not None:
        found["mwaa"]["series"] = [_cents(_exact(found["mwaa"]["month"]) * each) for each in range(costs.MONTHS + 1)]
    return {**report, "costs": found}


class _PriceBook:
    """Prices on demand in one currency, by item."""

    def __init__(self, prices: Sequence[Data], unknown: Sequence[Data], currency: str) -> None:
        self.currency = currency
        right = [entry for entry in prices if entry["currency"] == currency]
        self._known = {_item_key(entry): entry for entry in right}
        self._why = {_item_key(entry): str(entry["why"]) for entry in unknown}
        self._why |= {
            _item_key(entry): f"its price is in {entry['currency']}, and {currency} is expected"
            for entry in prices
            if entry["currency"] != currency
        }
        self.lists = sorted(
            {f"{entry['region']} of {entry['published'][:10]} (version {entry['version']})" for entry in right}
        )
        self.oldest = min((str(entry["read"]) for entry in right), default="")

    @property
    def tariff(self) -> dict[tuple[str, str, str, int], Decimal]:
        return {key: _exact(entry["amount"]) for key, entry in self._known.items() if entry["unit"] == HOUR}

    def missing_of(self, usages: Iterable[Usage]) -> list[str]:
        """Whose price on demand is not known, and why."""
        keys = {costs.tariff_key(usage) for usage in usages if usage.ours} - set(self.tariff)
        return sorted(
            f"{key[1]} ({key[0]}, {key[2]}): {self._why.get(key, 'it has no price on demand')}" for key in keys
        )

    def priced(self, lines: Iterable[Data]) -> list[Line]:
        """Lines with the price of one and what a month of all of them costs, or C(why) that is not known."""
        told = []
        for line in lines:
            entry = self._known.get(_item_key(line["item"]))
            if entry is None:
                why = self._why.get(_item_key(line["item"]), "its price was not read")
                told.append({**line, "amount": None, "per": "", "month": None, "why": why})
                continue
            each = _exact(entry["amount"]) * (MONTH_HOURS if entry["unit"] == HOUR else 1)
            month = _cents(each * line["count"])
            told.append({**line, "amount": entry["amount"], "per": entry["unit"], "month": month, "why": ""})
        return told


@dataclass
class _Own:
    """What running it oneself costs. C(beside) is a month of what nobody can reserve."""

    usages: list[Usage]
    owned: list[Reservation]
    now: datetime
    tariff: costs.Tariff
    beside: Decimal

    def __post_init__(self) -> None:
        self.active = [item for item in self.owned if item.standing(self.now) == "active"]
        # With what is being paid for, which nobody buys again.
        self.paid = [item for item in self.owned if item.counts_at(self.now)]
        self.course = costs.course(self.usages, self.owned, self.now, self.tariff)

    def told(self) -> dict[str, Any]:
        """Everything on demand, and as it is covered."""
        hour = costs.on_demand(self.usages, self.tariff)
        today = costs.rate(match(self.usages, self.active), self.tariff)
        whole = [hour * MONTH_HOURS * month for month in range(costs.MONTHS + 1)]
        share = (1 - today.open / hour) * 100 if hour else Decimal(100)
        return {
            # Cut off and never rounded up: 100 means all of it.
            "covered_percent": float(share.quantize(Decimal("0.1"), rounding=ROUND_DOWN)),
            "on_demand": self.sums({"open": hour * MONTH_HOURS}, whole),
            "today": self.sums(
                {"open": today.open * MONTH_HOURS, "reserved": today.reserved * MONTH_HOURS}, self.course
            ),
        }

    def sums(self, parts: Mapping[str, Decimal], course: Sequence[Decimal]) -> dict[str, Any]:
        """Parts of a month, their sum with what stands beside, and what has been paid after each month."""
        shown = {**{part: _cents(amount) for part, amount in parts.items()}, "beside": _cents(self.beside)}
        series = [_cents(paid + self.beside * month) for month, paid in enumerate(course)]
        return {**shown, "month": _cents(sum(map(_exact, shown.values()), Decimal(0))), "series": series}


def _options(report: Data, own: _Own, currency: str, years: int, payment: str) -> list[Line]:
    """Every term and payment in which something of the gap is sold, with what it would cost to buy all that is."""
    courses: dict[tuple[int, ...], tuple[costs.Rate, list[Decimal]]] = {}
    without = costs.rate(match(own.usages, own.paid), own.tariff).total * MONTH_HOURS + own.beside
    told = []
    for term in YEARS:
        for how in PAYMENTS:
            bought = _bought(report, term, how, currency)
            if not bought:
                continue
            places = tuple(place for place, _item in bought)
            wanted = [item.reservation for _place, item in bought]
            if places not in courses:
                courses[places] = (
                    costs.rate(match(own.usages, [*own.paid, *wanted]), own.tariff),
                    costs.course(own.usages, own.owned, own.now, own.tariff, wanted),
                )
            rate, course = courses[places]
            items = [item for _place, item in bought]
            paid = [rest + purchase for rest, purchase in zip(course, costs.purchase_course(items, term), strict=True)]
            parts = {
                "open": rate.open * MONTH_HOURS,
                "reserved": rate.reserved * MONTH_HOURS,
                "bought": sum((item.amortised for item in items), Decimal(0)) * MONTH_HOURS,
            }
            sums = own.sums(parts, paid)
            told.append(
                {
                    "years": term,
                    "payment": how,
                    "recommended": (term, how) == (years, payment),
                    "at_start": _cents(sum((item.upfront for item in items), Decimal(0))),
                    **sums,
                    "saving": _cents(without - _exact(sums["month"])),
                    "saving_percent": _percent(without - _exact(sums["month"]), without),
                    "break_even": costs.break_even(own.course, paid, term * 12),
                    "not_sold": [
                        f"{item['count']} x {item['type']}"
                        for place, item in enumerate(report["closing"])
                        if place not in places
                    ],
                }
            )
    return told


def _bought(report: Data, years: int, payment: str, currency: str) -> list[tuple[int, costs.Bought]]:
    """The cheapest offer of this term and payment for each of what would close the gap, with its place there."""
    found = []
    for place, item in enumerate(report["closing"]):
        fitting = [
            offer
            for offer in words.offers_of(report, item)
            if (offer["years"], offer["payment"]) == (years, payment)
            # ElastiCache does not say its currency.
            and offer["currency"] in ("", currency)
        ]
        if not fitting:
            continue
        best = min(fitting, key=lambda offer: (offer["total"], offer["id"]))
        reservation = Reservation(
            "",
            item["service"],
            item["type"],
            item["product"],
            count=item["count"],
            tenancy=item["tenancy"],
            copies=MULTI_AZ if item["multi_az"] else SINGLE,
            state=costs.WANTED,
        )
        hours = Decimal(YEAR_SECONDS) / 3600 * years
        # An offer's money at the start is for all of the count, its price of an hour for one.
        price = Price(_exact(best["upfront"]) / item["count"], _exact(best["hourly"]), hours, currency)
        found.append((place, costs.Bought(reservation, price)))
    return found


def _unpriced(
    report: Data, usages: Sequence[Usage], owned: Sequence[Reservation], now: datetime, currency: str
) -> list[str]:
    """Reservations of which we use a part, now or later, and whose cost can't be told."""
    used = {item["id"] for item in report["reservations"] if item["used_by_us"]} | costs.used(usages, owned, now)
    told = []
    for item in owned:
        if item.id in used and item.price is None:
            told.append(f"reservation {item.id} ({item.service}): AWS does not tell what it costs")
        elif item.id in used and item.price and item.price.currency not in ("", currency):
            told.append(
                f"reservation {item.id} ({item.service}): its price is in {item.price.currency},"
                f" and {currency} is expected"
            )
    return sorted(told)


def _idle(report: Data, owned: Iterable[Reservation]) -> list[Line]:
    """What a month of the owned reservations costs that nobody uses."""
    prices = {item.id: item.price for item in owned}
    told = []
    for item in report["reservations"]:
        price = prices.get(item["id"])
        if item["unused"] and price is not None:
            whole = price.amortised * item["count"] * MONTH_HOURS
            month = _cents(whole * _exact(item["unused"]) / _exact(item["units"]))
            told.append({"id": item["id"], "service": item["service"], "type": item["type"], "month": month})
    return told


def _line(what: str, count: int, unit: str, **item: Any) -> Line:
    asked = {"service": item["service"], "type": item.get("type", ""), "product": item.get("product", "")}
    return {"what": what, "count": count, "unit": unit, "item": {**asked, "copies": item.get("copies", SINGLE)}}


def _item_key(item: Data) -> tuple[str, str, str, int]:
    return str(item["service"]), str(item["type"]), str(item["product"]), int(item["copies"])


def _sum_of(lines: Iterable[Data]) -> float:
    return _cents(sum((_exact(line["month"]) for line in lines if line["month"] is not None), Decimal(0)))


def _all_unknown(lines: Sequence[Data]) -> bool:
    return bool(lines) and all(line["month"] is None for line in lines)


def _percent(part: Decimal, whole: Decimal) -> float:
    return float((part / whole * 100).quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)) if whole else 0.0


def _exact(amount: float) -> Decimal:
    return Decimal(str(amount))


def _cents(amount: Decimal) -> float:
    return float(amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "reservation_beside": reservation_beside,
            "reservation_costs": reservation_costs,
            "reservation_mwaa": reservation_mwaa,
            "reservation_price_items": reservation_price_items,
        }
