#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_repository
version_added: 0.1.0
short_description: Manage a tagged ECR repository
description:
  - Creates an ECR repository and keeps its mutability, scanning, lifecycle policy and tags as asked.
  - M(community.aws.ecs_ecr) can't tag a repository, so that what it makes can't be found again by its tags.
author:
  - The Freehold authors (@freehold)
options:
  name:
    description:
      - Name of the repository.
    type: str
    required: true
  immutable:
    description:
      - Whether a pushed tag can never be moved to another image.
    type: bool
    default: true
  scan_on_push:
    description:
      - Whether AWS looks for known vulnerabilities in every pushed image.
    type: bool
    default: true
  lifecycle_policy:
    description:
      - The lifecycle policy. Left alone when not given.
    type: dict
  kms_key_id:
    description:
      - The KMS key that encrypts the images. Without it AWS encrypts by AES-256 with its own key. It can't be changed
        later.
    type: str
  tags:
    description:
      - Tags that the repository must carry. Other tags are left alone.
    type: dict
    aliases: [resource_tags]
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create the repository of Airflow's image
  freehold.airflow.ecr_repository:
    name: freehold-production/airflow
    tags:
      freehold:environment: production
"""

RETURN = r"""
differences:
  description: What was brought in line, and why.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What differed.
      type: str
    current:
      description: What AWS said.
      type: raw
    desired:
      description: What was asked for.
      type: raw
repository:
  description: The repository; ARN and URI are null when check mode would create it.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the repository.
      type: str
    arn:
      description: ARN of the repository.
      type: str
    uri:
      description: What images are pushed to and pulled from.
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/freehold-production/airflow
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.freehold.airflow.plugins.module_utils._common import (
    FreeholdError,
    difference,
    missing_tags,
    refuse_foreign,
)
from ansible_collections.freehold.airflow.plugins.module_utils._ecr import api


def creation_request(params: dict[str, Any]) -> dict[str, Any]:
    encryption = {"encryptionType": "KMS", "kmsKey": params["kms_key_id"]} if params["kms_key_id"] else None
    return {
        "repositoryName": params["name"],
        "imageTagMutability": "IMMUTABLE" if params["immutable"] else "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": params["scan_on_push"]},
        "encryptionConfiguration": encryption or {"encryptionType": "AES256"},
    }


def update_settings(client: Any, found: dict[str, Any], params: dict[str, Any], write: bool) -> list[dict[str, Any]]:
    """Bring mutability and scanning of an existing repository in line; return the differences."""
    differences = []
    wanted = creation_request(params)
    mutability, scanning = wanted["imageTagMutability"], wanted["imageScanningConfiguration"]
    if found["imageTagMutability"] != mutability:
        differences.append(difference("mutability", found["imageTagMutability"], mutability))
        if write:
            api.put_mutability(client, params["name"], mutability)
    if found["imageScanningConfiguration"] != scanning:
        differences.append(difference("scanning", found["imageScanningConfiguration"], scanning))
        if write:
            api.put_scanning(client, params["name"], params["scan_on_push"])
    return differences


def update_lifecycle(client: Any, params: dict[str, Any], write: bool) -> list[dict[str, Any]]:
    """Bring the lifecycle policy in line; return the differences."""
    if params["lifecycle_policy"] is None:
        return []
    current = api.get_lifecycle_policy(client, params["name"])
    if not compare_policies(current or {}, params["lifecycle_policy"]):
        return []
    if write:
        api.put_lifecycle_policy(client, params["name"], params["lifecycle_policy"])
    return [difference("lifecycle_policy", current, params["lifecycle_policy"])]


def ensure_repository(client: Any, params: dict[str, Any], write: bool) -> dict[str, Any]:
    """Bring the repository to its wanted state and return the module's result."""
    found = api.find_repository(client, params["name"])
    if found is None:
        differences = [difference("repository", None, params["name"])]
        if write:
            tags = {"Name": params["name"], **(params["tags"] or {})}
            found = api.create_repository(client, creation_request(params), tags)
            update_lifecycle(client, params, write)
    else:
        existing = api.get_tags(client, found["repositoryArn"])
        refuse_foreign(f"The ECR repository '{params['name']}'", existing, params["tags"])
        differences = update_settings(client, found, params, write) + update_lifecycle(client, params, write)
        tags = missing_tags(existing, params["tags"])
        if tags:
            differences.append(difference("tags", {key: existing.get(key) for key in tags}, tags))
            if write:
                api.tag_repository(client, found["repositoryArn"], tags)
    found = found or {}
    return {
        "changed": bool(differences),
        "differences": differences,
        "repository": {
            "name": params["name"],
            "arn": found.get("repositoryArn"),
            "uri": found.get("repositoryUri"),
        },
    }


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "immutable": {"type": "bool", "default": True},
            "scan_on_push": {"type": "bool", "default": True},
            "lifecycle_policy": {"type": "dict"},
            "kms_key_id": {"type": "str", "no_log": False},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure_repository(module.client("ecr"), module.params, not module.check_mode)
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
