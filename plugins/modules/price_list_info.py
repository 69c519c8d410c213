#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: price_list_info
version_added: 0.1.0
short_description: Read prices on demand from AWS's price list
description:
  - Reads what an hour of instances, databases and cache nodes costs on demand in a region.
  - What has no price, or more than one, is listed as such and never guessed.
  - Reading is free of charge.
author:
  - The Freehold authors (@freehold)
options:
  items:
    description:
      - What to read the prices of.
    type: list
    elements: dict
    required: true
    suboptions:
      service:
        description:
          - Whose product.
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
          - Platform, engine and licence, or engine, as reservations call it.
        type: str
        required: true
      copies:
        description:
          - V(2) for a database with a standby.
        type: int
        default: 1
  price_list_region:
    description:
      - The region whose price list API is asked; only a few have one. The prices are those of O(region).
    type: str
    default: us-east-1
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
- name: Read what a worker host costs on demand
  freehold.airflow.price_list_info:
    items:
      - {service: ec2, type: t4g.large, product: Linux/UNIX}
"""

RETURN = r"""
prices:
  description: What was found.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: As asked.
      type: str
    type:
      description: As asked.
      type: str
    product:
      description: As asked.
      type: str
    copies:
      description: As asked.
      type: int
    hourly:
      description: What an hour costs, of all copies together.
      type: float
    currency:
      description: The currency.
      type: str
      sample: USD
    published:
      description: The date of the price list.
      type: str
    region:
      description: The region of the price.
      type: str
unknown:
  description: What has no price, each with C(why).
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import prices

ITEM = {
    "service": {"type": "str", "choices": list(prices.SERVICE_CODES), "required": True},
    "type": {"type": "str", "required": True},
    "product": {"type": "str", "required": True},
    "copies": {"type": "int", "default": 1},
}


def price_of(client: Any, item: dict[str, Any], region: str) -> dict[str, Any]:
    """The item with its price, or with C(why) there is none."""
    wanted = prices.attributes(item, region)
    if wanted is None:
        return {**item, "why": "how to look it up is not known here"}
    try:
        found = prices.hourly_price(prices.products(client, item["service"], wanted), item["type"])
    except ValueError as error:
        return {**item, "why": str(error)}
    return (
        {**item, **found, "region": region}
        if found
        else {**item, "why": f"the price list of {region} does not have it"}
    )


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "items": {"type": "list", "elements": "dict", "required": True, "options": ITEM},
            "price_list_region": {"type": "str", "default": "us-east-1"},
        },
        supports_check_mode=True,
    )
    items = [item for place, item in enumerate(module.params["items"]) if item not in module.params["items"][:place]]
    try:
        client = module.client("pricing", region=module.params["price_list_region"])
        found = [price_of(client, item, module.region) for item in items]
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(
        changed=False,
        prices=[item for item in found if "why" not in item],
        unknown=[item for item in found if "why" in item],
    )


if __name__ == "__main__":
    main()
