# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Quoting of one word for a systemd command line."""

from __future__ import annotations

DOCUMENTATION = r"""
name: systemd_argument
version_added: 0.1.0
short_description: Quote one argument of an ExecStart= line
description:
  - Doubles C(%) and C($), which systemd would expand, and quotes the word where it holds anything but plain characters.
  - See systemd.service(5), COMMAND LINES.
author:
  - The Freehold authors (@freehold)
options:
  _input:
    description: The argument.
    type: str
    required: true
"""

EXAMPLES = r"""
# ExecStart=/usr/bin/printf "100 %%"
line: "ExecStart=/usr/bin/printf {{ '100 %' | freehold.airflow.systemd_argument }}"
"""

RETURN = r"""
_value:
  description: The quoted argument.
  type: str
"""

import re
from collections.abc import Callable

PLAIN = re.compile(r"[A-Za-z0-9_@:/.,=+%$-]+")


def systemd_argument(value: object) -> str:
    """Return ``value`` as one word of a systemd command line.

    :raises ValueError: a line break would end the option.
    """
    text = str(value)
    if "\n" in text or "\r" in text:
        raise ValueError(f"a systemd command line can't hold a line break: {text!r}")
    word = text.replace("%", "%%").replace("$", "$$")
    if PLAIN.fullmatch(text):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self) -> dict[str, Callable[[object], str]]:
        """Return our one filter."""
        return {"systemd_argument": systemd_argument}
