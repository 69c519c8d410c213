#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""See that the tests run as many branches of each measured tree as pyproject.toml demands.

    tools/covered_branches.py REPORT

``REPORT`` is what `coverage json` wrote. coverage.py compares its `fail_under` with lines and branches together, of all
trees together, and has no threshold for branches alone (https://github.com/coveragepy/coveragepy/issues/1152): many
covered lines hide branches that no test takes. The same number is asked of the branches here, tree by tree. The status
is 1 when a tree has less, or has no branch at all, which means that it was not measured.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path, PurePath
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def count(report: dict[str, Any], tree: str) -> tuple[int, int]:
    """How many branches below ``tree`` were taken, and how many there are."""
    files = [file["summary"] for name, file in report["files"].items() if PurePath(name).is_relative_to(tree)]
    return sum(file["covered_branches"] for file in files), sum(file["num_branches"] for file in files)


def main(arguments: list[str]) -> int:
    """Run as a program."""
    [path] = arguments
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]
    demanded: int = settings["report"]["fail_under"]
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    status = 0
    for tree in settings["run"]["source"]:
        covered, branches = count(report, tree)
        enough = branches > 0 and 100 * covered >= demanded * branches
        share = f"{100 * covered / branches:.1f} %" if branches else "nothing measured"
        print(f"{tree}: {covered} of {branches} branches, {share}{'' if enough else f'; {demanded} % are demanded'}")
        status |= not enough
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
