# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a running container was made from, against what is wanted now: pure functions, no docker and no systemd."""

from __future__ import annotations

import json
from typing import Any

# The label under which a container carries everything that decides whether it must be replaced.
SPEC_LABEL = "freehold.spec"


def encode(container: dict[str, Any], environment: dict[str, str]) -> str:
    """Return the one line of JSON that describes a container; equal descriptions give equal lines."""
    return json.dumps({**container, "environment": environment}, sort_keys=True, separators=(",", ":"))


def decode(label: str | None) -> dict[str, Any]:
    """Return what `encode` was given; a container that we did not make, or an unreadable label, is an empty one."""
    try:
        spec = json.loads(label or "{}")
    except ValueError:
        return {}
    return spec if isinstance(spec, dict) else {}


def environment_file(environment: dict[str, str]) -> str:
    """Return docker's env file for ``environment``.

    :raises ValueError: docker reads the file line by line, so a value can't hold a line break.
    """
    for name, value in environment.items():
        if "\n" in name or "\n" in value:
            raise ValueError(f"the environment variable {name} holds a line break, which docker's env file can't carry")
    return "".join(f"{name}={value}\n" for name, value in sorted(environment.items()))


def differences(current: Any, desired: Any, name: str = "") -> list[dict[str, Any]]:
    """Return every leaf in which two descriptions differ, as ``{name, current, desired}``, sorted by name.

    Names are dotted paths (``environment.AIRFLOW__CORE__PARALLELISM``); what one side lacks is None there.
    """
    if isinstance(current, dict) and isinstance(desired, dict):
        return [
            difference
            for key in sorted({*current, *desired})
            for difference in differences(current.get(key), desired.get(key), f"{name}.{key}" if name else str(key))
        ]
    if current == desired:
        return []
    return [{"name": name, "current": current, "desired": desired}]
