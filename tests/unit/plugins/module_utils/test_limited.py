# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on the shared file system end in time, with a docker client that does not."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._dags import limited
from ansible_collections.freehold.airflow.plugins.module_utils._dags.limited import CommandError, Limit, answer

# The client of a container whose program waits for a mount: deaf to TERM, with a child that holds its output.
DEAF = """
trap '' TERM
echo $$ >> "$FAKE/pids"
while :; do sleep 60; done
"""
LIMIT = Limit(1, "dags_proof_seconds")


class Docker:
    """A docker client that writes down what it is asked and does what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.says(run="echo '{}'")

    def says(self, run: str, remove: str = "") -> None:
        """Tell it what to do when a container is to be run, and when one is to be removed."""
        client = self.folder / "docker"
        text = f'#!/bin/sh\necho "$*" >> "$FAKE/asked"\ncase $* in *" rm "*) {remove}\nexit ;; esac\n{run}\n'
        client.write_text(text)
        client.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()

    @property
    def running(self) -> list[int]:
        """Clients that are still there."""
        pids = [int(line) for line in (self.folder / "pids").read_text().split()]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setattr(limited, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(limited, "REMOVE_SECONDS", 2)
    return Docker(tmp_path)


COMMAND = ["docker", "container", "run", "--name={container}", "--mount={stream}", "image"]


def test_an_answer_is_returned(docker: Docker) -> None:
    docker.says("echo '{\"moves\": 3}'; echo careful >&2; exit 3")
    assert answer("look", COMMAND, LIMIT, {"stream": "/srv/it"}, good=(0, 3)) == {"moves": 3}
    [asked] = docker.asked
    assert re.fullmatch(r"container run --name=freehold-dags-[0-9a-f]{12} --mount=/srv/it image", asked)


def test_each_container_has_a_name_of_its_own(docker: Docker) -> None:
    for _ in range(2):
        answer("look", COMMAND, LIMIT)
    assert len(set(docker.asked)) == 2


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("echo why >&2; exit 1", "The command 'look' ended with status 1: why"),
        ("exit 1", "The command 'look' ended with status 1: it said nothing"),
        (
            "printf '%s\\n' before 'freehold_airflow.publish: why' RuntimeError >&2; exit 1",
            "The command 'look' ended with status 1: freehold_airflow.publish: why",
        ),
        ("echo what", "The command 'look' gave no answer that can be read."),
        # Ended by somebody, long before its time.
        ("echo ended >&2; exit 137", "The command 'look' ended with status 137: ended"),
    ],
)
def test_what_is_no_answer_is_said_in_a_sentence(docker: Docker, run: str, message: str) -> None:
    docker.says(run)
    with pytest.raises(CommandError) as caught:
        answer("look", COMMAND, LIMIT)
    assert str(caught.value) == message
    assert set(caught.value.details) == {"rc", "stdout", "stderr"}


def test_a_command_that_is_not_there_is_said_in_a_sentence() -> None:
    with pytest.raises(CommandError, match=r"The command 'look' can't be run: .*No such file"):
        answer("look", ["/nowhere/docker"], LIMIT)


@pytest.mark.parametrize("status", limited.OVER)
def test_what_was_stopped_inside_its_container_did_not_answer(docker: Docker, status: int) -> None:
    docker.says(f"sleep 1; exit {status}")
    with pytest.raises(CommandError) as caught:
        answer("write", COMMAND, LIMIT)
    sentence = "the shared file system did not answer within 1 s (dags_proof_seconds)"
    assert str(caught.value) == f"The command 'write' was stopped: {sentence}."


def test_a_client_that_does_not_end_is_killed_and_its_container_removed(docker: Docker) -> None:
    docker.says(DEAF)
    started = time.monotonic()
    with pytest.raises(CommandError) as caught:
        answer("write", COMMAND, LIMIT, grace=0.5)
    assert time.monotonic() - started < 20
    sentence = "the shared file system did not answer within 1 s (dags_proof_seconds)"
    assert str(caught.value) == f"The command 'write' was stopped: {sentence}."
    run, remove = docker.asked
    name = re.findall(r"--name=(\S+)", run)[0]
    assert remove == f"container rm --force {name}"
    assert docker.running == []


@pytest.mark.parametrize(
    ("remove", "says"),
    [
        ("echo 'Error response from daemon: No such container: x' >&2; exit 1", ""),
        (
            "echo 'tried to kill container' >&2; exit 1",
            "could not be removed and may still wait: tried to kill container",
        ),
        ("exec sleep 60", "could not be removed and may still wait: .* timed out after 2 seconds"),
    ],
    ids=["gone by itself", "refused", "the engine hangs"],
)
def test_a_container_that_stays_is_named(docker: Docker, remove: str, says: str) -> None:
    docker.says(DEAF, remove)
    with pytest.raises(CommandError) as caught:
        answer("write", COMMAND, LIMIT, grace=0.5)
    name = re.findall(r"--name=(\S+)", docker.asked[0])[0]
    rest = str(caught.value).partition("(dags_proof_seconds).")[2]
    assert re.fullmatch(f" Its container {name} {says}" if says else "", rest), rest
    assert docker.running == []


def test_without_a_container_nothing_is_removed(docker: Docker) -> None:
    docker.says(DEAF)
    with pytest.raises(CommandError):
        answer("look", ["docker", "version"], LIMIT, grace=0.5)
    assert docker.asked == ["version"]
