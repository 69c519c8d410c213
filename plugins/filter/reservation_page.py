# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan as one HTML page that a browser shows without any network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import plots, words
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.words import money, number
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

Plan = Mapping[str, Any]

_TEMPLATES = Path(words.__file__).parent


def reservation_page(plan: Plan) -> str:
    """The page of a plan; the same plan gives the same page, to the byte."""
    try:
        drawn = _plots(plan)
    except ImportError as error:
        raise AnsibleFilterError(
            f"The page's plots need the Python package matplotlib in the environment that runs Ansible ({error})."
            " Install it there, or leave reservations_page empty."
        ) from error
    best = words.recommended(plan)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(money=money, each=words.each, units=number)
    return environment.get_template("page.html.j2").render(
        plan=plan,
        answer=words.answer(plan),
        tiles=_tiles(plan),
        plots=drawn,
        ways=_ways(plan),
        unsold=words.unsold(plan),
        fleet=words.fleet(plan),
        remarks=[*words.gap(plan), *words.notices(plan)],
        owned=plots.owned_in_order(plan),
        purchase=words.purchase(plan),
        best=best,
        best_term=words.term(best) if best else "",
        sizing=words.mwaa_sizing(plan),
        prices_from=words.prices_from(plan),
    )


def _plots(plan: Plan) -> dict[str, Markup]:
    """What there is to draw, by name. The titles say what a plot is; the tables beside it have its figures."""
    wanted = {}
    if plan["costs"]["today"] is not None:
        wanted["month"] = (plots.month, "Bars: what a month costs in each way")
        wanted["course"] = (plots.course, "Lines: what has been paid after each of 36 months")
        if plan["costs"]["options"]:
            wanted["savings"] = (plots.savings, "Lines: what each purchase has saved after each of 36 months")
    if plan["families"]:
        wanted["coverage"] = (plots.coverage, "Bars: the share of each family that is covered")
    if plots.owned_in_order(plan):
        wanted["timeline"] = (plots.timeline, "Bars: until when each reservation lasts")
    # The plots hold nothing but what matplotlib wrote, which escapes text itself.
    return {name: Markup(plots.draw(plot, plan, title)) for name, (plot, title) in wanted.items()}  # noqa: S704


def _tiles(plan: Plan) -> list[dict[str, str]]:
    found, best = plan["costs"], words.recommended(plan)
    unit = f"{found['currency']} a month"
    if found["today"] is None:
        return [
            {
                "name": f"{words.SERVICE_NAMES[item['service']]} covered",
                "value": f"{number(item['percent'])} %",
                "unit": f"{number(item['covered'])} of {number(item['units'])} units",
                "colour": "best",
            }
            for item in plan["services"]
        ]
    tiles = [
        {
            "name": "Covered by reservations",
            "value": f"{number(found['covered_percent'])} %",
            "unit": "of what could be reserved",
            "colour": "owned",
        },
        {"name": "Today", "value": money(found["today"]["month"]), "unit": unit, "colour": "today"},
    ]
    if best is not None:
        tiles.append(
            {"name": "With the recommended purchase", "value": money(best["month"]), "unit": unit, "colour": "best"}
        )
    if found["mwaa"]["month"] is not None:
        tiles.append({"name": "Amazon MWAA", "value": money(found["mwaa"]["month"]), "unit": unit, "colour": "mwaa"})
    return tiles


def _ways(plan: Plan) -> list[dict[str, Any]]:
    """The rows of the table of costs."""
    found = plan["costs"]
    if found["today"] is None:
        return []

    def plain(name: str, sums: Mapping[str, Any]) -> dict[str, Any]:
        return {"name": name, "best": False, "cells": ["", money(sums["month"]), money(sums["series"][-1]), "", ""]}

    rows = [plain("All on demand", found["on_demand"]), plain("As covered today", found["today"])]
    rows += [
        {
            "name": words.term(option),
            "best": option["recommended"],
            "cells": [
                money(option["at_start"]),
                money(option["month"]),
                money(option["series"][-1]),
                f"{money(option['saving'])} ({option['saving_percent']:.1f} %)",
                words.even(option),
            ],
        }
        for option in found["options"]
    ]
    if found["mwaa"]["month"] is not None:
        rows.append(plain("Amazon MWAA", found["mwaa"]))
    return rows


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {"reservation_page": reservation_page}
