# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ec2_route_tables against moto."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import ec2_route_tables

TAGS = {"freehold:environment": "lab"}


class Network:
    """A VPC with two subnets, a NAT gateway in each, and an internet gateway."""

    def __init__(self, aws: Any) -> None:
        self.aws = aws
        self.ec2 = aws.client("ec2")
        self.vpc_id = self.ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            self.ec2.create_subnet(VpcId=self.vpc_id, CidrBlock=cidr)["Subnet"]["SubnetId"]
            for cidr in ("10.20.0.0/24", "10.20.1.0/24")
        ]
        self.gateways = []
        for subnet_id in self.subnets:
            address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
            gateway = self.ec2.create_nat_gateway(SubnetId=subnet_id, AllocationId=address)
            self.gateways.append(gateway["NatGateway"]["NatGatewayId"])
        self.internet = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=self.internet, VpcId=self.vpc_id)

    def table(self, name: str, subnets: list[int], gateway: int) -> dict[str, Any]:
        return {
            "name": name,
            "subnet_ids": [self.subnets[number] for number in subnets],
            "routes": [{"dest": "0.0.0.0/0", "nat_gateway_id": self.gateways[gateway]}],
        }

    def public_table(self, name: str, subnets: list[int]) -> dict[str, Any]:
        return {**self.table(name, subnets, 0), "routes": [{"dest": "0.0.0.0/0", "gateway_id": self.internet}]}

    def run(self, *tables: dict[str, Any], check: bool = False) -> dict[str, Any]:
        result: dict[str, Any] = self.aws.run(
            ec2_route_tables, check=check, vpc_id=self.vpc_id, name_prefix="lab-", tables=list(tables), tags=TAGS
        )
        return result

    def ways(self) -> dict[str, str]:
        """Where each subnet's default route leads, by the subnet's number."""
        ways = {}
        for table in self.ec2.describe_route_tables()["RouteTables"]:
            for link in table["Associations"]:
                if link.get("SubnetId") in self.subnets:
                    route = next(way for way in table["Routes"] if way.get("DestinationCidrBlock") == "0.0.0.0/0")
                    ways[link["SubnetId"]] = route.get("NatGatewayId") or route["GatewayId"]
        return ways


@pytest.fixture
def network(aws: Any) -> Network:
    return Network(aws)


def test_tables_are_made_with_their_routes_and_subnets(network: Network) -> None:
    assert network.run(network.table("private", [0, 1], 0))["changed"]
    assert network.ways() == dict.fromkeys(network.subnets, network.gateways[0])


def test_a_second_run_writes_nothing(network: Network) -> None:
    network.run(network.table("private", [0, 1], 0))
    assert not network.run(network.table("private", [0, 1], 0))["changed"]
    assert network.aws.writes == []


def test_a_subnet_moves_to_another_table_without_being_cut_off(network: Network) -> None:
    network.run(network.table("private", [0, 1], 0))
    network.run(network.table("private-b", [1], 1))
    assert "ReplaceRouteTableAssociation" in network.aws.writes
    assert "DisassociateRouteTable" not in network.aws.writes
    assert network.ways() == dict(zip(network.subnets, network.gateways, strict=True))
    assert not network.run(network.table("private-b", [1], 1))["changed"]
    assert network.aws.writes == []


def test_another_gateway_replaces_the_route(network: Network) -> None:
    network.run(network.table("private", [0], 0))
    result = network.aws.settles(partial(network.run, network.table("private", [0], 1)), ["ReplaceRoute"])
    assert result["changes"] == [
        {"name": "lab-private 0.0.0.0/0", "current": network.gateways[0], "desired": network.gateways[1]}
    ]


