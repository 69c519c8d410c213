# SPDX-License-Identifier: GPL-3.0-or-later
"""ECR: repositories are moto's, their images are those of the lab's registry, and logging in gives its password."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.image_store import Image, ImageStore
from lab.api.operations import answers, checks
from lab.api.request import AwsRequest
from lab.api.settings import ACCOUNT
from lab.api.state import current

_TOKEN_LIFE = timedelta(hours=12)


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
    images = _images(request)
    asked = request.params.get("imageIds") or []
    if asked:
        images = [_find(images, wanted, repository.name) for wanted in asked]
    details = [
        {
            "registryId": ACCOUNT,
            "repositoryName": repository.name,
            "imageDigest": image.digest,
            "imageTags": image.tags,
            "imageSizeInBytes": image.size,
            "imagePushedAt": image.pushed_at,
            "imageManifestMediaType": image.media_type,
        }
        for image in images
    ]
    return {"imageDetails": details}


@answers("ecr", "ListImages", unlocked=True)
def list_images(request: AwsRequest) -> object:
    """Tags and digests of one repository."""
    entries = [{"imageDigest": image.digest, "imageTag": tag} for image in _images(request) for tag in image.tags]
    return {"imageIds": entries}


@answers("ecr", "BatchGetImage", unlocked=True)
def batch_get_image(request: AwsRequest) -> object:
    """Manifests by tag or digest; what is missing is listed as a failure."""
    repository = _repository(request)
    found, failures = _sort(request)
    return {
        "images": [
            {
                "registryId": ACCOUNT,
                "repositoryName": repository.name,
                "imageId": {**wanted, "imageDigest": image.digest},
                "imageManifest": image.manifest,
                "imageManifestMediaType": image.media_type,
            }
            for wanted, image in found
        ],
        "failures": failures,
    }


@answers("ecr", "BatchDeleteImage", unlocked=True)
def batch_delete_image(request: AwsRequest) -> object:
    """Delete images by tag or digest. A tag alone takes its image with it, since the registry knows no other way."""
    store = ImageStore(current(), _repository(request).name)
    found, failures = _sort(request)
    deleted = [{**wanted, "imageDigest": image.digest} for wanted, image in found if store.delete(image.digest)]
    return {"imageIds": deleted, "failures": failures}


@checks("ecr", "DeleteRepository")
def delete_the_images_too(request: AwsRequest) -> None:
    """A repository with images is deleted by force only, and then with them."""
    repository = _repository(request)
    images = _images(request)
    if images and not request.params.get("force"):
        message = (
            f"The repository with name '{repository.name}' in registry with id '{ACCOUNT}' "
            "cannot be deleted because it still contains images"
        )
        raise AwsError("RepositoryNotEmptyException", message)
    store = ImageStore(current(), repository.name)
    for image in images:
        store.delete(image.digest)


def _repository(request: AwsRequest) -> Any:
    name = request.params["repositoryName"]
    repository = backends.ecr(request.region).repositories.get(name)
    if repository is None:
        message = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
        raise AwsError("RepositoryNotFoundException", message)
    return repository


def _images(request: AwsRequest) -> list[Image]:
    return ImageStore(current(), _repository(request).name).images()


def _sort(request: AwsRequest) -> tuple[list[tuple[dict[str, Any], Image]], list[dict[str, Any]]]:
    """The images that were asked for, and a failure for each that is not there."""
    images = _images(request)
    found: list[tuple[dict[str, Any], Image]] = []
    failures: list[dict[str, Any]] = []
    for wanted in request.params.get("imageIds") or []:
        try:
            found.append((wanted, _find(images, wanted, request.params["repositoryName"])))
        except AwsError:
            reason = "Requested image not found"
            failures.append({"imageId": wanted, "failureCode": "ImageNotFound", "failureReason": reason})
    return found, failures


def _find(images: list[Image], wanted: dict[str, Any], repository: str) -> Image:
    tag, digest = wanted.get("imageTag"), wanted.get("imageDigest")
    for image in images:
        if (tag is None or tag in image.tags) and (digest is None or digest == image.digest):
            return image
    name = f"{{imageDigest:'{digest or 'null'}', imageTag:'{tag or 'null'}'}}"
    message = (
        f"The image with imageId {name} does not exist within the repository with name "
        f"'{repository}' in the registry with id '{ACCOUNT}'"
    )
    raise AwsError("ImageNotFoundException", message)
