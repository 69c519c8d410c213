# SPDX-License-Identifier: GPL-3.0-or-later
"""Network interfaces of managed services."""

from __future__ import annotations

from lab.tests.api.conftest import Network, RunningLab


def test_the_interface_of_a_nat_gateway_goes_with_it(running: RunningLab, network: Network) -> None:
    ec2 = running.client("ec2")
    subnet_id = network.subnet_ids[0]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet_id, AllocationId=address)["NatGateway"]["NatGatewayId"]
    in_subnet = [{"Name": "subnet-id", "Values": [subnet_id]}]
    assert len(ec2.describe_network_interfaces(Filters=in_subnet)["NetworkInterfaces"]) == 1
    ec2.delete_nat_gateway(NatGatewayId=gateway)
    assert ec2.describe_network_interfaces(Filters=in_subnet)["NetworkInterfaces"] == []
