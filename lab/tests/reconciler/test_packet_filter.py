# SPDX-License-Identifier: GPL-3.0-or-later
"""What security groups and routes become in a machine's packet filter."""

from __future__ import annotations

from typing import Any, cast

import pytest

from lab.reconciler.packet_filter import Guarded, Interface, members, render
from lab.reconciler.snapshot import Permission, SecurityGroup


def permission(**changes: Any) -> Permission:
    values: Any = {"protocol": "tcp", "from": 443, "to": 443, "cidrs": ["0.0.0.0/0"], "groups": []}
    return cast(Permission, {**values, **changes})


def security_group(ingress: list[Permission], egress: list[Permission]) -> SecurityGroup:
    return {"id": "sg-1", "vpc_id": "vpc-1", "ingress": ingress, "egress": egress}


def guarded(*addresses: str, leaves: bool = True) -> Guarded:
    return Guarded(tuple(Interface(address, ("sg-1",)) for address in addresses), "10.20.0.0/16", leaves)


def chain(text: str, name: str) -> list[str]:
    lines = text.splitlines()
    start = lines.index(f"chain {name} {{")
    return lines[start + 1 : lines.index("}", start)]


def rules(*ingress: Permission, in_group: dict[str, list[str]] | None = None) -> list[str]:
    """The ingress chain's own rules, without its frame."""
    group = security_group(list(ingress), [])
    lines = chain(render(guarded("10.20.1.4"), {"sg-1": group}, in_group or {}), "ingress")
    return lines[4:-1]


def test_what_no_rule_allows_is_dropped_both_ways() -> None:
    text = render(guarded("10.20.1.4"), {"sg-1": security_group([], [])}, {})
    assert chain(text, "ingress")[-1] == "drop"
    assert chain(text, "egress")[-1] == "drop"


def test_answers_to_allowed_connections_pass() -> None:
    text = render(guarded("10.20.1.4"), {}, {})
    assert all("ct state established,related accept" in chain(text, name) for name in ("ingress", "egress"))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, "tcp dport 443 accept"),
        ({"from": 8000, "to": 8100, "cidrs": ["10.20.1.0/24"]}, "ip saddr { 10.20.1.0/24 } tcp dport 8000-8100 accept"),
        ({"from": 0, "to": 65535}, "meta l4proto tcp accept"),
        ({"protocol": "-1", "from": None, "to": None, "cidrs": ["10.0.0.0/8"]}, "ip saddr { 10.0.0.0/8 } accept"),
        ({"protocol": "icmp", "from": -1, "to": -1}, "meta l4proto icmp accept"),
        ({"protocol": "17", "from": 53, "to": 53}, "udp dport 53 accept"),
    ],
)
def test_a_permission_becomes_a_rule(changes: dict[str, Any], rule: str) -> None:
    assert rules(permission(**changes)) == [rule]


def test_a_group_means_the_addresses_of_its_members() -> None:
    named = permission(cidrs=[], groups=["sg-2"])
    assert rules(named, in_group={"sg-2": ["10.20.1.9", "10.20.2.9"]}) == [
        "ip saddr { 10.20.1.9/32, 10.20.2.9/32 } tcp dport 443 accept"
    ]


def test_a_group_without_members_allows_nobody() -> None:
    assert rules(permission(cidrs=[], groups=["sg-2"])) == []


def test_overlapping_blocks_are_joined_because_nftables_refuses_them() -> None:
    assert rules(permission(cidrs=["10.20.0.0/16", "10.20.1.0/24"])) == [
        "ip saddr { 10.20.0.0/16 } tcp dport 443 accept"
    ]


def test_a_subnet_without_a_way_out_reaches_the_vpc_only() -> None:
    everything = permission(protocol="-1", cidrs=["0.0.0.0/0"])
    group = security_group([], [everything])
    inside = chain(render(guarded("10.20.1.4", leaves=False), {"sg-1": group}, {}), "egress")
    outside = chain(render(guarded("10.20.1.4"), {"sg-1": group}, {}), "egress")
    assert "ip daddr != 10.20.0.0/16 drop" in inside
    assert inside.index("ip daddr != 10.20.0.0/16 drop") < inside.index("accept")
    assert "ip daddr != 10.20.0.0/16 drop" not in outside


def test_resolver_metadata_and_registry_are_always_reached() -> None:
    text = render(guarded("10.20.1.4", leaves=False), {}, {})
    assert "ip daddr { 169.254.0.0/16, 10.20.0.2, 10.20.0.3 } accept" in chain(text, "egress")


def test_each_address_of_a_machine_has_the_rules_of_its_own_groups() -> None:
    two = Guarded((Interface("10.20.1.4", ("sg-1",)), Interface("10.20.2.4", ("sg-2",))), "10.20.0.0/16", False)
    groups = {
        "sg-1": security_group([permission()], []),
        "sg-2": security_group([permission(**{"from": 2049, "to": 2049})], []),
    }
    text = chain(render(two, groups, {}), "ingress")
    assert "ip daddr 10.20.1.4 tcp dport 443 accept" in text
    assert "ip daddr 10.20.2.4 tcp dport 2049 accept" in text


def test_everything_with_a_private_address_is_a_member_of_its_groups() -> None:
    snapshot: Any = {
        "instances": [
            {"private_ip": "10.0.0.4", "security_groups": ["a"]},
            {"private_ip": None, "security_groups": ["a"]},
        ],
        "databases": [{"private_ip": "10.0.0.5", "security_groups": ["b"]}],
        "caches": [],
        "connect_endpoints": [{"private_ip": "10.0.0.6", "security_groups": ["a", "b"]}],
        "file_systems": [{"mount_targets": [{"ip": "10.0.0.7", "security_groups": ["c"]}]}],
        "load_balancers": [{"ips": ["10.0.0.8", "10.0.1.8"], "security_groups": ["c"]}],
    }
    assert members(snapshot) == {
        "a": ["10.0.0.4", "10.0.0.6"],
        "b": ["10.0.0.5", "10.0.0.6"],
        "c": ["10.0.0.7", "10.0.0.8", "10.0.1.8"],
    }
