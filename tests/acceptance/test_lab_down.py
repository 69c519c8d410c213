# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from lab import engine as lab_engine
from lab.progress import Progress

from .conftest import STATE, Run, Site, run

LABEL: dict[str, Any] = {"label": "freehold.lab=1"}
SOMEBODY = "somebody-elses"


@pytest.fixture(scope="module")
def down(site: Site, engine: docker.DockerClient) -> Run:
    """The lab taken down while a whole environment stands in it, and beside it a container of somebody else."""
    image = next(image for image in engine.images.list("freehold-lab/airflow-base"))
    # As if from an image that an older lab had labelled: a container has the labels of its image, too.
    engine.containers.create(image, name=SOMEBODY, labels={"freehold.lab": "1"})
    return run("make", "lab-down")


@pytest.fixture
def engine_after(down: Run) -> Iterator[docker.DockerClient]:
    """The engine, or, where the lab has ended the one it had started, another one that sees what is on the disk."""
    client = lab_engine.connect_or_start(Progress())
    yield client
    client.api.remove_container(SOMEBODY, force=True)
    lab_engine.stop_ours(Progress())


def test_no_mount_is_left(down: Run) -> None:
    assert "freehold-lab" not in Path("/proc/self/mounts").read_text()


def test_no_process_is_left(down: Run) -> None:
    commands = [
        path.read_bytes().replace(b"\0", b" ") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    ]
    assert [command for command in commands if b"lab.api" in command or b"lab.reconciler" in command] == []


def test_no_state_is_left(down: Run) -> None:
    assert not STATE.exists()


def test_nothing_of_the_lab_is_left_and_nothing_else_is_gone(engine_after: docker.DockerClient) -> None:
    assert [container.name for container in engine_after.containers.list(all=True, filters=LABEL)] == [SOMEBODY]
    assert engine_after.volumes.list(filters=LABEL) == []
    assert engine_after.networks.list(filters=LABEL) == []


def test_down_again_has_nothing_to_do(down: Run) -> None:
    run("make", "lab-down")
