#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_reserved_instances_info
version_added: 0.1.0
short_description: Read the reserved DB instances of an account
description:
  - Reads the reserved DB instances of a region, with AWS's own words for their states.
  - No module of amazon.aws reads them.
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
- name: Read the reserved DB instances that give their discount
  freehold.airflow.rds_reserved_instances_info:
    states: [active]
  register: reserved
"""

RETURN = r"""
reserved_instances:
  description: The reserved DB instances, the first to end first.
  returned: success
  type: list
  elements: dict
  contains:
    reserved_db_instance_id:
      description: Its ID, which the buyer chose.
      type: str
      sample: airflow-2026
    db_instance_class:
      description: The class that was reserved.
      type: str
      sample: db.t4g.medium
    db_instance_count:
      description: How many.
      type: int
    multi_az:
      description: Whether each is for a database with a standby.
      type: bool
    product_description:
      description: Engine and licence.
      type: str
      sample: postgresql
    state:
      description: AWS's state.
      type: str
      sample: active
    start_time:
      description: When it began.
      type: str
    end:
      description: When it ends; reckoned, since RDS does not say it.
      type: str
    currency_code:
      description: The currency of its prices.
      type: str
      sample: USD
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
        found = api.reserved_databases(module.client("rds"))
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    # A state that AWS invents after this was written is shown where all are asked for.
    wanted = [item for item in found if item["state"] in states or not module.params["states"]]
    module.exit_json(changed=False, reserved_instances=sorted(wanted, key=lambda item: str(item.get("end", ""))))


if __name__ == "__main__":
    main()
