# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which release this container sees, and whether every byte of it is right: ``python -m freehold_airflow.proof``.

Run inside a component's container, it prints one line of JSON: the current release as the pointer says, and this host's
copy of it, compared file by file with the manifest whose tree hash it prints. The exit status is 0 when the copy is
there and exact, 1 when not. ``--fetch`` makes or repairs the copy first (a worker makes one only when a task starts);
without it nothing is written. ``--release`` asks about another release than the current one.

The settings are those of Airflow, read from the environment; Airflow itself isn't imported, so this takes a moment
only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freehold_airflow.copies import Copies
from freehold_airflow.release import ReleaseError, Store

CLASSPATH = "freehold_airflow.bundle.ReleaseBundle"


@dataclass(frozen=True)
class Bundle:
    """One configured bundle of ours."""

    name: str
    source: Path
    storage: Path


def configured(environment: Mapping[str, str]) -> list[Bundle]:
    """Read our bundles from the settings that Airflow reads."""
    text = environment.get("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", "")
    default = Path(tempfile.gettempdir()) / "airflow" / "dag_bundles"
    storage = Path(environment.get("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH") or default)
    try:
        found = [
            Bundle(str(item["name"]), Path(item["kwargs"]["source"]), storage)
            for item in json.loads(text or "[]")
            if item["classpath"] == CLASSPATH
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST can't be read: {error!r}") from error
    if not found:
        raise ReleaseError(f"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST names no bundle of class {CLASSPATH}")
    return found


def state(bundle: Bundle, release: str | None = None, fetch: bool = False) -> dict[str, Any]:
    """What this container sees of one bundle; never raises for what is wrong with a release."""
    found: dict[str, Any] = {"bundle": bundle.name, "host": platform.node(), "exact": False}
    store, copies = Store(bundle.source), Copies(bundle.storage, bundle.name)
    try:
        pointer = store.pointer()
        found["current"], found["moves"] = pointer.release, pointer.moves
        wanted = release or found["current"]
        found["release"] = wanted
        if fetch:
            copies.ensure(store, wanted)
        manifest, difference = copies.verify(wanted)
        published = store.manifest(wanted)
        if fetch and (difference or published.tree != manifest.tree):
            # What no seal could tell: a bit that flipped on the disk, or a copy of another tree under the same name.
            copies.repair(store, wanted)
            manifest, difference = copies.verify(wanted)
        if published.tree != manifest.tree:
            raise ReleaseError(f"this host's copy of {wanted} has the tree {manifest.tree}, not {published.tree}")
        found |= {"tree": manifest.tree, "files": len(manifest.entries), "differs": difference.as_json()}
        if wanted in copies.repaired:
            found["repaired"] = copies.repaired[wanted]
        found["exact"] = not difference
    except (ReleaseError, OSError) as error:
        found["error"] = str(error)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="freehold_airflow.proof", description="Say which release is here, exactly.")
    parser.add_argument("--release", help="the release to look at (default: the current one)")
    parser.add_argument("--fetch", action="store_true", help="make or repair the copy first")
    given = parser.parse_args(arguments)
    try:
        found = [state(bundle, given.release, given.fetch) for bundle in configured(os.environ)]
    except ReleaseError as error:
        print(f"freehold_airflow.proof: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0 if all(one["exact"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
