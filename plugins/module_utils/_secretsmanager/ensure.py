# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What generated and composed secrets have in common: refuse, restore, tag, and write only what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._common import (
    FreeholdError,
    missing_tags,
    refuse_foreign,
)
from ansible_collections.freehold.airflow.plugins.module_utils._secretsmanager import api


@dataclass(frozen=True)
class Settings:
    """What applies to every secret of one call."""

    tags: Mapping[str, str] | None
    kms_key_id: str | None
    restore: bool
    check_mode: bool


def full_name(prefix: str | None, name: str) -> str:
    return f"{prefix.rstrip('/')}/{name}" if prefix else name


def refuse_unusable(name: str, found: dict[str, Any] | None, settings: Settings) -> None:
    """Raise before anything is written when a secret is somebody else's, or waits for its deletion."""
    if found is None:
        return
    refuse_foreign(f"The secret '{name}'", found["tags"], settings.tags)
    if found["deleted"] and not settings.restore:
        raise FreeholdError(
            message=(
                f"The secret '{name}' is scheduled for deletion; set restore: true to take it back with its old value,"
                " or wait until AWS has deleted it."
            )
        )


def ensure_secret(
    client: Any,
    name: str,
    found: dict[str, Any] | None,
    description: str,
    make_value: Callable[[str | None], str | None],
    settings: Settings,
) -> dict[str, Any]:
    """Bring one secret to its wanted state.

    ``make_value`` gets the current value's absence as None or is asked what to write: it returns the value to write,
    or None when nothing is to be written. It is called at most once, and never for its value in check mode.
    Returns C(name), C(arn), C(created), C(restored), C(changed), C(differences) (names only, never values).
    """
    result: dict[str, Any] = {"name": name, "arn": None, "created": False, "restored": False, "differences": []}
    if found is None:
        result.update(created=True, changed=True)
        if not settings.check_mode:
            value = make_value(None)
            if value is None:
                raise ValueError(f"nothing gives the new secret {name} its value")
            tags = {**(settings.tags or {})}
            tags.setdefault("Name", name)
            result["arn"] = api.create_secret(client, name, value, description, settings.kms_key_id, tags)
        return result

    result["arn"] = found["arn"]
    if found["deleted"]:
        result["restored"] = True
        if not settings.check_mode:
            api.restore_secret(client, name)
    unreadable = found["deleted"] and settings.check_mode
    value = None if unreadable else make_value(name if not found["empty"] else None)
    if value is not None:
        result["differences"].append("value")
        if not settings.check_mode:
            api.put_value(client, name, value)
    tags = missing_tags(found["tags"], settings.tags)
    if tags:
        result["differences"].append("tags")
        if not settings.check_mode:
            api.tag_secret(client, name, tags)
    result["changed"] = bool(result["restored"] or result["differences"])
    return result
