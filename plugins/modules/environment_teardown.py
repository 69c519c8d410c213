#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: environment_teardown
version_added: 0.1.0
short_description: Delete everything that belongs to an environment
description:
  - Deletes every AWS resource that carries the environment's C(freehold:environment) tag, in the order that AWS
    demands and otherwise side by side, and waits until it is gone. Deletion protection is lifted first.
  - Works on an environment that is only half there, and on one that a former run only half deleted.
  - Nothing without the tag is touched, except for the records of the environment's load balancer and certificate in a
    public zone, which Route 53 can't tag.
  - By single modules this would take some twenty tasks that each need to know what exists, wait one after the other,
    and say nothing in check mode about what depends on what does not exist.
author:
  - The Freehold authors (@freehold)
options:
  name:
    description:
      - Name of the environment.
    type: str
    required: true
  keep_data:
    description:
      - Keep the file system, a final snapshot of the database, and the secrets that are needed to read them. Other
        secrets can be taken back for O(recovery_days).
      - When V(false), everything goes for good, snapshots of earlier runs included.
    type: bool
    default: true
  recovery_days:
    description:
      - For how many days a deleted secret can be taken back, 7 to 30.
    type: int
    default: 30
  wait_timeout:
    description:
      - Seconds to wait for each kind of resource.
    type: int
    default: 1800
  wait_interval:
    description:
      - Seconds between two looks at what is still there.
    type: float
    default: 5
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Delete the environment but keep its data
  freehold.airflow.environment_teardown:
    name: staging
"""

RETURN = r"""
deleted:
  description: What was deleted, or what check mode would delete.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of resource.
      type: str
      sample: security_group
    id:
      description: ID or name, by which it can be found in AWS.
      type: str
kept:
  description: What is kept, and what that costs.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of resource.
      type: str
      sample: file_system
    id:
      description: ID or name, by which it can be found in AWS.
      type: str
    monthly_cost:
      description: About how many US dollars AWS takes for it a month, by the list prices of us-east-1.
      type: float
report:
  description: The same in sentences.
  returned: success
  type: list
  elements: str
"""

from datetime import UTC, datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._environment.clients import Clients
from ansible_collections.freehold.airflow.plugins.module_utils._environment.removal import KINDS, Choices
from ansible_collections.freehold.airflow.plugins.module_utils._environment.teardown import Teardown

# US dollars a month, us-east-1, 2026: EFS Standard and RDS backup storage per GiB, Secrets Manager per secret.
EFS_GIB = 0.30
SNAPSHOT_GIB = 0.095
SECRET = 0.40


def monthly_cost(kind: str, item: dict[str, Any]) -> float:
    """At most this much: a snapshot costs what it holds, which is not more than the storage of its database."""
    if kind == "file_system":
        return round(float(item.get("SizeInBytes", {}).get("Value", 0)) / 2**30 * EFS_GIB, 2)
    if kind == "database_snapshot":
        return round(float(item.get("AllocatedStorage", 0)) * SNAPSHOT_GIB, 2)
    return SECRET


def describe_kept(staying: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "kind": entry["kind"],
            "id": KINDS[entry["kind"]].identify(entry["item"]),
            "monthly_cost": monthly_cost(entry["kind"], entry["item"]),
        }
        for entry in staying
    ]


def write_report(name: str, deleted: list[dict[str, str]], kept: list[dict[str, Any]], check_mode: bool) -> list[str]:
    """One line per kind of what went, and one per thing that stays."""
    by_kind: dict[str, list[str]] = {}
    for entry in deleted:
        by_kind.setdefault(entry["kind"].replace("_", " "), []).append(entry["id"])
    verb = "Would delete" if check_mode else "Deleted"
    lines = [f"{verb} the {kind} {', '.join(ids)}." for kind, ids in by_kind.items()]
    lines += [
        f"{'Would keep' if check_mode else 'Kept'} the {entry['kind'].replace('_', ' ')} {entry['id']}"
        f", at most {entry['monthly_cost']:.2f} USD a month."
        for entry in kept
    ]
    return lines or [f"Nothing belongs to the environment '{name}'."]


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "keep_data": {"type": "bool", "default": True},
            "recovery_days": {"type": "int", "default": 30},
            "wait_timeout": {"type": "int", "default": 1800},
            "wait_interval": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    params = module.params
    now = datetime.now(UTC)
    choices = Choices(
        name=params["name"],
        keep_data=params["keep_data"],
        recovery_days=params["recovery_days"],
        snapshot=f"freehold-{params['name']}-final-{now:%Y%m%d%H%M%S}",
    )
    try:
        teardown = Teardown(Clients(module), choices, params["wait_timeout"], params["wait_interval"])
        if module.check_mode:
            deleted, staying = teardown.look()
        else:
            deleted = teardown.run()
            staying = teardown.look()[1]
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    kept = describe_kept(staying)
    module.exit_json(
        changed=bool(deleted),
        deleted=deleted,
        kept=kept,
        report=write_report(params["name"], deleted, kept, module.check_mode),
    )


if __name__ == "__main__":
    main()
