#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: reserved_offerings_info
version_added: 0.1.0
short_description: Read what reservations AWS sells, and their prices
description:
  - Reads the offerings of reserved instances, reserved DB instances or reserved cache nodes in one form, the cheapest
    over its whole term first.
  - Offerings of other customers on the EC2 marketplace are never among them.
  - An offering that AWS returns without its being asked for is left out, so that nothing rests on a filter alone.
  - Reading is free of charge.
author:
  - The Freehold authors (@freehold)
options:
  service:
    description:
      - Whose reservations.
    type: str
    choices: [ec2, rds, elasticache]
    required: true
  type:
    description:
      - Instance type, instance class or node type.
    type: str
    required: true
  product:
    description:
      - Platform of EC2 (V(Linux/UNIX)), engine and licence of RDS (V(postgresql)), or engine of ElastiCache
        (V(valkey)), in AWS's words for a product description.
    type: str
    required: true
  years:
    description:
      - The term. Both when not given.
    type: int
    choices: [1, 3]
  payment:
    description:
      - How it is paid for. All ways when not given.
    type: str
    choices: [No Upfront, Partial Upfront, All Upfront]
  zone:
    description:
      - Zone of a zonal reservation of EC2. Regional ones when not given.
    type: str
  tenancy:
    description:
      - Tenancy, for EC2.
    type: str
    choices: [default, dedicated]
    default: default
  offering_class:
    description:
      - Class, for EC2.
    type: str
    choices: [standard, convertible]
    default: standard
  multi_az:
    description:
      - Whether it is for a database with a standby, for RDS.
    type: bool
    default: false
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
- name: Read what a year of a worker host costs
  freehold.airflow.reserved_offerings_info:
    service: ec2
    type: t4g.large
    product: Linux/UNIX
    years: 1
"""

RETURN = r"""
offerings:
  description: The offerings, the cheapest over its whole term first. Empty when AWS sells none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: ID by which it is bought.
      type: str
      sample: 649fd0c8-cf6d-47a0-bfa6-060f8e75e95f
    service:
      description: As asked.
      type: str
    type:
      description: As asked.
      type: str
    product:
      description: As asked.
      type: str
    scope:
      description: V(Region) or V(Availability Zone).
      type: str
    zone:
      description: The zone of a zonal one.
      type: str
    tenancy:
      description: V(default) or V(dedicated).
      type: str
    offering_class:
      description: V(standard) or V(convertible).
      type: str
    multi_az:
      description: Whether it is for a database with a standby.
      type: bool
    years:
      description: The term.
      type: int
    payment:
      description: How it is paid for.
      type: str
      sample: No Upfront
    currency:
      description: Currency of the prices; empty for ElastiCache, which does not say it.
      type: str
      sample: USD
    upfront:
      description: What one costs at the start.
      type: float
    hourly:
      description: What every hour of the term costs, used or not.
      type: float
    total:
      description: Both together over the whole term, to the cent.
      type: float
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import api
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.offerings import (
    described,
    matches,
    request,
)

READERS = {"ec2": api.instance_offerings, "rds": api.database_offerings, "elasticache": api.node_offerings}
EC2_ONLY = {"zone": "", "tenancy": "default", "offering_class": "standard"}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "service": {"type": "str", "choices": list(READERS), "required": True},
            "type": {"type": "str", "required": True},
            "product": {"type": "str", "required": True},
            "years": {"type": "int", "choices": [1, 3]},
            "payment": {"type": "str", "choices": ["No Upfront", "Partial Upfront", "All Upfront"]},
            "zone": {"type": "str"},
            "tenancy": {"type": "str", "choices": ["default", "dedicated"], "default": "default"},
            "offering_class": {"type": "str", "choices": ["standard", "convertible"], "default": "standard"},
            "multi_az": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    service = params["service"]
    misplaced = [name for name, default in EC2_ONLY.items() if service != "ec2" and (params[name] or "") != default]
    misplaced += ["multi_az"] if service != "rds" and params["multi_az"] else []
    if misplaced:
        module.fail_json(msg=f"Reservations of {service} have no {' and no '.join(misplaced)}.")
    try:
        found = [
            described(service, offering) for offering in READERS[service](module.client(service), **request(params))
        ]
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    except ValueError as error:
        module.fail_json(msg=f"The prices can't be told: {error}.")
    wanted = [offering for offering in found if matches(offering, params)]
    module.exit_json(changed=False, offerings=sorted(wanted, key=lambda offering: (offering["total"], offering["id"])))


if __name__ == "__main__":
    main()
