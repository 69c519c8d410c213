# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls to Secrets Manager, each with retries. Values pass through here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.errors import AWSErrorHandler
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError, tag_dict, tag_list


class SecretsManagerErrorHandler(AWSErrorHandler):
    _CUSTOM_EXCEPTION = FreeholdError

    @classmethod
    def _is_missing(cls) -> Any:
        return is_boto3_error_code("ResourceNotFoundException")


@SecretsManagerErrorHandler.list_error_handler("describe the secret", None)
@AWSRetry.jittered_backoff()
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


class UnreadableErrorHandler(SecretsManagerErrorHandler):
    """AWS answers InvalidRequestException when a secret that is scheduled for deletion is read."""

    @classmethod
    def _is_missing(cls) -> Any:
        return is_boto3_error_code(["ResourceNotFoundException", "InvalidRequestException"])


@UnreadableErrorHandler.list_error_handler("read the secret", None)
@AWSRetry.jittered_backoff()
def get_value(client: Any, name: str) -> str | None:
    """The current value, or None when there is no such secret, it has no value yet, or it is scheduled for deletion."""
    value: str = client.get_secret_value(SecretId=name)["SecretString"]
    return value


@SecretsManagerErrorHandler.common_error_handler("create the secret")
@AWSRetry.jittered_backoff()
def create_secret(
    client: Any, name: str, value: str, description: str, kms_key_id: str | None, tags: Mapping[str, str] | None
) -> str:
    """Create a secret with its value and return its ARN. botocore sends the same ClientRequestToken on its own retries."""
    extra = {"KmsKeyId": kms_key_id} if kms_key_id else {}
    arn: str = client.create_secret(
        Name=name, SecretString=value, Description=description, Tags=tag_list(tags), **extra
    )["ARN"]
    return arn


@SecretsManagerErrorHandler.common_error_handler("write the secret")
@AWSRetry.jittered_backoff()
def put_value(client: Any, name: str, value: str) -> None:
    client.put_secret_value(SecretId=name, SecretString=value)


@SecretsManagerErrorHandler.common_error_handler("restore the secret")
@AWSRetry.jittered_backoff()
def restore_secret(client: Any, name: str) -> None:
    client.restore_secret(SecretId=name)


@SecretsManagerErrorHandler.common_error_handler("tag the secret")
@AWSRetry.jittered_backoff()
def tag_secret(client: Any, name: str, tags: Mapping[str, str]) -> None:
    client.tag_resource(SecretId=name, Tags=tag_list(tags))
