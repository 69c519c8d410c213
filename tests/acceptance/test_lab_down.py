# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import docker
import pytest

from .conftest import STATE, Run, Site, run

LABEL: dict[str, Any] = {"label": "freehold.lab=1"}


@pytest.fixture(scope="module")
def down(site: Site) -> Run:
    """The lab taken down while a whole environment stands in it."""
    return run("make", "lab-down")


def test_no_container_volume_or_network_is_left(down: Run, engine: docker.DockerClient) -> None:
    assert engine.containers.list(all=True, filters=LABEL) == []
    assert engine.volumes.list(filters=LABEL) == []
    assert engine.networks.list(filters=LABEL) == []


def test_no_mount_is_left(down: Run) -> None:
    assert "freehold-lab" not in Path("/proc/self/mounts").read_text()


def test_no_process_is_left(down: Run) -> None:
    commands = [
        path.read_bytes().replace(b"\0", b" ") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    ]
    assert [command for command in commands if b"lab.api" in command or b"lab.reconciler" in command] == []


def test_no_state_is_left(down: Run) -> None:
    assert not STATE.exists()


def test_down_again_has_nothing_to_do(down: Run) -> None:
    run("make", "lab-down")
