# SPDX-License-Identifier: GPL-3.0-or-later
"""ECR: repositories are moto's, their images are those of the lab's registry, and logging in gives its password."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.registry import answers
from lab.api.request import AwsRequest
from lab.api.settings import ACCOUNT
from lab.api.state import current

_SECONDS = 5
_TOKEN_LIFE = timedelta(hours=12)
_MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@answers("ecr", "GetAuthorizationToken")
def authorization_token(request: AwsRequest) -> object:
    """User AWS and the registry's password, good for twelve hours."""
    token = base64.b64encode(f"AWS:{current().registry_password}".encode()).decode()
    host = f"https://{ACCOUNT}.dkr.ecr.{request.region}.amazonaws.com"
    return {
        "authorizationData": [
            {"authorizationToken": token, "expiresAt": datetime.now(UTC) + _TOKEN_LIFE, "proxyEndpoint": host}
        ]
    }


@answers("ecr", "DescribeImages", unlocked=True)
def describe_images(request: AwsRequest) -> object:
    """The images of one repository, from the registry itself."""
    repository = _repository(request)
    images = _images(repository.name)
    asked = request.params.get("imageIds") or []
    if asked:
        images = [_find(images, wanted, repository.name) for wanted in asked]
    details = [
        {
            "registryId": ACCOUNT,
            "repositoryName": repository.name,
            "imageDigest": image["digest"],
            "imageTags": image["tags"],
            "imageSizeInBytes": image["size"],
            "imagePushedAt": image["pushed"],
            "imageManifestMediaType": image["type"],
        }
        for image in images
    ]
    return {"imageDetails": details}


@answers("ecr", "ListImages", unlocked=True)
def list_images(request: AwsRequest) -> object:
    """Tags and digests of one repository."""
    repository = _repository(request)
    entries = [
        {"imageDigest": image["digest"], "imageTag": tag} for image in _images(repository.name) for tag in image["tags"]
    ]
    return {"imageIds": entries}


@answers("ecr", "BatchGetImage", unlocked=True)
def batch_get_image(request: AwsRequest) -> object:
    """Manifests by tag or digest; what is missing is listed as a failure."""
    repository = _repository(request)
    images = _images(repository.name)
    found: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for wanted in request.params.get("imageIds") or []:
        try:
            image = _find(images, wanted, repository.name)
        except AwsError:
            failures.append(
                {"imageId": wanted, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
            )
            continue
        found.append(
            {
                "registryId": ACCOUNT,
                "repositoryName": repository.name,
                "imageId": {**wanted, "imageDigest": image["digest"]},
                "imageManifest": image["manifest"],
                "imageManifestMediaType": image["type"],
            }
        )
    return {"images": found, "failures": failures}


def _repository(request: AwsRequest) -> Any:
    name = request.params["repositoryName"]
    repository = backends.ecr(request.region).repositories.get(name)
    if repository is None:
        message = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
        raise AwsError("RepositoryNotFoundException", message)
    return repository


def _find(images: list[dict[str, Any]], wanted: dict[str, Any], repository: str) -> dict[str, Any]:
    tag, digest = wanted.get("imageTag"), wanted.get("imageDigest")
    for image in images:
        if (tag is None or tag in image["tags"]) and (digest is None or digest == image["digest"]):
            return image
    name = f"{{imageDigest:'{digest or 'null'}', imageTag:'{tag or 'null'}'}}"
    message = (
        f"The image with imageId {name} does not exist within the repository with name "
        f"'{repository}' in the registry with id '{ACCOUNT}'"
    )
    raise AwsError("ImageNotFoundException", message)


def _images(repository: str) -> list[dict[str, Any]]:
    """All tagged images of a repository, one entry a digest. An unreachable registry holds none."""
    lab = current()
    session = requests.Session()
    session.trust_env = False
    session.auth = ("AWS", lab.registry_password)
    base = f"{lab.settings.registry_url}/v2/{repository}"
    try:
        listing = session.get(f"{base}/tags/list", timeout=_SECONDS)
        tags = (listing.json().get("tags") or []) if listing.ok else []
        images: dict[str, dict[str, Any]] = {}
        for tag in sorted(tags):
            image = _manifest(session, base, tag)
            if image is not None:
                images.setdefault(image["digest"], image)["tags"].append(tag)
    except requests.RequestException as failure:
        lab.log(f"registry: {failure}")
        return []
    return list(images.values())


def _manifest(session: requests.Session, base: str, reference: str) -> dict[str, Any] | None:
    answer = session.get(
        f"{base}/manifests/{reference}", timeout=_SECONDS, headers={"Accept": ", ".join(_MANIFEST_TYPES)}
    )
    if not answer.ok:
        return None
    manifest = json.loads(answer.text)
    size = sum(int(layer.get("size", 0)) for layer in manifest.get("layers") or [])
    digest = answer.headers.get("Docker-Content-Digest") or "sha256:" + hashlib.sha256(answer.content).hexdigest()
    return {
        "digest": digest,
        "tags": [],
        "size": size + int((manifest.get("config") or {}).get("size", 0)),
        "type": answer.headers.get("Content-Type", ""),
        "manifest": answer.text,
        "pushed": _first_seen(digest),
    }


_FIRST_SEEN: dict[str, datetime] = {}


def _first_seen(digest: str) -> datetime:
    # The registry keeps no time of its pushes.
    return _FIRST_SEEN.setdefault(digest, datetime.now(UTC))
