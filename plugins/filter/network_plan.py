# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The network an environment wants, and how it differs from what ec2_network_info answers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

# A VPC is cut into eight equal blocks: four for public subnets, four for private ones. A zone that is added later takes
# the next block, so no subnet ever moves.
BLOCK_BITS = 3
MOST_ZONES = 4
# AWS allows VPCs of /16 to /28; a load balancer wants subnets of at least /27, so the smallest VPC here is a /24.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html
LARGEST_PREFIX = 16
SMALLEST_PREFIX = 24

EVERYWHERE = "0.0.0.0/0"
# How a subnet says what it is for.
KIND_TAG = "freehold:subnet"


def _network(cidr: Any) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise AnsibleFilterError(
            f"'{cidr}' is not an IPv4 network in CIDR form ({error}). Change network_cidr."
        ) from error


def overlapping_cidrs(cidr: str, others: Iterable[str]) -> list[str]:
    """Return those of the other networks that share an address with the first."""
    network = _network(cidr)
    return [other for other in others if network.overlaps(_network(other))]


def subnet_plan(cidr: str, zones: Iterable[str]) -> list[dict[str, str]]:
    """Return one public and one private subnet for every zone, each as kind, zone and cidr."""
    network = _network(cidr)
    zone_names = list(zones)
    if not LARGEST_PREFIX <= network.prefixlen <= SMALLEST_PREFIX:
        raise AnsibleFilterError(
            f"{cidr} can't be the network of an environment: it must be a /{LARGEST_PREFIX} (65,536 addresses) to a"
            f" /{SMALLEST_PREFIX} (256 addresses). Change network_cidr."
        )
    if len(zone_names) > MOST_ZONES:
        raise AnsibleFilterError(
            f"{len(zone_names)} zones are wanted, but a network is cut for at most {MOST_ZONES}. Change"
            " network_zones or network_zone_count."
        )
    blocks = list(network.subnets(prefixlen_diff=BLOCK_BITS))
    return [
        {"kind": kind, "zone": zone, "cidr": str(blocks[first + position])}
        for first, kind in ((0, "public"), (MOST_ZONES, "private"))
        for position, zone in enumerate(zone_names)
    ]


def subnet_changes(
    plan: Iterable[Mapping[str, str]], network: Mapping[str, Any], environment: str, tags: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the planned subnets that are missing or carry other tags, each with the tags it should have."""
    found = {subnet["cidr"]: subnet for subnet in network["subnets"]}
    changes = []
    for subnet in plan:
        wanted = {**tags, "Name": f"{environment}-{subnet['kind']}-{subnet['zone']}", KIND_TAG: subnet["kind"]}
        current = found.get(subnet["cidr"], {}).get("tags", {})
        if any(current.get(key) != value for key, value in wanted.items()):
            changes.append({**subnet, "tags": wanted})
    return changes


def subnets_of_kind(network: Mapping[str, Any], kind: str) -> list[dict[str, str]]:
    """Return our subnets of one kind as id, zone and cidr, ordered by zone."""
    return _short(subnet for subnet in network["subnets"] if subnet["tags"].get(KIND_TAG) == kind)


def subnets_by_id(network: Mapping[str, Any], ids: Iterable[str]) -> list[dict[str, str]]:
    """Return the subnets of these ids as id, zone and cidr, ordered by zone."""
    wanted = set(ids)
    return _short(subnet for subnet in network["subnets"] if subnet["id"] in wanted)


def _short(subnets: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    short = [{"id": subnet["id"], "zone": subnet["zone"], "cidr": subnet["cidr"]} for subnet in subnets]
    return sorted(short, key=lambda subnet: (subnet["zone"], subnet["cidr"]))


def nat_zones(zones: Iterable[str], nat: str) -> list[str]:
    """Return the zones that have a NAT gateway; I(nat) is V(none), V(one) or V(per_zone)."""
    names = list(zones)
    return {"none": [], "one": names[:1], "per_zone": names}[nat]


def nat_changes(network: Mapping[str, Any], zones: Iterable[str], nat: str) -> list[dict[str, str]]:
    """Return the public subnets (id, zone, cidr) that lack the NAT gateway they should have."""
    served = {gateway["subnet_id"] for gateway in network["nat_gateways"]}
    wanted = nat_zones(zones, nat)
    return [net for net in subnets_of_kind(network, "public") if net["zone"] in wanted and net["id"] not in served]


def route_plan(network: Mapping[str, Any], zones: Iterable[str], nat: str) -> list[dict[str, Any]]:
    """Return the wanted route tables: name, subnet_ids, and routes as ec2_vpc_route_table takes them."""
    zone_names = list(zones)
    public, private = subnets_of_kind(network, "public"), subnets_of_kind(network, "private")
    gateways = {gateway["subnet_id"]: gateway["id"] for gateway in network["nat_gateways"]}
    gateway_of_zone = {subnet["zone"]: gateways[subnet["id"]] for subnet in public if subnet["id"] in gateways}
    internet = [{"dest": EVERYWHERE, "gateway_id": gateway["id"]} for gateway in network["internet_gateways"][:1]]
    tables = [{"name": "public", "subnet_ids": [subnet["id"] for subnet in public], "routes": internet}]
    groups = [[zone] for zone in zone_names] if nat == "per_zone" else [zone_names]
    for group in groups:
        way = [gateway_of_zone[zone] for zone in nat_zones(group, nat) if zone in gateway_of_zone]
        tables.append(
            {
                "name": f"private-{group[0]}" if nat == "per_zone" else "private",
                "subnet_ids": [subnet["id"] for subnet in private if subnet["zone"] in group],
                "routes": [{"dest": EVERYWHERE, "nat_gateway_id": gateway} for gateway in way[:1]],
            }
        )
    return tables


def route_changes(plan: Iterable[Mapping[str, Any]], network: Mapping[str, Any], environment: str) -> list[Any]:
    """Return the planned route tables that are missing, have other subnets, or lack a route."""
    found = {table["tags"].get("Name"): table for table in network["route_tables"]}
    changes = []
    for table in plan:
        current = found.get(f"{environment}-{table['name']}")
        wanted = {(way["dest"], way.get("gateway_id") or way.get("nat_gateway_id")) for way in table["routes"]}
        ways = {(route["destination"], route["target"]) for route in current["routes"]} if current else set()
        if not current or current["subnet_ids"] != sorted(table["subnet_ids"]) or not wanted <= ways:
            changes.append(table)
    return changes


def tables_without_endpoint(network: Mapping[str, Any], service: str) -> list[str]:
    """Return the ids of our route tables from which no gateway endpoint leads to the service."""
    endpoints = [endpoint for endpoint in network["endpoints"] if endpoint["service"] == service]
    served = {table for endpoint in endpoints for table in endpoint["route_table_ids"]}
    ours = (table for table in network["route_tables"] if "freehold:environment" in table["tags"])
    return sorted(table["id"] for table in ours if table["id"] not in served)


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "nat_changes": nat_changes,
            "nat_zones": nat_zones,
            "overlapping_cidrs": overlapping_cidrs,
            "route_changes": route_changes,
            "route_plan": route_plan,
            "subnet_changes": subnet_changes,
            "subnet_plan": subnet_plan,
            "subnets_by_id": subnets_by_id,
            "subnets_of_kind": subnets_of_kind,
            "tables_without_endpoint": tables_without_endpoint,
        }
