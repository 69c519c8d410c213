#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: route53_record_sets
short_description: Keep several record sets of one hosted zone at once
version_added: 0.1.0
description:
  - Makes a hosted zone hold the given simple record sets, in one change that happens wholly or not at all.
  - With O(purge), record sets that are not given are deleted, so that the names of hosts that are gone do not stay.
  - C(amazon.aws.route53) takes one call for every name and can't know which names are too many.
options:
  zone_id:
    description: Id of the zone.
    type: str
    required: true
  records:
    description: The wanted record sets.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Full name.
        type: str
        required: true
      type:
        description: Type of the record.
        type: str
        required: true
      ttl:
        description: Seconds that others may remember the answer. Not for an alias.
        type: int
      values:
        description: The values. Not for an alias.
        type: list
        elements: str
      alias:
        description: An AWS resource that answers, as C(zone_id), C(dns_name) and C(evaluate_target_health).
        type: dict
  purge:
    description: Whether to delete all other record sets but the zone's own NS and SOA.
    type: bool
    default: false
author:
  - The Freehold authors (@freehold)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would change and makes no write call.
  diff_mode:
    support: full
    description: Shows every changed record set before and after.
"""

EXAMPLES = r"""
- name: Keep two names of a private zone and no others
  freehold.airflow.route53_record_sets:
    zone_id: Z0123456789ABCDEFGHIJ
    purge: true
    records:
      - {name: api-server.lab.internal, type: A, ttl: 30, values: [10.20.0.5, 10.20.1.5]}
      - {name: broker.lab.internal, type: A, ttl: 30, values: [10.20.0.6]}
"""

RETURN = r"""
changes:
  description: What was changed, or would be, one entry for each record set.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name and type of the record set.
      type: str
    current:
      description: The record set found; empty when there was none.
      type: str
    desired:
      description: The record set wanted; empty when it is deleted.
      type: str
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.freehold.airflow.plugins.module_utils.record_sets import changes, key_of, shown, wanted_records


def list_records(client: Any, zone_id: str) -> list[dict[str, Any]]:
    """Return all record sets of the zone."""
    pages = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone_id)
    return [record for page in pages for record in page["ResourceRecordSets"]]


def explain(batch: list[dict[str, Any]], current: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Say of every change what was there and what is wanted."""
    found = {key_of(record): record for record in current}
    return [
        {
            "name": " ".join(key_of(change["ResourceRecordSet"])),
            "current": shown(found.get(key_of(change["ResourceRecordSet"]))),
            "desired": "" if change["Action"] == "DELETE" else shown(change["ResourceRecordSet"]),
        }
        for change in batch
    ]


def main() -> None:
    record = {
        "name": {"type": "str", "required": True},
        "type": {"type": "str", "required": True},
        "ttl": {"type": "int"},
        "values": {"type": "list", "elements": "str"},
        "alias": {"type": "dict"},
    }
    module = AnsibleAWSModule(
        argument_spec={
            "zone_id": {"type": "str", "required": True},
            "records": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": record,
                "mutually_exclusive": [("alias", "values"), ("alias", "ttl")],
                "required_one_of": [("alias", "values")],
                "required_together": [("ttl", "values")],
            },
            "purge": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    # Route 53 works at one change of a zone at a time and asks others to come again.
    retries = AWSRetry.jittered_backoff(catch_extra_error_codes=["PriorRequestNotComplete"])
    client = module.client("route53", retry_decorator=retries)
    zone_id = module.params["zone_id"]
    try:
        current = list_records(client, zone_id)
        batch = changes(current, wanted_records(module.params["records"]), module.params["purge"])
        if batch and not module.check_mode:
            client.change_resource_record_sets(aws_retry=True, HostedZoneId=zone_id, ChangeBatch={"Changes": batch})
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"The records of the hosted zone {zone_id} can't be set")
    explained = explain(batch, current)
    module.exit_json(
        changed=bool(batch),
        changes=explained,
        diff=[
            {
                "before_header": entry["name"],
                "after_header": entry["name"],
                "before": f"{entry['current']}\n" if entry["current"] else "",
                "after": f"{entry['desired']}\n" if entry["desired"] else "",
            }
            for entry in explained
        ],
    )


if __name__ == "__main__":
    main()
