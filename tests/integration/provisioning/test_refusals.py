# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input ends in one sentence that names the variable, before the first write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.provisioning.conftest import Api

HOST: dict[str, Any] = {"instance_type": "t3.medium", "volume_gib": 20, "count": 1}
ALL_DUTIES = ["webserver", "scheduler", "worker"]
# A VPC that is nobody's, with a subnet in two zones each; what they are called is known when they are made.
MADE = "(lookup('ansible.builtin.file', hosts_public_key_file | dirname ~ '/made.json') | from_json)"
THEIR_VPC: dict[str, Any] = {
    "network_existing_vpc_id": f"{{{{ {MADE}.vpc }}}}",
    "network_existing_public_subnet_ids": f"{{{{ {MADE}.subnets }}}}",
    "network_existing_private_subnet_ids": f"{{{{ {MADE}.subnets }}}}",
}
TWIN = {"freehold:environment": "twins", "freehold:duties": "worker"}
NOT_THEIRS = ["subnet-1", "subnet-2"]
PLAN = {"reservations_fleet": "{{ hosts_fleet }}", "reservations_database_instance_class": "db.t4g.medium"}

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
    "a VPC beside the one there is": (
        "network",
        {**THEIR_VPC, "environment_name": "there"},
        ["already lives in the VPC vpc-", "network_existing_vpc_id", "environment_name"],
    ),
    "public subnets of another VPC": (
        "network",
        {**THEIR_VPC, "network_existing_public_subnet_ids": NOT_THEIRS},
        ["network_existing_public_subnet_ids", "found none of them"],
    ),
    "private subnets of another VPC": (
        "network",
        {**THEIR_VPC, "network_existing_private_subnet_ids": NOT_THEIRS},
        ["network_existing_private_subnet_ids", "found none of them"],
    ),
    "a VPC without its subnets": (
        "network",
        {"network_existing_vpc_id": "vpc-0"},
        ["network_existing_public_subnet_ids"],
    ),
    "an environment without a name": ("environment", {"environment_name": None}, ["environment_name is not set"]),
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
    "no fleet": ("hosts", {"hosts_fleet": []}, ["no host with the duty scheduler, webserver, worker", "hosts_fleet"]),
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
    "one image for two architectures": (
        "hosts",
        {
            "hosts_image_id": "ami-0deb130000000ad64",
            "hosts_fleet": [
                {**HOST, "name": "all", "duties": ALL_DUTIES},
                {**HOST, "name": "arm", "duties": ["worker"], "instance_type": "t4g.medium"},
            ],
        },
        ["arm64 and x86_64", "hosts_image_id"],
    ),
    "an image of another architecture": (
        "hosts",
        {
            "hosts_image_id": "ami-0deb130000000ad64",
            "hosts_fleet": [{**HOST, "name": "arm", "duties": ALL_DUTIES, "instance_type": "t4g.medium"}],
        },
        ["no machine image ami-0deb130000000ad64 for arm64: change hosts_image_id."],
    ),
    "a host without a name": (
        "hosts",
        {"environment_name": "nameless"},
        ["i-", "'nameless' has no tag Name", "hosts_fleet"],
    ),
    "no key file": ("hosts", {"hosts_public_key_file": "/none/key.pub"}, ["/none/key.pub", "hosts_public_key_file"]),
    "no such image": ("hosts", {"hosts_image_name": "debian-99-*"}, ["debian-99-*", "hosts_image_name"]),
    "no certificate": (
        "certificate",
        {"certificate_domain_name": ""},
        ["certificate_domain_name", "certificate_existing_arn"],
    ),
    "a certificate that nobody can validate": (
        "certificate",
        {"certificate_zone": ""},
        ["airflow.freehold.localhost is validated in Route 53", "certificate_zone"],
    ),
    "a name too long for a certificate": (
        "certificate",
        {"certificate_domain_name": "a" * 50 + ".freehold.localhost"},
        ["69 characters", "certificate_domain_name"],
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
    "health checks too often": (
        "load_balancer",
        {"load_balancer_health_interval": 4},
        ["load_balancer_health_interval is 4", "5 to 300"],
    ),
    "no idle second": ("load_balancer", {"load_balancer_idle_timeout": 0}, ["load_balancer_idle_timeout is 0"]),
    "a name too long for EFS": (
        "filesystem",
        {"environment_name": "a" * 60},
        ["64 characters", "environment_name"],
    ),
    "more replicas than ElastiCache has": ("broker", {"broker_replicas": 6}, ["broker_replicas is 6", "0 to 5"]),
    "a repository in capitals": (
        "registry",
        {"registry_repository": "Airflow"},
        ["registry_repository is 'Airflow'"],
    ),
    "a secret's name with a space": ("secrets", {"secrets_prefix": "free hold"}, ["secrets_prefix is 'free hold'"]),
    "a secret named twice": (
        "secrets",
        {"secrets_generated": [{"name": "one", "length": 32}] * 2},
        ["secrets_generated names a secret twice"],
    ),
    "too short a way back": (
        "teardown",
        {"teardown_confirmation": "lab", "teardown_recovery_days": 3},
        ["teardown_recovery_days is 3", "7 to 30"],
    ),
    "reservations for nothing": (
        "reservations",
        {**PLAN, "reservations_price_limit": 0},
        ["reservations_price_limit is 0"],
    ),
    "no reservation at all": ("reservations", {**PLAN, "reservations_max_count": 0}, ["reservations_max_count is 0"]),
    "more coverage than there is": (
        "reservations",
        {**PLAN, "reservations_minimum_coverage": 101},
        ["reservations_minimum_coverage is 101"],
    ),
    "reservations for half a type": (
        "reservations",
        {**PLAN, "reservations_fleet": [{**HOST, "name": "a", "duties": ALL_DUTIES, "instance_type": "medium"}] * 2},
        ["hosts_fleet has the instance type medium, but"],
    ),
    "reservations for half a class": (
        "reservations",
        {**PLAN, "reservations_database_instance_class": "t4g.medium"},
        ["database_instance_class is 't4g.medium'"],
    ),
    "reservations for half a node": (
        "reservations",
        {**PLAN, "reservations_broker_kind": "elasticache", "reservations_broker_node_type": "t4g.micro"},
        ["broker_node_type is 't4g.micro'"],
    ),
    "a notice in the past": (
        "reservations",
        {**PLAN, "reservations_notice_days": -1},
        ["reservations_notice_days is -1"],
    ),
    "more schedulers than MWAA has": (
        "reservations",
        {**PLAN, "reservations_mwaa_schedulers": 6},
        ["reservations_mwaa_schedulers", "at most 5"],
    ),
    "more workers than mw1.micro has": (
        "reservations",
        {**PLAN, "reservations_mwaa_class": "mw1.micro", "reservations_mwaa_workers": 2},
        ["mw1.micro has one worker", "reservations_mwaa_class"],
    ),
    "prices older than none": (
        "reservations",
        {**PLAN, "reservations_price_cache_days": -1},
        ["reservations_price_cache_days is -1"],
    ),
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
    "two zones of one name": (
        "dns",
        {"dns_zone": "twice.example", "dns_name": "airflow.twice.example"},
        ["2 public zones called twice.example"],
    ),
    "a name too long for DNS": ("dns", {"environment_name": "a" * 64}, ["63 characters", "environment_name"]),
    "a name of another zone": ("dns", {"dns_name": "airflow.example.org"}, ["airflow.example.org", "dns_name"]),
}


