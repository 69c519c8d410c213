# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that fetches published releases, with a docker that writes down what it is asked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "roles" / "component" / "files" / "freehold-dags"
DOCKER = """#!/bin/sh
echo "$*" >> "$FAKE/asked"
case $* in
    *"container ls"*) cat "$FAKE/running" 2>/dev/null ;;
    *exec*) [ ! -e "$FAKE/broken" ] ;;
esac
"""
FETCH = "container exec airflow-worker python -m freehold_airflow.proof --fetch"


class Follower:
    """The script, looking every twentieth of a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dags, self.copies = path / "dags", path / "copies"
        self.dags.mkdir()
        (self.copies / "releases").mkdir(parents=True)
        client = path / "docker"
        client.write_text(DOCKER)
        client.chmod(0o755)
        environment = {"PATH": f"{path}:{os.environ['PATH']}", "FAKE": str(path)}
        self.process = subprocess.Popen(["sh", SCRIPT, self.dags, self.copies, "0.05"], env=environment)

    def publish(self, release: str) -> None:
        (self.dags / "current").write_text(f'{{"release": "{release}", "format": 1}}\n')

    def run_component(self, name: str = "airflow-worker") -> None:
        (self.path / "running").write_text(f"{name}\nairflow-scheduler\n")

    def asked(self) -> list[str]:
        file = self.path / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def asks(self, what: str, times: int = 1) -> bool:
        """Return whether docker was asked this so often, within some seconds."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.asked().count(what) >= times:
                return True
            time.sleep(0.02)
        return False


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    made = Follower(tmp_path)
    yield made
    assert made.process.poll() is None, "the script ended by itself"
    made.process.terminate()
    made.process.wait(10)


def quiet(follower: Follower) -> bool:
    """Return whether nothing is asked in ten looks."""
    time.sleep(0.1)
    before = len(follower.asked())
    time.sleep(0.5)
    return len(follower.asked()) == before


def test_a_published_release_is_fetched_by_a_component(follower: Follower) -> None:
    follower.run_component()
    follower.publish("0123abcd")
    assert follower.asks(FETCH)
    assert "container ls --filter name=^airflow- --format {{.Names}}" in follower.asked()


def test_a_release_that_is_here_is_not_fetched_again(follower: Follower) -> None:
    (follower.copies / "releases" / "0123abcd.seal.json").touch()
    follower.run_component()
    follower.publish("0123abcd")
    assert quiet(follower)
    follower.publish("4567cdef")
    assert follower.asks(FETCH)


def test_without_a_published_release_nothing_is_asked(follower: Follower) -> None:
    follower.run_component()
    assert quiet(follower)
    follower.publish("../../etc; rm")
    assert quiet(follower)
    # It did look.
    follower.publish("0123abcd")
    assert follower.asks(FETCH)


def test_without_a_component_it_waits_for_one(follower: Follower) -> None:
    follower.publish("0123abcd")
    assert follower.asks("container ls --filter name=^airflow- --format {{.Names}}", times=2)
    assert FETCH not in follower.asked()
    follower.run_component()
    assert follower.asks(FETCH)


def test_what_could_not_be_fetched_is_tried_again(follower: Follower) -> None:
    (follower.path / "broken").touch()
    follower.run_component()
    follower.publish("0123abcd")
    assert follower.asks(FETCH, times=2)
