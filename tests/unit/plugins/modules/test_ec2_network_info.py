# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules ec2_network_info and ec2_instance_type_info against moto."""

from __future__ import annotations

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
    other = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.20.0.0/19", TagSpecifications=tag("subnet", Name="lab-a"))
    subnet_id = subnet["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet_id, AllocationId=address)["NatGateway"]["NatGatewayId"]
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet_id)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)
    door = ec2.create_internet_gateway(TagSpecifications=tag("internet-gateway"))["InternetGateway"]
    ec2.attach_internet_gateway(InternetGatewayId=door["InternetGatewayId"], VpcId=vpc_id)
    endpoint, _theirs = (
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName="com.amazonaws.eu-west-1.s3",
            RouteTableIds=tables,
            TagSpecifications=tag("vpc-endpoint"),
        )["VpcEndpoint"]["VpcEndpointId"]
        for vpc, tables in ((vpc_id, [table]), (other, []))
    )
    # AWS shows a deleted gateway for an hour.
    gone = ec2.create_nat_gateway(SubnetId=subnet_id, ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    ec2.delete_nat_gateway(NatGatewayId=gone)
    network = aws.run(ec2_network_info, tags=TAGS)["network"]
    assert aws.writes == []
    [ours] = [found for found in network.pop("route_tables") if found["id"] == table]
    assert network == {
        "vpc_id": vpc_id,
        "dns": False,
        "subnets": [
            {
                "id": subnet_id,
                "zone": subnet["Subnet"]["AvailabilityZone"],
                "cidr": "10.20.0.0/19",
                "tags": {**TAGS, "Name": "lab-a"},
            }
        ],
        "internet_gateways": [{"id": door["InternetGatewayId"], "tags": TAGS}],
        "nat_gateways": [{"id": gateway, "subnet_id": subnet_id, "state": "available", "tags": {}}],
        "endpoints": [
            {"id": endpoint, "service": "com.amazonaws.eu-west-1.s3", "route_table_ids": [table], "tags": TAGS}
        ],
    }
    assert (ours["subnet_ids"], ours["tags"]) == ([subnet_id], {})
    assert {"destination": "0.0.0.0/0", "target": gateway, "state": "active"} in ours["routes"]


@pytest.mark.parametrize(("support", "names"), [(True, True), (True, False), (False, True)])
def test_a_vpc_has_dns_when_both_of_its_attributes_are_on(aws: Any, support: bool, names: bool) -> None:
    ec2 = aws.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=tag("vpc"))["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": support})
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": names})
    assert aws.run(ec2_network_info, tags=TAGS)["network"]["dns"] is (support and names)


def test_a_vpc_and_a_subnet_on_the_second_page_are_found(aws: Any) -> None:
    ec2 = aws.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=tag("vpc"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.20.0.0/19")["Subnet"]
    vpcs = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    aws.answers["DescribeVpcs"] = [{"Vpcs": [], "NextToken": "more"}, {"Vpcs": vpcs}]
    aws.answers["DescribeSubnets"] = [{"Subnets": [], "NextToken": "more"}, {"Subnets": [subnet]}]
    network = aws.run(ec2_network_info, tags=TAGS)["network"]
    assert (network["vpc_id"], [net["id"] for net in network["subnets"]]) == (vpc_id, [subnet["SubnetId"]])


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
    zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    described = {"architecture": "x86_64", "memory_mib": 4096, "vcpus": 2, "zones": zones}
    assert result["instance_types"]["t3.medium"] == described


def test_only_zones_that_offer_a_type_are_its_zones(aws: Any) -> None:
    offers = [{"InstanceType": "t3.medium", "Location": f"eu-west-1{zone}"} for zone in "ca"]
    aws.answers["DescribeInstanceTypeOfferings"] = [
        {"InstanceTypeOfferings": offers[:1], "NextToken": "more"},
        {"InstanceTypeOfferings": offers[1:]},
    ]
    found = aws.run(ec2_instance_type_info, instance_types=["t3.medium", "t4g.medium"])["instance_types"]
    zones = {name: described["zones"] for name, described in found.items()}
    assert zones == {"t3.medium": ["eu-west-1a", "eu-west-1c"], "t4g.medium": []}
    asked = [request["LocationType"] for request in aws.asked("DescribeInstanceTypeOfferings")]
    assert asked == ["availability-zone"] * 2


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_client: Any, operation: str, _params: dict[str, Any]) -> Any:
        error: Any = {"Error": {"Code": "UnauthorizedOperation", "Message": "not yours"}}
        raise ClientError(error, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)


def test_what_ec2_does_not_tell_is_said(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch)
    assert "not yours" in aws.run(ec2_network_info, tags=TAGS)["msg"]
    assert "The instance types can't be read" in aws.run(ec2_instance_type_info, instance_types=["t3.medium"])["msg"]
