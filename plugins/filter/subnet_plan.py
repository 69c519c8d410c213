# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses of an environment's network, computed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from ansible.errors import AnsibleFilterError

# A VPC is cut into eight equal blocks: four for public subnets, four for private ones. A zone that is added later takes
# the next block, so no subnet ever moves.
BLOCK_BITS = 3
MOST_ZONES = 4
# AWS allows VPCs of /16 to /28; a load balancer wants subnets of at least /27, so the smallest VPC here is a /24.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html
LARGEST_PREFIX, SMALLEST_PREFIX = 16, 24


def _network(cidr: Any) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise AnsibleFilterError(f"'{cidr}' is not an IPv4 network in CIDR form: {error}.") from error


def subnet_plan(cidr: str, zones: Iterable[str]) -> list[dict[str, str]]:
    """Return one public and one private subnet for every zone, each as kind, zone and cidr."""
    network = _network(cidr)
    zone_names = list(zones)
    if not LARGEST_PREFIX <= network.prefixlen <= SMALLEST_PREFIX:
        raise AnsibleFilterError(
            f"{cidr} can't be the network of an environment: it must be a /{LARGEST_PREFIX} (65,536 addresses) to a"
            f" /{SMALLEST_PREFIX} (256 addresses)."
        )
    if len(zone_names) > MOST_ZONES:
        raise AnsibleFilterError(f"{len(zone_names)} zones are wanted, but a network is cut for at most {MOST_ZONES}.")
    blocks = list(network.subnets(prefixlen_diff=BLOCK_BITS))
    return [
        {"kind": kind, "zone": zone, "cidr": str(blocks[first + position])}
        for first, kind in ((0, "public"), (MOST_ZONES, "private"))
        for position, zone in enumerate(zone_names)
    ]


def route_plan(zones: Iterable[str], nat: str) -> list[dict[str, Any]]:
    """Return the route tables: their name, the kind and zones of their subnets, and the zone of their NAT gateway.

    I(nat) is V(none), V(one) or V(per_zone); a table without a NAT gateway has an empty C(nat_zone).
    """
    zone_names = list(zones)
    public = {"name": "public", "kind": "public", "zones": zone_names, "nat_zone": ""}
    if nat == "per_zone":
        private = [
            {"name": f"private-{zone}", "kind": "private", "zones": [zone], "nat_zone": zone} for zone in zone_names
        ]
    else:
        nat_zone = zone_names[0] if nat == "one" else ""
        private = [{"name": "private", "kind": "private", "zones": zone_names, "nat_zone": nat_zone}]
    return [public, *private]


def overlapping_cidrs(cidr: str, others: Iterable[str]) -> list[str]:
    """Return those of the other networks that share an address with the first."""
    network = _network(cidr)
    return [other for other in others if network.overlaps(_network(other))]


def subnet_list(subnets: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Reduce what ec2_vpc_subnet_info answers to id, zone and cidr, ordered by zone."""
    short = [{"id": net["subnet_id"], "zone": net["availability_zone"], "cidr": net["cidr_block"]} for net in subnets]
    return sorted(short, key=lambda net: (net["zone"], net["cidr"]))


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "overlapping_cidrs": overlapping_cidrs,
            "route_plan": route_plan,
            "subnet_list": subnet_list,
            "subnet_plan": subnet_plan,
        }
