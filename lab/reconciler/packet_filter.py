# SPDX-License-Identifier: GPL-3.0-or-later
"""From security groups and routes to nftables rules for one machine's network namespace. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.reconciler.snapshot import Permission, SecurityGroup, Snapshot, reserved_address

TABLE = "inet freehold_lab"
_EVERYWHERE = "0.0.0.0/0"
# What no security group of AWS filters: metadata, time and the VPC's own resolver.
_LINK_LOCAL = "169.254.0.0/16"
_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp"}


@dataclass(frozen=True)
class Interface:
    """One address of a machine, with the security groups that guard it."""

    address: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Guarded:
    """A machine as the network sees it."""

    interfaces: tuple[Interface, ...]
    vpc_cidr: str
    # Whether its subnet has a way out of the VPC.
    leaves_vpc: bool


def members(snapshot: Snapshot) -> dict[str, list[str]]:
    """Security group -> the addresses in it: what a rule means that names a group."""
    found: dict[str, set[str]] = {}

    def add(address: str | None, groups: Iterable[str]) -> None:
        for group in groups if address else ():
            found.setdefault(group, set()).add(str(address))

    for instance in snapshot["instances"]:
        add(instance["private_ip"], instance["security_groups"])
    for thing in [*snapshot["databases"], *snapshot["caches"], *snapshot.get("connect_endpoints", [])]:
        add(thing["private_ip"], thing["security_groups"])
    for file_system in snapshot["file_systems"]:
        for target in file_system["mount_targets"]:
            add(target["ip"], target["security_groups"])
    for balancer in snapshot["load_balancers"]:
        for address in balancer["ips"]:
            add(address, balancer["security_groups"])
    return {group: sorted(addresses) for group, addresses in found.items()}


def render(guarded: Guarded, groups: Mapping[str, SecurityGroup], in_group: Mapping[str, Sequence[str]]) -> str:
    """The whole table, replacing the one before in one transaction.

    It stands where an elastic network interface would: before the machine's own filters and address translation on
    the way in, behind them on the way out. So nothing that a machine does to its own rules opens it.
    """
    lines = [
        f"table {TABLE}",
        f"delete table {TABLE}",
        f"table {TABLE} {{",
        "chain ingress {",
        "type filter hook prerouting priority mangle; policy accept;",
        'iifname != "eth0" accept',
        "ct state established,related accept",
        f"ip saddr {_LINK_LOCAL} accept",
    ]
    for interface in guarded.interfaces:
        to_it = f"ip daddr {interface.address} " if len(guarded.interfaces) > 1 else ""
        for permission in _permissions(interface, groups, "ingress"):
            lines += [f"{to_it}{match}" for match in _matches(permission, "saddr", in_group)]
    lines += [
        "drop",
        "}",
        "chain egress {",
        "type filter hook postrouting priority srcnat + 10; policy accept;",
        'oifname != "eth0" accept',
        "ct state established,related accept",
        f"ip daddr {{ {_LINK_LOCAL}, {_lab_services(guarded.vpc_cidr)} }} accept",
    ]
    if not guarded.leaves_vpc:
        lines.append(f"ip daddr != {guarded.vpc_cidr} drop")
    for interface in guarded.interfaces:
        from_it = f"ip saddr {interface.address} " if len(guarded.interfaces) > 1 else ""
        for permission in _permissions(interface, groups, "egress"):
            lines += [f"{from_it}{match}" for match in _matches(permission, "daddr", in_group)]
    return "\n".join([*lines, "drop", "}", "}"]) + "\n"


def _lab_services(cidr: str) -> str:
    # The resolver, which is also every AWS endpoint, and the registry: reached through VPC endpoints on AWS.
    return f"{reserved_address(cidr, 2)}, {reserved_address(cidr, 3)}"


def _permissions(interface: Interface, groups: Mapping[str, SecurityGroup], way: str) -> list[Permission]:
    found: list[Permission] = []
    for group in interface.groups:
        if group in groups:
            found += groups[group]["ingress"] if way == "ingress" else groups[group]["egress"]
    return found


def _matches(permission: Permission, side: str, in_group: Mapping[str, Sequence[str]]) -> list[str]:
    addresses = [*permission["cidrs"]]
    for group in permission["groups"]:
        addresses += in_group.get(group, [])
    blocks = _collapsed(addresses)
    if not blocks:
        return []
    where = "" if blocks == [_EVERYWHERE] else f"ip {side} {{ {', '.join(blocks)} }} "
    return [f"{where}{_protocol(permission)}accept"]


def _collapsed(addresses: Iterable[str]) -> list[str]:
    """Without overlaps, which nftables refuses; IPv6 does not exist in the lab."""
    networks = [ipaddress.ip_network(address, strict=False) for address in addresses]
    return [str(block) for block in ipaddress.collapse_addresses(n for n in networks if n.version == 4)]


def _protocol(permission: Permission) -> str:
    protocol = _PROTOCOLS.get(permission["protocol"], permission["protocol"])
    low, high = permission["from"], permission["to"]
    if protocol == "-1":
        return ""
    if protocol in ("tcp", "udp"):
        if low is None or low < 0 or (low, high) == (0, 65535):
            return f"meta l4proto {protocol} "
        ports = str(low) if high in (None, low) else f"{low}-{high}"
        return f"{protocol} dport {ports} "
    if protocol == "icmp":
        return "meta l4proto icmp " if low is None or low < 0 else f"icmp type {low} "
    return f"meta l4proto {protocol} "
