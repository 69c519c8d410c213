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
  - Reads what instances, databases and cache nodes cost on demand in a region, what their storage, a load balancer, a
    NAT gateway and a public address cost, and what Amazon MWAA costs.
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
        choices: [ec2, rds, elasticache, ebs, rds_storage, load_balancer, nat_gateway, public_ipv4, mwaa]
        required: true
      type:
        description:
          - Instance type, instance class or node type; the volume type of C(ebs) and C(rds_storage), V(gp3); the
            environment class of C(mwaa).
        type: str
        default: ""
      product:
        description:
          - Platform, engine and licence, or engine, as reservations call it; the engine of C(rds_storage);
            V(environment), V(worker), V(scheduler) or V(webserver) of C(mwaa).
        type: str
        default: ""
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
  cache:
    description:
      - File in which prices are kept, so that they are not read again each time. One that can't be read, or that is
        about another region or endpoint, is ignored and written anew.
      - Not written in check mode. Without it nothing is kept.
    type: path
  cache_days:
    description:
      - Prices that were read longer ago are read again. V(0) reads all of them again.
    type: float
    default: 7
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Only reads, and leaves the file of prices alone.
"""

EXAMPLES = r"""
- name: Read what a worker host and its disk cost on demand, at most once a week
  freehold.airflow.price_list_info:
    items:
      - {service: ec2, type: t4g.large, product: Linux/UNIX}
      - {service: ebs, type: gp3}
    cache: ~/.cache/prices.json

- name: Read what the smallest environment of MWAA that scales costs
  freehold.airflow.price_list_info:
    items:
      - {service: mwaa, type: mw1.small, product: environment}
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
    amount:
      description: What one unit costs; of all copies together.
      type: float
    unit:
      description: V(hour), or V(GiB-month) of storage.
      type: str
    currency:
      description: The currency.
      type: str
      sample: USD
    published:
      description: The date of the price list.
      type: str
    version:
      description: The version of the price list, by which a stand-in for AWS can be told from AWS.
      type: str
      sample: "20261120101500"
    region:
      description: The region of the price.
      type: str
    read:
      description: When the price was read from AWS.
      type: str
      sample: "2026-11-23T12:00:00+00:00"
unknown:
  description: What has no price, each with C(why).
  returned: success
  type: list
  elements: dict
cached:
  description: How many of the prices were read before, and were not asked for now.
  returned: success
  type: int
cache_error:
  description: Why the prices could not be kept. Empty, when they were.
  returned: success
  type: str
"""

from datetime import UTC, datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import price_cache, prices

ITEM = {
    "service": {"type": "str", "choices": list(prices.SERVICES), "required": True},
    "type": {"type": "str", "default": ""},
    "product": {"type": "str", "default": ""},
    "copies": {"type": "int", "default": 1},
}


class PriceList:
    """The price list of one region; what belongs to several items is read once."""

    def __init__(self, client: Any, region: str, read: str) -> None:
        self.client = client
        self.region = region
        self.read = read
        self.pages: dict[tuple[Any, ...], list[dict[str, Any]]] = {}

    def price_of(self, item: dict[str, Any]) -> dict[str, Any]:
        """The item with its price, or with C(why) there is none."""
        wanted = prices.product_of(item, self.region)
        if wanted is None:
            return {**item, "why": "how to look it up is not known here"}
        asked = (wanted.code, *sorted(wanted.attributes.items()))
        if asked not in self.pages:
            self.pages[asked] = prices.products(self.client, wanted)
        try:
            found = prices.price(self.pages[asked], wanted)
        except ValueError as error:
            return {**item, "why": str(error)}
        if found is None:
            return {**item, "why": f"the price list of {self.region} does not have it"}
        return {**item, **found, "region": self.region, "read": self.read}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "items": {"type": "list", "elements": "dict", "required": True, "options": ITEM},
            "price_list_region": {"type": "str", "default": "us-east-1"},
            "cache": {"type": "path"},
            "cache_days": {"type": "float", "default": 7},
        },
        supports_check_mode=True,
    )
    items = [item for place, item in enumerate(module.params["items"]) if item not in module.params["items"][:place]]
    path, now = module.params["cache"], datetime.now(UTC).replace(microsecond=0)
    client = module.client("pricing", region=module.params["price_list_region"])
    # As botocore resolved it, whether from an option, the environment or a profile.
    scope = {"region": module.region, "endpoint": client.meta.endpoint_url}
    held = price_cache.load(path, scope, now, module.params["cache_days"]) if path else []
    known = {number: entry for number, item in enumerate(items) for entry in held if price_cache.same(entry, item)}
    listed = PriceList(client, module.region, now.isoformat())
    try:
        found = [listed.price_of(item) for number, item in enumerate(items) if number not in known]
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    new = [item for item in found if "why" not in item]
    cache_error = ""
    if path and new and not module.check_mode:
        try:
            price_cache.save(path, scope, [*held, *new])
        except OSError as error:
            cache_error = str(error)
    module.exit_json(
        changed=False,
        prices=[*known.values(), *new],
        unknown=[item for item in found if "why" in item],
        cached=len(known),
        cache_error=cache_error,
    )


if __name__ == "__main__":
    main()
