# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules ec2_network_info and ec2_instance_type_info against moto."""

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import ec2_instance_type_info, ec2_network_info
from botocore.client import BaseClient
from botocore.exceptions import ClientError

TAGS = {"freehold:environment": "lab"}


def tag(kind: str, **more: str) -> list[dict[str, Any]]:
    tags = {**TAGS, **more}
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def test_nothing_is_there_yet(aws: Any) -> None:
    result = aws.run(ec2_network_info, tags=TAGS)
    assert result["zones"] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    assert result["network"]["vpc_id"] == ""
    assert not any(vpc["meant"] for vpc in result["vpcs"])


def test_the_network_is_found_by_its_tag(aws: Any) -> None:
    ec2 = aws.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=tag("vpc"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.20.0.0/19", TagSpecifications=tag("subnet", Name="lab-a"))
    subnet_id = subnet["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet_id, AllocationId=address)["NatGateway"]["NatGatewayId"]
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet_id)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)
    network = aws.run(ec2_network_info, tags=TAGS)["network"]
    assert network["vpc_id"] == vpc_id
    assert not network["dns"]
    assert [(net["id"], net["tags"]["Name"]) for net in network["subnets"]] == [(subnet_id, "lab-a")]
    assert [net["subnet_id"] for net in network["nat_gateways"]] == [subnet_id]
    ours = next(found for found in network["route_tables"] if found["id"] == table)
    assert ours["subnet_ids"] == [subnet_id]
    assert {"destination": "0.0.0.0/0", "target": gateway, "state": "active"} in ours["routes"]


def test_a_vpc_of_somebody_else_can_be_meant_by_its_id(aws: Any) -> None:
    vpc_id = aws.client("ec2").create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    assert aws.run(ec2_network_info, tags=TAGS, vpc_id=vpc_id)["network"]["vpc_id"] == vpc_id


def test_two_vpcs_of_one_name_are_not_guessed_between(aws: Any) -> None:
    for cidr in ("10.20.0.0/16", "10.30.0.0/16"):
        aws.client("ec2").create_vpc(CidrBlock=cidr, TagSpecifications=tag("vpc"))
    result = aws.run(ec2_network_info, tags=TAGS)
    assert [vpc["meant"] for vpc in result["vpcs"]].count(True) == 2
    assert result["network"]["vpc_id"] == ""


def test_types_are_described_and_unknown_ones_listed(aws: Any) -> None:
    result = aws.run(ec2_instance_type_info, instance_types=["t4g.medium", "t3.medium", "t9.huge"])
    assert result["unknown"] == ["t9.huge"]
    assert result["instance_types"]["t4g.medium"]["architecture"] == "arm64"
    assert result["instance_types"]["t3.medium"]["architecture"] == "x86_64"
    assert result["instance_types"]["t3.medium"]["memory_mib"] == 4096


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_client: Any, operation: str, _params: dict[str, Any]) -> Any:
        error: Any = {"Error": {"Code": "UnauthorizedOperation", "Message": "not yours"}}
        raise ClientError(error, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)


def test_what_ec2_does_not_tell_is_said(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch)
    assert "not yours" in aws.run(ec2_network_info, tags=TAGS)["msg"]
    assert "The instance types can't be read" in aws.run(ec2_instance_type_info, instance_types=["t3.medium"])["msg"]
