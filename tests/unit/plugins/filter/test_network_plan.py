# SPDX-License-Identifier: GPL-3.0-or-later
"""The network an environment wants, as a table."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.freehold.airflow.plugins.filter import network_plan as plan

ZONES = ["eu-west-1a", "eu-west-1b"]
TAGS = {"freehold:environment": "lab"}
S3 = "com.amazonaws.eu-west-1.s3"


def network(**parts: Any) -> dict[str, Any]:
    """What ec2_network_info answers for a finished environment with one NAT gateway, but for I(parts)."""
    return {
        "vpc_id": "vpc-1",
        "subnets": [
            {
                "id": f"subnet-{net['kind']}-{net['zone'][-1]}",
                "zone": net["zone"],
                "cidr": net["cidr"],
                "tags": {**TAGS, "Name": f"lab-{net['kind']}-{net['zone']}", "freehold:subnet": net["kind"]},
            }
            for net in plan.subnet_plan("10.20.0.0/16", ZONES)
        ],
        "internet_gateways": [{"id": "igw-1", "tags": TAGS}],
        "nat_gateways": [{"id": "nat-a", "subnet_id": "subnet-public-a", "state": "available", "tags": TAGS}],
        "route_tables": [
            table("public", ["subnet-public-a", "subnet-public-b"], "igw-1"),
            table("private", ["subnet-private-a", "subnet-private-b"], "nat-a"),
        ],
        "endpoints": [{"id": "vpce-1", "service": S3, "route_table_ids": ["rtb-public", "rtb-private"], "tags": TAGS}],
        **parts,
    }


def table(name: str, subnet_ids: list[str], target: str) -> dict[str, Any]:
    routes = [
        {"destination": "10.20.0.0/16", "target": "local", "state": "active"},
        {"destination": "", "target": "vpce-1", "state": "active"},
    ]
    if target:
        routes.append({"destination": "0.0.0.0/0", "target": target, "state": "active"})
    return {"id": f"rtb-{name}", "subnet_ids": subnet_ids, "routes": routes, "tags": {**TAGS, "Name": f"lab-{name}"}}


def changes(found: dict[str, Any], nat: str = "one") -> list[str]:
    return [entry["name"] for entry in plan.route_changes(plan.route_plan(found, ZONES, nat), found, "lab")]


@pytest.mark.parametrize("cidr", ["10.20.0.0/16", "192.168.4.0/24", "172.20.0.0/20"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_subnets_lie_in_the_vpc_and_apart(cidr: str, count: int) -> None:
    nets = [ipaddress.IPv4Network(net["cidr"]) for net in plan.subnet_plan(cidr, [f"z{n}" for n in range(count)])]
    assert len(nets) == 2 * count
    assert all(net.subnet_of(ipaddress.IPv4Network(cidr)) for net in nets)
    assert not any(a.overlaps(b) for a in nets for b in nets if a is not b)


def test_a_zone_that_is_added_moves_no_subnet() -> None:
    two, three = (plan.subnet_plan("10.20.0.0/16", ZONES + more) for more in ([], ["eu-west-1c"]))
    assert all(net in three for net in two)


@pytest.mark.parametrize(
    ("cidr", "says"),
    [
        ("10.20.0.0/25", "/24"),
        ("10.0.0.0/8", "/16"),
        ("10.20.0.1/16", "host bits"),
        ("10.20.0.0/33", "CIDR"),
        ("here", "CIDR"),
        ("", "CIDR"),
    ],
)
def test_a_network_that_can_not_be_cut_is_refused_in_words(cidr: str, says: str) -> None:
    with pytest.raises(AnsibleFilterError, match=says):
        plan.subnet_plan(cidr, ZONES)


def test_a_fifth_zone_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="at most 4"):
        plan.subnet_plan("10.20.0.0/16", list("abcde"))


def test_overlaps_are_found_in_both_directions() -> None:
    others = ["10.20.128.0/17", "10.0.0.0/8", "10.21.0.0/16"]
    assert plan.overlapping_cidrs("10.20.0.0/16", others) == ["10.20.128.0/17", "10.0.0.0/8"]


def test_a_finished_network_needs_nothing() -> None:
    found = network()
    wanted = plan.subnet_plan("10.20.0.0/16", ZONES)
    assert plan.subnet_changes(wanted, found, "lab", TAGS) == []
    assert plan.nat_changes(found, ZONES, "one") == []
    assert changes(found) == []
    assert plan.tables_without_endpoint(found, S3) == []


def test_an_empty_network_needs_everything() -> None:
    found = network(subnets=[], internet_gateways=[], nat_gateways=[], route_tables=[], endpoints=[])
    wanted = plan.subnet_plan("10.20.0.0/16", ZONES)
    assert [net["cidr"] for net in plan.subnet_changes(wanted, found, "lab", TAGS)] == [net["cidr"] for net in wanted]
    assert changes(found) == ["public", "private"]


def test_a_subnet_whose_tag_is_gone_is_tagged_again() -> None:
    found = network()
    del found["subnets"][0]["tags"]["freehold:subnet"]
    (change,) = plan.subnet_changes(plan.subnet_plan("10.20.0.0/16", ZONES), found, "lab", TAGS)
    assert change["tags"] == {**TAGS, "Name": "lab-public-eu-west-1a", "freehold:subnet": "public"}


def test_a_tag_of_somebody_else_on_a_subnet_is_no_difference() -> None:
    found = network()
    found["subnets"][0]["tags"]["team"] = "data"
    assert plan.subnet_changes(plan.subnet_plan("10.20.0.0/16", ZONES), found, "lab", TAGS) == []


@pytest.mark.parametrize(("nat", "zones"), [("none", []), ("one", ["eu-west-1a"]), ("per_zone", ZONES)])
def test_nat_gateways_stand_in_the_zones_that_want_one(nat: str, zones: list[str]) -> None:
    assert [net["zone"] for net in plan.nat_changes(network(nat_gateways=[]), ZONES, nat)] == zones


@pytest.mark.parametrize(
    ("nat", "differing"),
    [("none", []), ("one", []), ("per_zone", ["private-eu-west-1a", "private-eu-west-1b"])],
)
def test_another_switch_changes_the_private_routes_only(nat: str, differing: list[str]) -> None:
    assert changes(network(), nat) == differing


def test_without_a_gateway_private_subnets_have_no_way_out() -> None:
    private = plan.route_plan(network(), ZONES, "none")[1]
    assert private["routes"] == []


def test_every_zone_goes_through_its_own_gateway() -> None:
    second = {"id": "nat-b", "subnet_id": "subnet-public-b", "state": "available", "tags": TAGS}
    found = network(nat_gateways=[*network()["nat_gateways"], second])
    ways = {
        entry["name"]: entry["routes"][0]["nat_gateway_id"] for entry in plan.route_plan(found, ZONES, "per_zone")[1:]
    }
    assert ways == {"private-eu-west-1a": "nat-a", "private-eu-west-1b": "nat-b"}


@pytest.mark.parametrize(
    "broken",
    [
        table("private", ["subnet-private-a"], "nat-a"),
        table("private", ["subnet-private-a", "subnet-private-b"], "nat-old"),
        table("private", ["subnet-private-a", "subnet-private-b"], ""),
    ],
)
def test_a_private_table_that_lost_something_is_set_right(broken: dict[str, Any]) -> None:
    assert changes(network(route_tables=[network()["route_tables"][0], broken])) == ["private"]


def test_a_route_of_somebody_else_is_no_difference() -> None:
    found = network()
    found["route_tables"][1]["routes"].append({"destination": "10.99.0.0/16", "target": "pcx-1", "state": "active"})
    assert changes(found) == []


def test_a_table_without_the_s3_endpoint_is_found() -> None:
    found = network()
    found["endpoints"][0]["route_table_ids"] = ["rtb-public"]
    assert plan.tables_without_endpoint(found, S3) == ["rtb-private"]


def test_tables_that_are_not_ours_get_no_endpoint() -> None:
    found = network(endpoints=[])
    found["route_tables"].append({"id": "rtb-main", "subnet_ids": [], "routes": [], "tags": {}})
    assert plan.tables_without_endpoint(found, S3) == ["rtb-private", "rtb-public"]


def test_subnets_are_ordered_by_zone() -> None:
    found = network()
    found["subnets"].reverse()
    assert [net["zone"] for net in plan.subnets_of_kind(found, "private")] == ZONES
    assert [net["id"] for net in plan.subnets_by_id(found, ["subnet-private-b"])] == ["subnet-private-b"]
