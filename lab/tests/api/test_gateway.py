# SPDX-License-Identifier: GPL-3.0-or-later
"""The log, the revision and the admin paths."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from lab.api.request import is_write, read_request
from lab.tests.api.conftest import Network, RunningLab


def last_log_lines(running: RunningLab, count: int) -> list[dict[str, Any]]:
    lines = (running.lab.settings.state / "requests.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[-count:]]


@pytest.mark.parametrize(
    ("operation", "writes"),
    [
        ("DescribeInstances", False),
        ("ListBuckets", False),
        ("GetAuthorizationToken", False),
        ("HeadObject", False),
        ("BatchGetImage", False),
        ("AssumeRole", False),
        ("RunInstances", True),
        ("CreateTags", True),
        ("PutObject", True),
        ("BatchDeleteImage", True),
        ("DeleteTags", True),
    ],
)
def test_writes_are_known_by_their_names(operation: str, writes: bool) -> None:
    assert is_write(operation) is writes


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("sts.eu-west-1.amazonaws.com", ("eu-west-1", "sts")),
        ("iam.amazonaws.com", ("eu-west-2", "iam")),
        ("my.bucket.s3.eu-central-1.amazonaws.com:443", ("eu-central-1", "s3")),
        ("my-bucket.s3.amazonaws.com", ("eu-west-2", "s3")),
        ("127.0.0.1:4566", ("eu-west-2", "s3")),
    ],
)
def test_an_unsigned_request_is_known_by_its_host(host: str, expected: tuple[str, str]) -> None:
    request = read_request({"HTTP_HOST": host, "REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO()}, "eu-west-2")
    assert (request.region, request.signing_name) == expected


def test_every_request_is_logged_with_what_it_was(running: RunningLab, network: Network) -> None:
    secret = running.client("secretsmanager")
    secret.create_secret(Name=f"log-{network.vpc_id}", SecretString="hush-hush")
    running.client("s3").list_buckets()
    running.client("efs").describe_file_systems()
    running.client("route53").list_hosted_zones()
    lines = last_log_lines(running, 4)
    assert [(line["service"], line["operation"], line["write"]) for line in lines] == [
        ("secretsmanager", "CreateSecret", True),
        ("s3", "ListBuckets", False),
        ("elasticfilesystem", "DescribeFileSystems", False),
        ("route53", "ListHostedZones", False),
    ]
    assert all(line["status"] == 200 and line["error"] is None for line in lines)
    assert "hush-hush" not in Path(running.lab.settings.state / "requests.jsonl").read_text()


def test_the_revision_grows_with_writes_only(running: RunningLab, network: Network) -> None:
    before = running.snapshot()["revision"]
    running.client("ec2").describe_vpcs()
    assert running.snapshot()["revision"] == before
    known = {"epoch": running.lab.epoch, "revision": str(before)}
    assert running.admin("GET", "/_lab/snapshot", params=known).status_code == 304
    running.client("ec2").create_tags(Resources=[network.vpc_id], Tags=[{"Key": "a", "Value": "b"}])
    assert running.admin("GET", "/_lab/snapshot", params=known).json()["revision"] > before


def test_admin_paths_need_the_token(running: RunningLab) -> None:
    for path in ("snapshot", "status"):
        assert requests.get(f"{running.url}/_lab/{path}", timeout=5).status_code == 403
    wrong = {"X-Freehold-Lab-Token": "wrong"}
    assert requests.post(f"{running.url}/_lab/observed", json={}, headers=wrong, timeout=5).status_code == 403
    assert requests.get(f"{running.url}/_lab/health", timeout=5).json() == {"epoch": running.lab.epoch}
    assert running.admin("GET", "/_lab/status").json()["epoch"] == running.lab.epoch
    assert running.admin("POST", "/_lab/observed", data="[]").status_code == 400


def test_motos_back_door_is_closed(running: RunningLab) -> None:
    assert requests.post(f"{running.url}/moto-api/reset", timeout=5).status_code == 404


def test_subnets_know_their_way_out(running: RunningLab, network: Network) -> None:
    ec2 = running.client("ec2")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc_id)
    nat = ec2.create_nat_gateway(SubnetId=network.subnet_ids[0], ConnectivityType="private")["NatGateway"]
    ways: list[dict[str, str]] = [{"GatewayId": gateway}, {"NatGatewayId": nat["NatGatewayId"]}]

    def egress() -> list[str]:
        subnets = {entry["id"]: entry["egress"] for entry in running.snapshot()["subnets"]}
        return [subnets[subnet] for subnet in network.subnet_ids]

    assert egress() == ["none", "none"]
    for subnet, way in zip(network.subnet_ids, ways, strict=True):
        table = ec2.create_route_table(VpcId=network.vpc_id)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **way)
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert egress() == ["internet", "nat"]


def test_security_groups_show_their_rules(running: RunningLab, network: Network) -> None:
    ec2 = running.client("ec2")
    ec2.authorize_security_group_ingress(
        GroupId=network.group_id,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "UserIdGroupPairs": [{"GroupId": network.group_id}],
            },
        ],
    )
    group = next(entry for entry in running.snapshot()["security_groups"] if entry["id"] == network.group_id)
    assert {"protocol": "tcp", "from": 443, "to": 443, "cidrs": ["0.0.0.0/0"], "groups": []} in group["ingress"]
    assert {"protocol": "tcp", "from": 22, "to": 22, "cidrs": [], "groups": [network.group_id]} in group["ingress"]
    assert group["egress"] == [{"protocol": "-1", "from": None, "to": None, "cidrs": ["0.0.0.0/0"], "groups": []}]
