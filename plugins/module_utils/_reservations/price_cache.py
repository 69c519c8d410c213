# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prices that were read before, in a file on the controller.

The file says whose prices they are (region, and the endpoint that was asked: a lab's sample prices must never be taken
for AWS's). What can't be read, or is somebody else's, counts as nothing and is written anew.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

FORMAT = 2
ITEM_KEYS = ("service", "type", "product", "copies")
_PRICE_TYPES = {
    "amount": (int, float),
    "unit": str,
    "currency": str,
    "published": str,
    "version": str,
    "region": str,
    "read": str,
}
_ITEM_TYPES = {"service": str, "type": str, "product": str, "copies": int}

Price = dict[str, Any]
Scope = Mapping[str, str]


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two entries are about the same item."""
    return all(one[key] == other[key] for key in ITEM_KEYS)


def _sound(entry: Any) -> bool:
    types = {**_ITEM_TYPES, **_PRICE_TYPES}
    return (
        isinstance(entry, dict)
        and entry.keys() == types.keys()
        and all(
            isinstance(entry[key], wanted) and not isinstance(entry[key], bool)  # type: ignore[arg-type]
            for key, wanted in types.items()
        )
        and entry["amount"] >= 0
    )


def load(path: str, scope: Scope, now: datetime, days: float) -> list[Price]:
    """The prices of the file that are not older than so many days; none where it can't be used."""
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
        if held["format"] != FORMAT or held["scope"] != dict(scope):
            return []
        oldest = now - timedelta(days=days)
        return [
            entry for entry in held["prices"] if _sound(entry) and oldest < datetime.fromisoformat(entry["read"]) <= now
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def save(path: str, scope: Scope, prices: Iterable[Price]) -> None:
    """Write the file, all of it or nothing; raises OSError."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(prices, key=lambda entry: tuple(str(entry[key]) for key in ITEM_KEYS))
    text = json.dumps({"format": FORMAT, "scope": dict(scope), "prices": ordered}, indent=2, sort_keys=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as draft:
            draft.write(text + "\n")
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
