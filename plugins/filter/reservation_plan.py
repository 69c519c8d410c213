# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an environment's reservations cover, as data and as lines to read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations import reading
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import MULTI_AZ, SINGLE, Usage
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.report import coverage_report

Data = Mapping[str, Any]

_READERS = {
    "ec2": reading.ec2_reservation,
    "rds": reading.rds_reservation,
    "elasticache": reading.cache_reservation,
}
_PRICE_KEYS = ("service", "type", "product", "copies")
_HOURS_OF_A_MONTH = Decimal(8760) / 12


def reservation_wanted(hosts: Iterable[Data], database: Data, broker: Data) -> list[dict[str, Any]]:
    """What a fleet will run, in the form of reservable_usage_info.

    I(hosts) is what fleet_hosts returns; I(database) has C(name), C(instance_class) and C(multi_az), I(broker) C(name),
    C(node_type) and C(nodes), which may be none.
    """
    wanted = [
        {
            "name": host["name"],
            "service": "ec2",
            "type": host["instance_type"],
            # The hosts run Debian, for which nobody is paid.
            "product": "Linux/UNIX",
            "zone": host["zone"],
        }
        for host in hosts
    ]
    wanted.append(
        {
            "name": database["name"],
            "service": "rds",
            "type": database["instance_class"],
            "product": "postgresql",
            "copies": MULTI_AZ if database["multi_az"] else SINGLE,
        }
    )
    wanted += [
        {
            "name": f"{broker['name']}/{number}",
            "service": "elasticache",
            "type": broker["node_type"],
            "product": "valkey",
        }
        for number in range(1, int(broker["nodes"]) + 1)
    ]
    return wanted


def reservation_report(
    wanted: Iterable[Data], running: Iterable[Data], reserved: Mapping[str, Iterable[Data]], now: str, days: int
) -> dict[str, Any]:
    """Match the wanted fleet, and what others run, with what the account owns.

    I(running) is what reservable_usage_info returns, of which our own is left out for what is wanted; I(reserved) are
    the answers of the three modules that read reservations, by service.
    """
    usages = [Usage(**{**item, "ours": True}) for item in wanted]
    usages += [Usage(**item) for item in running if not item["ours"]]
    owned = [_READERS[service](item) for service, items in reserved.items() for item in items]
    at = reading.moment(now)
    if at is None:
        raise ValueError("a report needs a time")
    return coverage_report(usages, owned, at, int(days))


def reservation_offers(report: Data, offerings: Sequence[Sequence[Data]]) -> dict[str, Any]:
    """The report with I(offers): every way in which AWS sells what would close the gap, for all of the count.

    I(offerings) are the answers of reserved_offerings_info to each of C(closing), in its order.
    """
    offers = []
    for wanted, sold in zip(report["closing"], offerings, strict=True):
        for offering in sold:
            count = wanted["count"]
            offers.append(
                {
                    **{key: wanted[key] for key in ("service", "type", "product", "count")},
                    **{key: offering[key] for key in ("id", "years", "payment", "currency")},
                    "upfront": _cents(_exact(offering["upfront"]) * count),
                    "monthly": _cents(_exact(offering["hourly"]) * count * _HOURS_OF_A_MONTH),
                    "total": _cents(_exact(offering["total"]) * count),
                }
            )
    return {**report, "offers": offers}


def reservation_price_items(report: Data) -> list[dict[str, Any]]:
    """What price_list_info must be asked to price a report: the fleet, and what would close its gap."""
    asked = [{key: item[key] for key in _PRICE_KEYS} for item in report["fleet"]]
    asked += [{**{key: item[key] for key in _PRICE_KEYS[:3]}, "copies": _copies(item)} for item in report["closing"]]
    return [item for place, item in enumerate(asked) if item not in asked[:place]]


def reservation_priced(report: Data, prices: Sequence[Data]) -> dict[str, Any]:
    """The report of reservation_offers with prices on demand, as price_list_info returns them.

    Every one of C(services) gets C(on_demand), what a month costs without any reservation, and C(still_on_demand), the
    part of it that no reservation covers; both are none where a price is missing, and C(unpriced) says whose. Every one
    of C(offers) gets C(saving), its share of the price on demand, and C(break_even), the month in which it has paid for
    itself, nought for one that costs nothing at the start; none where it never does.
    C(price_lists) are the lists' regions and dates.
    """
    known = {tuple(item[key] for key in _PRICE_KEYS): item for item in prices}

    def monthly(item: Data, copies: int) -> Decimal | None:
        found = known.get((item["service"], item["type"], item["product"], copies))
        return _exact(found["amount"]) * _HOURS_OF_A_MONTH if found else None

    costs = [(item, monthly(item, item["copies"])) for item in report["fleet"]]
    services = []
    for service in report["services"]:
        ours = [(item, cost) for item, cost in costs if item["service"] == service["service"]]
        whole = [cost for _item, cost in ours if cost is not None]
        still = [cost * _exact(item["open"]) / _exact(item["units"]) for item, cost in ours if cost is not None]
        complete = len(whole) == len(ours)
        services.append(
            {
                **service,
                "on_demand": _cents(sum(whole, Decimal(0))) if complete else None,
                "still_on_demand": _cents(sum(still, Decimal(0))) if complete else None,
            }
        )
    wanted = {(item["service"], item["type"], item["product"]): item for item in report["closing"]}
    offers = []
    for offer in report["offers"]:
        one = monthly(offer, _copies(wanted[offer["service"], offer["type"], offer["product"]]))
        offers.append({**offer, **_compared(offer, one * offer["count"] if one is not None else None)})
    return {
        **report,
        "services": services,
        "offers": offers,
        "currencies": sorted({item["currency"] for item in prices}),
        "price_lists": sorted({f"{item['region']} of {item['published'][:10]}" for item in prices}),
        "unpriced": sorted(
            {f"{item['type']} ({item['service']}, {item['product']})" for item, cost in costs if cost is None}
        ),
    }


