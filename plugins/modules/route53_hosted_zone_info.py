#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: route53_hosted_zone_info
short_description: Find hosted zones by their names
version_added: 0.1.0
description:
  - Finds the zones of some names, and which VPCs see the private ones among them.
  - C(amazon.aws.route53_info) lists all zones of an account, page by page, and can't tell which VPC sees a private one.
options:
  zones:
    description: Names of the zones; empty ones are left out.
    type: list
    elements: str
    required: true
author:
  - The Freehold authors (@freehold)
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
- name: Find a public and a private zone
  freehold.airflow.route53_hosted_zone_info:
    zones: [example.com, lab.internal]
"""

RETURN = r"""
hosted_zones:
  description: The zones found. More than one public zone of a name is possible, and a trap.
  returned: always
  type: list
  elements: dict
  contains:
    zone_id:
      description: Id of the zone.
      type: str
    name:
      description: Name of the zone, without the last dot.
      type: str
    private:
      description: Whether only VPCs see it.
      type: bool
    vpc_ids:
      description: The VPCs that see a private zone.
      type: list
      elements: str
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


def zones_of_name(client: Any, name: str) -> list[dict[str, Any]]:
    """Return all zones of exactly this name; Route 53 lists them in the order of names, beginning with it."""
    zones: list[dict[str, Any]] = []
    answer = client.list_hosted_zones_by_name(aws_retry=True, DNSName=name)
    while True:
        for zone in answer["HostedZones"]:
            if zone["Name"].rstrip(".") != name:
                return zones
            zones.append(zone)
        if not answer.get("IsTruncated"):
            return zones
        answer = client.list_hosted_zones_by_name(
            aws_retry=True, DNSName=answer["NextDNSName"], HostedZoneId=answer["NextHostedZoneId"]
        )


def vpcs_of(client: Any, zone: dict[str, Any]) -> list[str]:
    """Return the ids of the VPCs that see the zone; everybody sees a public one."""
    if not zone["Config"]["PrivateZone"]:
        return []
    return [vpc["VPCId"] for vpc in client.get_hosted_zone(aws_retry=True, Id=zone["Id"]).get("VPCs", [])]


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"zones": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    client = module.client("route53", retry_decorator=AWSRetry.jittered_backoff())
    names = sorted({name.lower().rstrip(".") for name in module.params["zones"] if name})
    try:
        zones = [zone for name in names for zone in zones_of_name(client, name)]
        hosted_zones = [
            {
                "zone_id": zone["Id"].split("/")[-1],
                "name": zone["Name"].rstrip("."),
                "private": zone["Config"]["PrivateZone"],
                "vpc_ids": vpcs_of(client, zone),
            }
            for zone in zones
        ]
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"The hosted zones {', '.join(names)} can't be read")
    module.exit_json(changed=False, hosted_zones=hosted_zones)


if __name__ == "__main__":
    main()
