# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop, with kinds that only remember what was asked of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from lab.reconciler import cleaning, loop, networks
from lab.reconciler.api import ApiClient, Observed
from lab.reconciler.containers import NotReady
from lab.reconciler.kind import Kind, Outcome, Round
from lab.reconciler.loop import Loop
from lab.reconciler.settings import Settings
from lab.reconciler.snapshot import Snapshot


class Api:
    """Hands out the snapshot that the test sets, and keeps what is reported."""

    def __init__(self) -> None:
        self.epoch, self.revision, self.things = "first", 1, cast(dict[str, Any], {})
        self.reports: list[Observed] = []

    def want(self, **things: Any) -> None:
        self.things, self.revision = things, self.revision + 1

    def snapshot(self, known: tuple[str, int] | None) -> Snapshot | None:
        if known == (self.epoch, self.revision):
            return None
        return cast(Snapshot, {"epoch": self.epoch, "revision": self.revision, "things": dict(self.things)})

    def report(self, observed: Observed) -> None:
        self.reports.append(observed)

    def last_of(self, name: str) -> Any:
        """What was last reported of a thing."""
        return next((report["things"][name] for report in reversed(self.reports) if name in report["things"]), None)


class Things(Kind):
    """Each thing does what its item says: a state to report, or an exception to raise."""

    name = "thing"

    def __init__(self) -> None:
        self.ensured: list[tuple[str, Any]] = []
        self.removed: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        return cast(dict[str, Any], snapshot)["things"]  # type: ignore[no-any-return]

    def ensure(self, identifier: str, item: Any, world: Round) -> Outcome:
        self.gate.wait(5)
        self.ensured.append((identifier, item))
        if isinstance(item, str):
            return Outcome({"things": {identifier: {"state": item}}}, again=60)
        raise NotReady("not yet") if item is None else RuntimeError("broken")

    def remove(self, identifier: str) -> None:
        self.removed.append(identifier)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> tuple[Api, Things, Loop]:
    """A loop without an engine."""
    monkeypatch.setattr(loop, "list_containers", list)
    monkeypatch.setattr(networks, "list_networks", dict)
    monkeypatch.setattr(cleaning, "remove_other_epochs", lambda *_: None)
    monkeypatch.setattr(cleaning, "labelled_things", lambda: {("thing", "left over")})
    api, things = Api(), Things()
    settings = Settings("http://api", "host", "services", "machine", (), False, 1000, state=Path("/nowhere"))
    return api, things, Loop(settings, cast(Any, None), cast(ApiClient, api), [things])


def turn(subject: Loop, until: Callable[[], object]) -> None:
    """Let the loop work until something is so."""
    deadline = time.monotonic() + 5
    while not until():
        assert time.monotonic() < deadline, "the loop did not get there"
        subject.step()
        time.sleep(0.01)


def test_a_wanted_thing_is_made_once_and_reported(world: tuple[Api, Things, Loop]) -> None:
    api, things, subject = world
    api.want(one="running")
    turn(subject, lambda: api.last_of("one") == {"state": "running"})
    for _ in range(5):
        subject.step()
    assert things.ensured == [("one", "running")]


def test_what_is_no_longer_wanted_is_removed(world: tuple[Api, Things, Loop]) -> None:
    api, things, subject = world
    api.want(one="running")
    turn(subject, lambda: api.last_of("one"))
    api.want()
    turn(subject, lambda: "one" in things.removed)


def test_what_an_earlier_reconciler_left_is_removed(world: tuple[Api, Things, Loop]) -> None:
    _, things, subject = world
    turn(subject, lambda: "left over" in things.removed)


def test_an_old_observation_says_nothing_about_changed_settings(world: tuple[Api, Things, Loop]) -> None:
    api, things, subject = world
    api.want(one="old")
    turn(subject, lambda: api.last_of("one") == {"state": "old"})
    things.gate.clear()
    api.reports.clear()
    api.want(one="new")
    for _ in range(5):
        subject.step()
    assert api.last_of("one") is None
    things.gate.set()
    turn(subject, lambda: api.last_of("one") == {"state": "new"})


def test_everything_is_reported_again_when_the_api_changed(world: tuple[Api, Things, Loop]) -> None:
    api, _, subject = world
    api.want(one="running")
    turn(subject, lambda: api.last_of("one"))
    api.reports.clear()
    api.want(one="running")
    turn(subject, lambda: api.last_of("one") == {"state": "running"})


def test_one_broken_thing_does_not_hold_up_the_others(world: tuple[Api, Things, Loop]) -> None:
    api, _, subject = world
    api.want(broken=1, waiting=None, fine="running")
    turn(subject, lambda: api.last_of("fine") == {"state": "running"})
    assert api.last_of("broken") is None


def test_what_waits_for_another_is_tried_again(world: tuple[Api, Things, Loop]) -> None:
    api, things, subject = world
    api.want(waiting=None)
    turn(subject, lambda: len(things.ensured) >= 2)


def test_a_new_memory_of_the_api_forgets_everything(
    world: tuple[Api, Things, Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, _, subject = world
    cleaned: list[str] = []
    monkeypatch.setattr(cleaning, "remove_other_epochs", lambda epoch, _: cleaned.append(epoch))
    api.want(one="running")
    turn(subject, lambda: api.last_of("one"))
    api.epoch, api.revision, api.things = "second", 1, {"two": "running"}
    turn(subject, lambda: api.last_of("two"))
    assert cleaned == ["first", "second"]
    assert "one" not in api.reports[-1]["things"]
