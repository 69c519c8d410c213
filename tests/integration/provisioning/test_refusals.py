# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input ends in one sentence that names the variable, before the first write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.provisioning.conftest import Api

HOST: dict[str, Any] = {"instance_type": "t3.medium", "volume_gib": 20, "count": 1}
ALL_DUTIES = ["webserver", "scheduler", "worker"]

# name of the case: (role, variables, words of the sentence)
CASES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a name in capitals": ("network", {"environment_name": "Lab"}, ["'Lab'", "environment_name"]),
    "a name with a dot": ("network", {"environment_name": "lab.eu"}, ["'lab.eu'", "environment_name"]),
    "nobody may come in": ("network", {"network_client_cidrs": []}, ["network_client_cidrs"]),
    "an unknown NAT switch": ("network", {"network_nat": "two"}, ["network_nat", "per_zone"]),
    "one zone": ("network", {"network_zone_count": 1}, ["two availability zones", "network_zone_count"]),
    "one named zone": ("network", {"network_zones": ["eu-west-1a"]}, ["two availability zones", "network_zones"]),
    "one zone named twice": (
        "network",
        {"network_zones": ["eu-west-1a", "eu-west-1a"]},
        ["2 different availability zones", "network_zones"],
    ),
    "a zone of another region": (
        "network",
        {"network_zones": ["eu-west-1a", "us-east-1a"]},
        ["us-east-1a", "network_zones"],
    ),
    "more zones than there are": ("network", {"network_zone_count": 4}, ["4 different", "network_zone_count"]),
    "a network too small": ("network", {"network_cidr": "10.20.0.0/26"}, ["10.20.0.0/26", "network_cidr"]),
    "a network too large": ("network", {"network_cidr": "10.0.0.0/8"}, ["10.0.0.0/8", "network_cidr"]),
    "no network": ("network", {"network_cidr": "10.20.0.0/16 "}, ["network"]),
    "Docker's own network": ("network", {"network_cidr": "172.17.0.0/16"}, ["172.17.0.0/16", "network_cidr"]),
    "another VPC's addresses": ("network", {"network_cidr": "10.99.0.0/20"}, ["10.99.0.0/16", "network_cidr"]),
    "a VPC of that name": (
        "network",
        {"environment_name": "taken"},
        ["already called 'taken-vpc'", "environment_name"],
    ),
    "two VPCs of one environment": (
        "network",
        {"environment_name": "twice"},
        ["2 VPCs carry", "'twice'", "environment_name"],
    ),
    "other addresses than the environment has": (
        "network",
        {"environment_name": "there", "network_cidr": "10.50.0.0/16"},
        ["10.40.0.0/16, not 10.50.0.0/16", "network_cidr"],
    ),
    "a VPC that is not there": (
        "network",
        {
            "network_existing_vpc_id": "vpc-0",
            "network_existing_public_subnet_ids": ["subnet-1", "subnet-2"],
            "network_existing_private_subnet_ids": ["subnet-3", "subnet-4"],
        },
        ["vpc-0", "network_existing_vpc_id"],
    ),
    "a VPC without its subnets": (
        "network",
        {"network_existing_vpc_id": "vpc-0"},
        ["network_existing_public_subnet_ids"],
    ),
    "an unknown duty": (
        "identity",
        {"hosts_fleet": [{**HOST, "name": "all", "duties": ["master"]}]},
        ["master", "hosts_fleet"],
    ),
    "a name too long for IAM": (
        "identity",
        {
            "environment_name": "a-name-that-says-far-too-much-of-it",
            "hosts_fleet": [{**HOST, "name": "all", "duties": ALL_DUTIES}],
        },
        ["64 characters", "environment_name"],
    ),
    "an unknown instance type": (
        "hosts",
        {"hosts_fleet": [{**HOST, "name": "all", "duties": ALL_DUTIES, "instance_type": "t9.huge"}]},
        ["t9.huge", "hosts_fleet"],
    ),
    "a duty without a host": (
        "hosts",
        {"hosts_fleet": [{**HOST, "name": "all", "duties": ["webserver", "worker"]}]},
        ["no host with the duty scheduler", "hosts_fleet"],
    ),
    "a duty with no hosts": (
        "hosts",
        {
            "hosts_fleet": [
                {**HOST, "name": "all", "duties": ALL_DUTIES[:2]},
                {**HOST, "name": "worker", "duties": ["worker"], "count": 0},
            ]
        },
        ["no host with the duty worker", "hosts_fleet"],
    ),
    "two entries of one name": (
        "hosts",
        {"hosts_fleet": [{**HOST, "name": "all", "duties": ALL_DUTIES}] * 2},
        ["two entries of one name", "hosts_fleet"],
    ),
    "an entry with a strange name": (
        "hosts",
        {"hosts_fleet": [{**HOST, "name": "All Of It", "duties": ALL_DUTIES}]},
        ["All Of It", "hosts_fleet"],
    ),
    "a host name too long for DNS": (
        "hosts",
        {"hosts_fleet": [{**HOST, "name": "a" * 60, "duties": ALL_DUTIES}]},
        ["63 characters", "hosts_fleet"],
    ),
    "two hosts of one name": (
        "hosts",
        {"environment_name": "twins"},
        ["'twins' is called twins-worker-1: terminate the one that is too much."],
    ),
    "no key file": ("hosts", {"hosts_public_key_file": "/none/key.pub"}, ["/none/key.pub", "hosts_public_key_file"]),
    "no such image": ("hosts", {"hosts_image_name": "debian-99-*"}, ["debian-99-*", "hosts_image_name"]),
    "no certificate": (
        "certificate",
        {"certificate_domain_name": ""},
        ["certificate_domain_name", "certificate_existing_arn"],
    ),
    "a certificate of another zone": (
        "certificate",
        {"certificate_domain_name": "airflow.example.org"},
        ["airflow.example.org", "freehold.localhost", "certificate_zone"],
    ),
    "an ARN of something else": (
        "certificate",
        {"certificate_existing_arn": "arn:aws:s3:::bucket"},
        ["certificate_existing_arn"],
    ),
    "a name too long for a load balancer": (
        "load_balancer",
        {"environment_name": "a-name-that-says-too-much"},
        ["32 characters", "environment_name"],
    ),
    "an unknown scheme": ("load_balancer", {"load_balancer_scheme": "public"}, ["load_balancer_scheme"]),
    "a repository without its owner": (
        "ci_access",
        {"ci_access_repositories": [{"repository": "dags"}]},
        ["dags", "ci_access_repositories"],
    ),
    "a pattern of repositories": (
        "ci_access",
        {"ci_access_repositories": [{"repository": "acme/*"}]},
        ["acme/*", "ci_access_repositories"],
    ),
    "half of the ids": (
        "ci_access",
        {"ci_access_repositories": [{"repository": "acme/dags", "owner_id": 1}]},
        ["ci_access_repositories", "owner_id and repository_id"],
    ),
    "an id that is none": (
        "ci_access",
        {"ci_access_repositories": [{"repository": "acme/dags", "owner_id": "acme", "repository_id": 2}]},
        ["id acme", "ci_access_repositories"],
    ),
    "no environment of GitHub's": (
        "ci_access",
        {"ci_access_repositories": [{"repository": "acme/dags"}], "ci_access_github_environments": []},
        ["ci_access_github_environments"],
    ),
    "a pattern of environments": (
        "ci_access",
        {"ci_access_repositories": [{"repository": "acme/dags"}], "ci_access_github_environments": ["prod", "*"]},
        ["'*'", "ci_access_github_environments"],
    ),
    "a tunnel longer than AWS allows": (
        "ci_access",
        {"ci_access_tunnel_seconds": 7200},
        ["7200", "ci_access_tunnel_seconds"],
    ),
    "no such zone": ("dns", {"dns_create_zone": False}, ["freehold.localhost", "dns_zone"]),
    "a name of another zone": ("dns", {"dns_name": "airflow.example.org"}, ["airflow.example.org", "dns_name"]),
}


