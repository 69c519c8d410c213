#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_reserved_instances
version_added: 0.1.0
short_description: Own at least so many reserved instances, and buy what is missing
description:
  - Makes sure that an account owns a number of reserved instances, active or not yet paid.
  - Run again, it buys nothing.
  - EC2 can be neither told an id nor a token, so that every request buys anew. What was bought is
    tagged afterwards.
author:
  - The Freehold authors (@freehold)
options:
  zone:
    description:
      - Zone of a zonal reservation, which reserves capacity and fits this zone only. Regional ones when empty.
    type: str
    default: ""
  tenancy:
    description:
      - Tenancy.
    type: str
    choices: [default, dedicated]
    default: default
  offering_class:
    description:
      - Class.
    type: str
    choices: [standard, convertible]
    default: standard
  monthly_quota:
    description:
      - How many AWS sells to the account in a month for the region, or for one zone. V(0) does not look.
    type: int
    default: 20
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - freehold.airflow.reservation_purchase
seealso:
  - module: freehold.airflow.ec2_reserved_instances_info
  - module: freehold.airflow.reserved_offerings_info
"""

EXAMPLES = r"""
- name: Own reserved instances for a year, for 500 dollars at most
  freehold.airflow.ec2_reserved_instances:
    environment: production
    type: t4g.medium
    product: Linux/UNIX
    count: 2
    years: 1
    payment: No Upfront
    price_limit: "500.00"
    tags:
      freehold:environment: production

- name: Find out what became of a purchase whose answer was lost
  freehold.airflow.ec2_reserved_instances:
    state: settled
"""

RETURN = r"""
bought:
  description: What this run bought.
  returned: success
  type: list
  elements: dict
  sample:
    - id: b847fa93-e282-4f55-b59a-1342f5bd7c02
      state: payment-pending
      service: ec2
      type: t4g.medium
      product: Linux/UNIX
      count: 2
      years: 1
      payment: No Upfront
      currency: USD
      total: "341.64"
      offering: 649fd0c8-cf6d-47a0-bfa6-060f8e75e95f
would_buy:
  description: What would be bought, in the form of RV(bought) without C(id) and C(state).
  returned: in check mode, when something is missing
  type: list
  elements: dict
settled:
  description: An earlier purchase whose outcome this run found, in the form of RV(bought).
  returned: success
  type: list
  elements: dict
owned:
  description: How many are owned now, those of others included.
  returned: O(state=present)
  type: int
wanted:
  description: How many should be, those of others included.
  returned: O(state=present)
  type: int
ledger_bucket:
  description: The bucket in which purchases are written down, whether it exists or not.
  returned: success
  type: str
  sample: freehold-reservations-123456789012-eu-west-1
differences:
  description: What was missing.
  returned: O(state=present)
  type: list
  elements: dict
  contains:
    name:
      description: Of what.
      type: str
    current:
      description: How many were owned.
      type: int
    desired:
      description: How many should be.
      type: int
"""

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.buying import run


def main() -> None:
    run(
        "ec2",
        {
            "zone": {"type": "str", "default": ""},
            "tenancy": {"type": "str", "choices": ["default", "dedicated"], "default": "default"},
            "offering_class": {"type": "str", "choices": ["standard", "convertible"], "default": "standard"},
            "monthly_quota": {"type": "int", "default": 20},
        },
    )


if __name__ == "__main__":
    main()
