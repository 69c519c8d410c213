#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_parameter_group
version_added: 0.1.0
short_description: Manage an RDS parameter group
description:
  - Creates a parameter group and keeps the given parameters in it. Parameters that are not given are left alone.
  - M(amazon.aws.rds_instance_param_group) says in check mode that nothing changes when a parameter would, and
    succeeds when a parameter does not exist, which would leave a database without the TLS that was asked for.
author:
  - The Freehold authors (@freehold)
options:
  name:
    description:
      - Name of the parameter group.
    type: str
    required: true
  family:
    description:
      - The family of engine and major version, for instance V(postgres17). It can't be changed later.
    type: str
    required: true
  description:
    description:
      - Description in AWS. It can't be changed later.
    type: str
    default: Managed by freehold.airflow
  parameters:
    description:
      - The parameters, by name. Each takes effect with the next restart of a database that uses the group, at the
        latest.
    type: dict
    default: {}
  tags:
    description:
      - Tags that the group must carry. Other tags are left alone.
    type: dict
    aliases: [resource_tags]
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Refuse connections without TLS
  freehold.airflow.rds_parameter_group:
    name: freehold-production-postgres17
    family: postgres17
    parameters:
      rds.force_ssl: "1"
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

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils import _rds as api
from ansible_collections.freehold.airflow.plugins.module_utils._common import (
    FreeholdError,
    difference,
    missing_tags,
    refuse_foreign,
)


def update_tags(client: Any, arn: str, existing: dict[str, str], tags: Any, write: bool) -> list[dict[str, Any]]:
    missing = missing_tags(existing, tags)
    if missing and write:
        api.set_tags(client, arn, missing)
    return [difference(f"tag {key}", existing.get(key), value) for key, value in missing.items()]


def update_parameters(
    client: Any, name: str, wanted: dict[str, str], exists: bool, write: bool
) -> list[dict[str, Any]]:
    current = api.list_set_parameters(client, name) if exists else {}
    changing = {key: value for key, value in wanted.items() if current.get(key) != value}
    if changing and write:
        api.set_parameters(client, name, changing)
    return [difference(key, current.get(key), value) for key, value in changing.items()]


def ensure_parameter_group(client: Any, params: dict[str, Any], write: bool) -> dict[str, Any]:
    """Bring the group to its wanted state and return the module's result."""
    name, family = params["name"], params["family"]
    found = api.find_parameter_group(client, name)
    differences = []
    if found is None:
        differences.append(difference("parameter_group", None, name))
        if write:
            tags = {"Name": name, **(params["tags"] or {})}
            api.create_parameter_group(client, name, family, params["description"], tags)
    else:
        if found["DBParameterGroupFamily"] != family:
            raise FreeholdError(
                message=f"The parameter group '{name}' belongs to {found['DBParameterGroupFamily']}, not {family}."
            )
        existing = api.get_tags(client, found["DBParameterGroupArn"])
        refuse_foreign(f"The parameter group '{name}'", existing, params["tags"])
        differences += update_tags(client, found["DBParameterGroupArn"], existing, params["tags"], write)
    wanted = {key: str(value) for key, value in params["parameters"].items()}
    differences += update_parameters(client, name, wanted, found is not None or write, write)
    return {"changed": bool(differences), "differences": differences}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "family": {"type": "str", "required": True},
            "description": {"type": "str", "default": "Managed by freehold.airflow"},
            "parameters": {"type": "dict", "default": {}},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure_parameter_group(module.client("rds"), module.params, not module.check_mode)
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
