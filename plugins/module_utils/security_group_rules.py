# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the rules of security groups. Pure: no AWS call, no Ansible module.

EC2 speaks of permissions, each a protocol and a port range with many peers; people speak of rules. Here a rule is one
:class:`Rule`: one protocol, one port range, one peer. The rules of a group are a set, so that order never matters.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

ALL = "-1"
# EC2's own numbers of protocols that its answers may carry in place of their names.
_PROTOCOL_NAMES = {"6": "tcp", "17": "udp", "1": "icmp", "all": ALL}

_PEERS = {
    # kind of peer: (list in the permission, key of the peer in it)
    "cidr": ("IpRanges", "CidrIp"),
    "cidr6": ("Ipv6Ranges", "CidrIpv6"),
    "group": ("UserIdGroupPairs", "GroupId"),
    "prefix_list": ("PrefixListIds", "PrefixListId"),
}


class RuleError(ValueError):
    """A wanted rule can't be understood; the message is one sentence for the person who wrote it."""


class Rule(NamedTuple):
    """One protocol, one port range (-1 means every port), one peer."""

    protocol: str
    from_port: int
    to_port: int
    kind: str
    peer: str

    def describe(self, names: Mapping[str, str]) -> str:
        """Say the rule in words; I(names) maps group ids to names."""
        ports = "all ports" if self.from_port == -1 else f"{self.from_port}-{self.to_port}"
        if self.from_port == self.to_port != -1:
            ports = str(self.from_port)
        protocol = "all protocols" if self.protocol == ALL else f"{self.protocol} {ports}"
        return f"{protocol} {names.get(self.peer, self.peer)}"


# The description of a rule is not part of what it allows, therefore a value and not part of the key.
Rules = dict[Rule, str]


def wanted_rules(specs: Iterable[Mapping[str, Any]], group_ids: Mapping[str, str]) -> Rules:
    """Turn the rules people write into comparable ones.

    A spec has C(protocol), C(ports) (a list of ports or C("from-to") ranges; none means all), and its peers in
    C(cidrs), C(groups) (keys of I(group_ids)) and C(prefix_lists).
    """
    rules: Rules = {}
    for spec in specs:
        protocol = str(spec.get("protocol") or "tcp").lower()
        protocol = _PROTOCOL_NAMES.get(protocol, protocol)
        description = spec.get("description") or ""
        for from_port, to_port in _port_ranges(protocol, spec.get("ports") or []):
            for kind, peer in _peers(spec, group_ids):
                rules[Rule(protocol, from_port, to_port, kind, peer)] = description
    return rules


def _port_ranges(protocol: str, ports: Iterable[Any]) -> list[tuple[int, int]]:
    ranges = []
    for port in ports:
        first, _dash, last = str(port).partition("-")
        try:
            ranges.append((int(first), int(last or first)))
        except ValueError as error:
            raise RuleError(f"'{port}' is not a port or a range of ports") from error
    if protocol in ("tcp", "udp") and not ranges:
        return [(0, 65535)]
    return ranges or [(-1, -1)]


def _peers(spec: Mapping[str, Any], group_ids: Mapping[str, str]) -> list[tuple[str, str]]:
    peers = [("cidr6" if ":" in cidr else "cidr", cidr) for cidr in spec.get("cidrs") or []]
    peers += [("prefix_list", prefix_list) for prefix_list in spec.get("prefix_lists") or []]
    for group in spec.get("groups") or []:
        if group not in group_ids:
            raise RuleError(f"a rule names the security group '{group}', which is none of {', '.join(group_ids)}")
        peers.append(("group", group_ids[group]))
    return peers


def current_rules(permissions: Iterable[Mapping[str, Any]]) -> Rules:
    """Turn what DescribeSecurityGroups answers (IpPermissions or IpPermissionsEgress) into comparable rules."""
    rules: Rules = {}
    for permission in permissions:
        protocol = str(permission["IpProtocol"])
        protocol = _PROTOCOL_NAMES.get(protocol, protocol)
        from_port, to_port = permission.get("FromPort", -1), permission.get("ToPort", -1)
        if protocol == ALL:
            from_port = to_port = -1
        for kind, (list_name, key) in _PEERS.items():
            for peer in permission.get(list_name) or []:
                rules[Rule(protocol, from_port, to_port, kind, peer[key])] = peer.get("Description") or ""
    return rules


def permissions(rules: Rules) -> list[dict[str, Any]]:
    """Turn rules into the IpPermissions of one call, one permission per protocol and port range."""
    grouped: dict[tuple[str, int, int], dict[str, Any]] = {}
    for rule, description in sorted(rules.items()):
        entry = grouped.setdefault(rule[:3], {"IpProtocol": rule.protocol})
        if rule.protocol != ALL:
            entry["FromPort"], entry["ToPort"] = rule.from_port, rule.to_port
        list_name, key = _PEERS[rule.kind]
        entry.setdefault(list_name, []).append(
            {key: rule.peer, "Description": description} if description else {key: rule.peer}
        )
    return list(grouped.values())


class Difference(NamedTuple):
    """What must happen to one direction of one group."""

    add: Rules
    remove: Rules
    describe: Rules

    def __bool__(self) -> bool:
        return bool(self.add or self.remove or self.describe)


def difference(current: Rules, wanted: Rules) -> Difference:
    """Compare the rules of one direction of one group."""
    return Difference(
        add={rule: text for rule, text in wanted.items() if rule not in current},
        remove={rule: text for rule, text in current.items() if rule not in wanted},
        describe={rule: text for rule, text in wanted.items() if rule in current and current[rule] != text},
    )
