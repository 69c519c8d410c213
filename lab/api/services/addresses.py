# SPDX-License-Identifier: GPL-3.0-or-later
"""Private addresses: unique within a subnet, and network interfaces of their own for managed services.

moto draws a random address for an interface that asks for none, which can collide; AWS gives the next free one.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from moto.ec2.models.elastic_network_interfaces import NetworkInterface, NetworkInterfaceBackend
from moto.ec2.models.nat_gateways import NatGateway, NatGatewayBackend
from moto.ec2.models.subnets import Subnet

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import checks
from lab.api.patching import wraps
from lab.api.request import AwsRequest
from lab.api.state import current

# A subnet's first four addresses belong to AWS, and its last one.
_RESERVED = 4


@wraps(Subnet, "get_available_subnet_ip")
def _longest_unused_address(original: Any, subnet: Any, instance: Any) -> str:
    """Addresses that were never used come first: one that was given back may belong to a machine that still stops."""
    for address in subnet._subnet_ip_generator:
        if str(address) in subnet._subnet_ips or address == subnet.cidr.broadcast_address:
            continue
        subnet._unused_ips.discard(str(address))
        subnet._subnet_ips[str(address)] = instance
        return str(address)
    if not subnet._unused_ips:
        message = f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number."
        raise AwsError("InsufficientFreeAddressesInSubnet", message)
    return str(original(subnet, instance))


@wraps(NetworkInterface, "__init__")
def _take_a_free_address(
    original: Any, interface: Any, ec2: Any, subnet: Any, address: Any, addresses: Any = None, **kwargs: Any
) -> None:
    subnet = ec2.get_subnet(subnet) if isinstance(subnet, str) else subnet
    wanted = address[0] if isinstance(address, list) and address else address
    # moto's NAT gateways ask for an address of nowhere; what a caller asks for was checked before.
    if wanted and ipaddress.ip_address(str(wanted)) not in subnet.cidr:
        wanted = None
    if not wanted and not addresses:
        address = subnet.get_available_subnet_ip(interface)
    elif wanted and str(wanted) not in subnet._subnet_ips:
        subnet.request_ip(str(wanted), interface)
    original(interface, ec2, subnet, address, addresses, **kwargs)


@wraps(NetworkInterfaceBackend, "delete_network_interface")
def _give_the_address_back(original: Any, ec2: Any, eni_id: str) -> None:
    interface = ec2.enis.get(eni_id)
    if interface is not None and interface.attachment_id and interface.requester_managed:
        raise AwsError("OperationNotPermitted", f"You are not allowed to manage '{eni_id}'.")
    original(ec2, eni_id)
    if interface is not None:
        for entry in interface.private_ip_addresses:
            interface.subnet.del_subnet_ip(entry["PrivateIpAddress"])


@wraps(NatGateway, "__init__")
def _begin_as_pending(original: Any, gateway: Any, *args: Any, **kwargs: Any) -> None:
    original(gateway, *args, **kwargs)
    gateway.state = "pending"

    def apply(state: str) -> None:
        gateway.state = state

    current().lifecycle.begin("nat_gateway", gateway.id, "available", apply)
    # The lab's machine routes for all of them, so that there is nothing to become ready.
    current().lifecycle.observe("nat_gateway", gateway.id, "available")


@wraps(NatGatewayBackend, "delete_nat_gateway")
def _give_the_interface_back(original: Any, ec2: Any, nat_gateway_id: str) -> Any:
    """moto keeps the interface of a gateway that is gone, so that its subnet could never be deleted."""
    gateway = original(ec2, nat_gateway_id)
    current().lifecycle.forget("nat_gateway", nat_gateway_id)
    if gateway._eni.id in ec2.enis:
        ec2.delete_network_interface(gateway._eni.id)
    return gateway


@checks("ec2", "CreateNetworkInterface", "RunInstances")
def refuse_an_address_that_is_not_free(request: AwsRequest) -> None:
    """An address that is asked for must lie in the subnet, be none of the five that AWS keeps, and be free."""
    params = request.params
    address, subnet_id = params.get("PrivateIpAddress"), params.get("SubnetId")
    if not address or not subnet_id:
        return
    subnet = backends.ec2(request.region).get_subnet(subnet_id)
    wanted = ipaddress.ip_address(str(address))
    first, last = subnet.cidr.network_address, subnet.cidr.broadcast_address
    if wanted not in subnet.cidr:
        raise AwsError("InvalidParameterValue", f"Address {address} does not fall within the subnet's address range")
    if wanted < first + _RESERVED or wanted == last:
        raise AwsError("InvalidParameterValue", f"Address {address} is in subnet's reserved address range")
    if str(wanted) in subnet._subnet_ips:
        raise AwsError("InvalidIPAddress.InUse", f"Address {address} is in use.")


def create_service_interface(region: str, subnet_id: str, description: str, groups: list[str], requester: str) -> Any:
    """Make the network interface of a managed service (database, cache, load balancer) and return moto's model."""
    ec2 = backends.ec2(region)
    interface = ec2.create_network_interface(
        ec2.get_subnet(subnet_id), [], group_ids=list(groups), description=description
    )
    interface.requester_managed = True
    interface.requester_id = requester
    interface.status = "in-use"
    return interface


def delete_service_interface(region: str, eni_id: str) -> None:
    """Remove what `create_service_interface` made, if it is still there."""
    ec2 = backends.ec2(region)
    if eni_id in ec2.enis:
        ec2.delete_network_interface(eni_id)
