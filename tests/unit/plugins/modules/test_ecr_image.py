# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ecr_image against moto, with a docker engine that only remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._ecr import engine
from ansible_collections.freehold.airflow.plugins.modules import ecr_image

REPOSITORY = "freehold-lab/airflow"
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {},
}


class Engine:
    """Stands in for docker: the push puts an image into moto's ECR."""

    def __init__(self, aws: Any) -> None:
        self.aws = aws
        self.builds: list[dict[str, Any]] = []
        self.pushes: list[tuple[str, str, Mapping[str, str]]] = []
        self.refusal: str | None = None
        self.broken: str | None = None

    def connect(self, reason: str) -> Engine:
        if self.refusal:
            raise FreeholdError(message=f"{reason}, but {self.refusal}")
        return self

    def build(self, _client: Any, context: Any, dockerfile: str, reference: str, build_args: Any, *_rest: Any) -> None:
        self.builds.append({"dockerfile": dockerfile, "reference": reference, "build_args": build_args})

    def smoke_check(self, _client: Any, _reference: str, command: list[str]) -> str:
        if self.broken:
            raise FreeholdError(message=self.broken)
        return " ".join(command)

    def push(self, _client: Any, _reference: str, repository: str, tag: str, credentials: Mapping[str, str]) -> str:
        self.pushes.append((repository, tag, credentials))
        # moto makes the digest from those of the layers.
        manifest = json.dumps({**MANIFEST, "layers": [{"digest": tag, "size": 1}]})
        image = self.aws.client("ecr").put_image(repositoryName=REPOSITORY, imageManifest=manifest, imageTag=tag)
        return str(image["image"]["imageId"]["imageDigest"])


@pytest.fixture
def docker(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    fake = Engine(aws)
    for name in ("connect", "build", "smoke_check", "push"):
        monkeypatch.setattr(engine, name, getattr(fake, name))
    yield fake


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "Dockerfile").write_text("FROM scratch\nCOPY image/requirements.txt /tmp/\n")
    (tmp_path / "image" / "requirements.txt").write_text("")
    (tmp_path / "README.md").write_text("not part of the image\n")
    return tmp_path


@pytest.fixture
def repository(aws: Any) -> str:
    return str(aws.client("ecr").create_repository(repositoryName=REPOSITORY)["repository"]["repositoryUri"])


