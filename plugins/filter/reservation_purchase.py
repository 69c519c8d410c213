# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What would be bought to close a gap, for how much, and why perhaps not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations import reading
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import MULTI_AZ, SINGLE, Reservation
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.purchase import Kind, kind_of, years_of

Data = Mapping[str, Any]

_READERS = {
    "ec2": reading.ec2_reservation,
    "rds": reading.rds_reservation,
    "elasticache": reading.cache_reservation,
}
_MONTHS_OF_A_YEAR = 12
_HOURS_OF_A_MONTH = Decimal(8760) / 12


def reservation_as_paid(reserved: Mapping[str, Iterable[Data]], now: str) -> dict[str, list[dict[str, Any]]]:
    """What is owned, as if all that was bought were paid and in force, so that nothing is bought because it is not yet.

    I(reserved) are the answers of the three modules that read reservations, by service.
    """
    at = reading.moment(now)
    if at is None:
        raise ValueError("what is owned depends on a time")
    owned: dict[str, list[dict[str, Any]]] = {}
    for service, items in reserved.items():
        kept = [item for item in items if _READERS[service](item).standing(at) != "ended"]
        owned[service] = [{**item, "state": "active", "start": None, "start_time": None} for item in kept]
    return owned


def reservation_purchases(
    report: Data, offerings: Sequence[Sequence[Data]], owned: Mapping[str, Iterable[Data]], terms: Data
) -> dict[str, Any]:
    """What closes the gap of a report: C(items), their C(total) over the whole term, and C(refused), why not.

    I(offerings) are the answers of reserved_offerings_info to each of C(closing), in its order; I(owned) is what
    reservation_as_paid returns; I(terms) has C(years), C(payment), C(currency), C(max_count) and C(price_limit).
    Every one of C(items) says in C(own) how many there will be, and so how many the module must find in the end.
    """
    have: dict[tuple[str, Kind], int] = {}
    for service, entries in owned.items():
        for entry in entries:
            found = _READERS[service](entry)
            key = (service, kind_of(found))
            have[key] = have.get(key, 0) + found.count
    items, refused = [], []
    for wanted, sold in zip(report["closing"], offerings, strict=True):
        name = reservation_words(wanted)
        if len(sold) != 1:
            many = "several offerings, none of which is chosen here," if sold else "no reservation"
            refused.append(f"AWS has {many} for {name} for {years_of(int(terms['years']))}, {terms['payment']}.")
            continue
        offering, count = sold[0], int(wanted["count"])
        currency = offering["currency"] or terms["currency"]
        if currency != terms["currency"]:
            refused.append(f"The price of {name} is in {currency} and not in {terms['currency']}.")
        if count > int(terms["max_count"]):
            refused.append(f"{name} is more than reservations_max_count, {terms['max_count']}.")
        items.append(
            {
                **{key: wanted[key] for key in ("service", "type", "product", "tenancy", "multi_az", "count")},
                "own": have.get((wanted["service"], _kind(wanted)), 0) + count,
                "offering": offering["id"],
                "currency": currency,
                "upfront": _text(_exact(offering["upfront"]) * count),
                "monthly": _text(_exact(offering["hourly"]) * count * _HOURS_OF_A_MONTH),
                "total": _text(_exact(offering["total"]) * count),
            }
        )
    total = sum((Decimal(item["total"]) for item in items), Decimal(0))
    if total > _exact(terms["price_limit"]):
        refused.append(f"{_text(total)} {terms['currency']} is above reservations_price_limit, {terms['price_limit']}.")
    upfront = sum((Decimal(item["upfront"]) for item in items), Decimal(0))
    return {"items": items, "total": _text(total), "upfront": _text(upfront), "refused": refused}


def _kind(wanted: Data) -> Kind:
    return kind_of(
        Reservation(
            "",
            wanted["service"],
            wanted["type"],
            wanted["product"],
            tenancy=wanted["tenancy"],
            copies=MULTI_AZ if wanted["multi_az"] else SINGLE,
        )
    )


def reservation_same_amount(typed: Any, total: str) -> bool:
    """Whether somebody typed exactly this amount."""
    try:
        return Decimal(str(typed)) == Decimal(total)
    except InvalidOperation:
        return False


def reservation_purchase_table(purchases: Data, terms: Data) -> list[str]:
    """What would be bought as lines for a terminal."""
    currency, years = terms["currency"], int(terms["years"])
    lines = [
        f"{reservation_words(item)}, {years_of(years)}, {terms['payment']}:"
        f" {item['upfront']} {currency} at the start, {item['monthly']} a month, {item['total']} in"
        f" {years * _MONTHS_OF_A_YEAR} months (offering {item['offering']})"
        for item in purchases["items"]
    ]
    return [*lines, f"Total: {purchases['total']} {currency}, {purchases['upfront']} of it at the start"]


def reservation_changes(before: Data, now: Data, paid: Data) -> list[str]:
    """What a purchase did to coverage, by service; I(paid) is the report in which what is pending is in force."""
    later = {item["service"]: item["percent"] for item in paid["services"]}
    after = {item["service"]: item["percent"] for item in now["services"]}
    return [
        f"{item['service']}: {item['percent']} % covered before, {after[item['service']]} % now,"
        f" {later[item['service']]} % when all is paid"
        for item in before["services"]
    ]


def reservation_lacking(report: Data, minimum: float) -> list[str]:
    """The services of which less than I(minimum) percent is covered, each with its share."""
    return [
        f"{item['percent']} % of {item['service']}" for item in report["services"] if item["percent"] < float(minimum)
    ]


def reservation_words(item: Data) -> str:
    """One of a report's C(closing) in words."""
    return f"{item['count']} x {item['type']} ({item['service']}, {item['product']})"


def _exact(amount: Any) -> Decimal:
    return Decimal(str(amount))


def _text(amount: Decimal) -> str:
    return f"{amount.quantize(Decimal('0.01'))}"


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "reservation_as_paid": reservation_as_paid,
            "reservation_changes": reservation_changes,
            "reservation_lacking": reservation_lacking,
            "reservation_purchase_table": reservation_purchase_table,
            "reservation_purchases": reservation_purchases,
            "reservation_same_amount": reservation_same_amount,
            "reservation_words": reservation_words,
        }
