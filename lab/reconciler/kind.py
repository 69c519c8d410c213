# SPDX-License-Identifier: GPL-3.0-or-later
"""What every kind of thing has in common: which ones are wanted, make one real, remove one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lab.ca import CertificateAuthority
from lab.reconciler.api import Observed
from lab.reconciler.containers import Found
from lab.reconciler.settings import Settings
from lab.reconciler.snapshot import Snapshot


@dataclass(frozen=True)
class Round:
    """One look at the world: what the API wants, and what docker has."""

    settings: Settings
    authority: CertificateAuthority
    snapshot: Snapshot
    containers: Mapping[tuple[str, str], Found]
    # docker network name -> its id
    networks: Mapping[str, str]

    @property
    def epoch(self) -> str:
        """Which memory of the API this is."""
        return self.snapshot["epoch"]


@dataclass(frozen=True)
class Outcome:
    """What one `ensure` saw."""

    observed: Observed = field(default_factory=dict)
    # Look again after so many seconds even if nothing changed.
    again: float = 5.0


class Kind(ABC):
    """One kind of thing. Different ids are worked on side by side, one id never twice at a time."""

    name: ClassVar[str]

    @abstractmethod
    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        """Everything of this kind that must be real, by id; the values are all that `ensure` depends on."""

    @abstractmethod
    def ensure(self, identifier: str, item: Any, world: Round) -> Outcome:
        """Make one thing real, and say what is. Raises NotReady when it must wait for another."""

    @abstractmethod
    def remove(self, identifier: str) -> None:
        """Remove everything that `ensure` made."""
