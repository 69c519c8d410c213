# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a page: every figure on it is reckoned here from the prices of example_plan.py, and its form is seen."""

from __future__ import annotations

import re
import sys
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.freehold.airflow.plugins.filter.reservation_page import reservation_page

from tests.unit.plugins.filter.example_plan import OWNED, PRICES, WANTED, example

VOID = ("meta", "link", "br")


class Page(HTMLParser):
    """The text of a page's tables, plots and paragraphs, and what its tags say."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.plots: dict[str, list[str]] = {}
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self._plot = ""
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.tags.append((tag, given))
        if tag in VOID:
            return
        self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "svg":
            self._plot = f"{given['data-plot']} {given['class'].split()[1]}"
            self.plots[self._plot] = []

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not data.strip() or {"style", "title"} & set(self._open):
            return
        if "svg" in self._open:
            self.plots[self._plot].append(data.strip())
        elif "table" in self._open:
            self.tables[-1][-1][-1] += data
        else:
            self.words.append(data.strip())

    def table(self, first: str) -> list[list[str]]:
        """The rows of the table whose first heading is this."""
        found = [rows[1:] for rows in self.tables if rows[0][0] == first]
        assert len(found) == 1, first
        return found[0]


@cache
def standard() -> str:
    """The page of the example, which most tests look at."""
    return reservation_page(example())


def page(**given: Any) -> Page:
    return Page(reservation_page(example(**given)) if given else standard())


# ---- every figure, by hand ------------------------------------------------------------------------------------------

# A month has 730 hours. On demand: 2 x 0.04 + 0.08 + 0.13 = 0.29; as covered: 0.25 open and 0.025 for what is owned.
# Beside: 80 x 0.088 + 20 x 0.254 + 730 x (0.0252 + 0.048 + 3 x 0.005) = 76.51.
WAYS = [
    # 730 x 0.29 + 76.51, and 36 times that.
    ["All on demand", "", "288.21", "10,375.56", "", ""],
    # 730 x 0.275 + 76.51; what is owned ends after two months.
    ["As covered today", "", "277.26", "10,353.66", "", ""],
    # 730 x (3 x 0.025 + 2 x 0.04 + 0.025) + 76.51.
    ["1 year, No Upfrontrecommended", "0.00", "207.91", "7,857.06", "69.35 (25.0 %)", "at once"],
    # 3 x 175.20 + 2 x 262.80; 730 x (3 x 0.02 + 2 x 0.03 + 0.025) + 76.51; 1051.20 / 182.50.
    ["1 year, All Upfront", "1,051.20", "182.36", "6,937.26", "94.90 (34.2 %)", "month 6"],
    # 730 x (3 x 0.017 + 0.13 + 0.025) + 76.51.
    ["3 years, No Upfront", "0.00", "226.89", "8,540.34", "50.37 (18.2 %)", "at once"],
    # 3 x 262.80 + 2 x 525.60; 730 x (3 x 0.01 + 2 x 0.02 + 0.025) + 76.51; 1839.60 / 182.50.
    ["3 years, All Upfront", "1,839.60", "145.86", "5,623.26", "131.40 (47.4 %)", "month 11"],
    # 730 x (0.49 + 3 x 0.055).
    ["Amazon MWAA", "", "478.15", "17,213.40", "", ""],
]


def test_every_figure_of_the_tables_comes_from_fleet_reservations_and_prices() -> None:
    found = page(days=61)
    assert found.table("USD") == WAYS
    assert found.table("Fleet") == [
        ["EC2", "t4g.medium", "1", "2", "2 (100.0 %)", "ri-used"],
        ["EC2", "t4g.medium", "1", "2", "0 (0.0 %)", "on demand"],
        ["EC2", "t4g.large", "1", "4", "0 (0.0 %)", "on demand"],
        ["RDS", "db.t4g.medium Multi-AZ", "1", "4", "0 (0.0 %)", "on demand"],
    ]
    assert found.table("Reservation") == [
        ["ri-used", "1 x t4g.medium", "active", "2027-01-23", "60", "2 of 2"],
        ["ri-idle", "1 x m7g.large", "active", "2027-06-01", "189", "0 of 4"],
    ]
    assert found.table("Service") == [
        ["EC2", "3 x t4g.medium", "Linux/UNIX", "0.00", "54.75", "657.00"],
        ["RDS", "2 x db.t4g.medium", "postgresql", "0.00", "58.40", "700.80"],
    ]
    assert found.table("Beside the fleet") == [
        ["Disks of the hosts (gp3)", "80 GiB", "0.088 a GiB-month", "7.04"],
        ["Storage of the database (gp3) and its standby", "20 GiB", "0.254 a GiB-month", "5.08"],
        ["Load balancer", "1 ", "0.0252 an hour", "18.40"],
        ["NAT gateway", "1 ", "0.048 an hour", "35.04"],
        ["Public IPv4 addresses", "3 ", "0.005 an hour", "10.95"],
        ["Together", "", "", "76.51"],
    ]
    assert found.table("Amazon MWAA") == [
        ["Environment mw1.small", "1", "0.49 an hour", "357.70"],
        ["Further workers", "3", "0.055 an hour", "120.45"],
        ["Together", "", "", "478.15"],
    ]
    assert len(found.tables) == 6


def test_no_figure_stands_in_the_text_that_the_inputs_do_not_give() -> None:
    told = " ".join(page().words)
    expected = """
        2026-11-23
        13.7 277.26 USD 207.91 1 year 478.15 42 56
        13.7 277.26 207.91 478.15 3 2
        36 1 4 4 4 36.50 1 1 25
        16 4 2 2 19 5 25 2026-11-20 20261120101500 2026-11-22 2026-11-23 12:00 730 8,760
    """
    known = set(re.findall(r"[\d.,:-]*\d", expected))
    # Names that hold a digit: instance types, products, and what AWS calls its things.
    names = r"\b(?:mw1\.small|[tm]\d\w?\.\w+|db\.t4g\.\w+|EC2|ec2|IPv4|S3|53|gp3|eu-west-1)\b"
    figures = set(re.findall(r"[\d.,:-]*\d", re.sub(names, "", told)))
    assert figures <= known, figures - known


TICK = re.compile(r"-?[\d,]+|month \d+|today|\d+ %|\d{4}-\d{2}|\N{MINUS SIGN}[\d,]+")


def test_every_figure_in_the_plots_is_one_of_the_tables() -> None:
    found = page(days=61).plots
    told = {name: [each for each in texts if not TICK.fullmatch(each)] for name, texts in found.items()}
    assert told["month wide"] == [
        *("Amazon MWAA", "All on demand", "Today", "Recommended"),
        *("478.15", "288.21", "277.26", "207.91"),
    ]
    assert sorted(told["course wide"]) == sorted(
        ["as covered today 10,354", "on demand 10,376", "Amazon MWAA 17,213", "recommended 7,857"]
    )
    assert told["savings wide"] == [
        *("no upfront", "all upfront", "1 year, made again twice"),
        *("no upfront", "all upfront", "3 years"),
    ]
    assert told["coverage wide"] == ["EC2 t4g", "RDS db.t4g", "2 of 8 units", "0 of 4 units"]
    assert told["timeline wide"] == [
        *("1 x t4g.medium", "until 2027-01-23", "1 x m7g.large", "until 2027-06-01", "in 61 days")
    ]
    for name in ("month", "coverage", "savings"):
        assert Counter(re.sub(" units", "", each) for each in told[f"{name} wide"]) == Counter(told[f"{name} narrow"])


def drawing(text: str, plot: str) -> str:
    """A plot as wide screens show it."""
    found = re.search(rf'<svg class="plot wide"[^>]*data-plot="{plot}".*?</svg>', text, re.DOTALL)
    assert found
    return found[0]


def bars(text: str, plot: str) -> list[tuple[str, float, float]]:
    """Colour, left end and width of the bars of a plot, from the top to the bottom."""
    shapes = re.findall(
        r'<path d="M ([\d.]+) ([\d.]+)\s+L ([\d.]+)[^"]*z\s*"[^>]*fill: var\(--(\w+)\)', drawing(text, plot)
    )
    return [(colour, float(left), float(right) - float(left)) for left, _, right, colour in shapes]


def test_bars_are_as_long_as_their_amounts() -> None:
    text = standard()
    drawn = bars(text, "month")
    unit = drawn[0][2] / 478.15
    assert [(colour, width / unit) for colour, _, width in drawn if width] == [
        ("mwaa", 478.15),
        *[("demand", pytest.approx(211.7)), ("beside", pytest.approx(76.51))],
        *[("demand", pytest.approx(182.5)), ("owned", pytest.approx(18.25)), ("beside", pytest.approx(76.51))],
        *[("owned", pytest.approx(18.25)), ("best", pytest.approx(113.15)), ("beside", pytest.approx(76.51))],
    ]
    share = {colour: width for colour, _, width in bars(text, "coverage")[:2]}
    assert share["best"] / share["track"] == pytest.approx(0.25, abs=0.001)
    ends = bars(text, "timeline")
    # Until 2027-01-23: two months of 730 hours; until 2027-06-01: 4548 of them.
    assert ends[1][2] / ends[0][2] == pytest.approx(4548 / 1460, abs=0.01)


Points = dict[int, list[tuple[float, float]]]


def lines(text: str, plot: str) -> list[tuple[str, Points]]:
    """Colour and points (from the left, from the top) of a plot's lines, by month; at a new purchase it has two."""
    found = []
    for path, colour in re.findall(r'<path d="([^"z]*)"[^>]*stroke: var\(--(\w+)\)', drawing(text, plot)):
        points = [(float(x), float(y)) for x, y in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path)]
        if len(points) > 36:
            months: Points = {}
            for point in points:
                share = (point[0] - points[0][0]) / (points[-1][0] - points[0][0])
                months.setdefault(round(share * 36), []).append(point)
            assert list(months) == list(range(37))
            found.append((colour, months))
    return found


