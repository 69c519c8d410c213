#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_network_info
short_description: Read the network of one environment at once
version_added: 0.1.0
description:
  - Reads the availability zones and VPCs of the region, and everything inside the VPC that carries the given tags, in
    one process. With the C(_info) modules of C(amazon.aws) that is eight of them.
options:
  tags:
    description: Tags of the VPC that is meant.
    type: dict
    required: true
  vpc_id:
    description: The VPC that is meant, where it carries no tags of ours.
    type: str
    default: ""
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
- name: Read the network of the environment lab
  freehold.airflow.ec2_network_info:
    tags:
      freehold:environment: lab
"""

RETURN = r"""
zones:
  description: Names of the region's available availability zones, sorted.
  returned: always
  type: list
  elements: str
vpcs:
  description: All VPCs of the region, each with C(id), C(cidr), C(tags) and C(meant).
  returned: always
  type: list
  elements: dict
network:
  description: What is inside the VPC that is meant. Its lists are empty when there is no such VPC, or more than one.
  returned: always
  type: dict
  contains:
    vpc_id:
      description: Id of the VPC, or an empty string.
      type: str
    dns:
      description: Whether both DNS attributes of the VPC are on.
      type: bool
    subnets:
      description: Subnets, each with C(id), C(zone), C(cidr) and C(tags).
      type: list
    internet_gateways:
      description: Internet gateways, each with C(id) and C(tags).
      type: list
    nat_gateways:
      description: NAT gateways that live or are being made, each with C(id), C(subnet_id), C(state) and C(tags).
      type: list
    route_tables:
      description: Route tables, each with C(id), C(subnet_ids), C(routes) and C(tags).
      type: list
    endpoints:
      description: Gateway endpoints, each with C(id), C(service), C(route_table_ids) and C(tags).
      type: list
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_list_to_ansible_dict


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    """Return the tags of a resource as a dictionary."""
    return boto3_tag_list_to_ansible_dict(resource.get("Tags") or [])  # type: ignore[no-any-return]


def read(client: Any, operation: str, key: str, filters: dict[str, list[str]], option: str = "Filters") -> list[Any]:
    """Return all resources that an operation of EC2 lists under I(key); I(option) is what it calls its filters."""
    wanted = [{"Name": name, "Values": values} for name, values in filters.items()]
    pages = client.get_paginator(operation).paginate(**{option: wanted})
    return [resource for page in pages for resource in page[key]]


def zone_names(client: Any) -> list[str]:
    """Return the zones that every account can use; Local and Wavelength Zones are not among them."""
    zones = client.describe_availability_zones(
        Filters=[{"Name": "state", "Values": ["available"]}, {"Name": "zone-type", "Values": ["availability-zone"]}]
    )["AvailabilityZones"]
    return sorted(zone["ZoneName"] for zone in zones)


def has_dns(client: Any, vpc_id: str) -> bool:
    """Tell whether names of the VPC resolve and its hosts get names."""
    return all(
        client.describe_vpc_attribute(VpcId=vpc_id, Attribute=attribute)[attribute[0].upper() + attribute[1:]]["Value"]
        for attribute in ("enableDnsSupport", "enableDnsHostnames")
    )


def network_of(client: Any, vpc_id: str) -> dict[str, Any]:
    """Return what is inside the VPC."""
    inside = {"vpc-id": [vpc_id]}
    return {
        "vpc_id": vpc_id,
        "dns": has_dns(client, vpc_id),
        "subnets": [
            {
                "id": subnet["SubnetId"],
                "zone": subnet["AvailabilityZone"],
                "cidr": subnet["CidrBlock"],
                "tags": tags_of(subnet),
            }
            for subnet in read(client, "describe_subnets", "Subnets", inside)
        ],
        "internet_gateways": [
            {"id": gateway["InternetGatewayId"], "tags": tags_of(gateway)}
            for gateway in read(
                client, "describe_internet_gateways", "InternetGateways", {"attachment.vpc-id": [vpc_id]}
            )
        ],
        "nat_gateways": [
            {
                "id": gateway["NatGatewayId"],
                "subnet_id": gateway["SubnetId"],
                "state": gateway["State"],
                "tags": tags_of(gateway),
            }
            for gateway in read(
                client,
                "describe_nat_gateways",
                "NatGateways",
                {**inside, "state": ["pending", "available"]},
                option="Filter",
            )
        ],
        "route_tables": [
            {
                "id": table["RouteTableId"],
                "subnet_ids": sorted(
                    link["SubnetId"] for link in table.get("Associations") or [] if link.get("SubnetId")
                ),
                "routes": [
                    {
                        "destination": route.get("DestinationCidrBlock") or "",
                        "target": route.get("NatGatewayId") or route.get("GatewayId") or "",
                        "state": route.get("State", "active"),
                    }
                    for route in table.get("Routes") or []
                ],
                "tags": tags_of(table),
            }
            for table in read(client, "describe_route_tables", "RouteTables", inside)
        ],
        "endpoints": [
            {
                "id": endpoint["VpcEndpointId"],
                "service": endpoint["ServiceName"],
                "route_table_ids": endpoint.get("RouteTableIds") or [],
                "tags": tags_of(endpoint),
            }
            for endpoint in read(
                client,
                "describe_vpc_endpoints",
                "VpcEndpoints",
                {**inside, "vpc-endpoint-state": ["pendingAcceptance", "pending", "available"]},
            )
        ],
    }


NOTHING: dict[str, Any] = {
    "vpc_id": "",
    "dns": False,
    "subnets": [],
    "internet_gateways": [],
    "nat_gateways": [],
    "route_tables": [],
    "endpoints": [],
}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"tags": {"type": "dict", "required": True}, "vpc_id": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    client = module.client("ec2")
    wanted = module.params["tags"]
    try:
        zones = zone_names(client)
        vpcs = [
            {
                "id": vpc["VpcId"],
                "cidr": vpc["CidrBlock"],
                "tags": tags_of(vpc),
                "meant": all(tags_of(vpc).get(key) == value for key, value in wanted.items()),
            }
            for vpc in read(client, "describe_vpcs", "Vpcs", {})
        ]
        given = module.params["vpc_id"]
        ids = [vpc["id"] for vpc in vpcs if (vpc["id"] == given if given else vpc["meant"])]
        network = network_of(client, ids[0]) if len(ids) == 1 else NOTHING
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The network of the environment can't be read")
    module.exit_json(changed=False, zones=zones, vpcs=vpcs, network=network)


if __name__ == "__main__":
    main()
