#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_private_bucket
version_added: 0.1.0
short_description: Manage a bucket that only its own account can use, and only by TLS
description:
  - Creates a bucket and keeps it closed to the public, without ACLs, encrypted, refusing everybody without TLS, and
    deleting what is older than asked, if anything is to be deleted.
  - M(amazon.aws.s3_bucket) and M(community.aws.s3_lifecycle) have no check mode, so that nobody could see beforehand
    that a bucket with logs would be changed.
author:
  - The Freehold authors (@freehold)
options:
  name:
    description:
      - Name of the bucket.
    type: str
    required: true
  expiration_days:
    description:
      - Days after which an object is deleted. Without it none ever is.
    type: int
  incomplete_upload_days:
    description:
      - Days after which what is left of an unfinished upload is deleted.
    type: int
    default: 7
  kms_key_id:
    description:
      - The KMS key that encrypts new objects. Without it AWS encrypts by AES-256 with its own key.
    type: str
  tags:
    description:
      - Tags that the bucket must carry. Other tags are left alone.
    type: dict
    aliases: [resource_tags]
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create the bucket of task logs
  freehold.airflow.s3_private_bucket:
    name: freehold-production-123456789012-logs
    expiration_days: 90
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
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.freehold.airflow.plugins.module_utils import _s3 as api
from ansible_collections.freehold.airflow.plugins.module_utils._common import (
    FreeholdError,
    difference,
    missing_tags,
    refuse_foreign,
)

OWNERSHIP = "BucketOwnerEnforced"
RULE = "freehold-expire"


@dataclass(frozen=True)
class Setting:
    """One setting of a bucket: how it is read, written and compared."""

    name: str
    desired: Any
    read: Callable[[Any, str], Any]
    write: Callable[[Any, str, Any], None]
    differs: Callable[[Any, Any], bool] = lambda current, desired: current != desired


def tls_only(bucket: str, partition: str) -> dict[str, Any]:
    """The policy that refuses whoever does not use TLS."""
    arn = f"arn:{partition}:s3:::{bucket}"
    statement = {
        "Sid": "DenyWithoutTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def lifecycle_rule(expiration_days: int | None, incomplete_upload_days: int) -> dict[str, Any]:
    return {
        "ID": RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        **({"Expiration": {"Days": expiration_days}} if expiration_days else {}),
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": incomplete_upload_days},
    }


def lacks_rule(current: list[dict[str, Any]], desired: list[dict[str, Any]]) -> bool:
    """Whether our rule is missing or different; rules of others do not matter."""
    compared = ("ID", "Status", "Expiration", "AbortIncompleteMultipartUpload")
    return not any(all(rule.get(key) == desired[0].get(key) for key in compared) for rule in current)


def settings(params: dict[str, Any], partition: str) -> list[Setting]:
    """What the bucket should be, in the order in which a new one is made safe."""
    encryption = (
        {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": params["kms_key_id"]}
        if params["kms_key_id"]
        else {"SSEAlgorithm": "AES256"}
    )
    closed = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    rule = lifecycle_rule(params["expiration_days"], params["incomplete_upload_days"])
    return [
        Setting("public_access", closed, api.get_public_access, api.put_public_access),
        Setting("object_ownership", OWNERSHIP, api.get_ownership, api.put_ownership),
        Setting("encryption", encryption, api.get_encryption, api.put_encryption),
        Setting(
            "policy",
            tls_only(params["name"], partition),
            api.get_policy,
            api.put_policy,
            lambda current, desired: bool(compare_policies(current or {}, desired)),
        ),
        Setting("lifecycle", [rule], api.get_lifecycle, write_lifecycle, lacks_rule),
    ]


def write_lifecycle(client: Any, name: str, rules: list[dict[str, Any]]) -> None:
    """Replace our rule and keep those of others."""
    others = [rule for rule in api.get_lifecycle(client, name) if rule.get("ID") != RULE]
    api.put_lifecycle(client, name, others + rules)


def ensure_bucket(client: Any, params: dict[str, Any], region: str, write: bool) -> dict[str, Any]:
    """Bring the bucket to its wanted state and return the module's result."""
    name = params["name"]
    exists = api.bucket_exists(client, name)
    differences = []
    tags: dict[str, str] = {}
    if exists:
        tags = api.get_tags(client, name)
        # A bucket without any tag is what an interrupted first run leaves behind; its name holds our account's number.
        if tags:
            refuse_foreign(f"The bucket '{name}'", tags, params["tags"])
    else:
        differences.append(difference("bucket", None, name))
        if not write:
            return {"changed": True, "differences": differences}
        api.create_bucket(client, name, region)

    # The tags first: they make a bucket ours, also when the rest is interrupted.
    missing = missing_tags(tags, params["tags"])
    if missing:
        differences.append(difference("tags", {key: tags.get(key) for key in missing}, missing))
        if write:
            api.put_tags(client, name, {**tags, **missing})
    for setting in settings(params, client.meta.partition):
        current = setting.read(client, name)
        if setting.differs(current, setting.desired):
            differences.append(difference(setting.name, current, setting.desired))
            if write:
                setting.write(client, name, setting.desired)
    return {"changed": bool(differences), "differences": differences}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "expiration_days": {"type": "int"},
            "incomplete_upload_days": {"type": "int", "default": 7},
            "kms_key_id": {"type": "str", "no_log": False},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure_bucket(module.client("s3"), module.params, module.region, not module.check_mode)
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
