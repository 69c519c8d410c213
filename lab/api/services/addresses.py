# SPDX-License-Identifier: GPL-3.0-or-later
"""Private addresses: unique within a subnet, and network interfaces of their own for managed services.

moto draws a random address for an interface that asks for none, which can collide; AWS gives the next free one.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.models.elastic_network_interfaces import NetworkInterface, NetworkInterfaceBackend

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.patching import wraps


@wraps(NetworkInterface, "__init__")
def _take_a_free_address(
    original: Any, interface: Any, ec2: Any, subnet: Any, address: Any, addresses: Any = None, **kwargs: Any
) -> None:
    subnet = ec2.get_subnet(subnet) if isinstance(subnet, str) else subnet
    wanted = address[0] if isinstance(address, list) and address else address
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
