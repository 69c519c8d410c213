# SPDX-License-Identifier: GPL-3.0-or-later
"""The reconciler's side of the API's admin interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import requests

from lab.reconciler.snapshot import Snapshot

Observed = dict[str, dict[str, Any]]

_TIMEOUT = 10.0


class ApiClient:
    """Reads snapshots, writes observations. One per thread: it keeps one connection."""

    def __init__(self, url: str, state: Path) -> None:
        self._url = url.rstrip("/")
        self._state = state
        self._session = requests.Session()
        # The lab's own traffic never goes through a proxy of the machine.
        self._session.trust_env = False

    def _headers(self) -> dict[str, str]:
        # Read each time: another API, another token.
        return {"X-Freehold-Lab-Token": (self._state / "admin-token").read_text().strip()}

    def snapshot(self, known: tuple[str, int] | None) -> Snapshot | None:
        """What is wanted now, or None when nothing changed since the snapshot of this epoch and revision."""
        query = {"epoch": known[0], "revision": str(known[1])} if known else {}
        answer = self._session.get(
            f"{self._url}/_lab/snapshot", params=query, headers=self._headers(), timeout=_TIMEOUT
        )
        if answer.status_code == requests.codes.not_modified:
            return None
        answer.raise_for_status()
        return cast(Snapshot, answer.json())

    def report(self, observed: Observed) -> None:
        """Say what is real."""
        answer = self._session.post(
            f"{self._url}/_lab/observed", json=observed, headers=self._headers(), timeout=_TIMEOUT
        )
        answer.raise_for_status()