@pytest.fixture(scope="module")
def refusals(api: Api) -> dict[str, str]:
    """Run every case, all in one process, and return what each said."""
    ec2 = api.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in (("10.99.0.0/24", "eu-west-1a"), ("10.99.1.0/24", "eu-west-1b"))
    ]
    (api.home / "made.json").write_text(json.dumps({"vpc": vpc, "subnets": subnets}))
    for number in range(2):
        api.client("route53").create_hosted_zone(Name="twice.example", CallerReference=str(number))
    named = [{"Name": name, **TWIN} for name in ("twins-webserver-1", "twins-worker-1", "twins-worker-1")]
    for tags in (*named, {**TWIN, "freehold:environment": "nameless"}):
        ec2.run_instances(
            ImageId=ec2.describe_images()["Images"][0]["ImageId"],
            InstanceType="t3.medium",
            SubnetId=subnets[0],
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
        marks = [{"ResourceType": "vpc", "Tags": [{"Key": key, "Value": value}]}]
        ec2.create_vpc(CidrBlock=cidr, TagSpecifications=marks)
    plays = []
    for number, (role, variables, _words) in enumerate(CASES.values()):
        play = api.play([f"{role}/preflight"], **variables)
        play["vars"] = {name: value for name, value in play["vars"].items() if value is not None}
        said = {"content": "{{ ansible_failed_result | to_json }}", "dest": str(api.home / f"{number}.json")}
        note = {"name": "Note what was said", "ansible.builtin.copy": {**said, "mode": "0600"}}
        play["tasks"] = [{"name": "Try", "block": play["tasks"], "rescue": [note]}]
        plays.append(play)
    run = api.run(plays)
    assert run.code == 0, run.output
    assert run.writes == []
    return {name: _sentence(api, number) for number, name in enumerate(CASES)}


def _sentence(api: Api, number: int) -> str:
    """Return the message of the task that failed, or of its items, a line each; empty when the case was not refused."""
    path = api.home / f"{number}.json"
    if not path.exists():
        return ""
    result = json.loads(path.read_text())
    failed = [item for item in result.get("results", []) if item.get("failed")]
    return "\n".join(str(item["msg"]).strip() for item in failed or [result])


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_a_sentence_that_names_the_variable(name: str, refusals: dict[str, str]) -> None:
    said = refusals[name]
    assert said, "not refused"
    for word in CASES[name][2]:
        assert word in said
    assert "\n" not in said, "more than one sentence"
