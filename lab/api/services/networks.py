# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 networks: the refusals that moto lacks."""

from __future__ import annotations

import ipaddress

from lab.api.errors import AwsError
from lab.api.operations import checks
from lab.api.request import AwsRequest

_LARGEST_PREFIX = 16
_SMALLEST_PREFIX = 28


@checks("ec2", "CreateVpc", "AssociateVpcCidrBlock")
def refuse_a_vpc_range_of_wrong_size(request: AwsRequest) -> None:
    """A VPC is between /16 and /28, https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html."""
    cidr = request.params.get("CidrBlock")
    if not cidr:
        return
    network = _network(str(cidr))
    if not _LARGEST_PREFIX <= network.prefixlen <= _SMALLEST_PREFIX:
        raise AwsError("InvalidVpc.Range", f"The CIDR '{cidr}' is invalid.")


@checks("ec2", "CreateSubnet")
def refuse_a_subnet_range_of_wrong_size(request: AwsRequest) -> None:
    """A subnet is between /16 and /28 and begins at its own network address."""
    cidr = request.params.get("CidrBlock")
    if not cidr:
        return
    network = _network(str(cidr))
    if not _LARGEST_PREFIX <= network.prefixlen <= _SMALLEST_PREFIX:
        raise AwsError("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid.")


def _network(cidr: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(cidr)
    except ValueError:
        message = f"Value ({cidr}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        raise AwsError("InvalidParameterValue", message) from None