def test_a_public_table_leads_to_the_internet_gateway(network: Network) -> None:
    result = network.run(network.public_table("public", [0, 1]))
    assert result["changes"][1] == {"name": "lab-public 0.0.0.0/0", "current": "", "desired": network.internet}
    (request,) = network.aws.asked("CreateRoute")
    assert request.pop("RouteTableId").startswith("rtb-")
    assert request == {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": network.internet}
    assert network.ways() == dict.fromkeys(network.subnets, network.internet)


@pytest.mark.parametrize("check", [False, True])
def test_a_public_table_that_is_there_is_not_written_again(network: Network, check: bool) -> None:
    network.run(network.public_table("public", [0, 1]))
    result = network.run(network.public_table("public", [0, 1]), check=check)
    assert (result["changed"], result["changes"]) == (False, [])
    assert network.aws.writes == []


def test_check_mode_makes_no_public_table(network: Network) -> None:
    result = network.run(network.public_table("public", [0]), check=True)
    assert [change["desired"] for change in result["changes"]] == ["route table", network.internet, ""]
    assert network.aws.writes == []


@pytest.mark.parametrize("to_internet", [True, False], ids=["NAT to internet", "internet to NAT"])
def test_a_route_that_leads_to_another_kind_of_gateway_is_replaced_in_one_request(
    network: Network, to_internet: bool
) -> None:
    private, public = network.table("way", [0], 0), network.public_table("way", [0])
    before, after = (private, public) if to_internet else (public, private)
    nat, internet = network.gateways[0], network.internet
    current, desired = (nat, internet) if to_internet else (internet, nat)
    network.run(before)
    did = network.aws.settles(partial(network.run, after), ["ReplaceRoute"])
    assert did["changes"] == [{"name": "lab-way 0.0.0.0/0", "current": current, "desired": desired}]
    (request,) = network.aws.asked("ReplaceRoute")
    assert request.pop("RouteTableId").startswith("rtb-")
    option = "GatewayId" if to_internet else "NatGatewayId"
    assert request == {"DestinationCidrBlock": "0.0.0.0/0", option: desired}


def test_a_subnet_that_is_not_wanted_is_taken_away(network: Network) -> None:
    network.run(network.table("private", [0, 1], 0))
    network.aws.settles(partial(network.run, network.table("private", [0], 0)), ["DisassociateRouteTable"])
    assert list(network.ways()) == [network.subnets[0]]


def test_routes_of_somebody_else_stay(network: Network) -> None:
    network.run(network.table("private", [0], 0))
    table = next(
        found["RouteTableId"]
        for found in network.ec2.describe_route_tables()["RouteTables"]
        if any(link.get("SubnetId") == network.subnets[0] for link in found["Associations"])
    )
    network.ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.99.0.0/16", NatGatewayId=network.gateways[1])
    assert not network.run(network.table("private", [0], 0))["changed"]


def test_check_mode_writes_nothing(network: Network) -> None:
    result = network.run(network.table("private", [0], 0), check=True)
    assert len(result["changes"]) == 3
    assert network.aws.writes == []


def test_check_mode_says_of_what_is_there_what_would_become_of_it(network: Network) -> None:
    network.run(network.table("private", [0], 0))
    assert not network.run(network.table("private", [0], 0), check=True)["changed"]
    changed = network.table("private", [1], 1)
    network.run(changed, check=True)
    assert network.ways() == {network.subnets[0]: network.gateways[0]}
    writes = ["ReplaceRoute", "AssociateRouteTable", "DisassociateRouteTable"]
    did = network.aws.settles(partial(network.run, changed), writes)
    assert did["diff"][0] == {
        "before_header": "lab-private 0.0.0.0/0",
        "after_header": "lab-private 0.0.0.0/0",
        "before": f"{network.gateways[0]}\n",
        "after": f"{network.gateways[1]}\n",
    }


def test_a_new_table_carries_its_name_and_the_environment(network: Network) -> None:
    network.run(network.table("private", [0], 0))
    ((tags,),) = [request["TagSpecifications"] for request in network.aws.asked("CreateRouteTable")]
    assert tags["ResourceType"] == "route-table"
    assert {tag["Key"]: tag["Value"] for tag in tags["Tags"]} == {**TAGS, "Name": "lab-private"}


def test_a_table_of_another_environment_is_not_taken_for_it(network: Network) -> None:
    theirs = network.ec2.create_route_table(
        VpcId=network.vpc_id,
        TagSpecifications=[{"ResourceType": "route-table", "Tags": [{"Key": "Name", "Value": "lab-private"}]}],
    )["RouteTable"]["RouteTableId"]
    network.run(network.table("private", [0], 0))
    (table,) = network.ec2.describe_route_tables(RouteTableIds=[theirs])["RouteTables"]
    assert [route for route in table["Routes"] if route["GatewayId"] != "local"] == []
    assert table["Associations"] == []


def test_what_ec2_refuses_is_said(network: Network) -> None:
    table = network.table("private", [0], 0)
    result = network.run({**table, "subnet_ids": ["subnet-0123456789abcdef0"]})
    assert result["msg"].startswith("The route tables can't be set")
