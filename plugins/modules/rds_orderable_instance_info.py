#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_orderable_instance_info
version_added: 0.1.0
short_description: Check that RDS offers an instance class
description:
  - Asks RDS which versions of an engine can be had on an instance class in this region, and fails with a sentence
    when none can.
  - No module of amazon.aws reads DescribeOrderableDBInstanceOptions, so that a wrong class shows only when the
    instance is created.
author:
  - The Freehold authors (@freehold)
options:
  engine:
    description:
      - The database engine.
    type: str
    default: postgres
  engine_version:
    description:
      - Its version, exact or major.
    type: str
    required: true
  db_instance_class:
    description:
      - The instance class, for instance V(db.t4g.medium).
    type: str
    required: true
  multi_az:
    description:
      - Whether a standby in another zone must be possible.
    type: bool
    default: false
  storage_type:
    description:
      - The storage type that must be possible.
    type: str
    default: gp3
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Check that the database can be had
  freehold.airflow.rds_orderable_instance_info:
    engine_version: "17"
    db_instance_class: db.t4g.medium
    multi_az: true
"""

RETURN = r"""
engine_versions:
  description: The offered versions that match.
  returned: success
  type: list
  elements: str
  sample: ["17.5", "17.6"]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils import _rds as api
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._rds_settings import is_version


def matching_versions(options: list[dict[str, Any]], params: dict[str, Any]) -> list[str]:
    """The offered versions that satisfy the request, or FreeholdError with the first thing that can't be had."""
    engine, version, db_class = params["engine"], params["engine_version"], params["db_instance_class"]
    steps: list[tuple[Callable[[dict[str, Any]], bool], str]] = [
        (lambda _: True, f"RDS does not offer the class {db_class} for {engine}; change database_instance_class"),
        (
            lambda option: is_version(option["EngineVersion"], version),
            f"RDS does not offer {engine} {version} on {db_class}; change the version or database_instance_class",
        ),
        (
            lambda option: option.get("StorageType") == params["storage_type"],
            f"RDS does not offer {params['storage_type']} storage on {db_class}; change database_instance_class",
        ),
        (
            lambda option: not params["multi_az"] or option.get("MultiAZCapable", False),
            f"RDS does not offer a standby in another zone on {db_class}; change it, or database_multi_az",
        ),
    ]
    for accepts, refusal in steps:
        options = [option for option in options if accepts(option)]
        if not options:
            raise FreeholdError(message=f"{refusal}.")
    return sorted({option["EngineVersion"] for option in options})


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "engine": {"type": "str", "default": "postgres"},
            "engine_version": {"type": "str", "required": True},
            "db_instance_class": {"type": "str", "required": True},
            "multi_az": {"type": "bool", "default": False},
            "storage_type": {"type": "str", "default": "gp3"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        options = api.list_orderable_options(module.client("rds"), params["engine"], params["db_instance_class"])
        versions = matching_versions(options, params)
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(changed=False, engine_versions=versions)


if __name__ == "__main__":
    main()
