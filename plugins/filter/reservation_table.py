# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan as lines for a terminal of a hundred columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations import words
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.words import money

Plan = Mapping[str, Any]

# Ansible indents what it prints by eight.
WIDTH = 92


def reservation_table(plan: Plan, notes: Sequence[str] = ()) -> list[str]:
    """The plan as lines, of which none is longer than a terminal is wide, with notes below."""
    found = plan["costs"]
    blocks = [
        _wrapped([f"Environment {plan['environment']} in {plan['region']}, {plan['at'][:10]}", words.answer(plan)]),
        _fleet(plan),
        _months(plan),
        _purchase(plan),
        _lines("Beside it, a month", found["beside"]["lines"], found["currency"]),
        _lines("On Amazon MWAA, a month", found["mwaa"]["lines"], found["currency"]),
        _wrapped([*words.gap(plan), *words.notices(plan)]),
        _wrapped([*_sources(plan), *notes]),
    ]
    return [line for block in blocks if block for line in ["", *block]][1:]


def _fleet(plan: Plan) -> list[str]:
    head = ["Fleet", "type", ">count", ">units", ">covered", ">%", "by"]
    return _table(head, [list(row.values()) for row in words.fleet(plan)])


def _months(plan: Plan) -> list[str]:
    """What a month and three years cost, in each way."""
    found = plan["costs"]
    if found["today"] is None:
        return []
    rows = [_sum_row("all on demand", found["on_demand"]), _sum_row("as covered today", found["today"])]
    for option in found["options"]:
        rows.append(
            [
                words.term(option) + ("  <- recommended" if option["recommended"] else ""),
                money(option["at_start"]),
                money(option["month"]),
                money(option["series"][-1]),
                f"{option['saving_percent']:.1f}",
                words.even(option),
            ]
        )
    if found["mwaa"]["month"] is not None:
        rows.append(_sum_row("Amazon MWAA", found["mwaa"]))
    head = [f"{found['currency']}, all together", ">at start", ">a month", ">36 months", ">saves %", ">even"]
    return _table(head, rows) + _wrapped(words.unsold(plan))


def _sum_row(name: str, sums: Mapping[str, Any]) -> list[str]:
    return [name, "", money(sums["month"]), money(sums["series"][-1]), "", ""]


def _purchase(plan: Plan) -> list[str]:
    rows, best = words.purchase(plan), words.recommended(plan)
    if not rows:
        return []
    head = f"To close the gap ({words.term(best)}):" if best else "To close the gap:"
    return [head, *_table(["service", "what", "product", ">at start", ">monthly", ">whole term"], rows)]


def _lines(head: str, lines: Sequence[Mapping[str, Any]], currency: str) -> list[str]:
    rows = [
        [
            line["what"],
            f"{line['count']} {line['unit']}".strip(),
            "" if line["amount"] is None else words.each(line),
            money(line["month"]),
        ]
        for line in lines
    ]
    return _table([head, ">count", ">one costs", f">{currency}"], rows) if rows else []


def _sources(plan: Plan) -> list[str]:
    found = plan["costs"]
    lines = [f"Prices: {words.prices_from(plan)}."] if words.prices_from(plan) else []
    if found["without"]:
        lines.append(f"Without prices on demand the plan is in units: {found['without']}")
    lines += [f"No price: {what}" for what in found["missing"]]
    lines.append(f"MWAA: {words.mwaa_sizing(plan)}.")
    if found["today"] is not None:
        lines += ["Not included:", *(f"- {what}" for what in found["not_included"])]
    return lines


def _wrapped(texts: Sequence[str]) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side; what is under a title with C(>) is set to the right."""
    titles = [title.removeprefix(">") for title in head]
    widths = [max(len(line[place]) for line in [titles, *rows]) for place in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if title.startswith(">") else cell.ljust(width)
            for cell, width, title in zip(line, widths, head, strict=True)
        ).rstrip()
        for line in [titles, *rows]
    ]


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {"reservation_table": reservation_table}
