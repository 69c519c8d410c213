# SPDX-License-Identifier: GPL-3.0-or-later
"""Names resolve as in a VPC: endpoints to private addresses, zones to their records, AWS to the lab."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from dnslib import DNSRecord

from lab import ca
from lab.api.resolver import Resolver
from lab.tests.api.conftest import Network, RunningLab

# moto wonders at error codes that no service's model has.
pytestmark = pytest.mark.filterwarnings(r"ignore:Exception\(AwsError\)")


@pytest.fixture
def ask(running: RunningLab, network: Network) -> Callable[..., list[str]]:
    """Ask as a host of the test's VPC; the second subnet is in the second zone."""
    resolver = Resolver(running.lab, [])

    def resolve(name: str, kind: str = "A", source: str | None = None) -> list[str]:
        question = DNSRecord.question(name, kind)
        answer = DNSRecord.parse(resolver.answer(question.pack(), source or f"{network.prefix}.1.9"))
        return [str(record.rdata).rstrip(".") for record in answer.rr]

    return resolve


def test_aws_names_are_the_api_and_the_registry(ask: Callable[..., list[str]], network: Network) -> None:
    assert ask("sts.eu-west-1.amazonaws.com") == [f"{network.prefix}.0.2"]
    assert ask("bucket.s3.eu-west-1.amazonaws.com") == [f"{network.prefix}.0.2"]
    assert ask("123456789012.dkr.ecr.eu-west-1.amazonaws.com") == [f"{network.prefix}.0.3"]
    assert ask("sts.eu-west-1.amazonaws.com", "AAAA") == []
    assert ask(f"ip-{network.prefix.replace('.', '-')}-1-5.eu-west-1.compute.internal") == [f"{network.prefix}.1.5"]


def test_a_file_systems_name_is_the_mount_target_of_the_askers_zone(
    running: RunningLab, ask: Callable[..., list[str]], network: Network
) -> None:
    efs = running.client("efs")
    name = efs.create_file_system(CreationToken=f"dns-{network.vpc_id}")["FileSystemId"]
    addresses = [
        efs.create_mount_target(FileSystemId=name, SubnetId=subnet)["IpAddress"] for subnet in network.subnet_ids
    ]
    endpoint = f"{name}.efs.eu-west-1.amazonaws.com"
    assert ask(endpoint, source=f"{network.prefix}.1.9") == addresses[:1]
    assert ask(endpoint, source=f"{network.prefix}.2.9") == addresses[1:]
    assert ask(f"eu-west-1b.{endpoint}") == addresses[1:]


def test_a_private_zone_is_there_for_its_vpc_only(
    running: RunningLab, ask: Callable[..., list[str]], network: Network
) -> None:
    route53 = running.client("route53")
    zone = route53.create_hosted_zone(
        Name=f"{network.vpc_id}.internal",
        CallerReference=network.vpc_id,
        VPC={"VPCRegion": "eu-west-1", "VPCId": network.vpc_id},
    )["HostedZone"]["Id"]
    records = [
        {"Name": f"api.{network.vpc_id}.internal", "Type": "A", "TTL": 9, "ResourceRecords": [{"Value": "10.9.9.9"}]},
        {
            "Name": f"www.{network.vpc_id}.internal",
            "Type": "CNAME",
            "TTL": 9,
            "ResourceRecords": [{"Value": f"api.{network.vpc_id}.internal"}],
        },
        {"Name": f"*.any.{network.vpc_id}.internal", "Type": "TXT", "TTL": 9, "ResourceRecords": [{"Value": '"t"'}]},
    ]
    changes = [{"Action": "UPSERT", "ResourceRecordSet": record} for record in records]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    assert ask(f"api.{network.vpc_id}.internal") == ["10.9.9.9"]
    assert ask(f"www.{network.vpc_id}.internal") == [f"api.{network.vpc_id}.internal", "10.9.9.9"]
    assert ask(f"x.any.{network.vpc_id}.internal", "TXT") == ['"t"']
    assert ask(f"none.{network.vpc_id}.internal") == []
    assert ask(f"api.{network.vpc_id}.internal", source="192.0.2.1") == []


def test_an_alias_is_the_load_balancers_addresses(
    running: RunningLab, ask: Callable[..., list[str]], network: Network
) -> None:
    elb, route53 = running.client("elbv2"), running.client("route53")
    name = f"alias-{network.prefix.replace('.', '-')}"
    made = elb.create_load_balancer(Name=name, Subnets=network.subnet_ids)["LoadBalancers"][0]
    zone = route53.create_hosted_zone(Name=f"{network.vpc_id}.localhost", CallerReference=name)["HostedZone"]["Id"]
    record = {
        "Name": f"airflow.{network.vpc_id}.localhost",
        "Type": "A",
        "AliasTarget": {
            "DNSName": made["DNSName"],
            "HostedZoneId": made["CanonicalHostedZoneId"],
            "EvaluateTargetHealth": True,
        },
    }
    change = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=change)
    taken = next(entry for entry in running.snapshot()["load_balancers"] if entry["name"] == name)
    assert sorted(ask(f"airflow.{network.vpc_id}.localhost")) == sorted(taken["ips"])
    assert sorted(ask(made["DNSName"])) == sorted(taken["ips"])


def test_it_answers_over_udp_and_tcp(running: RunningLab) -> None:
    question = DNSRecord.question("ip-10-1-2-3.eu-west-1.compute.internal").pack()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.settimeout(5)
        channel.sendto(question, ("127.0.0.1", running.dns_port))
        answer = DNSRecord.parse(channel.recv(4096))
    assert str(answer.rr[0].rdata) == "10.1.2.3"
    with socket.create_connection(("127.0.0.1", running.dns_port), timeout=5) as stream:
        stream.sendall(len(question).to_bytes(2, "big") + question)
        length = int.from_bytes(stream.recv(2), "big")
        assert str(DNSRecord.parse(stream.recv(length)).rr[0].rdata) == "10.1.2.3"


def test_tls_has_a_certificate_for_every_name(running: RunningLab) -> None:
    context = ssl.create_default_context(cadata=running.lab.authority.certificate_pem.decode())
    for name in ("sts.eu-west-1.amazonaws.com", "my.bucket.s3.eu-west-1.amazonaws.com"):
        with (
            socket.create_connection(("127.0.0.1", running.https_port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=name) as channel,
        ):
            request = f"GET /global/global-bundle.pem HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
            channel.sendall(request.encode())
            assert channel.recv(12).startswith(b"HTTP/1.1 403")


def test_the_trust_store_is_the_labs_authority(running: RunningLab) -> None:
    host = {"Host": "truststore.pki.rds.amazonaws.com"}
    answer = requests.get(f"{running.url}/global/global-bundle.pem", headers=host, timeout=5)
    assert answer.content == running.lab.authority.certificate_pem


def test_two_processes_share_one_authority(tmp_path: Path) -> None:
    first, second = ca.load_or_create(tmp_path), ca.load_or_create(tmp_path)
    assert first.certificate_pem == second.certificate_pem
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    issued = second.issue(["db.example", "10.0.0.1"])
    assert issued.chain_pem.endswith(first.certificate_pem)