def test_lines_run_through_what_has_been_paid_by_each_month() -> None:
    drawn = dict(lines(standard(), "course"))
    begin, end = drawn["mwaa"][0][0], drawn["mwaa"][36][0]
    month, dollar = (end[0] - begin[0]) / 36, (begin[1] - end[1]) / 17213.40
    paid = {
        "mwaa": [(0, 0), (1, 478.15), (36, 17213.40)],
        "demand": [(0, 0), (1, 288.21), (20, 5764.20), (36, 10375.56)],
        # What is owned ends after two months.
        "today": [(0, 0), (2, 554.52), (3, 842.73), (36, 10353.66)],
        "best": [(0, 0), (1, 207.91), (2, 415.82), (36, 7857.06)],
    }
    assert set(drawn) == set(paid)
    for colour, points in paid.items():
        for number, amount in points:
            [(x, y)] = drawn[colour][number]
            assert (x - begin[0]) / month == pytest.approx(number)
            assert (begin[1] - y) / dollar == pytest.approx(amount, abs=0.02), (colour, number)


def test_what_a_purchase_has_saved_is_drawn_up_and_its_break_even_where_it_is() -> None:
    text = standard()
    drawn = [points for _, points in lines(text, "savings")]
    # In two panels of one scale, where a purchase without money at the start begins at nought.
    zero = drawn[0][0][0][1]
    dollar = (zero - drawn[0][36][0][1]) / 2496.60
    told = [
        {number: [round((zero - y) / dollar, 1) for _, y in points[number]] for number in (0, 1, 12, 36)}
        for points in drawn
    ]
    assert told == [
        # 277.26 - 207.91 a month.
        {0: [0.0], 1: [pytest.approx(69.35, abs=0.06)], 12: [832.2, 832.2], 36: [2496.6]},
        # 182.50 a month, and 1051.20 each year.
        {0: [-1051.2], 1: [-868.7], 12: [1138.8, 87.6], 36: [3416.4]},
        {0: [0.0], 1: [pytest.approx(50.37, abs=0.06)], 12: [604.4], 36: [1813.3]},
        {0: [-1839.6], 1: [-1657.1], 12: [350.4], 36: [4730.4]},
    ]
    dots = [
        (float(x), float(y)) for x, y in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', drawing(text, "savings"))
    ]
    assert dots == [drawn[1][6][0], drawn[3][11][0]]


