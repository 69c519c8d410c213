# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a build log says about a requirement that can't be installed. Pure."""

from __future__ import annotations

import re

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

# The most specific first. pip's words: src/pip/_internal/{exceptions,req/constructors}.py, resolution/;
# uv's: crates/uv-resolver/src/pubgrub/report.rs and its tests.
_PATTERNS = (
    (r"Invalid requirement: ['\"]?(?P<requirement>[^'\"\n]+?)['\"]?(?::|$)", "is not a valid requirement"),
    (
        r"Couldn't parse requirement in `[^`]+` at position (?P<requirement>\d+)",
        "(position in the file) can't be parsed",
    ),
    (
        r"Could not find a version that satisfies the requirement (?P<requirement>\S+)",
        "does not exist in the package index",
    ),
    (r"No matching distribution found for (?P<requirement>\S+)", "does not exist in the package index"),
    (r"Because (?P<requirement>\S+) was not found in the package registry", "does not exist in the package index"),
    (r"there is no version of (?P<requirement>\S+?)(?:\s|$)", "does not exist in the package index"),
    (r"Cannot install (?P<requirement>.+?) because these package versions have conflicting dependencies", "conflict"),
    (r"you require (?P<requirement>\S+?),? (?:and|we can conclude)", "conflicts with Airflow's constraints"),
    (
        r"Failed to build installable wheels for some pyproject.toml based projects \((?P<requirement>[^)]+)\)",
        "can't be built",
    ),
    (r"Failed to build `(?P<requirement>[^`]+)`", "can't be built"),
    (r"The user requested (?P<requirement>[^\s(]\S*)", "conflicts with Airflow's constraints"),
)


def clean(line: str) -> str:
    """A log line without colours and trailing blanks."""
    return _ANSI.sub("", line).rstrip()


def failing_requirement(log: list[str]) -> str | None:
    """'<requirement>' and what is wrong with it, by the installer's complaint; None without one."""
    text = re.sub(r"\s*\n\s+", " ", "\n".join(clean(line) for line in log))
    for pattern, complaint in _PATTERNS:
        match = re.search(pattern, text, re.MULTILINE)
        if match:
            return f"'{match['requirement'].strip()}' {complaint}"
    return None
