# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a plan is put into words, the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.report import percent

Plan = Mapping[str, Any]

SERVICE_NAMES = {"ec2": "EC2", "rds": "RDS", "elasticache": "ElastiCache"}
# What an offer and what it would close have in common; two of them may differ in the deployment alone.
OFFER_KEYS = ("service", "type", "product", "tenancy", "multi_az", "count")
_MODULES = {
    "ec2": "ec2_reserved_instances",
    "rds": "rds_reserved_instances",
    "elasticache": "elasticache_reserved_nodes",
}


def money(amount: float | None) -> str:
    """An amount to the cent, with thousands set apart; a dash for none."""
    return "-" if amount is None else f"{amount:,.2f}"


def number(value: float) -> str:
    """Units or a percentage without needless zeros."""
    return f"{value:g}"


def each(line: Mapping[str, Any]) -> str:
    """What one of a line costs; empty where that is not known."""
    if line["amount"] is None:
        return ""
    return f"{line['amount']:g} {'an' if line['per'] == 'hour' else 'a'} {line['per']}"


def term(option: Mapping[str, Any]) -> str:
    """A way of buying: C(1 year, No Upfront)."""
    return f"{option['years']} year{'s' if option['years'] > 1 else ''}, {option['payment']}"


def recommended(plan: Plan) -> Mapping[str, Any] | None:
    """The purchase that the settings ask for, where AWS sells it."""
    found: list[Mapping[str, Any]] = [option for option in plan["costs"]["options"] if option["recommended"]]
    return found[0] if found else None


def even(option: Mapping[str, Any]) -> str:
    """When a purchase has paid for itself."""
    month = option["break_even"]
    return "never" if month is None else "at once" if month == 0 else f"month {month}"


def prices_from(plan: Plan) -> str:
    """Where the prices come from; empty without any."""
    found = plan["costs"]
    if not found["price_lists"]:
        return ""
    return f"{found['currency']}, price list of {', '.join(found['price_lists'])}, read {found['read'][:10]}"


def coverage(plan: Plan) -> str:
    """How much is covered, by money where prices are known, by units where not."""
    share = plan["costs"].get("covered_percent")
    if share is not None:
        return f"Reservations cover {number(share)} % of what could be reserved"
    each = [f"{number(item['percent'])} % of {SERVICE_NAMES[item['service']]}" for item in plan["services"]]
    return f"Reservations cover {' and '.join(each)}, in units" if each else "There is nothing that could be reserved"


def answer(plan: Plan) -> str:
    """The plan in one or two sentences: what is covered, what it costs now, with a purchase, and on Amazon MWAA."""
    found = plan["costs"]
    today, same_work, best = found["today"], found["mwaa"]["month"], recommended(plan)
    if today is None:
        return f"{coverage(plan)}. What it costs can't be said: {reason(plan)}."
    currency = found["currency"]
    text = f"{coverage(plan)}. The environment costs {money(today['month'])} {currency} a month today"
    if best is not None and best["saving"] > 0:
        text += f", {money(best['month'])} with the recommended purchase ({term(best)})"
    elif plan["closing"] and best is None:
        text += ", and AWS does not sell what would cover the rest in the way that is asked for"
    elif plan["closing"]:
        text += ", and buying what would cover the rest saves nothing"
    elif any(item["open"] for item in plan["paid"]):
        text += ", and what is open is less than one of the smallest type that is open"
    elif any(item["open"] for item in plan["services"]):
        text += ", and what is open is bought, and not in force yet"
    else:
        text += ", and nothing needs to be bought"
    if same_work is None:
        return f"{text}. What Amazon MWAA costs is not known here."
    bought = best["month"] if best is not None and best["saving"] > 0 else None
    return (
        f"{text}; the same work on Amazon MWAA costs {money(same_work)}{_compared(today['month'], bought, same_work)}."
    )


def reason(plan: Plan) -> str:
    """Why there are no sums of money."""
    found = plan["costs"]
    return str(found["without"]).rstrip(".") or "; ".join(found["missing"])


