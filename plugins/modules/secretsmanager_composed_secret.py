#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secretsmanager_composed_secret
version_added: 0.1.0
short_description: Keep secrets in AWS Secrets Manager that are composed of other secrets
description:
  - Composes secrets, such as a database URL, from a template and the values of other secrets, compares them with what
    AWS holds and writes only what differs. The values never leave the module.
  - No other module can do this without the password passing through Ansible's variables.
author:
  - The Freehold authors (@freehold)
options:
  prefix:
    description:
      - Put before every name, also before the names in templates, with a slash between them.
    type: str
  secrets:
    description:
      - The composed secrets.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the composed secret, below O(prefix).
        type: str
        required: true
      template:
        description:
          - The value, in which C(${name}) stands for the URL-quoted value of the secret C(name) below O(prefix).
        type: str
        required: true
      description:
        description:
          - Description of the secret in AWS.
        type: str
        default: Composed by freehold.airflow
  kms_key_id:
    description:
      - The KMS key that encrypts new secrets. Without it AWS uses C(aws/secretsmanager).
    type: str
  restore:
    description:
      - Take back a secret that is scheduled for deletion. When V(false), such a secret is an error.
    type: bool
    default: false
  tags:
    description:
      - Tags that every secret must carry. Other tags are left alone.
    type: dict
    aliases: [resource_tags]
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Compose Airflow's database URL
  freehold.airflow.secretsmanager_composed_secret:
    prefix: freehold/production
    secrets:
      - name: config/sql_alchemy_conn
        template: postgresql+psycopg2://airflow:${database_password}@db.example.internal:5432/airflow
    tags:
      freehold:environment: production
"""

RETURN = r"""
secrets:
  description: One entry per composed secret, in the order asked for.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Full name of the secret.
      type: str
      sample: freehold/production/config/sql_alchemy_conn
    arn:
      description: ARN of the secret; null when check mode would create it.
      type: str
    created:
      description: Whether this run created it.
      type: bool
    restored:
      description: Whether this run took it back from its scheduled deletion.
      type: bool
    changed:
      description: Whether this run changed it.
      type: bool
    differences:
      description: What was brought in line, C(value) or C(tags); never a value.
      type: list
      elements: str
"""

from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._secretsmanager import api, values
from ansible_collections.freehold.airflow.plugins.module_utils._secretsmanager.ensure import (
    Settings,
    ensure_secret,
    full_name,
    refuse_unusable,
)


def read_parts(client: Any, prefix: str | None, templates: list[str], check_mode: bool) -> dict[str, str] | None:
    """The values that templates name. None in check mode when one is still missing: then nothing can be compared."""
    parts: dict[str, str] = {}
    for name in dict.fromkeys(name for template in templates for name in values.placeholders(template)):
        value = api.get_value(client, full_name(prefix, name))
        if value is None and check_mode:
            return None
        if value is None:
            raise FreeholdError(message=f"A template names the secret '{full_name(prefix, name)}', which has no value.")
        parts[name] = value
    return parts


def ensure_composed(
    client: Any, wanted: dict[str, Any], name: str, found: Any, parts: Mapping[str, str] | None, settings: Settings
) -> dict[str, Any]:
    """Write one composed secret if it differs from what AWS holds."""

    def make_value(existing: str | None) -> str | None:
        if parts is None:
            return "unknown until its parts exist"
        value = values.compose(wanted["template"], parts)
        return None if existing and api.get_value(client, existing) == value else value

    return ensure_secret(client, name, found, wanted["description"], make_value, settings)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "prefix": {"type": "str"},
            "secrets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "no_log": False,
                "options": {
                    "name": {"type": "str", "required": True},
                    "template": {"type": "str", "required": True},
                    "description": {"type": "str", "default": "Composed by freehold.airflow"},
                },
            },
            "kms_key_id": {"type": "str", "no_log": False},
            "restore": {"type": "bool", "default": False},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
        },
        supports_check_mode=True,
    )
    client = module.client("secretsmanager")
    settings = Settings(
        tags=module.params["tags"],
        kms_key_id=module.params["kms_key_id"],
        restore=module.params["restore"],
        check_mode=module.check_mode,
    )
    prefix = module.params["prefix"]
    wanted = {full_name(prefix, secret["name"]): secret for secret in module.params["secrets"]}
    try:
        existing = api.describe_secrets(client, wanted)
        for name, found in existing.items():
            refuse_unusable(name, found, settings)
        parts = read_parts(client, prefix, [secret["template"] for secret in wanted.values()], module.check_mode)
        results = [
            ensure_composed(client, secret, name, existing[name], parts, settings) for name, secret in wanted.items()
        ]
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(changed=any(result["changed"] for result in results), secrets=results)


if __name__ == "__main__":
    main()
