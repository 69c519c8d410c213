# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container says of its DAGs, and what the module makes of it."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import dag_proof

GOOD: dict[str, Any] = {
    "bundle": "dags",
    "current": "aaa",
    "release": "aaa",
    "tree": "t1",
    "files": 7,
    "exact": True,
    "differs": {"changed": [], "missing": [], "extra": [], "unreadable": []},
}


class Docker:
    """The docker client: answers with what it was told, and notes what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[list[str]] = []

    def run(self, command: list[str], **_: object) -> Any:
        self.asked.append(command)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return SimpleNamespace(returncode=answer, stdout="", stderr="")
        if isinstance(answer, str):
            return SimpleNamespace(returncode=1, stdout="", stderr=answer)
        return SimpleNamespace(returncode=0 if answer["exact"] else 1, stdout=json.dumps([answer]), stderr="")


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    fake = Docker()
    monkeypatch.setattr("subprocess.run", fake.run)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return fake


def prove(
    release: str = "aaa", tree: str = "t1", fetch: bool = True, timeout: int = 60, moves: int = 5
) -> dict[str, Any]:
    params = {"release": release, "tree": tree, "timeout": timeout, "moves": moves}
    return dag_proof.prove("worker", params, fetch)


def test_an_exact_release_is_proved(docker: Docker) -> None:
    docker.answers = [GOOD]
    found = prove()
    assert found == {
        "component": "worker",
        "release": "aaa",
        "tree": "t1",
        "files": 7,
        "exact": True,
        "error": "",
        "differs": GOOD["differs"],
        "repaired": "",
    }
    [command] = docker.asked
    assert command[3:6] == ["airflow-worker", "timeout", "--kill-after=5"]
    assert 1 <= int(command[6]) <= 60
    assert command[7:] == ["python", "-m", "freehold_airflow.proof", "--fetch"]


def test_only_looking_fetches_nothing(docker: Docker) -> None:
    docker.answers = [GOOD]
    assert prove(fetch=False)["exact"]
    assert "--fetch" not in docker.asked[0]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (GOOD | {"tree": "t2"}, "its files have the tree hash t2"),
        (GOOD | {"exact": False, "error": "the pointer can't be read"}, "the pointer can't be read"),
        (
            "Error response from daemon: container is not running",
            "Error response from daemon: container is not running",
        ),
        ("", "status 1 and no word"),
        (subprocess.TimeoutExpired("docker", 1), "it did not answer within"),
        (124, "it did not answer within"),
        (
            GOOD | {"exact": False, "differs": {"changed": ["a", "b", "c", "d"], "extra": ["x"], "missing": []}},
            "changed: a, b, c and 1 more; extra: x",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(docker: Docker, answer: Any, error: str) -> None:
    docker.answers = [answer]
    found = prove()
    assert not found["exact"]
    assert error in found["error"]


def test_a_pointer_that_was_just_moved_is_waited_for(docker: Docker) -> None:
    docker.answers = [GOOD | {"current": "old"}, GOOD | {"current": "old"}, GOOD]
    assert prove()["exact"]
    assert len(docker.asked) == 3


def test_a_pointer_that_has_moved_on_is_not_waited_for(docker: Docker) -> None:
    docker.answers = [GOOD | {"current": "old", "moves": 4}, GOOD | {"current": "new", "moves": 6}]
    found = prove()
    assert (found["exact"], found["error"]) == (False, "it sees release new, which was published after this one")
    assert len(docker.asked) == 2


def test_a_pointer_that_stays_behind_is_an_error(docker: Docker) -> None:
    docker.answers = [GOOD | {"current": "old", "release": "old"}]
    found = prove(timeout=0)
    assert (found["exact"], found["error"]) == (False, "it sees release old")


def test_looking_does_not_wait_for_a_pointer(docker: Docker) -> None:
    docker.answers = [GOOD | {"current": "old"}]
    assert not prove(fetch=False)["exact"]
    assert len(docker.asked) == 1


def test_every_component_is_asked_and_the_proofs_are_in_order(docker: Docker, run_module: Any) -> None:
    docker.answers = [GOOD]
    result = run_module(dag_proof, components=["scheduler", "worker"], release="aaa", tree="t1", fetch=True)
    assert not result["changed"]
    assert [proof["component"] for proof in result["proofs"]] == ["scheduler", "worker"]
    assert all(proof["exact"] for proof in result["proofs"])
    assert all("--fetch" in command for command in docker.asked)


def test_a_repair_is_a_change_and_told(docker: Docker, run_module: Any) -> None:
    docker.answers = [GOOD | {"repaired": {"changed": ["a.py"], "missing": [], "extra": ["b", "c", "d", "e"]}}]
    result = run_module(dag_proof, components=["worker"], release="aaa", tree="t1", fetch=True)
    assert result["changed"]
    assert result["proofs"][0]["exact"]
    assert result["proofs"][0]["repaired"] == "changed: a.py; extra: b, c, d and 1 more"


def test_a_check_run_fetches_nothing(docker: Docker, run_module: Any) -> None:
    docker.answers = [GOOD]
    assert run_module(dag_proof, True, components=["worker"], fetch=True)["proofs"][0]["exact"]
    assert ["--fetch" in command for command in docker.asked] == [False]


def test_no_components_are_no_proofs(docker: Docker, run_module: Any) -> None:
    assert run_module(dag_proof, components=[])["proofs"] == []
    assert docker.asked == []