@pytest.fixture(scope="module")
def refusals(api: Api) -> dict[str, str]:
    """Run every case, all in one process, and return what each said."""
    ec2 = api.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]
    for name in ("twins-webserver-1", "twins-worker-1", "twins-worker-1"):
        tags = {"Name": name, "freehold:environment": "twins", "freehold:duties": "worker"}
        ec2.run_instances(
            ImageId=ec2.describe_images()["Images"][0]["ImageId"],
            InstanceType="t3.medium",
            SubnetId=subnet,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}
            ],
        )
    for cidr, key, value in (
        ("10.60.0.0/16", "Name", "taken-vpc"),
        ("10.61.0.0/16", "freehold:environment", "twice"),
        ("10.62.0.0/16", "freehold:environment", "twice"),
        ("10.40.0.0/16", "freehold:environment", "there"),
    ):
        named = [{"ResourceType": "vpc", "Tags": [{"Key": key, "Value": value}]}]
        ec2.create_vpc(CidrBlock=cidr, TagSpecifications=named)
    plays = []
    for number, (role, variables, _words) in enumerate(CASES.values()):
        play = api.play([f"{role}/preflight"], **variables)
        said = {"content": "{{ ansible_failed_result | to_json }}", "dest": str(api.home / f"{number}.json")}
        note = {"name": "Note what was said", "ansible.builtin.copy": {**said, "mode": "0600"}}
        play["tasks"] = [{"name": "Try", "block": play["tasks"], "rescue": [note]}]
        plays.append(play)
    run = api.run(plays)
    assert run.code == 0, run.output
    assert run.writes == []
    return {name: _sentence(api, number) for number, name in enumerate(CASES)}


def _sentence(api: Api, number: int) -> str:
    """Return the message of the item or the task that failed; empty when the case was not refused."""
    path = api.home / f"{number}.json"
    if not path.exists():
        return ""
    result = json.loads(path.read_text())
    failed = [item for item in result.get("results", []) if item.get("failed")]
    return str((failed or [result])[0]["msg"])


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_a_sentence_that_names_the_variable(name: str, refusals: dict[str, str]) -> None:
    said = refusals[name]
    assert said, "not refused"
    for word in CASES[name][2]:
        assert word in said
    assert "\n" not in said.strip()
