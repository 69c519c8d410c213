#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: iam_oidc_provider
short_description: Let an account know an OpenID Connect issuer
version_added: 0.1.0
description:
  - Makes sure that IAM has a provider for an issuer and that it accepts an audience.
  - An account has one provider for each issuer, which all its users share. So one that exists is used as it is; when it
    lacks the audience, the module says so and leaves the change to whoever keeps it. It is never removed.
  - Neither C(amazon.aws) nor C(community.aws) has a module for it.
options:
  url:
    description: URL of the issuer.
    type: str
    required: true
  audience:
    description: What the C(aud) of the issuer's tokens must be able to say.
    type: str
    required: true
  tags:
    description: Tags of a provider that is made.
    type: dict
    default: {}
author:
  - The Freehold authors (@freehold)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says whether it would make one and makes no write call.
"""

EXAMPLES = r"""
- name: Know GitHub's issuer
  freehold.airflow.iam_oidc_provider:
    url: https://token.actions.githubusercontent.com
    audience: sts.amazonaws.com
"""

RETURN = r"""
arn:
  description: ARN of the provider; null when check mode would make it.
  returned: always
  type: str
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list


def find_provider(client: Any, url: str) -> str | None:
    """Return the ARN of the account's provider for this issuer, or None."""
    name = url.removeprefix("https://")
    providers = client.list_open_id_connect_providers(aws_retry=True)["OpenIDConnectProviderList"]
    arns: list[str] = [entry["Arn"] for entry in providers]
    return next((arn for arn in arns if arn.partition("/")[2] == name), None)


def audiences(client: Any, arn: str) -> list[str]:
    """Return what the provider accepts as audience."""
    found: list[str] = client.get_open_id_connect_provider(aws_retry=True, OpenIDConnectProviderArn=arn)["ClientIDList"]
    return found


def create_provider(client: Any, url: str, audience: str, tags: dict[str, str]) -> str:
    """Make the provider. IAM checks GitHub's certificate by public authorities and wants no thumbprint of it."""
    arn: str = client.create_open_id_connect_provider(
        aws_retry=True, Url=url, ClientIDList=[audience], Tags=ansible_dict_to_boto3_tag_list(tags)
    )["OpenIDConnectProviderArn"]
    return arn


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "audience": {"type": "str", "required": True},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    url, audience = module.params["url"].rstrip("/"), module.params["audience"]
    client = module.client("iam", retry_decorator=AWSRetry.jittered_backoff())
    try:
        arn = find_provider(client, url)
        if arn is not None and audience not in audiences(client, arn):
            module.fail_json(
                msg=f"The account's OpenID Connect provider {arn} does not accept the audience '{audience}': whoever"
                " keeps it has to add that, because others in the account may depend on it."
            )
        missing = arn is None
        if missing and not module.check_mode:
            arn = create_provider(client, url, audience, module.params["tags"])
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"The OpenID Connect provider for {url} can't be made")
    module.exit_json(changed=missing, arn=arn)


if __name__ == "__main__":
    main()
