# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a fleet wants, as a table."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.filter import fleet_hosts as fleet

SUBNETS = [{"id": "subnet-a", "zone": "eu-west-1a"}, {"id": "subnet-b", "zone": "eu-west-1b"}]
FLEET: list[dict[str, Any]] = [
    {
        "name": "control",
        "duties": ["webserver", "scheduler"],
        "instance_type": "t3.medium",
        "count": 1,
        "volume_gib": 30,
    },
    {"name": "worker", "duties": ["worker"], "instance_type": "t3.large", "count": 3, "volume_gib": 40},
]
GROUPS = {"all": ["host"], "webserver": ["webserver"], "scheduler": ["scheduler", "broker"], "worker": ["worker"]}
IDS = {name: f"sg-{name}" for name in ("host", "webserver", "scheduler", "broker", "worker")}
PROFILES = {"control": "freehold-lab-scheduler-webserver", "worker": "freehold-lab-worker"}
SAME: dict[str, Any] = {"tags": {"freehold:environment": "lab"}, "hop_limit": 1, "termination_protection": False}


def wanted(entries: list[dict[str, Any]] = FLEET) -> list[dict[str, Any]]:
    return fleet.fleet_hosts(entries, "lab", SUBNETS, GROUPS, IDS, PROFILES)


def instance(host: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """What ec2_instance_info answers for a host that is as wanted, but for I(parts)."""
    return {
        "instance_id": f"i-{host['name']}",
        "instance_type": host["instance_type"],
        "state": {"name": "running"},
        "private_ip_address": "10.20.128.5",
        "placement": {"availability_zone": host["zone"]},
        "security_groups": [{"group_id": group} for group in host["security_group_ids"]],
        "iam_instance_profile": {"arn": f"arn:aws:iam::1:instance-profile/freehold/lab/{host['profile']}"},
        "metadata_options": {"http_tokens": "required", "http_put_response_hop_limit": 1},
        "attributes": {"disable_api_termination": {"value": False}},
        "tags": {"Name": host["name"], "freehold:environment": "lab", "freehold:duties": host["duties"]},
        **parts,
    }


def state(instances: list[dict[str, Any]], entries: list[dict[str, Any]] = FLEET) -> dict[str, Any]:
    return fleet.fleet_state(wanted(entries), instances, SAME)


def test_hosts_are_numbered_and_spread_over_the_zones() -> None:
    assert [(host["name"], host["zone"]) for host in wanted()] == [
        ("lab-control-1", "eu-west-1a"),
        ("lab-worker-1", "eu-west-1a"),
        ("lab-worker-2", "eu-west-1b"),
        ("lab-worker-3", "eu-west-1a"),
    ]


def test_a_higher_count_moves_no_host() -> None:
    more = [{**FLEET[1], "count": 5}]
    assert wanted(more)[:3] == wanted([FLEET[1]])


def test_a_host_of_two_duties_carries_the_groups_of_both() -> None:
    assert wanted()[0]["security_group_ids"] == ["sg-broker", "sg-host", "sg-scheduler", "sg-webserver"]


def test_hosts_have_names_before_there_is_a_network() -> None:
    assert fleet.fleet_hosts(FLEET, "lab")[0]["name"] == "lab-control-1"


def test_an_empty_environment_misses_every_host() -> None:
    assert [host["name"] for host in state([])["missing"]] == [host["name"] for host in wanted()]


def test_a_finished_fleet_needs_nothing() -> None:
    found = state([instance(host) for host in wanted()])
    assert found == {"missing": [], "stopped": [], "differing": [], "resize": [], "extra": [], "doubled": []}


@pytest.mark.parametrize("gone", ["terminated", "shutting-down"])
def test_a_host_that_is_gone_is_missing(gone: str) -> None:
    hosts = [instance(host) for host in wanted()]
    hosts[2]["state"] = {"name": gone}
    assert [host["name"] for host in state(hosts)["missing"]] == ["lab-worker-2"]


def test_stopped_hosts_are_to_be_started() -> None:
    hosts = [instance(host) for host in wanted()]
    hosts[1]["state"] = {"name": "stopped"}
    assert state(hosts)["stopped"] == ["i-lab-worker-1"]


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"security_groups": [{"group_id": "sg-worker"}]}, "security groups"),
        ({"iam_instance_profile": None}, "instance profile"),
        ({"metadata_options": {"http_tokens": "optional", "http_put_response_hop_limit": 1}}, "IMDS tokens"),
        ({"metadata_options": {"http_tokens": "required", "http_put_response_hop_limit": 2}}, "IMDS hop limit"),
        ({"attributes": {"disable_api_termination": {"value": True}}}, "termination protection"),
        ({"tags": {"Name": "lab-worker-1", "freehold:environment": "lab", "freehold:duties": ""}}, "tags"),
    ],
)
def test_a_difference_is_named(parts: dict[str, Any], named: str) -> None:
    hosts = [instance(host) for host in wanted()]
    hosts[1] = instance(wanted()[1], **parts)
    (differing,) = state(hosts)["differing"]
    assert differing["instance_id"] == "i-lab-worker-1"
    assert [difference["name"] for difference in differing["differences"]] == [named]


def test_tags_of_somebody_else_are_no_difference() -> None:
    hosts = [instance(host) for host in wanted()]
    hosts[0]["tags"].update({"freehold:ssh-host-key": "ssh-ed25519 AAAA", "team": "data"})
    assert state(hosts)["differing"] == []


def test_a_host_above_the_count_is_reported_not_touched() -> None:
    hosts = [instance(host) for host in wanted()]
    found = state(hosts, [FLEET[0], {**FLEET[1], "count": 2}])
    assert found["extra"] == ["lab-worker-3"]
    assert found["missing"] == found["differing"] == []


def test_another_type_is_reported_not_touched() -> None:
    hosts = [instance(host) for host in wanted()]
    hosts[0]["instance_type"] = "t3.small"
    assert state(hosts)["resize"] == ["lab-control-1 is t3.small, not t3.medium"]


def test_two_instances_of_one_name_are_reported() -> None:
    hosts = [instance(host) for host in [*wanted(), wanted()[0]]]
    assert state(hosts)["doubled"] == ["lab-control-1"]


def test_instances_become_what_other_roles_need() -> None:
    (short,) = fleet.fleet_instances([instance(wanted()[0])])
    assert short == {
        "id": "i-lab-control-1",
        "name": "lab-control-1",
        "duties": ["webserver", "scheduler"],
        "private_ip": "10.20.128.5",
        "zone": "eu-west-1a",
        "instance_type": "t3.medium",
    }
    assert fleet.fleet_targets([short], "webserver") == [{"Id": "i-lab-control-1"}]
    assert fleet.fleet_targets([short], "worker") == []


def test_names_are_made_for_hosts_and_duties() -> None:
    hosts = [
        {"name": "lab-webserver-1", "duties": ["webserver"], "private_ip": "10.20.128.9"},
        {"name": "lab-webserver-2", "duties": ["webserver"], "private_ip": "10.20.160.4"},
        {"name": "lab-worker-1", "duties": ["worker"], "private_ip": ""},
    ]
    names = {"api-server": "webserver", "broker": "scheduler"}
    records = fleet.fleet_records(hosts, "lab.internal", names, 30)
    assert {record["name"]: record["values"] for record in records} == {
        "api-server.lab.internal": ["10.20.128.9", "10.20.160.4"],
        "lab-webserver-1.lab.internal": ["10.20.128.9"],
        "lab-webserver-2.lab.internal": ["10.20.160.4"],
    }
