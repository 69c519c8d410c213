# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls to ECR, each with retries."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._common import aws_call, tag_dict, tag_list

MISSING = ("RepositoryNotFoundException", "ImageNotFoundException", "LifecyclePolicyNotFoundException")


@aws_call("find the repository", missing=MISSING)
def find_repository(client: Any, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] = client.describe_repositories(repositoryNames=[name])["repositories"][0]
    return found


@aws_call("create the repository")
def create_repository(client: Any, request: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    created: dict[str, Any] = client.create_repository(**request, tags=tag_list(tags))["repository"]
    return created


@aws_call("read the repository's tags", missing=MISSING, default={})
def get_tags(client: Any, arn: str) -> dict[str, str]:
    return tag_dict(client.list_tags_for_resource(resourceArn=arn)["tags"])


@aws_call("tag the repository")
def tag_repository(client: Any, arn: str, tags: Mapping[str, str]) -> None:
    client.tag_resource(resourceArn=arn, tags=tag_list(tags))


@aws_call("set the repository's tag mutability")
def put_mutability(client: Any, name: str, mutability: str) -> None:
    client.put_image_tag_mutability(repositoryName=name, imageTagMutability=mutability)


@aws_call("set the repository's scanning")
def put_scanning(client: Any, name: str, scan_on_push: bool) -> None:
    client.put_image_scanning_configuration(
        repositoryName=name, imageScanningConfiguration={"scanOnPush": scan_on_push}
    )


@aws_call("read the repository's lifecycle policy", missing=MISSING)
def get_lifecycle_policy(client: Any, name: str) -> dict[str, Any] | None:
    policy: dict[str, Any] = json.loads(client.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])
    return policy


@aws_call("set the repository's lifecycle policy")
def put_lifecycle_policy(client: Any, name: str, policy: Mapping[str, Any]) -> None:
    client.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps(policy))


@aws_call("look for the image", missing=MISSING)
def find_digest(client: Any, repository: str, tag: str) -> str | None:
    """The digest of the image with this tag, or None when the tag or the repository is missing."""
    images = client.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])["imageDetails"]
    digest: str | None = images[0]["imageDigest"] if images else None
    return digest


@aws_call("get a token for the registry")
def get_credentials(client: Any) -> dict[str, str]:
    """C(username) and C(password) for a push, good for twelve hours; to be held in memory only."""
    token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    username, password = base64.b64decode(token).decode().split(":", 1)
    return {"username": username, "password": password}
