#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the JSON report of a DAG sync (``dags_report``) into Markdown, for the summary of a GitHub job.

Standard library only: it speaks even where nothing could be installed.
"""

from __future__ import annotations

import html
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# So many paths of a change are listed; GitHub cuts a summary at 1 MiB.
_PATHS = 200
_MISSING = (
    "There is no report: the sync ended before it wrote one. Its own step says why, and `dag-verify` what is published."
)


def plain(value: object) -> str:
    """A value as Markdown that shows it and does nothing else, whatever a file is called."""
    text = html.escape(str(value), quote=False)
    for sign in "\\`*_|[]":
        text = text.replace(sign, f"\\{sign}")
    return "<br>".join(text.splitlines())


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(plain(value) for value in row)} |" for row in rows]


def facts(report: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What is known of the release, in the words of readers; what a failed run does not know is left out."""
    parsed, retained = report.get("parsed") or {}, report.get("retained") or {}
    found = [
        ("Release", report.get("release")),
        ("Before", report.get("before")),
        ("Repository", report.get("repository")),
        ("Files", report.get("files")),
        ("Bytes sent", report.get("sent_bytes")),
        ("Parsed by Airflow after", f"{parsed['seconds']:.0f} s" if parsed.get("parsed") else None),
        ("Releases removed", ", ".join(retained.get("removed", []))),
        ("Releases that can't be read, because of which no old file was removed", ", ".join(retained.get("left", {}))),
        ("DAGs deleted", ", ".join(retained.get("deleted", []))),
        ("DAGs not deleted, because they have unfinished runs", ", ".join(retained.get("kept", []))),
    ]
    return [(name, value) for name, value in found if value not in (None, "")]


def changes(found: Mapping[str, Sequence[str]]) -> list[str]:
    """The changed paths, folded away."""
    paths = [(kind, path) for kind in ("added", "changed", "removed") for path in found.get(kind, [])]
    if not paths:
        return []
    counts = ", ".join(f"{len(found[kind])} {kind}" for kind in ("added", "changed", "removed") if found.get(kind))
    lines = ["", f"<details><summary>{counts}</summary>", "", *table(["", "Path"], paths[:_PATHS]), ""]
    if len(paths) > _PATHS:
        lines += [f"and {len(paths) - _PATHS} more", ""]
    return [*lines, "</details>"]


def markdown(report: Mapping[str, Any]) -> str:
    """The whole report."""
    containers = report["containers"]
    proved = sum(bool(row["exact"]) for row in containers)
    verdict = f"exact in {proved} of {len(containers)} containers"
    lines = [f"## DAG sync: {verdict if report['exact'] else f'**failed**, {verdict}'}", ""]
    lines += table(["", ""], facts(report))
    if report["problems"]:
        lines += ["", "### Problems", "", *(f"- {plain(problem)}" for problem in report["problems"])]
    rows = [
        (row["host"], row["component"], row.get("release", ""), row.get("files", ""), row.get("error") or "exact")
        for row in containers
    ]
    lines += ["", "### Containers", "", *table(["Host", "Component", "Release", "Files", "Proof"], rows)]
    lines += [f"- {plain(host)} is stopped and was not asked" for host in report.get("stopped") or []]
    lines += changes(report.get("changes") or {})
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Print the report in the file that is the one argument; where there is none, say so."""
    if len(arguments) != 1:
        print("usage: dag_report.py FILE", file=sys.stderr)
        return 2
    try:
        text = markdown(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    except FileNotFoundError:
        text = f"## DAG sync: **failed**\n\n{_MISSING}\n"
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        print(f"dag_report: {arguments[0]} is no report of a sync: {error!r}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
