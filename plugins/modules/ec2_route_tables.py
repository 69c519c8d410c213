#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_route_tables
short_description: Keep the route tables of one VPC
version_added: 0.1.0
description:
  - Creates the given route tables, gives each its routes and its subnets, all in one call.
  - A subnet that belongs to another table is moved in one request. C(amazon.aws.ec2_vpc_route_table) 10.1 only takes it
    away from the other table and leaves it without, which cuts its hosts off, and pauses five seconds for every table.
  - Routes that are not given (to a peering connection, to an endpoint) and tables that are not given are left alone.
options:
  vpc_id:
    description: Id of the VPC.
    type: str
    required: true
  name_prefix:
    description: What the C(Name) tags of the tables start with.
    type: str
    required: true
  tables:
    description: The wanted tables.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The rest of the table's C(Name) tag, by which it is found again.
        type: str
        required: true
      subnet_ids:
        description: Ids of the subnets that use the table.
        type: list
        elements: str
        required: true
      routes:
        description: Routes, each with C(dest) and either C(gateway_id) or C(nat_gateway_id).
        type: list
        elements: dict
        required: true
  tags:
    description: Tags of every table beside C(Name).
    type: dict
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
    description: Says what would change and makes no write call.
"""

EXAMPLES = r"""
- name: Send a private subnet through a NAT gateway
  freehold.airflow.ec2_route_tables:
    vpc_id: vpc-0a1b2c3d
    name_prefix: lab-
    tags:
      freehold:environment: lab
    tables:
      - name: private
        subnet_ids: [subnet-0a1b2c3d]
        routes:
          - {dest: 0.0.0.0/0, nat_gateway_id: nat-0a1b2c3d}
"""

RETURN = r"""
changes:
  description: What was changed, or would be.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The table and its part.
      type: str
    current:
      description: What was found.
      type: str
    desired:
      description: What is wanted.
      type: str
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    boto3_tag_list_to_ansible_dict,
    boto3_tag_specifications,
)

# How a wanted route says where it leads, and what EC2 calls it.
TARGETS = {"gateway_id": "GatewayId", "nat_gateway_id": "NatGatewayId"}


def describe_tables(client: Any, vpc_id: str) -> list[dict[str, Any]]:
    """Return all route tables of the VPC."""
    pages = client.get_paginator("describe_route_tables").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
    return [table for page in pages for table in page["RouteTables"]]