def test_a_manager_reads_the_answer_first() -> None:
    words = page().words
    assert words[2] == (
        "Reservations cover 13.7 % of what could be reserved. The environment costs 277.26 USD a month today, 207.91"
        " with the recommended purchase (1 year, No Upfront); the same work on Amazon MWAA costs 478.15: 42 % less"
        " here today, 56 % with the purchase."
    )


# ---- form -----------------------------------------------------------------------------------------------------------


def test_the_same_plan_gives_the_same_page_to_the_byte() -> None:
    assert reservation_page(example()) == standard()


def test_it_stands_alone() -> None:
    text = standard()
    found = Page(text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    assert not {"script", "iframe", "img", "object"} & {tag for tag, _ in found.tags}
    assert [given["href"] for tag, given in found.tags if tag == "link"] == ["data:,"]
    assert "default-src 'none'" in text


def test_it_is_one_sound_document() -> None:
    text = standard()
    found = Page(text)
    names = [given["id"] for _, given in found.tags if "id" in given]
    assert len(names) == len(set(names))
    used = re.findall(r'(?:url\(#|href="#)([^")]+)', text)
    assert set(used) <= set(names)
    assert text.startswith("<!DOCTYPE html>")
    assert found.tags[0] == ("html", {"lang": "en"})
    assert [tag for tag, _ in found.tags if tag == "h1"] == ["h1"]


def test_everybody_can_read_it() -> None:
    found = page()
    assert all(given.get("aria-label") and given["role"] == "img" for tag, given in found.tags if tag == "svg")
    assert all(given["scope"] in ("col", "row") for tag, given in found.tags if tag == "th")
    assert all(given.get("aria-label") for _, given in found.tags if given.get("tabindex"))
    # Each plot is there for wide and for narrow screens, and its text is text.
    assert {name.split()[0] for name in found.plots} == {"month", "course", "savings", "coverage", "timeline"}
    assert len(found.plots) == 10
    assert all(texts for texts in found.plots.values())


def test_colours_are_the_pages_in_light_and_dark() -> None:
    text = standard()
    body = text[text.index("</style>") :]
    assert not re.search(r"#[0-9a-f]{6}\b", body)
    style = text[: text.index("</style>")]
    light, dark = (re.findall(r"--(\w+): #", part) for part in style.split("prefers-color-scheme: dark")[:2])
    for name in set(re.findall(r"var\(--(\w+)\)", text)) - {"mark", "sans"}:
        assert name in light, name
        assert name in dark, name


def test_names_are_never_taken_for_html() -> None:
    bad = "<script>alert(1)</script>&"
    text = reservation_page(
        {**example(owned=[{**OWNED[0], "reserved_instances_id": bad}]), "environment": "<b>prod</b>"}
    )
    assert "<script>" not in text
    assert "<b>prod" not in text
    assert "&lt;b&gt;prod&lt;/b&gt;" in text


def test_without_matplotlib_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(AnsibleFilterError, match="matplotlib"):
        reservation_page(example())


# ---- with less to say -----------------------------------------------------------------------------------------------


def test_without_prices_there_is_no_money_on_it_and_the_reason_is() -> None:
    found = page(prices=[], without="not authorized to perform: pricing:GetProducts")
    told = " ".join(found.words)
    assert "pricing:GetProducts" in told
    assert "There are no sums of money on this page." in told
    assert {name.split()[0] for name in found.plots} == {"coverage", "timeline"}
    assert "25 %" in found.words
    assert not any(rows[0][0] == "USD" for rows in found.tables)
    assert not re.search(r"\d\.\d\d\b", " ".join(cell for rows in found.tables for row in rows for cell in row))


def test_an_account_that_owns_nothing_has_no_timeline() -> None:
    found = page(owned=[])
    assert "The account owns no reservation in this region." in found.words
    assert "timeline wide" not in found.plots
    assert sorted(each for each in found.plots["course wide"] if "demand" in each) == ["today, on demand 10,376"]


def test_a_covered_fleet_has_nothing_to_buy() -> None:
    found = page(owned=[{**OWNED[0], "instance_count": 4}], wanted=WANTED[:3])
    assert "savings wide" not in found.plots
    assert "Everything is covered." in found.words
    assert not any(rows[0][0] == "Service" for rows in found.tables)


def test_without_a_price_of_mwaa_it_is_not_compared() -> None:
    found = page(prices=[entry for entry in PRICES if entry["service"] != "mwaa"])
    assert "What Amazon MWAA costs is not known here." in " ".join(found.words)
    assert not any("Amazon MWAA" in each for each in found.plots["month wide"])
    assert found.table("Amazon MWAA")[-1] == ["Further workers", "3", "", "-"]


def test_many_reservations_are_all_in_the_table_and_the_first_to_end_in_the_plot() -> None:
    owned = [{**OWNED[0], "reserved_instances_id": f"ri-{number:02}"} for number in range(40)]
    found = page(owned=owned)
    assert len(found.table("Reservation")) == 40
    assert len([each for each in found.plots["timeline wide"] if each.startswith("until")]) == 24


def test_a_region_without_any_price_is_named_once() -> None:
    unknown = [{**entry, "why": "the price list of eu-west-1 does not have it"} for entry in PRICES]
    told = " ".join(page(prices=[], unknown=unknown).words)
    assert "There are no sums of money on this page." in told
    assert told.count("the price list has no price of any of it for eu-west-1") == 2
    assert "does not have it" not in told