def _compared(today: float, bought: float | None, theirs: float) -> str:
    """How much less, or more, it costs here, today and with a purchase where there is one."""
    if not theirs:
        return ""
    share, direction = _share(today, theirs)
    text = f": {share} % {direction} here today"
    if bought is None:
        return text
    share, other = _share(bought, theirs)
    return f"{text}, {share} % {f'{other} ' if other != direction else ''}with the purchase"


def _share(ours: float, theirs: float) -> tuple[int, str]:
    """The difference in percent, cut off and never rounded up, and in which direction."""
    part = (1 - Decimal(str(ours)) / Decimal(str(theirs))) * 100
    return int(abs(part)), "less" if part >= 0 else "more"


def notices(plan: Plan) -> list[str]:
    """What deserves attention of what is owned."""
    lines = []
    for item in plan["reservations"]:
        what = f"{item['service']} reservation {item['id']} ({item['count']} x {item['type']}, {item['product']})"
        if item["ends_soon"]:
            lines.append(f"Ends soon: {what} on {item['end'][:10]}, in {item['days_left']} days")
        if item["standing"] == "pending":
            lines.append(f"Not in force yet: {what} is {item['state']}")
        if item["standing"] == "unknown":
            lines.append(
                f"Not counted: {what} is in a state that is not known here, {item['state']}; nothing is bought in its"
                " place"
            )
        if item["unused"]:
            lost = next((each["month"] for each in plan["costs"]["idle"] if each["id"] == item["id"]), None)
            cost = f", {money(lost)} {plan['costs']['currency']} a month" if lost is not None else ""
            lines.append(
                f"Paid for and unused: {number(item['unused'])} of {number(item['units'])} units of {what}{cost}"
            )
    later = {item["service"]: item["percent"] for item in plan["later"]}
    lines += [
        f"In {plan['days']} days: {SERVICE_NAMES[item['service']]} is covered to {number(later[item['service']])} %"
        for item in plan["services"]
        if later[item["service"]] != item["percent"]
    ]
    return lines


def fleet(plan: Plan) -> list[dict[str, str]]:
    """The fleet with one entry for everything alike."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for item in plan["fleet"]:
        key = (item["service"], item["type"], item["copies"], tuple(item["reservations"]))
        groups.setdefault(key, []).append(item)
    return [
        {
            "service": SERVICE_NAMES[service],
            "type": name + (" Multi-AZ" if copies > 1 else ""),
            "count": str(len(items)),
            "units": number(sum(item["units"] for item in items)),
            "covered": number(sum(item["covered"] for item in items)),
            "percent": f"{percent(sum(item['covered'] for item in items), sum(item['units'] for item in items)):.1f}",
            "by": _first(reservations) or "on demand",
        }
        for (service, name, copies, reservations), items in groups.items()
    ]


def offers_of(plan: Plan, item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The ways in which AWS sells one of C(closing)."""
    return [offer for offer in plan["offers"] if all(offer[key] == item[key] for key in OFFER_KEYS)]


def purchase(plan: Plan) -> list[list[str]]:
    """What would be bought, and what each costs in the way that is asked for, where AWS sells it so."""
    best = recommended(plan)
    rows = []
    for item in plan["closing"]:
        offers = [
            offer
            for offer in offers_of(plan, item)
            if best is not None
            and (offer["years"], offer["payment"]) == (best["years"], best["payment"])
            and offer["currency"] in ("", plan["costs"]["currency"])
        ]
        cheapest = min(offers, key=lambda offer: (offer["total"], offer["id"]), default=None)
        amounts = [money(cheapest[key] if cheapest else None) for key in ("upfront", "monthly", "total")]
        what = f"{item['count']} x {item['type']}" + (" Multi-AZ" if item["multi_az"] else "")
        rows.append([SERVICE_NAMES[item["service"]], what, item["product"], *amounts])
    return rows


def unsold(plan: Plan) -> list[str]:
    """Which way of buying leaves what on demand, because AWS does not sell it so."""
    return [
        f"{term(option)}: AWS does not sell {', '.join(option['not_sold'])} so; it stays on demand."
        for option in plan["costs"]["options"]
        if option["not_sold"]
    ]


