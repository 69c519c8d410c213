# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deleting everything of an environment, as much as possible side by side."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule has refused to start without botocore.
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.freehold.airflow.plugins.module_utils._common import ENVIRONMENT_TAG, FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._environment.clients import Clients
from ansible_collections.freehold.airflow.plugins.module_utils._environment.discovery import Found
from ansible_collections.freehold.airflow.plugins.module_utils._environment.removal import (
    DATA_KINDS,
    DATA_SECRETS,
    HELD,
    KINDS,
    Choices,
    Kind,
)

Entry = dict[str, str]


class Teardown:
    """One run. Clients are made beforehand, because making them is not safe in threads."""

    def __init__(self, clients: Clients, choices: Choices, timeout: int, interval: float) -> None:
        self.choices = choices
        self.timeout = timeout
        self.interval = interval
        self._clients = {kind: self._client(clients, definition.service) for kind, definition in KINDS.items()}
        self._stopping = threading.Event()

    @staticmethod
    def _client(clients: Clients, service: str) -> Any:
        services = service.split("+")
        return clients[service] if len(services) == 1 else {name: clients[name] for name in services}

    def kept(self, kind: str, item: dict[str, Any]) -> bool:
        """Whether the caller's choice keeps this one."""
        if not self.choices.keep_data:
            return False
        return kind in DATA_KINDS or (kind == "secret" and item["Name"].endswith(DATA_SECRETS))

    def find(self, kind: str) -> Found:
        """What is there of a kind. A finder's word is not enough for a deletion: the tag is looked at once more."""
        definition, name = KINDS[kind], self.choices.name
        try:
            found = definition.find(self._clients[kind], name)
            return [item for item in found if not definition.tagged or item["tags"].get(ENVIRONMENT_TAG) == name]
        except (ClientError, BotoCoreError) as error:
            raise FreeholdError(message=f"Failed to look for {_plural(kind)}", exception=error) from error

    def look(self) -> tuple[list[Entry], list[dict[str, Any]]]:
        """What a run would delete, and what it would keep, with AWS's descriptions."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            found = dict(zip(KINDS, pool.map(self.find, KINDS), strict=True))
        going = [
            _entry(kind, item)
            for kind, items in found.items()
            for item in items
            if not KINDS[kind].leaving(item) and not self.kept(kind, item)
        ]
        staying = [
            {"kind": kind, "item": item}
            for kind, items in found.items()
            for item in items
            if self.kept(kind, item) and not KINDS[kind].leaving(item)
        ]
        return going, staying

    def run(self) -> list[Entry]:
        """Delete everything; every kind waits for those that must be gone before it. Returns what was deleted."""
        futures: dict[str, Future[list[Entry]]] = {}
        with ThreadPoolExecutor(max_workers=len(KINDS)) as pool:
            for kind in in_order(KINDS):
                futures[kind] = pool.submit(self._remove, kind, [futures[name] for name in KINDS[kind].after])
        # The first failure that is not just the consequence of another.
        for future in futures.values():
            error = future.exception()
            if error is not None and not isinstance(error, _Abandoned):
                raise error
        return [entry for future in futures.values() for entry in future.result()]

    def _remove(self, kind: str, prerequisites: Iterable[Future[list[Entry]]]) -> list[Entry]:
        for prerequisite in prerequisites:
            if prerequisite.exception() is not None:
                raise _Abandoned()
        try:
            return self._remove_all(kind)
        except Exception:
            self._stopping.set()
            raise

    def _remove_all(self, kind: str) -> list[Entry]:
        """Ask for the deletion of every item, again while something still holds it, until AWS shows none."""
        definition = KINDS[kind]
        deadline = time.monotonic() + self.timeout
        deleted: dict[str, Entry] = {}
        while True:
            remaining = [item for item in self.find(kind) if not self.kept(kind, item)]
            held = None
            for item in remaining:
                if definition.leaving(item) or (definition.immediate and definition.identify(item) in deleted):
                    continue
                held = self._delete(definition, kind, item) or held
                deleted[definition.identify(item)] = _entry(kind, item)
            if not remaining or (definition.immediate and held is None):
                return list(deleted.values())
            if time.monotonic() > deadline:
                raise FreeholdError(message=_overdue(kind, remaining, self.timeout), exception=held)
            if self._stopping.wait(self.interval):
                raise _Abandoned()

    def _delete(self, definition: Kind, kind: str, item: dict[str, Any]) -> ClientError | None:
        """Ask for one deletion; returns AWS's answer when it has to be looked at again."""
        try:
            definition.delete(self._clients[kind], item, self.choices)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            # What is gone already is not found again when AWS is asked the next time.
            if code in HELD or "NotFound" in code or code.startswith("NoSuch"):
                return error
            raise FreeholdError(
                message=f"Failed to delete the {kind.replace('_', ' ')} {definition.identify(item)}", exception=error
            ) from error
        return None


class _Abandoned(Exception):
    """Not done, because something else failed."""


def _entry(kind: str, item: dict[str, Any]) -> Entry:
    return {"kind": kind, "id": KINDS[kind].identify(item)}


def _plural(kind: str) -> str:
    return f"{kind.replace('_', ' ')}s"


def _overdue(kind: str, remaining: Found, timeout: int) -> str:
    names = ", ".join(KINDS[kind].identify(item) for item in remaining)
    advice = "run the playbook again, or raise teardown_wait_timeout"
    return f"After {timeout} seconds AWS still has the {_plural(kind)} {names}; {advice}"


def in_order(kinds: dict[str, Kind]) -> list[str]:
    """Every kind after those that it waits for."""
    ordered: list[str] = []
    remaining = dict(kinds)
    while remaining:
        ready = [kind for kind, definition in remaining.items() if all(name in ordered for name in definition.after)]
        if not ready:
            raise ValueError(f"kinds wait for each other: {', '.join(remaining)}")
        ordered += ready
        for kind in ready:
            del remaining[kind]
    return ordered
