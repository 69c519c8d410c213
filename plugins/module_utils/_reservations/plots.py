# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan's plots as SVG that stands in a page: text stays text, colours are the page's, equal plans give equal bytes.

Every plot is drawn for wide and for narrow screens, because text that shrinks with a plot can't be read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ansible_collections.freehold.airflow.plugins.module_utils._reservations import words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Plan = Mapping[str, Any]

WIDE, NARROW = 9.6, 4.4
# More would not be readable; the tables have all.
MOST_BARS = 24

# Stand-ins that matplotlib draws with, and the page's colours that take their place.
_COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "track": "#040404",
    "today": "#050505",
    "demand": "#060606",
    "best": "#070707",
    "mwaa": "#080808",
    "beside": "#090909",
    "owned": "#0a0a0a",
    "warn": "#0b0b0b",
    "page": "#0c0c0c",
}
_DASHES = {"No Upfront": "-", "Partial Upfront": (0, (5, 2)), "All Upfront": (0, (1.5, 1.5))}
_TITLE: dict[str, Any] = {"fontsize": 11, "color": _COLOURS["ink"], "pad": 10}


class Canvas:
    """One plot of one width, with one or several frames; sizes are in inches."""

    def __init__(self, name: str, width: float, height: float) -> None:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self.name, self.width, self.height = name, width, height
        self.figure: Figure = Figure(figsize=(width, height))
        FigureCanvasSVG(self.figure)

    @property
    def narrow(self) -> bool:
        return self.width < WIDE

    def frame(self, left: float, right: float, top: float = 0.12, bottom: float = 0.42) -> Axes:
        """Axes that leave so much room at each side."""
        box = (
            left / self.width,
            bottom / self.height,
            1 - (left + right) / self.width,
            1 - (top + bottom) / self.height,
        )
        axes: Axes = self.figure.add_axes(box)
        axes.set_facecolor("none")
        for side in ("top", "right", "left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0, labelsize=10, labelcolor=_COLOURS["muted"], pad=5)
        return axes

    def svg(self, title: str) -> str:
        """The picture, for a page that holds others."""
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return _for_page(drawn.getvalue().decode(), self.name, title, "narrow" if self.narrow else "wide")


def _for_page(text: str, name: str, title: str, kind: str) -> str:
    """matplotlib's file without what only a file of its own needs, in the colours and type of the page."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"font: (?:[a-z]+ |\d+ )*([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    used = set(re.findall(r"#([\w.-]+)[\")]", body))
    body = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", body)
    for colour, stand_in in _COLOURS.items():
        body = body.replace(stand_in, f"var(--{colour})")
    frame = re.search(r'viewBox="[^"]*"', body)
    head = f'<svg class="plot {kind}" {frame[0] if frame else ""} role="img" aria-label="{title}" data-plot="{name}">'
    return re.sub(r"\n\s*", "\n", re.sub(r"<svg[^>]*>", lambda _found: head, body, count=1)).strip()


def _spread(places: Sequence[float], least: float) -> list[float]:
    """The places, moved apart until each has so much room to the next, with the same middle."""
    order = sorted(range(len(places)), key=lambda number: places[number])
    groups: list[list[int]] = []
    for number in order:
        groups.append([number])
        while len(groups) > 1 and _low(groups[-1], places, least) - _high(groups[-2], places, least) < least:
            last = groups.pop()
            groups[-1] += last
    moved = list(places)
    for group in groups:
        low = _low(group, places, least)
        for place, number in enumerate(group):
            moved[number] = low + place * least
    return moved


def _low(group: Sequence[int], places: Sequence[float], least: float) -> float:
    return sum(places[number] for number in group) / len(group) - (len(group) - 1) * least / 2


def _high(group: Sequence[int], places: Sequence[float], least: float) -> float:
    return _low(group, places, least) + (len(group) - 1) * least


def _amount(value: float, _place: float = 0) -> str:
    return f"{value:,.0f}"


def _text(axes: Axes, x: float, y: float, text: str, **how: Any) -> None:
    """Words in the units of the axes."""
    axes.text(x, y, text, **{"fontsize": 10, "color": _COLOURS["ink"], "va": "center", "clip_on": False, **how})


def _grid(axes: Axes, axis: Literal["x", "y"]) -> None:
    axes.grid(True, axis=axis, color=_COLOURS["line"], linewidth=0.8)
    axes.set_axisbelow(True)


def _months_axis(axes: Axes, step: int) -> None:
    axes.set_xlim(0, 36)
    axes.set_xticks(range(0, 37, step))
    axes.set_xticklabels([f"month {month}" if month else "today" for month in range(0, 37, step)])
    axes.yaxis.set_major_formatter(_amount)
    _grid(axes, "y")


def _end_labels(axes: Axes, ends: Sequence[tuple[float, str, str]], height: float) -> None:
    """Names at the right ends of lines, moved apart where they would cover each other in axes of this height."""
    bottom, top = axes.get_ylim()
    lines = max(label.count("\n") for _value, label, _colour in ends) + 1
    least = (top - bottom) * 0.19 * lines / height
    for (value, label, colour), place in zip(ends, _spread([end for end, _label, _colour in ends], least), strict=True):
        axes.annotate(
            label,
            xy=(36, value),
            xytext=(37.4, place),
            annotation_clip=False,
            va="center",
            fontsize=10,
            color=_COLOURS[colour],
            linespacing=1.15,
            arrowprops={"arrowstyle": "-", "color": _COLOURS["line"], "linewidth": 0.8, "shrinkA": 1, "shrinkB": 2},
        )


def course(plan: Plan, width: float) -> Canvas:
    """What has been paid after each month: on MWAA, on demand, as covered today, and with the recommended purchase."""
    found, best = plan["costs"], words.recommended(plan)
    today, demand = found["today"]["series"], found["on_demand"]["series"]
    if demand == today:
        lines = [(today, "today, on demand", "today")]
    else:
        lines = [(today, "as covered today", "today"), (demand, "on demand", "demand")]
    if found["mwaa"]["month"] is not None:
        lines.append((found["mwaa"]["series"], "Amazon MWAA", "mwaa"))
    if best is not None:
        lines.append((best["series"], "recommended", "best"))
    canvas = Canvas("course", width, 3.4)
    axes = canvas.frame(0.62, 1.28 if canvas.narrow else 2.2)
    _months_axis(axes, 12 if canvas.narrow else 6)
    axes.set_ylim(0, max(series[-1] for series, _name, _colour in lines) * 1.04 or 1)
    for series, _name, colour in lines:
        axes.plot(range(37), series, color=_COLOURS[colour], linewidth=2.6 if colour == "best" else 1.8, clip_on=False)
    if best is not None and best["break_even"]:
        axes.plot([best["break_even"]], [best["series"][best["break_even"]]], "o", color=_COLOURS["best"], markersize=7)
    joint = "\n" if canvas.narrow else " "
    ends = [(series[-1], f"{name}{joint}{_amount(series[-1])}", colour) for series, name, colour in lines]
    _end_labels(axes, ends, canvas.height - 0.54)
    return canvas


def savings(plan: Plan, width: float) -> Canvas:
    """What each way of buying has saved after so many months; where a line crosses nought it has paid for itself."""
    found = plan["costs"]
    years = sorted({option["years"] for option in found["options"]})
    canvas = Canvas("savings", width, (0.75 + 2.6 * len(years)) if width < WIDE else 3.7)
    frames = []
    for place, term in enumerate(years):
        if canvas.narrow:
            high = canvas.height / len(years)
            axes = canvas.frame(0.66, 1.15, high * place + 0.42, canvas.height - high * (place + 1) + 0.45)
        else:
            wide = canvas.width / len(years)
            axes = canvas.frame(wide * place + 0.68, canvas.width - wide * (place + 1) + 1.15, 0.42)
        frames.append((term, axes))
    lows, highs = [0.0], [0.0]
    for term, axes in frames:
        _months_axis(axes, 12)
        for option in (option for option in found["options"] if option["years"] == term):
            months, saved = _saved(found, option)
            lows.append(min(saved))
            highs.append(max(saved))
            axes.plot(
                months,
                saved,
                color=_COLOURS["best"],
                linewidth=2.8 if option["recommended"] else 1.6,
                linestyle=_DASHES[option["payment"]],
                clip_on=False,
            )
            if option["break_even"]:
                axes.plot(
                    [option["break_even"]], [_at(found, option, option["break_even"])], "o", color=_COLOURS["best"]
                )
    for term, axes in frames:
        axes.set_ylim(min(lows) * 1.08, max(highs) * 1.08 or 1)
        axes.axhline(0, color=_COLOURS["ink"], linewidth=1.2)
        axes.set_title("1 year, made again twice" if term == 1 else f"{term} years", loc="left", **_TITLE)
        ends = [
            (_at(found, option, 36), option["payment"].replace(" Upfront", " upfront").lower(), "ink")
            for option in found["options"]
            if option["years"] == term
        ]
        _end_labels(axes, ends, axes.get_position().height * canvas.height)
    return canvas


def _at(found: Plan, option: Plan, month: int) -> float:
    saved: float = found["today"]["series"][month] - option["series"][month]
    return saved


def _saved(found: Plan, option: Plan) -> tuple[list[int], list[float]]:
    """The points of a line; a purchase that is made again is paid in that moment, not over the month."""
    months, saved = [], []
    for month in range(37):
        months.append(month)
        saved.append(_at(found, option, month))
        if month and month < 36 and month % (12 * option["years"]) == 0:
            months.append(month)
            saved.append(saved[-1] - option["at_start"])
    return months, saved


def _parts(plan: Plan) -> list[tuple[str, list[tuple[float, str]]]]:
    """The bars of a month: a name, and amounts with colours."""
    found, best = plan["costs"], words.recommended(plan)
    bars = []
    if found["mwaa"]["month"] is not None:
        bars.append(("Amazon MWAA", [(found["mwaa"]["month"], "mwaa")]))
    bars.append(("All on demand", [(found["on_demand"]["open"], "demand"), (found["on_demand"]["beside"], "beside")]))
    today = found["today"]
    bars.append(("Today", [(today["open"], "demand"), (today["reserved"], "owned"), (today["beside"], "beside")]))
    if best is not None:
        parts = [(best["open"], "demand"), (best["reserved"], "owned"), (best["bought"], "best")]
        bars.append(("Recommended", [*parts, (best["beside"], "beside")]))
    return bars


def month(plan: Plan, width: float) -> Canvas:
    """What a month costs, and what of."""
    bars = _parts(plan)
    canvas = Canvas("month", width, 0.6 + 0.46 * len(bars))
    axes, narrow = canvas.frame(1.22, 0.72 if canvas.narrow else 0.95), canvas.narrow
    axes.set_yticks(range(len(bars)))
    axes.set_yticklabels([name for name, _parts in bars], color=_COLOURS["ink"])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(_amount)
    axes.locator_params(axis="x", nbins=4 if narrow else 8)
    _grid(axes, "x")
    longest = max(sum(amount for amount, _colour in parts) for _name, parts in bars) or 1
    axes.set_xlim(0, longest)
    for place, (_name, parts) in enumerate(bars):
        begin = 0.0
        for amount, colour in parts:
            axes.barh(place, amount, left=begin, height=0.62, color=_COLOURS[colour], edgecolor="none")
            begin += amount
            # A hairline of the page's own colour sets the parts apart.
            if amount:
                axes.plot([begin, begin], [place - 0.31, place + 0.31], color=_COLOURS["page"], linewidth=1.4)
        _text(axes, begin + longest * 0.012, place, words.money(begin), fontweight="bold")
    return canvas


def coverage(plan: Plan, width: float) -> Canvas:
    """How much of each family is covered."""
    families = plan["families"][:MOST_BARS]
    canvas = Canvas("coverage", width, 0.6 + 0.46 * len(families))
    axes, narrow = canvas.frame(1.6, 1.0 if canvas.narrow else 1.7), canvas.narrow
    axes.set_yticks(range(len(families)))
    names = [f"{words.SERVICE_NAMES[item['service']]} {item['family']}" for item in families]
    axes.set_yticklabels(names, color=_COLOURS["ink"])
    axes.set_ylim(len(families) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    ticks = [0, 50, 100] if narrow else [0, 25, 50, 75, 100]
    axes.set_xticks(ticks)
    axes.set_xticklabels([f"{tick} %" for tick in ticks])
    for place, item in enumerate(families):
        axes.barh(place, 100, height=0.56, color=_COLOURS["track"])
        axes.barh(place, item["percent"], height=0.56, color=_COLOURS["best"])
        label = f"{words.number(item['covered'])} of {words.number(item['units'])}" + ("" if narrow else " units")
        _text(axes, 102, place, label)
    return canvas


def timeline(plan: Plan, width: float) -> Canvas:
    """Until when what is owned lasts, the first to end on top."""
    owned = owned_in_order(plan)[:MOST_BARS]
    now = datetime.fromisoformat(plan["at"])
    narrow = width < WIDE
    canvas = Canvas("timeline", width, 0.75 + (0.6 if narrow else 0.44) * len(owned))
    axes = canvas.frame(0.3 if narrow else 2.3, 0.35)
    axes.set_ylim(len(owned) - 0.4, -0.75)
    axes.set_yticks([])
    axes.set_xlim(0, 36)
    axes.set_xticks(range(0, 37, 12 if narrow else 6))
    dates = [now + timedelta(hours=730 * int(tick)) for tick in axes.get_xticks()]
    axes.set_xticklabels([f"{date:%Y-%m}" for date in dates])
    _grid(axes, "x")
    for place, item in enumerate(owned):
        begin, end = (_month_of(item[key], now) for key in ("start", "end"))
        colour = "warn" if item["ends_soon"] else "track" if item["standing"] == "pending" else "owned"
        begin, end = max(0.0, begin), min(36.0, end)
        axes.barh(place, end - begin, left=begin, height=0.5 if not narrow else 0.26, color=_COLOURS[colour])
        name = f"{item['count']} x {item['type']}"
        until = f"until {item['end'][:10]}"
        if narrow:
            _text(axes, 0, place - 0.34, f"{name}, {until}")
        else:
            _text(axes, -0.4, place, name, ha="right")
            inside = end - begin > 8
            where, side = (end - 0.4, "right") if inside else (end + 0.4, "left")
            _text(axes, where, place, until, ha=side, color=_COLOURS["page" if inside else "ink"])
    notice = plan["days"] / (730 / 24)
    axes.axvline(notice, color=_COLOURS["warn"], linewidth=1, linestyle=(0, (3, 2)), zorder=0.5)
    _text(axes, notice + 0.3, -0.62, f"in {plan['days']} days", color=_COLOURS["warn"], fontsize=9)
    return canvas


def owned_in_order(plan: Plan) -> list[Mapping[str, Any]]:
    """What is owned and still counts, the first to end first."""
    alive = [item for item in plan["reservations"] if item["standing"] in ("active", "pending") and item["end"]]
    return sorted(alive, key=lambda item: (item["end"], item["service"], item["id"]))


def _month_of(moment: str, now: datetime) -> float:
    return (datetime.fromisoformat(moment) - now).total_seconds() / 3600 / 730 if moment else 0.0


def draw(plot: Callable[[Plan, float], Canvas], plan: Plan, title: str) -> str:
    """A plot for wide and for narrow screens. Raises ImportError where matplotlib is missing."""
    import matplotlib as mpl

    return "\n".join(_drawn(mpl, plot, plan, title, width) for width in (WIDE, NARROW))


def _drawn(mpl: Any, plot: Callable[[Plan, float], Canvas], plan: Plan, title: str, width: float) -> str:
    settings: Iterable[tuple[str, Any]] = {
        "svg.fonttype": "none",
        # Ids of paths come from this and from their content, so that no two plots of a page share one by chance.
        "svg.hashsalt": f"{plot.__name__}-{width}",
        "font.family": "DejaVu Sans",
        "path.simplify": False,
    }.items()
    with mpl.rc_context(dict(settings)):
        return plot(plan, width).svg(title)
