# SPDX-License-Identifier: GPL-3.0-or-later
"""What docker's answers become: a digest, an output, or one sentence that says what to do."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import docker.errors
import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._ecr import engine

CREDENTIALS = {"username": "AWS", "password": "token"}
REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/freehold-lab/airflow"


class Docker:
    """A docker client that answers what it was given, and remembers what it was asked."""

    def __init__(self, stream: list[dict[str, Any]] | None = None, error: Exception | None = None) -> None:
        self.stream, self.error = stream or [], error
        self.asked: dict[str, Any] = {}
        self.api = self.containers = self

    def _answer(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.asked = dict(asked)
        if self.error:
            raise self.error
        return self.stream

    def ping(self) -> None:
        self._answer({})

    def build(self, **asked: Any) -> list[dict[str, Any]]:
        return self._answer(asked)

    def tag(self, reference: str, repository: str, tag: str, force: bool) -> None:
        self.tagged = (reference, repository, tag, force)

    def push(self, repository: str, **asked: Any) -> list[dict[str, Any]]:
        return self._answer({"repository": repository, **asked})

    def run(self, reference: str, **asked: Any) -> bytes:
        self._answer({"reference": reference, **asked})
        return b" 3.3.2\n"


def build(client: Any) -> None:
    engine.build(
        client, io.BytesIO(b""), "image/Dockerfile", "airflow:tag", {"BASE": "x"}, "host", "", "requirements.txt"
    )


def push(client: Any) -> str:
    return engine.push(client, "airflow:tag", REPOSITORY, "tag", CREDENTIALS)


def test_an_engine_that_does_not_answer_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = docker.errors.DockerException("connection refused")
    monkeypatch.setattr(docker, "from_env", lambda timeout: Docker(error=refused))
    with pytest.raises(
        FreeholdError, match=r"An image must be built, but no Docker engine answers.*DOCKER_HOST.*refused"
    ):
        engine.connect("An image must be built")


def test_an_engine_that_answers_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = Docker()
    monkeypatch.setattr(docker, "from_env", lambda timeout: client)
    assert engine.connect("An image must be built") is client


def test_a_controller_without_the_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DOCKER_IMPORT_ERROR", "No module named 'docker'")
    with pytest.raises(FreeholdError, match="needs Python's 'docker' package"):
        engine.connect("An image must be built")


def test_a_build_gets_the_context_and_leaves_nothing_behind() -> None:
    client = Docker([{"stream": "Step 1/2\n"}, {"aux": {"ID": "sha256:1"}}])
    build(client)
    assert client.asked["custom_context"] is True
    assert client.asked["buildargs"] == {"BASE": "x"}
    assert client.asked["network_mode"] == "host"
    assert client.asked["platform"] is None
    assert client.asked["rm"] is True
    assert client.asked["forcerm"] is True


def test_a_build_that_fails_ends_with_its_log() -> None:
    with pytest.raises(FreeholdError) as failed:
        build(Docker([{"stream": "Step 1/2\nRUN false\n"}, {"error": "returned a non-zero code: 1"}]))
    assert str(failed.value).startswith(
        "The image does not build: returned a non-zero code: 1\nThe build log ends with:"
    )
    assert str(failed.value).endswith("Step 1/2\nRUN false")


def test_only_the_end_of_a_long_log_is_shown() -> None:
    lines = [{"stream": f"line {number}\n"} for number in range(1000)]
    with pytest.raises(FreeholdError) as failed:
        build(Docker([*lines, {"error": "failed"}]))
    assert "line 999" in str(failed.value)
    assert str(failed.value).count("\nline ") == engine.LOG_LINES


def test_a_requirement_that_can_not_be_installed_is_named_with_its_file() -> None:
    log = [{"stream": "ERROR: No matching distribution found for nothing==1.0\n"}, {"error": "failed"}]
    with pytest.raises(FreeholdError, match=r"nothing==1\.0.*correct image_requirements_file \(requirements\.txt\)"):
        build(Docker(log))


def test_an_engine_that_goes_away_during_a_build_is_one_sentence() -> None:
    with pytest.raises(FreeholdError, match=r"^The image does not build: gone$"):
        build(Docker(error=docker.errors.DockerException("gone")))


def test_the_check_runs_past_the_entry_point_and_without_a_network() -> None:
    client: Any = Docker()
    assert engine.smoke_check(client, "airflow:tag", ["airflow", "version"]) == "3.3.2"
    assert client.asked == {
        "reference": "airflow:tag",
        "entrypoint": "airflow",
        "command": ["version"],
        "network_mode": "none",
        "remove": True,
        "stderr": True,
    }


def test_a_check_that_fails_names_its_command() -> None:
    client: Any = Docker(error=docker.errors.DockerException("no such file"))
    with pytest.raises(FreeholdError, match=r"'airflow version' fails in it: no such file"):
        engine.smoke_check(client, "x", ["airflow", "version"])


def test_a_push_returns_the_digest_and_hands_the_credentials_over_once() -> None:
    client = Docker([{"status": "Pushing"}, {"aux": {"Digest": "sha256:12"}}, {"status": "done"}])
    assert push(client) == "sha256:12"
    assert client.tagged == ("airflow:tag", REPOSITORY, "tag", True)
    assert client.asked["auth_config"] == CREDENTIALS


@pytest.mark.parametrize(
    ("client", "sentence"),
    [
        (Docker([{"error": "denied: no basic auth"}]), "can't be pushed to .*: denied: no basic auth"),
        (Docker(error=docker.errors.DockerException("gone")), "can't be pushed to .*: gone"),
        (Docker([{"status": "Pushing"}]), "told no digest"),
    ],
)
def test_a_push_that_fails_is_one_sentence_without_the_password(client: Docker, sentence: str) -> None:
    with pytest.raises(FreeholdError, match=sentence) as failed:
        push(client)
    assert CREDENTIALS["password"] not in str(failed.value)
