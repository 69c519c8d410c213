# SPDX-License-Identifier: GPL-3.0-or-later
"""ECR shows what its registry holds."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.tests.api.conftest import RunningLab

_MANIFEST = json.dumps({"layers": [{"size": 70}], "config": {"size": 7}}).encode()
_DIGEST = "sha256:" + hashlib.sha256(_MANIFEST).hexdigest()
_TYPE = "application/vnd.oci.image.manifest.v1+json"


class _Registry(BaseHTTPRequestHandler):
    """As much of a docker registry as ECR asks: one image with one tag."""

    tags: list[str]
    password: str

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        wanted = base64.b64encode(f"AWS:{self.password}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {wanted}":
            self.answer(401, b"")
        elif self.path.endswith("/t/airflow/tags/list"):
            self.answer(200, json.dumps({"tags": type(self).tags}).encode())
        elif self.path.rpartition("/")[2] in (*type(self).tags, _DIGEST):
            self.answer(200, _MANIFEST)
        else:
            self.answer(404, b"")

    def do_DELETE(self) -> None:
        type(self).tags = []
        self.answer(202, b"")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", _TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def repository(running: RunningLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A repository whose registry holds one image; yields the ECR client."""
    _Registry.tags, _Registry.password = ["2026-11-23"], running.lab.registry_password
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(running.lab, "settings", dataclasses.replace(running.lab.settings, registry_url=url))
    ecr = running.client("ecr")
    ecr.create_repository(repositoryName="t/airflow")
    yield ecr
    if "t/airflow" in [entry["repositoryName"] for entry in ecr.describe_repositories()["repositories"]]:
        ecr.delete_repository(repositoryName="t/airflow", force=True)
    server.shutdown()


def test_images_are_those_of_the_registry(repository: Any) -> None:
    (image,) = repository.describe_images(repositoryName="t/airflow")["imageDetails"]
    assert (image["imageDigest"], image["imageTags"], image["imageSizeInBytes"]) == (_DIGEST, ["2026-11-23"], 77)
    by_tag = {"imageTag": "2026-11-23"}
    got = repository.batch_get_image(repositoryName="t/airflow", imageIds=[by_tag, {"imageTag": "none"}])
    assert got["images"][0]["imageManifest"].encode() == _MANIFEST
    assert [failure["failureCode"] for failure in got["failures"]] == ["ImageNotFound"]
    with pytest.raises(repository.exceptions.ImageNotFoundException):
        repository.describe_images(repositoryName="t/airflow", imageIds=[{"imageTag": "none"}])
    with pytest.raises(repository.exceptions.RepositoryNotFoundException):
        repository.describe_images(repositoryName="t/none")


def test_a_repository_with_images_is_deleted_by_force_only(repository: Any) -> None:
    with pytest.raises(ClientError, match="RepositoryNotEmptyException"):
        repository.delete_repository(repositoryName="t/airflow")
    repository.delete_repository(repositoryName="t/airflow", force=True)
    assert _Registry.tags == []


def test_images_are_deleted_in_the_registry(repository: Any) -> None:
    deleted = repository.batch_delete_image(repositoryName="t/airflow", imageIds=[{"imageTag": "2026-11-23"}])
    assert deleted["imageIds"][0]["imageDigest"] == _DIGEST
    assert repository.describe_images(repositoryName="t/airflow")["imageDetails"] == []


def test_logging_in_gives_the_registrys_password(repository: Any, running: RunningLab) -> None:
    (given,) = repository.get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    assert (user, password) == ("AWS", running.lab.registry_password)
    assert (running.lab.settings.state / "registry-password").read_text().strip() == password
