# SPDX-License-Identifier: GPL-3.0-or-later
"""The reconciler's loop: look, find what is to do, do it side by side, say what is real."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests
from docker.errors import APIError, DockerException

from lab.ca import CertificateAuthority
from lab.reconciler import cleaning, networks
from lab.reconciler.api import ApiClient, Observed
from lab.reconciler.containers import NotReady, fingerprint, list_containers
from lab.reconciler.kind import Kind, Round
from lab.reconciler.log import log
from lab.reconciler.settings import Settings
from lab.reconciler.snapshot import Snapshot

_TICK = 0.5
# What waits for another thing is tried again in the next round; what failed, after these seconds, twice as long each
# time.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
# Starting a host or a database is mostly waiting; more workers than this only queue at the engine.
_WORKERS = 12
# The listing of containers costs the engine some work: an idle lab is looked at this often.
_IDLE_LISTING = 2.0
_REMOVAL = "removal"
# So long something may wait for another thing before the log says so.
_PATIENCE = 5.0


@dataclass
class Task:
    """What the loop knows about one thing. The labels know the rest."""

    running: bool = False
    # Fingerprints of the item that was last tried, and of the one that `observed` is about.
    tried: str = ""
    made: str = ""
    observed: Observed = field(default_factory=dict)
    due: float = 0.0
    pause: float = _FIRST_PAUSE
    said: str = ""
    # Since when it waits for something else.
    waiting: float | None = None


class Loop:
    """One reconciler. `run` never returns; whatever goes wrong is logged and tried again."""

    def __init__(
        self, settings: Settings, authority: CertificateAuthority, api: ApiClient, kinds: Sequence[Kind]
    ) -> None:
        self._settings = settings
        self._authority = authority
        self._api = api
        self._kinds = {kind.name: kind for kind in kinds}
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="reconcile")
        self._lock = threading.Lock()
        self._tasks: dict[tuple[str, str], Task] = {}
        self._snapshot: Snapshot | None = None
        # Everything the snapshot wants, with the fingerprint of each item.
        self._wanted: dict[tuple[str, str], tuple[Any, str]] = {}
        self._changed = threading.Event()
        self._listed_at = 0.0
        self._world: Round | None = None
        self._reported: Observed = {}
        self._reported_revision: tuple[str, int] | None = None
        self._complaint = ""

    def run(self) -> None:
        """Look every half second, and at once when a task has ended."""
        while True:
            try:
                self.step()
                self._complaint = ""
            except (requests.RequestException, DockerException, OSError) as error:
                complaint = _sentence(error)
                if complaint != self._complaint:
                    log(f"cannot look around: {complaint}")
                    self._complaint = complaint
                time.sleep(_TICK)
            self._changed.wait(_TICK)
            self._changed.clear()

    def step(self) -> None:
        """One round."""
        known = (self._snapshot["epoch"], self._snapshot["revision"]) if self._snapshot else None
        news = self._api.snapshot(known)
        if news is not None:
            if known is None or news["epoch"] != known[0]:
                self._new_epoch(news["epoch"], known is not None)
            self._snapshot = news
            self._read(news)
        if self._snapshot is None:
            return
        now = time.monotonic()
        if news is not None or self._anything_to_do(now) or now - self._listed_at > _IDLE_LISTING:
            self._look(self._snapshot)
        if self._world is not None:
            self._start_tasks(self._world, now)
        self._report(self._snapshot)

    def _read(self, snapshot: Snapshot) -> None:
        """Work out everything that is wanted. A kind that cannot read its part keeps what it had."""
        for kind in self._kinds.values():
            try:
                items = kind.wanted(snapshot)
            except Exception as error:
                log(f"{kind.name}: cannot read the snapshot: {_sentence(error)}")
                continue
            self._wanted = {key: value for key, value in self._wanted.items() if key[0] != kind.name}
            self._wanted |= {(kind.name, name): (item, fingerprint(item)) for name, item in items.items()}

    def _new_epoch(self, epoch: str, had_another: bool) -> None:
        if had_another:
            log("the API has lost its memory (it was restarted): everything of before is removed")
        # Let what is under way come to its end, or it would make things of the old epoch again.
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="reconcile")
        cleaning.remove_other_epochs(epoch, [self._settings.file_systems, self._settings.load_balancers])
        with self._lock:
            self._tasks.clear()
            # Whatever has this epoch's labels is looked at once, so that nothing forgotten stays.
            for key in cleaning.labelled_things():
                if key[0] in self._kinds:
                    self._tasks[key] = Task()
        self._reported = {}
        self._wanted = {}
        self._world = None
        log(f"following the API's memory {epoch}")

    def _anything_to_do(self, now: float) -> bool:
        with self._lock:
            return any(task.running or task.due <= now for task in self._tasks.values())

    def _look(self, snapshot: Snapshot) -> None:
        self._world = Round(
            settings=self._settings,
            authority=self._authority,
            snapshot=snapshot,
            containers={found.key: found for found in list_containers()},
            networks={name: identifier for name, (identifier, _) in networks.list_networks().items()},
        )
        self._listed_at = time.monotonic()

    def _start_tasks(self, world: Round, now: float) -> None:
        present = {key for key in world.containers if key[0] in self._kinds}
        with self._lock:
            for key, (item, mark) in self._wanted.items():
                task = self._tasks.setdefault(key, Task())
                if not task.running and (task.due <= now or task.tried != mark):
                    task.running, task.tried = True, mark
                    self._pool.submit(self._ensure, key, item, world, task)
            for key in (present | set(self._tasks)) - set(self._wanted):
                task = self._tasks.setdefault(key, Task())
                if not task.running and (task.due <= now or task.tried != _REMOVAL):
                    task.running, task.tried = True, _REMOVAL
                    self._pool.submit(self._remove, key, task)

    def _ensure(self, key: tuple[str, str], item: Any, world: Round, task: Task) -> None:
        try:
            outcome = self._kinds[key[0]].ensure(key[1], item, world)
        except Exception as error:
            self._failed(key, task, error)
        else:
            with self._lock:
                task.observed = outcome.observed
                task.made = fingerprint(item)
                task.due = time.monotonic() + outcome.again
                task.pause, task.said, task.waiting = _FIRST_PAUSE, "", None
                task.running = False
        self._changed.set()

    def _remove(self, key: tuple[str, str], task: Task) -> None:
        try:
            self._kinds[key[0]].remove(key[1])
        except Exception as error:
            self._failed(key, task, error)
        else:
            with self._lock:
                self._tasks.pop(key, None)
        self._changed.set()

    def _failed(self, key: tuple[str, str], task: Task, error: Exception) -> None:
        sentence = _sentence(error)
        now = time.monotonic()
        task.waiting = task.waiting or now
        # To wait for a moment is normal, and of no interest to a reader.
        if sentence != task.said and not (isinstance(error, NotReady) and now - task.waiting < _PATIENCE):
            log(f"{key[0]} {key[1]}: {sentence}")
            task.said = sentence
        with self._lock:
            task.observed = {}
            pause = _FIRST_PAUSE if isinstance(error, NotReady) else task.pause
            task.pause = min(task.pause * 2, _LONGEST_PAUSE)
            task.due = time.monotonic() + pause
            task.running = False

    def _report(self, snapshot: Snapshot) -> None:
        """Send what changed; and everything when the API changed, for a state may begin again."""
        observed: Observed = {}
        with self._lock:
            for key, task in self._tasks.items():
                # What was seen of an item that has since changed says nothing about the new one.
                if key in self._wanted and task.made == self._wanted[key][1]:
                    for section, things in task.observed.items():
                        observed.setdefault(section, {}).update(things)
        revision = (snapshot["epoch"], snapshot["revision"])
        news = observed if revision != self._reported_revision else _difference(self._reported, observed)
        if any(news.values()):
            self._api.report(news)
        self._reported, self._reported_revision = observed, revision


def _difference(before: Mapping[str, Mapping[str, Any]], now: Observed) -> Observed:
    changed: Observed = {}
    for section, things in now.items():
        news = {name: value for name, value in things.items() if before.get(section, {}).get(name) != value}
        if news:
            changed[section] = news
    return changed


def _sentence(error: Exception) -> str:
    if isinstance(error, APIError):
        return f"docker says: {error.explanation or error}"
    if isinstance(error, NotReady):
        return str(error)
    return f"{type(error).__name__}: {error}"
