# SPDX-License-Identifier: GPL-3.0-or-later
"""The module route53_hosted_zone_info. moto shows zones of one name alone, so Route 53's list is written here too."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import route53_hosted_zone_info
from botocore.client import BaseClient
from botocore.exceptions import ClientError


class Route53:
    """Lists all zones from a name on, two a page, in the order of names whose parts are reversed."""

    def __init__(self) -> None:
        self.zones: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        # Error codes for the next requests; an empty one lets a request through.
        self.refusals: list[str] = []

    def add(self, zone_id: str, name: str, *vpc_ids: str) -> None:
        zone = {"Id": f"/hostedzone/{zone_id}", "Name": f"{name}.", "Config": {"PrivateZone": bool(vpc_ids)}}
        self.zones.append({**zone, "VPCs": [{"VPCRegion": "eu-west-1", "VPCId": vpc_id} for vpc_id in vpc_ids]})

    def call(self, _client: BaseClient, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((operation, params))
        code = self.refusals.pop(0) if self.refusals else ""
        if code:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)
        return getattr(self, operation)(params)  # type: ignore[no-any-return]

    def ListHostedZonesByName(self, params: dict[str, Any]) -> dict[str, Any]:
        start = (backwards(params["DNSName"]), f"/hostedzone/{params.get('HostedZoneId', '')}")
        zones = sorted((backwards(zone["Name"]), zone["Id"]) for zone in self.zones)
        names = {zone["Id"]: zone for zone in self.zones}
        left = [names[zone_id] for name, zone_id in zones if (name, zone_id) >= start]
        answer = {"HostedZones": left[:2], "IsTruncated": len(left) > 2}
        if len(left) > 2:
            answer |= {"NextDNSName": left[2]["Name"], "NextHostedZoneId": left[2]["Id"].split("/")[-1]}
        return answer

    def GetHostedZone(self, params: dict[str, Any]) -> dict[str, Any]:
        [zone] = [zone for zone in self.zones if zone["Id"].endswith(params["Id"].split("/")[-1])]
        return {"HostedZone": zone, "VPCs": zone["VPCs"]} if zone["VPCs"] else {"HostedZone": zone}


def backwards(name: str) -> list[str]:
    return name.rstrip(".").split(".")[::-1]


@pytest.fixture
def route53(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Route53:
    fake = Route53()

    def call(client: BaseClient, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        return fake.call(client, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    return fake


def run(aws: Any, *zones: str, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(route53_hosted_zone_info, zones=list(zones), **params)
    return result


def ids(result: dict[str, Any]) -> list[str]:
    return [zone["zone_id"] for zone in result["hosted_zones"]]


def test_zones_are_found_by_name_with_the_vpcs_that_see_them(aws: Any) -> None:
    route53, vpc_id = aws.client("route53"), aws.client("ec2").create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    route53.create_hosted_zone(Name="example.com", CallerReference="1")
    route53.create_hosted_zone(Name="sub.example.com", CallerReference="2")
    route53.create_hosted_zone(
        Name="lab.internal",
        CallerReference="3",
        VPC={"VPCRegion": "eu-west-1", "VPCId": vpc_id},
        HostedZoneConfig={"PrivateZone": True},
    )
    zones = run(aws, "example.com", "lab.internal", "none.example", "")["hosted_zones"]
    assert [(zone["name"], zone["private"], zone["vpc_ids"]) for zone in zones] == [
        ("example.com", False, []),
        ("lab.internal", True, [vpc_id]),
    ]
    assert aws.writes == []


def test_a_zone_below_the_name_is_another_zone(aws: Any, route53: Route53) -> None:
    route53.add("Z1", "example.com")
    route53.add("Z2", "sub.example.com")
    route53.add("Z3", "example.org")
    assert ids(run(aws, "example.com")) == ["Z1"]


def test_all_zones_of_a_name_are_found_over_the_pages_of_the_list(aws: Any, route53: Route53) -> None:
    for number in range(1, 6):
        route53.add(f"Z{number}", "lab.internal", f"vpc-{number}")
    route53.add("Z6", "other.internal")
    found = run(aws, "lab.internal")
    assert ids(found) == ["Z1", "Z2", "Z3", "Z4", "Z5"]
    assert [zone["vpc_ids"] for zone in found["hosted_zones"]] == [[f"vpc-{number}"] for number in range(1, 6)]


def test_the_rest_of_the_list_is_not_read(aws: Any, route53: Route53) -> None:
    for number, name in enumerate(["example.com", *(f"{letter}.example.com" for letter in "abcdefgh")]):
        route53.add(f"Z{number}", name)
    run(aws, "example.com")
    assert [operation for operation, _params in route53.asked] == ["ListHostedZonesByName"]


def test_a_name_is_looked_for_once_however_it_is_written(aws: Any, route53: Route53) -> None:
    route53.add("Z1", "example.com")
    assert ids(run(aws, "Example.com", "example.com.", "example.com")) == ["Z1"]
    assert [params["DNSName"] for _operation, params in route53.asked] == ["example.com"]


def test_without_names_nothing_is_asked(aws: Any, route53: Route53) -> None:
    assert run(aws, "", "") == {"changed": False, "hosted_zones": []}
    assert route53.asked == []


def test_a_throttled_list_is_asked_for_again(aws: Any, route53: Route53) -> None:
    route53.add("Z1", "example.com")
    route53.refusals = ["Throttling", "Throttling"]
    assert ids(run(aws, "example.com")) == ["Z1"]
    assert [operation for operation, _params in route53.asked] == ["ListHostedZonesByName"] * 3


@pytest.mark.parametrize("refusals", [["AccessDenied"], ["", "AccessDenied"]], ids=["the list", "a zone"])
def test_what_may_not_be_read_is_said_with_aws_own_word(aws: Any, route53: Route53, refusals: list[str]) -> None:
    route53.add("Z1", "lab.internal", "vpc-1")
    route53.refusals = refusals
    result = run(aws, "lab.internal")
    assert result["failed"]
    assert "The hosted zones lab.internal can't be read" in result["msg"]
    assert "AccessDenied" in result["msg"]
