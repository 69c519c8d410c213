#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: reservable_usage_info
version_added: 0.1.0
short_description: Read what runs in an account and could be covered by reservations
description:
  - Reads all instances, databases and cache nodes of a region that are billed by the hour and could be covered by
    reservations, those of everybody in the account, because they compete for the same discounts.
  - Instances that are stopped, spot, or on dedicated hosts are left out, and so are serverless databases.
  - Reading is free of charge.
author:
  - The Freehold authors (@freehold)
options:
  environment:
    description:
      - Name of an environment; what carries its tag is marked as O(environment)'s.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Only reads.
"""

EXAMPLES = r"""
- name: Read what runs beside the environment
  freehold.airflow.reservable_usage_info:
    environment: production
"""

RETURN = r"""
usage:
  description: What runs, by service and name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: ID of the instance, name of the database, or name and number of the cache node.
      type: str
    service:
      description: V(ec2), V(rds) or V(elasticache).
      type: str
    type:
      description: Instance type, instance class or node type.
      type: str
      sample: t4g.medium
    product:
      description: Platform, engine and licence, or engine, as reservations call it.
      type: str
      sample: Linux/UNIX
    zone:
      description: Zone of an instance.
      type: str
    tenancy:
      description: V(default) or V(dedicated).
      type: str
    copies:
      description: V(2) for a database with a standby, else V(1).
      type: int
    account:
      description: Always empty; all is of one account.
      type: str
    ours:
      description: Whether it carries the environment's tag.
      type: bool
"""

from dataclasses import asdict
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import ENVIRONMENT_TAG, FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import api, reading
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import Usage


def all_usage(module: AnsibleAWSModule, environment: str) -> list[Usage]:
    """Everything that runs, of all three services."""

    def ours(tags: dict[str, str]) -> bool:
        return tags.get(ENVIRONMENT_TAG) == environment

    elasticache: Any = module.client("elasticache")

    def our_cache(cache: dict[str, Any]) -> bool:
        # Tags are asked for one by one, so only of those whose names can be ours.
        named = cache["cache_cluster_id"].startswith(f"freehold-{environment}")
        return named and ours(api.cache_tags(elasticache, cache["arn"]))

    found: list[Usage | None] = []
    found += [reading.ec2_usage(item, ours=ours(item["tags"])) for item in api.instances(module.client("ec2"))]
    found += [reading.rds_usage(item, ours=ours(item["tags"])) for item in api.databases(module.client("rds"))]
    for cache in api.caches(elasticache):
        found += reading.cache_usage(cache, ours=our_cache(cache))
    return [usage for usage in found if usage is not None]


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"environment": {"type": "str", "required": True}}, supports_check_mode=True
    )
    try:
        found = all_usage(module, module.params["environment"])
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    usage = [asdict(item) for item in sorted(found, key=lambda item: (item.service, item.name))]
    module.exit_json(changed=False, usage=usage)


if __name__ == "__main__":
    main()
