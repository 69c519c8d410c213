# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls to Secrets Manager, each with retries. Values pass through here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._common import aws_call, tag_dict, tag_list

MISSING = ("ResourceNotFoundException",)
# AWS answers the second when a secret that is scheduled for deletion is read.
UNREADABLE = (*MISSING, "InvalidRequestException")


@aws_call("describe the secret", missing=MISSING)
def describe_secret(client: Any, name: str) -> dict[str, Any] | None:
    """C(arn), C(tags), C(deleted) (scheduled for deletion) and C(empty) (no value yet) of a secret, or None."""
    found = client.describe_secret(SecretId=name)
    return {
        "arn": found["ARN"],
        "tags": tag_dict(found.get("Tags")),
        "deleted": "DeletedDate" in found,
        "empty": not any("AWSCURRENT" in stages for stages in found.get("VersionIdsToStages", {}).values()),
    }


def describe_secrets(client: Any, names: Iterable[str]) -> dict[str, dict[str, Any] | None]:
    """describe_secret for many names side by side. ListSecrets is not used: it may lag behind by minutes
    (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html)."""
    wanted = list(names)
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(wanted, pool.map(lambda name: describe_secret(client, name), wanted), strict=True))


@aws_call("read the secret", missing=UNREADABLE)
def get_value(client: Any, name: str) -> str | None:
    """The current value, or None when there is no such secret, it has no value yet, or it is scheduled for deletion."""
    value: str = client.get_secret_value(SecretId=name)["SecretString"]
    return value


@aws_call("create the secret")
def create_secret(
    client: Any, name: str, value: str, description: str, kms_key_id: str | None, tags: Mapping[str, str] | None
) -> str:
    """Create a secret with its value and return its ARN. botocore repeats the ClientRequestToken in its own retries."""
    extra = {"KmsKeyId": kms_key_id} if kms_key_id else {}
    arn: str = client.create_secret(
        Name=name, SecretString=value, Description=description, Tags=tag_list(tags), **extra
    )["ARN"]
    return arn


@aws_call("write the secret")
def put_value(client: Any, name: str, value: str) -> None:
    client.put_secret_value(SecretId=name, SecretString=value)


@aws_call("restore the secret")
def restore_secret(client: Any, name: str) -> None:
    client.restore_secret(SecretId=name)


@aws_call("tag the secret")
def tag_secret(client: Any, name: str, tags: Mapping[str, str]) -> None:
    client.tag_resource(SecretId=name, Tags=tag_list(tags))
