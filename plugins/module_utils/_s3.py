# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls to S3, each with retries. Every setting of a bucket is a call of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._common import aws_call, tag_dict, tag_list

# HeadBucket has no body, so botocore knows only the status.
NO_BUCKET = ("404", "NoSuchBucket")
# A bucket that was made just now may be unknown to the next call.
NEW = ("NoSuchBucket", "OperationAborted")


@aws_call("look for the bucket", missing=NO_BUCKET, default=False)
def bucket_exists(client: Any, name: str) -> bool:
    """Whether the bucket exists and is ours to use; another account's bucket is an error (403)."""
    client.head_bucket(Bucket=name)
    return True


@aws_call("create the bucket", retry=("OperationAborted",))
def create_bucket(client: Any, name: str, region: str) -> None:
    # us-east-1 is the one region that must not be named.
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client.create_bucket(Bucket=name, ObjectOwnership="BucketOwnerEnforced", **location)


@aws_call("read the bucket's tags", missing=("NoSuchTagSet", *NO_BUCKET), default={})
def get_tags(client: Any, name: str) -> dict[str, str]:
    return tag_dict(client.get_bucket_tagging(Bucket=name)["TagSet"])


@aws_call("tag the bucket", retry=NEW)
def put_tags(client: Any, name: str, tags: Mapping[str, str]) -> None:
    """Replaces all tags: ``tags`` must hold those to keep."""
    client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list(tags)})


@aws_call("read who owns the bucket's objects", missing=("OwnershipControlsNotFoundError",))
def get_ownership(client: Any, name: str) -> str | None:
    rules = client.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    return str(rules[0]["ObjectOwnership"]) if rules else None


@aws_call("set who owns the bucket's objects", retry=NEW)
def put_ownership(client: Any, name: str, ownership: str) -> None:
    client.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": ownership}]})


@aws_call("read the bucket's public access", missing=("NoSuchPublicAccessBlockConfiguration",), default={})
def get_public_access(client: Any, name: str) -> dict[str, bool]:
    block: dict[str, bool] = client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    return block


@aws_call("close the bucket to the public", retry=NEW)
def put_public_access(client: Any, name: str, block: Mapping[str, bool]) -> None:
    client.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict(block))


@aws_call("read the bucket's encryption", missing=("ServerSideEncryptionConfigurationNotFoundError",), default={})
def get_encryption(client: Any, name: str) -> dict[str, Any]:
    """The default encryption: C(SSEAlgorithm) and, with KMS, C(KMSMasterKeyID)."""
    rules = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    default: dict[str, Any] = rules[0]["ApplyServerSideEncryptionByDefault"]
    return default


@aws_call("set the bucket's encryption", retry=NEW)
def put_encryption(client: Any, name: str, default: Mapping[str, Any]) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": dict(default), "BucketKeyEnabled": "KMSMasterKeyID" in default}
    client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})


@aws_call("read the bucket's policy", missing=("NoSuchBucketPolicy",))
def get_policy(client: Any, name: str) -> dict[str, Any] | None:
    policy: dict[str, Any] = json.loads(client.get_bucket_policy(Bucket=name)["Policy"])
    return policy


@aws_call("set the bucket's policy", retry=NEW)
def put_policy(client: Any, name: str, policy: Mapping[str, Any]) -> None:
    client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


@aws_call("read the bucket's lifecycle", missing=("NoSuchLifecycleConfiguration",), default=[])
def get_lifecycle(client: Any, name: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    return rules


@aws_call("set the bucket's lifecycle", retry=NEW)
def put_lifecycle(client: Any, name: str, rules: list[dict[str, Any]]) -> None:
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