def _first(names: Sequence[str]) -> str:
    """The first of some ids, as far as there is room for it, and how many more there are; EC2's begin well enough."""
    if not names:
        return ""
    name = names[0][:8] if len(names[0]) == 36 else names[0] if len(names[0]) <= 20 else f"{names[0][:18]}.."
    return name + (f" +{len(names) - 1}" if len(names) > 1 else "")


def gap(plan: Plan) -> list[str]:
    """What would close the gap, and what of it would not."""
    if not any(item["open"] for item in plan["services"]):
        return ["Everything is covered."]
    lines = [*taken(plan), *remains(plan)]
    lines += [
        f"AWS sells no reservation of {item['type']} ({item['service']}, {item['product']}) here."
        for item in plan["closing"]
        if not offers_of(plan, item)
    ]
    return lines


def taken(report: Plan) -> list[str]:
    """How much of what would close the gap instances of others would take."""
    lines = []
    closed = {item["service"]: item["covered"] for item in report["closed"]}
    for item in report["paid"]:
        service = item["service"]
        added = sum(each["units"] for each in report["closing"] if each["service"] == service)
        theirs = item["covered"] + added - closed[service]
        if theirs > 0:
            lines.append(
                f"Others would take {number(theirs)} of these {number(added)} units of {SERVICE_NAMES[service]}."
            )
    return lines


def held(report: Plan) -> list[str]:
    """How much of what is owned, and fits the same as what would close the gap, instances of others use."""
    lines = []
    for service, name in SERVICE_NAMES.items():
        theirs = sum(item["used_by_others"] for item in report["closing"] if item["service"] == service)
        if theirs:
            lines.append(f"Others use {number(theirs)} units of the reservations of {name} that are owned already.")
    return lines


def remains(report: Plan) -> list[str]:
    """What is open and nobody needs to buy: because it is bought, or because it is less than one."""
    bought = {item["service"]: item["open"] for item in report["paid"]}
    waiting = {item["service"]: item["open"] - bought[item["service"]] for item in report["services"]}
    lines = []
    if any(waiting.values()) and not any(bought.values()):
        lines.append("What is open is bought, and not in force yet.")
    else:
        lines += [
            f"Of what is open, {_units(amount, service)} {_are(amount)} bought, and not in force yet."
            for service, amount in waiting.items()
            if amount
        ]
    return lines + [
        f"{_units(item['units'], item['service'])} {'stays' if item['units'] == 1 else 'stay'} open, less than one"
        f" {item['type']}, the smallest type that is open; smaller ones, where AWS sells them, are bought by hand, with"
        f" the module freehold.airflow.{_MODULES[item['service']]}."
        for item in report["rests"]
    ]


def counted(report: Plan) -> list[str]:
    """What is taken for covering ours although it is not in force before its date, or perhaps never."""
    lines = []
    for item in report["reservations"]:
        if not item["used_by_us_when_paid"]:
            continue
        what = f"{item['service']} reservation {item['id']} ({item['count']} x {item['type']}, {item['product']})"
        later = item["start"] and datetime.fromisoformat(item["start"]) > datetime.fromisoformat(report["at"])
        if item["standing"] == "pending" and later:
            lines.append(f"Counted, although not in force before {item['start'][:10]}: {what}.")
        elif item["standing"] == "unknown":
            lines.append(f"Counted, although its state is not known here, {item['state']}: {what}.")
    return lines


def _units(amount: float, service: str) -> str:
    return f"{number(amount)} unit{_s(amount)} of {SERVICE_NAMES[service]}"


def _are(amount: float) -> str:
    return "is" if amount == 1 else "are"


def mwaa_sizing(plan: Plan) -> str:
    """Which environment of Amazon MWAA does the same work, and why this one."""
    found = plan["costs"]["mwaa"]
    if not found["lines"]:
        return str(found["why"])
    counts = (
        f"{found['class']} with {found['workers']} worker{_s(found['workers'])}, {found['schedulers']}"
        f" scheduler{_s(found['schedulers'])} and {found['webservers']} web server{_s(found['webservers'])}"
    )
    if {"class", "workers"} <= set(found["stated"]):
        return f"{counts}, as stated"
    each = found["tasks_per_worker"]
    return f"{counts}: the fleet runs {found['tasks']} tasks at once, and one worker of this class {each}"


def _s(count: float) -> str:
    return "" if count == 1 else "s"