def associations_by_subnet(tables: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Map every subnet that has a table to its association and that table."""
    return {
        link["SubnetId"]: (link["RouteTableAssociationId"], table["RouteTableId"])
        for table in tables
        for link in table.get("Associations") or []
        if link.get("SubnetId")
    }


class RouteTables:
    """The wanted tables beside what EC2 has."""

    def __init__(self, module: AnsibleAWSModule, client: Any) -> None:
        self.module = module
        self.client = client
        self.tags: dict[str, str] = module.params["tags"]
        tables = describe_tables(client, module.params["vpc_id"])
        self.associations = associations_by_subnet(tables)
        self.found: dict[str, dict[str, Any]] = {}
        for table in tables:
            tags = boto3_tag_list_to_ansible_dict(table.get("Tags") or [])
            if all(tags.get(key) == value for key, value in self.tags.items()):
                self.found[tags.get("Name", "")] = table
        self.changes: list[dict[str, str]] = []

    def change(self, name: str, current: str, desired: str, write: Callable[[], Any]) -> None:
        """Note a difference, and act on it unless in check mode."""
        self.changes.append({"name": name, "current": current, "desired": desired})
        if not self.module.check_mode:
            write()

    def apply(self, spec: dict[str, Any]) -> None:
        """Make one table as wanted."""
        name = self.module.params["name_prefix"] + spec["name"]
        if name not in self.found:
            self.change(name, "", "route table", lambda: self.create(name))
        table = self.found.get(name, {"RouteTableId": "", "Routes": []})
        for route in spec["routes"]:
            self.apply_route(name, table, route)
        for subnet_id in spec["subnet_ids"]:
            self.apply_subnet(name, table["RouteTableId"], subnet_id)
        for subnet_id, (association_id, table_id) in list(self.associations.items()):
            if table_id == table["RouteTableId"] and subnet_id not in spec["subnet_ids"]:
                self.remove_subnet(name, subnet_id, association_id)

    def create(self, name: str) -> None:
        """Create a table."""
        self.found[name] = self.client.create_route_table(
            aws_retry=True,
            VpcId=self.module.params["vpc_id"],
            TagSpecifications=boto3_tag_specifications({**self.tags, "Name": name}, "route-table"),
        )["RouteTable"]

    def apply_route(self, name: str, table: dict[str, Any], route: dict[str, Any]) -> None:
        """Create or replace one route."""
        destination = route["dest"]
        option, target = next((TARGETS[key], route[key]) for key in TARGETS if route.get(key))
        current = next((found for found in table["Routes"] if found.get("DestinationCidrBlock") == destination), None)
        if current and target in current.values():
            return
        call = self.client.replace_route if current else self.client.create_route
        leads_to = " ".join(str(current[key]) for key in TARGETS.values() if current.get(key)) if current else ""
        self.change(
            f"{name} {destination}",
            leads_to,
            target,
            lambda: call(
                aws_retry=True,
                RouteTableId=table["RouteTableId"],
                DestinationCidrBlock=destination,
                **{option: target},
            ),
        )

    def apply_subnet(self, name: str, table_id: str, subnet_id: str) -> None:
        """Let a subnet use the table, and no other, without a moment between."""
        association_id, current = self.associations.get(subnet_id, ("", ""))
        if current and current == table_id:
            return

        def write() -> None:
            if association_id:
                answer = self.client.replace_route_table_association(
                    aws_retry=True, AssociationId=association_id, RouteTableId=table_id
                )
                self.associations[subnet_id] = (answer["NewAssociationId"], table_id)
            else:
                answer = self.client.associate_route_table(aws_retry=True, RouteTableId=table_id, SubnetId=subnet_id)
                self.associations[subnet_id] = (answer["AssociationId"], table_id)

        self.change(f"{name} {subnet_id}", current, table_id, write)

    def remove_subnet(self, name: str, subnet_id: str, association_id: str) -> None:
        """Take a subnet that is not wanted away; it then uses the VPC's main table."""
        self.change(
            f"{name} {subnet_id}",
            "associated",
            "",
            lambda: self.client.disassociate_route_table(aws_retry=True, AssociationId=association_id),
        )


def main() -> None:
    table = {
        "name": {"type": "str", "required": True},
        "subnet_ids": {"type": "list", "elements": "str", "required": True},
        "routes": {"type": "list", "elements": "dict", "required": True},
    }
    module = AnsibleAWSModule(
        argument_spec={
            "vpc_id": {"type": "str", "required": True},
            "name_prefix": {"type": "str", "required": True},
            "tables": {"type": "list", "elements": "dict", "required": True, "options": table},
            "tags": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    # A new table may be unknown to one of EC2's servers for a moment after another has created it.
    retries = AWSRetry.jittered_backoff(catch_extra_error_codes=["InvalidRouteTableID.NotFound"])
    client = module.client("ec2", retry_decorator=retries)
    try:
        tables = RouteTables(module, client)
        for spec in module.params["tables"]:
            tables.apply(spec)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The route tables can't be set")
    module.exit_json(
        changed=bool(tables.changes),
        changes=tables.changes,
        diff=[
            {
                "before_header": change["name"],
                "after_header": change["name"],
                "before": f"{change['current']}\n",
                "after": f"{change['desired']}\n",
            }
            for change in tables.changes
        ],
    )


if __name__ == "__main__":
    main()
