# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of security groups, as a table."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils import security_group_rules as rules
from ansible_collections.freehold.airflow.plugins.module_utils.security_group_rules import Rule

IDS = {"webserver": "sg-1", "worker": "sg-2"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ports": [8080], "groups": ["webserver"]}, {Rule("tcp", 8080, 8080, "group", "sg-1")}),
        ({"ports": ["8793-8794"], "cidrs": ["10.0.0.0/8"]}, {Rule("tcp", 8793, 8794, "cidr", "10.0.0.0/8")}),
        ({"cidrs": ["10.0.0.0/8"]}, {Rule("tcp", 0, 65535, "cidr", "10.0.0.0/8")}),
        ({"protocol": "all", "cidrs": ["0.0.0.0/0"]}, {Rule("-1", -1, -1, "cidr", "0.0.0.0/0")}),
        ({"protocol": "all", "cidrs": ["::/0"]}, {Rule("-1", -1, -1, "cidr6", "::/0")}),
        ({"ports": [443], "prefix_lists": ["pl-1"]}, {Rule("tcp", 443, 443, "prefix_list", "pl-1")}),
        (
            {"ports": [80, 443], "groups": ["webserver", "worker"]},
            {Rule("tcp", port, port, "group", group) for port in (80, 443) for group in ("sg-1", "sg-2")},
        ),
    ],
)
def test_what_people_write_becomes_single_rules(spec: dict[str, Any], expected: set[Rule]) -> None:
    assert set(rules.wanted_rules([spec], IDS)) == expected


@pytest.mark.parametrize("ports", [["http"], ["80-http"], ["-"]])
def test_a_port_that_is_none_is_refused(ports: list[str]) -> None:
    with pytest.raises(rules.RuleError, match="not a port"):
        rules.wanted_rules([{"ports": ports, "cidrs": ["10.0.0.0/8"]}], IDS)


def test_what_is_written_is_what_is_read_back() -> None:
    wanted = rules.wanted_rules(
        [
            {"ports": [80, 443], "cidrs": ["10.0.0.0/8", "192.168.0.0/16"], "description": "Clients"},
            {"protocol": "all", "groups": ["worker"]},
        ],
        IDS,
    )
    assert rules.current_rules(rules.permissions(wanted)) == wanted


def test_numbers_of_protocols_are_their_names() -> None:
    permission = {"IpProtocol": "6", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    assert set(rules.current_rules([permission])) == {Rule("tcp", 22, 22, "cidr", "10.0.0.0/8")}


def test_a_difference_says_what_to_add_to_remove_and_to_describe() -> None:
    stays, goes, comes = (Rule("tcp", port, port, "cidr", "10.0.0.0/8") for port in (1, 2, 3))
    found = rules.difference({stays: "old", goes: ""}, {stays: "new", comes: ""})
    assert (found.add, found.remove, found.describe) == ({comes: ""}, {goes: ""}, {stays: "new"})
    assert not rules.difference({stays: ""}, {stays: ""})


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule("tcp", 80, 80, "group", "sg-1"), "tcp 80 webserver"),
        (Rule("udp", 1, 9, "cidr", "10.0.0.0/8"), "udp 1-9 10.0.0.0/8"),
        (Rule("-1", -1, -1, "cidr", "0.0.0.0/0"), "all protocols 0.0.0.0/0"),
    ],
)
def test_a_rule_is_said_in_words(rule: Rule, text: str) -> None:
    assert rule.describe({"sg-1": "webserver"}) == text
