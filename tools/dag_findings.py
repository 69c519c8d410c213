#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show what ``freehold_airflow.check`` found, read from standard input, as GitHub shows errors: beside the line.

The argument is the folder of the DAGs in their repository. Standard library only. The exit status is 1 when there is
something to correct, or nothing that could be read.
"""

from __future__ import annotations

import json
import posixpath
import sys
from collections.abc import Mapping
from typing import Any


def escaped(text: object, *, is_property: bool) -> str:
    """A value for a workflow command, which a line break would end and whose properties stand between : and ,."""
    found = str(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return found.replace(":", "%3A").replace(",", "%2C") if is_property else found


def command(error: Mapping[str, Any], folder: str) -> str:
    """The workflow command for one finding: https://docs.github.com/en/actions/reference/workflows-and-actions."""
    place = {"file": posixpath.normpath(posixpath.join(folder, error["file"])) if error.get("file") else None}
    place["line"] = error.get("line")
    properties = ",".join(f"{name}={escaped(value, is_property=True)}" for name, value in place.items() if value)
    return f"::error {properties}::{escaped(error['message'], is_property=False)}"


def main(arguments: list[str]) -> int:
    """Print one line for each error, and one that sums up."""
    if len(arguments) != 1:
        print("usage: dag_findings.py FOLDER < REPORT", file=sys.stderr)
        return 2
    try:
        report = json.load(sys.stdin)
        errors, files, dags = report["errors"], len(report["files"]), len(report["dags"])
        lines = [command(error, arguments[0]) for error in errors]
    except (ValueError, LookupError, TypeError):
        print("dag-check: the check ended without an answer; what it said stands above", file=sys.stderr)
        return 1
    print("\n".join([*lines, f"{files} files, {dags} DAGs, {len(errors)} errors"]))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
