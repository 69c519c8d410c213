# SPDX-License-Identifier: GPL-3.0-or-later
"""When a resource leaves its first state: only after the reconciler saw it real, and not before AWS would be done.

Every resource that takes time on AWS begins here in a transitional state ("pending", "creating", "provisioning") and
gets its last one from `observe`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

# Seconds that AWS itself needs, the base of LAB_AWS_DELAYS; measured by the Terraform provider's acceptance tests.
AWS_SECONDS = {
    "database": 507.0,
    "cache": 692.0,
    "mount_target": 127.0,
    "load_balancer": 171.0,
    "instance": 64.0,
    # Nobody has measured these two; AWS names no time.
    "nat_gateway": 120.0,
    "reservation": 120.0,
}


@dataclass
class _Transition:
    ready: str
    apply: Callable[[str], None]
    not_before: float
    seen: bool = False


@dataclass
class Lifecycle:
    """All transitions under way. Not thread-safe: hold the lab's lock."""

    delay_scale: float = 0.0
    unattended: bool = False
    clock: Callable[[], float] = time.monotonic
    # Called once whenever a resource reached its state.
    on_change: Callable[[], None] = lambda: None
    _transitions: dict[tuple[str, str], _Transition] = field(default_factory=dict)

    def begin(self, kind: str, name: str, ready: str, apply: Callable[[str], None], *, delayed: bool = True) -> None:
        """Start a transition: `apply(ready)` is called when `observe` reports `ready`. Replaces an earlier one."""
        delay = AWS_SECONDS.get(kind, 0.0) * self.delay_scale if delayed else 0.0
        self._transitions[kind, name] = _Transition(ready=ready, apply=apply, not_before=self.clock() + delay)

    def forget(self, kind: str, name: str) -> None:
        """Drop the transition of a deleted resource."""
        self._transitions.pop((kind, name), None)

    def observe(self, kind: str, name: str, state: str) -> None:
        """Take the reconciler's word for what a resource is now. A failure shows at once, whatever was expected."""
        transition = self._transitions.get((kind, name))
        if transition is None:
            return
        if state == "failed":
            del self._transitions[kind, name]
            transition.apply(state)
            self.on_change()
        elif state == transition.ready:
            transition.seen = True
            self.settle()

    def settle(self) -> None:
        """Finish every transition that was seen real and is old enough."""
        now = self.clock()
        done = [
            key
            for key, transition in self._transitions.items()
            if (transition.seen or self.unattended) and now >= transition.not_before
        ]
        for key in done:
            transition = self._transitions.pop(key)
            transition.apply(transition.ready)
        if done:
            self.on_change()

    def pending(self) -> list[tuple[str, str]]:
        """Kind and name of everything that is not ready yet."""
        return list(self._transitions)