def _copies(wanted: Data) -> int:
    return MULTI_AZ if wanted["multi_az"] else SINGLE


def _compared(offer: Data, on_demand: Decimal | None) -> dict[str, Any]:
    """What an offer saves of the monthly price on demand of the same, and when it has paid for itself."""
    if not on_demand:
        return {"saving": None, "break_even": None}
    months, upfront = offer["years"] * 12, _exact(offer["upfront"])
    saving = 1 - _exact(offer["total"]) / months / on_demand
    gain = on_demand - _exact(offer["monthly"])
    month = math.ceil(upfront / gain) if gain > 0 else months + 1
    return {"saving": float(round(saving * 100, 1)), "break_even": month if month <= months else None}


def _exact(amount: float) -> Decimal:
    return Decimal(str(amount))


def _cents(amount: Decimal) -> float:
    return float(amount.quantize(Decimal("0.01")))


def reservation_table(report: Data) -> list[str]:
    """The report as lines for a terminal."""
    lines = _table(
        ["service", "name", "type", "units", "covered", "%", "by"],
        [
            [
                item["service"],
                item["name"],
                item["type"] + (" x2" if item["copies"] == MULTI_AZ else ""),
                _number(item["units"]),
                _number(item["covered"]),
                _number(item["percent"]),
                ", ".join(item["reservations"]) or "on demand",
            ]
            for item in report["fleet"]
        ],
    )
    for item in report["services"]:
        lines.append(
            f"{item['service']}: {_number(item['covered'])} of {_number(item['units'])} units, {item['percent']} %"
        )
    lines += _costs(report) + _owned(report)
    later = {item["service"]: item["percent"] for item in report["later"]}
    changed = [item for item in report["services"] if later[item["service"]] != item["percent"]]
    lines += [f"In {report['days']} days: {item['service']} {later[item['service']]} %" for item in changed]
    return lines + _gap(report)


def _costs(report: Data) -> list[str]:
    """What a month costs on demand, where prices are known."""
    currency = " ".join(report.get("currencies", []))
    lines = [
        f"{item['service']} would cost {item['on_demand']:.2f} {currency} a month on demand;"
        f" {item['still_on_demand']:.2f} of it is not covered"
        for item in report["services"]
        if item.get("on_demand") is not None
    ]
    if lines:
        lines.append(f"Prices on demand: the price list of {', '.join(report['price_lists'])}")
    return lines + [f"No price on demand is known of {what}" for what in report.get("unpriced", [])]


def _owned(report: Data) -> list[str]:
    lines = []
    for item in report["reservations"]:
        what = f"{item['service']} reservation {item['id']} ({item['count']} x {item['type']}, {item['product']})"
        if item["ends_soon"]:
            lines.append(f"Ends soon: {what} on {item['end'][:10]}, in {item['days_left']} days")
        if item["standing"] == "pending":
            lines.append(f"Not in force yet: {what} is {item['state']}")
        if item["standing"] == "unknown":
            lines.append(f"Not counted: {what} is in a state that is not known here, {item['state']}")
        if item["unused"]:
            lines.append(f"Paid for and unused: {_number(item['unused'])} of {_number(item['units'])} units of {what}")
    return lines


def _gap(report: Data) -> list[str]:
    if not any(item["open"] for item in report["services"]):
        return ["Everything is covered."]
    lines = [
        f"To close the gap: {item['count']} x {item['type']} ({item['service']}, {item['product']})"
        for item in report["closing"]
    ]
    closed = {item["service"]: item["covered"] for item in report["closed"]}
    for item in report["services"]:
        service, added = (
            item["service"],
            sum(each["units"] for each in report["closing"] if each["service"] == item["service"]),
        )
        taken, rest = item["covered"] + added - closed[service], item["open"] - added
        if taken > 0:
            lines.append(f"Others would take {_number(taken)} of these {_number(added)} units of {service}")
        if rest > 0:
            lines.append(f"{_number(rest)} units of {service} stay open: less than one of the smallest that is open")
    offers = report.get("offers") or []
    if offers:
        lines += _table(
            [
                "service",
                "what",
                "years",
                "payment",
                "at the start",
                "a month",
                "whole term",
                "",
                "saves",
                "even in month",
            ],
            [
                [
                    item["service"],
                    f"{item['count']} x {item['type']}",
                    str(item["years"]),
                    item["payment"],
                    f"{item['upfront']:.2f}",
                    f"{item['monthly']:.2f}",
                    f"{item['total']:.2f}",
                    item["currency"],
                    f"{item['saving']} %" if item.get("saving") is not None else "",
                    _month(item.get("break_even")),
                ]
                for item in offers
            ],
        )
    priced = {(item["service"], item["type"], item["product"]) for item in offers}
    lines += [
        f"AWS sells no reservation of {item['type']} ({item['service']}, {item['product']}) here."
        for item in report["closing"]
        if (item["service"], item["type"], item["product"]) not in priced
    ]
    return lines


def _month(break_even: int | None) -> str:
    return "" if break_even is None else str(break_even or "at once")


def _number(value: float) -> str:
    return f"{value:g}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(line[place]) for line in [head, *rows]) for place in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *rows]
    ]


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "reservation_offers": reservation_offers,
            "reservation_price_items": reservation_price_items,
            "reservation_priced": reservation_priced,
            "reservation_report": reservation_report,
            "reservation_table": reservation_table,
            "reservation_wanted": reservation_wanted,
        }