def run(aws: Any, context: Path, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(
        ecr_image,
        repository=REPOSITORY,
        path=str(context),
        dockerfile="image/Dockerfile",
        requirements_path="image/requirements.txt",
        **params,
    )
    return result


def test_a_missing_image_is_built_tried_and_pushed(aws: Any, docker: Engine, context: Path, repository: str) -> None:
    result = run(aws, context)
    assert result["changed"]
    assert result["smoke_output"] == "airflow version"
    assert result["reference"] == f"{repository}@{result['digest']}"
    assert docker.pushes[0][:2] == (repository, result["tag"])


def test_a_second_run_needs_no_docker_and_writes_nothing(
    aws: Any, docker: Engine, context: Path, repository: str
) -> None:
    first = run(aws, context)
    docker.refusal = "no engine"
    second = run(aws, context)
    assert not second["changed"]
    assert aws.writes == []
    assert second["reference"] == first["reference"]


def test_the_token_goes_to_the_engine_only(aws: Any, docker: Engine, context: Path, repository: str) -> None:
    result = str(run(aws, context))
    credentials = docker.pushes[0][2]
    assert credentials["username"] == "AWS"
    assert credentials["password"] not in result


def test_it_pushes_through_another_address_of_the_registry(
    aws: Any, docker: Engine, context: Path, repository: str
) -> None:
    result = run(aws, context, push_registry="127.0.0.1:4567")
    assert docker.pushes[0][0] == f"127.0.0.1:4567/{REPOSITORY}"
    assert result["reference"].startswith(repository)


def test_check_mode_builds_nothing(aws: Any, docker: Engine, context: Path, repository: str) -> None:
    result = run(aws, context, check=True)
    assert result["build_needed"]
    assert docker.builds == []
    assert aws.writes == []


def test_check_mode_works_before_there_is_a_repository(aws: Any, docker: Engine, context: Path) -> None:
    assert run(aws, context, check=True)["build_needed"]


def test_a_needed_build_without_docker_is_refused(aws: Any, docker: Engine, context: Path, repository: str) -> None:
    docker.refusal = "no Docker engine answers"
    result = run(aws, context, check=True)
    assert result["failed"]
    assert "must be built, but no Docker engine answers" in result["msg"]


def test_an_image_that_fails_its_smoke_check_is_not_pushed(
    aws: Any, docker: Engine, context: Path, repository: str
) -> None:
    docker.broken = "The image was built, but 'airflow version' fails in it: exit 1"
    result = run(aws, context)
    assert (result["failed"], result["msg"]) == (True, docker.broken)
    assert len(docker.builds) == 1
    assert docker.pushes == []
    assert aws.writes == []
    docker.broken = None
    assert run(aws, context)["build_needed"]


def test_going_back_to_old_requirements_only_moves_the_mark(
    aws: Any, docker: Engine, context: Path, repository: str
) -> None:
    first = run(aws, context, build_args={"BASE": "1"})
    run(aws, context, build_args={"BASE": "2"})
    docker.refusal = "no engine"
    for check, changed, writes in (True, True, []), (False, True, ["TagResource"]), (False, False, []):
        result = run(aws, context, check=check, build_args={"BASE": "1"})
        assert (result["changed"], result["build_needed"]) == (changed, False)
        assert result["reference"] == first["reference"]
        assert aws.writes == writes
        for request in aws.asked("TagResource"):
            assert request["tags"] == [{"Key": "freehold:image", "Value": first["digest"]}]


def test_transient_arguments_do_not_change_the_tag(aws: Any, docker: Engine, context: Path, repository: str) -> None:
    first = run(aws, context, transient_build_args={"PIP_INDEX_URL": "a"})
    assert docker.builds[0]["build_args"] == {"PIP_INDEX_URL": "a"}
    assert run(aws, context, transient_build_args={"PIP_INDEX_URL": "b"})["tag"] == first["tag"]


def test_a_missing_requirements_file_names_its_variable(aws: Any, docker: Engine, context: Path) -> None:
    result = run(aws, context, requirements_file="/nowhere/requirements.txt")
    assert "image_requirements_file" in result["msg"]
    assert "/nowhere/requirements.txt" in result["msg"]


def test_a_wrong_directory_names_its_variable(aws: Any, docker: Engine, tmp_path: Path) -> None:
    assert "image_directory" in run(aws, tmp_path)["msg"]


def test_a_build_without_a_repository_to_push_to_is_refused(aws: Any, docker: Engine, context: Path) -> None:
    result = run(aws, context)
    assert f"The ECR repository '{REPOSITORY}' does not exist" in result["msg"]
    assert docker.builds == []


def test_a_file_that_the_dockerfile_copies_and_nobody_has_is_named(aws: Any, docker: Engine, context: Path) -> None:
    (context / "image" / "Dockerfile").write_text("FROM scratch\nCOPY image/constraints.txt /tmp/\n")
    assert "copies image/constraints.txt, which" in run(aws, context)["msg"]
    assert docker.builds == []


def test_other_requirements_of_the_user_make_another_image(
    aws: Any, docker: Engine, context: Path, repository: str, tmp_path: Path
) -> None:
    tag = run(aws, context)["tag"]
    requirements = tmp_path / "mine.txt"
    requirements.write_text("pandas==2.3.0\n")
    result = run(aws, context, requirements_file=str(requirements))
    assert result["build_needed"]
    assert result["tag"] != tag
    assert len(docker.builds) == 2
