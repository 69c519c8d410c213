# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What would be bought to close a gap, for how much, and why perhaps not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations import reading, words
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import MULTI_AZ, SINGLE, Reservation
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.purchase import (
    Kind,
    bought_in_month,
    kind_of,
    years_of,
)

Data = Mapping[str, Any]

_MONTHS_OF_A_YEAR = 12
_HOURS_OF_A_MONTH = Decimal(8760) / 12


def reservation_purchases(
    report: Data, offerings: Sequence[Sequence[Data]], reserved: Mapping[str, Iterable[Data]], terms: Data
) -> dict[str, Any]:
    """What closes the gap of a report: C(items), their C(total) over the whole term, and C(refused), why not.

    I(offerings) are the answers of reserved_offerings_info to each of C(closing), in its order; I(reserved) are those
    of the three modules that read reservations, by service; I(terms) has C(years), C(payment), C(currency),
    C(max_count), C(price_limit) and C(monthly_quota). Every one of C(items) says in C(own) how many there will be, and
    so how many the module must find in the end.

    C(others) says which part of it instances of others take. A gap may then be as large after the purchase as before,
    and so the total alone does not tell a second purchase from the first; C(owned), how many there are now of the kinds
    of all items, does.
    """
    at = reading.moment(report["at"])
    if at is None:
        raise ValueError("what is owned depends on a time")
    owned = {
        service: [reading.RESERVATION_READERS[service](item) for item in items] for service, items in reserved.items()
    }
    have: dict[tuple[str, Kind], int] = {}
    for service, entries in owned.items():
        for found in entries:
            if found.standing(at) != "ended":
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
    # Of all types together: the modules, which look again, see one each.
    instances = sum(item["count"] for item in items if item["service"] == "ec2")
    spent, quota = bought_in_month(owned.get("ec2", ()), "", at), int(terms["monthly_quota"])
    if instances and quota and spent + instances > quota:
        refused.append(
            f"AWS sells {quota} reserved instances a month for a region (reservations_monthly_quota); {spent} were"
            f" bought this month and {instances} are missing."
        )
    upfront = sum((Decimal(item["upfront"]) for item in items), Decimal(0))
    return {
        "items": items,
        "total": _text(total),
        "upfront": _text(upfront),
        "others": [*words.taken(report), *words.held(report)],
        "owned": sum(item["own"] - item["count"] for item in items),
        "refused": refused,
    }


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


def reservation_changes(before: Data, now: Data) -> list[str]:
    """What is new between two reports, and what that did to coverage, by service."""
    known = {(item["service"], item["id"]) for item in before["reservations"]}
    lines = [
        f"New: {reservation_words(item)}, {item['state']}, {item['id']}"
        for item in now["reservations"]
        if (item["service"], item["id"]) not in known
    ]
    later = {item["service"]: item["percent"] for item in now["paid"]}
    after = {item["service"]: item["percent"] for item in now["services"]}
    return lines + [
        f"{item['service']}: {item['percent']} % covered before, {after[item['service']]} % now,"
        f" {later[item['service']]} % when all is paid"
        for item in before["services"]
    ]


def reservation_lacking(report: Data, minimum: float) -> list[str]:
    """The services of which less than I(minimum) percent is covered, each with its share."""
    return [
        f"{item['percent']} % of {item['service']}" for item in report["services"] if item["percent"] < float(minimum)
    ]


def reservation_remains(report: Data) -> list[str]:
    """What of a report's fleet is open, or covered later only, and is nothing to buy."""
    return [*words.remains(report), *words.counted(report)]


def reservation_words(item: Data) -> str:
    """One of a report's C(closing) or C(reservations) in words."""
    return f"{item['count']} x {item['type']} ({item['service']}, {item['product']})"


def _exact(amount: Any) -> Decimal:
    return Decimal(str(amount))


def _text(amount: Decimal) -> str:
    return f"{amount.quantize(Decimal('0.01'))}"


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "reservation_changes": reservation_changes,
            "reservation_lacking": reservation_lacking,
            "reservation_purchase_table": reservation_purchase_table,
            "reservation_purchases": reservation_purchases,
            "reservation_remains": reservation_remains,
            "reservation_same_amount": reservation_same_amount,
            "reservation_words": reservation_words,
        }
