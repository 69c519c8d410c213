#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: elasticache_reserved_nodes_info
version_added: 0.1.0
short_description: Read the reserved cache nodes of an account
description:
  - Reads the reserved cache nodes of a region, with AWS's own words for their states.
  - No module of community.aws reads them.
  - Reading is free of charge.
author:
  - The Freehold authors (@freehold)
options:
  states:
    description:
      - Only those in one of these states. All of them when empty.
    type: list
    elements: str
    default: []
    choices: ["payment-pending", "active", "payment-failed", "retired"]
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
- name: Read the reserved cache nodes that give their discount
  freehold.airflow.elasticache_reserved_nodes_info:
    states: [active]
  register: reserved
"""

RETURN = r"""
reserved_nodes:
  description: The reserved cache nodes, the first to end first.
  returned: success
  type: list
  elements: dict
  contains:
    reserved_cache_node_id:
      description: Its ID, which the buyer chose.
      type: str
      sample: broker-2026
    cache_node_type:
      description: The type that was reserved.
      type: str
      sample: cache.t4g.micro
    cache_node_count:
      description: How many.
      type: int
    product_description:
      description: The engine.
      type: str
      sample: valkey
    state:
      description: AWS's state.
      type: str
      sample: active
    start_time:
      description: When it began.
      type: str
    end:
      description: When it ends; reckoned, since ElastiCache does not say it.
      type: str
    duration:
      description: Length of the term, in seconds.
      type: int
      sample: 31536000
    offering_type:
      description: How it is paid for.
      type: str
      sample: No Upfront
    fixed_price:
      description: What one costs at the start.
      type: float
    usage_price:
      description: What an hour costs beside the recurring charges.
      type: float
    recurring_charges:
      description: What every hour of the term costs, used or not.
      type: list
      elements: dict
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import api

STATES = ["payment-pending", "active", "payment-failed", "retired"]


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"states": {"type": "list", "elements": "str", "default": [], "choices": STATES}},
        supports_check_mode=True,
    )
    states = module.params["states"] or STATES
    try:
        found = api.reserved_nodes(module.client("elasticache"))
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    # A state that AWS invents after this was written is shown where all are asked for.
    wanted = [item for item in found if item["state"] in states or not module.params["states"]]
    module.exit_json(changed=False, reserved_nodes=sorted(wanted, key=lambda item: str(item.get("end", ""))))


if __name__ == "__main__":
    main()
