# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own memory beside moto's: epoch, revision, what the reconciler observed, secrets of the state directory."""

from __future__ import annotations

import os
import secrets
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from lab import ca
from lab.api.lifecycle import Lifecycle
from lab.api.settings import Settings


@dataclass
class Lab:
    """One lab in one process. moto's memory is global to the process, so there is only one of these, too."""

    settings: Settings
    authority: ca.CertificateAuthority
    admin_token: str
    registry_password: str
    lifecycle: Lifecycle
    # Says which memory this is: another epoch means that everything before is gone.
    epoch: str = field(default_factory=lambda: str(uuid.uuid4()))
    revision: int = 0
    # moto is not thread-safe; whoever reads or changes its models holds this.
    lock: threading.RLock = field(default_factory=threading.RLock)
    # Console text by instance id, as the reconciler reported it.
    consoles: dict[str, str] = field(default_factory=dict)
    # Health by target group ARN and "<target id>:<port>".
    target_health: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def touch(self) -> None:
        """Say that something changed that a snapshot shows."""
        self.revision += 1

    def log(self, text: str) -> None:
        """One line for `lab logs`."""
        print(text, flush=True)


_current: Lab | None = None


def start(settings: Settings) -> Lab:
    """Make the lab of this process and its files in the state directory."""
    global _current
    state = settings.state
    state.mkdir(parents=True, exist_ok=True)
    lab = Lab(
        settings=settings,
        authority=ca.load_or_create(state),
        admin_token=kept_secret(state / "admin-token"),
        registry_password=kept_secret(state / "registry-password"),
        lifecycle=Lifecycle(delay_scale=settings.delay_scale, unattended=settings.unattended),
    )
    lab.lifecycle.on_change = lab.touch
    write_private(state / "epoch", lab.epoch + "\n")
    _current = lab
    return lab


def current() -> Lab:
    """The lab of this process. Raises RuntimeError before `start`."""
    if _current is None:
        raise RuntimeError("the lab was not started")
    return _current


def kept_secret(path: Path) -> str:
    """Read a secret of the state directory, or make it there."""
    if not path.exists():
        write_private(path, secrets.token_hex(24) + "\n")
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
