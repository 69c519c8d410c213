# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers to DNS questions as a VPC's resolver gives them.

Order: endpoint names of databases, caches, file systems and load balancers; hosted zones; instance names; the registry;
any other amazonaws.com name is the API itself; the rest goes to the resolver that this machine uses.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dnslib import AAAA, CNAME, MX, NS, QTYPE, RCODE, RR, SOA, TXT, A, DNSHeader, DNSRecord

from lab.api import backends
from lab.api.services import caches, file_systems, load_balancers
from lab.api.settings import ACCOUNT
from lab.api.state import Lab

_AMAZON = ".amazonaws.com"
# Offsets from the VPC's base address: this server and API, and the registry.
_API_OFFSET = 2
_REGISTRY_OFFSET = 3
# Names of the lab change quickly; AWS's own endpoints have 5 to 60 seconds.
_TTL = 5
FORWARD_SECONDS = 5.0
_INSTANCE_NAME = re.compile(r"^ip-(\d+)-(\d+)-(\d+)-(\d+)\.(?:([a-z0-9-]+)\.compute|ec2)\.internal$")
_CHAIN_LIMIT = 8


@dataclass(frozen=True)
class Vpc:
    """The asker's network, by its address."""

    id: str
    base: ipaddress.IPv4Address

    def address(self, offset: int) -> str:
        """The address so far from the VPC's base."""
        return str(self.base + offset)


@dataclass
class Answer:
    """Records for a name; `None` of a zone's own means that the name is not ours."""

    records: list[RR]
    rcode: int = RCODE.NOERROR


class Resolver:
    """Answers questions from moto's memory."""

    def __init__(self, lab: Lab, upstreams: list[str]) -> None:
        self.lab = lab
        self.upstreams = upstreams

    def answer(self, wire: bytes, source: str, own_address: str | None = None) -> bytes:
        """Answer one question in wire format; whatever is not the lab's is forwarded as it stands."""
        query = DNSRecord.parse(wire)
        name = str(query.q.qname).rstrip(".").lower()
        with self.lab.lock:
            vpc = self._vpc_of(source)
            found = self._resolve(name, query.q.qtype, vpc, source, own_address)
        if found is None:
            return self._forward(wire, query)
        reply = DNSRecord(DNSHeader(id=query.header.id, qr=1, aa=1, ra=1, rd=query.header.rd), q=query.q)
        reply.header.rcode = found.rcode
        for record in found.records:
            reply.add_answer(record)
        self._complete_chain(reply, found, query.q.qtype)
        return bytes(reply.pack())

    def _complete_chain(self, reply: DNSRecord, found: Answer, qtype: int) -> None:
        """A CNAME of ours that leads outside is followed there, as a resolver does."""
        if not found.records or qtype == QTYPE.CNAME:
            return
        last = found.records[-1]
        if last.rtype != QTYPE.CNAME:
            return
        question = DNSRecord.question(str(last.rdata.label), QTYPE[qtype])
        for record in DNSRecord.parse(self._forward(question.pack(), question)).rr:
            reply.add_answer(record)

    def _resolve(self, name: str, qtype: int, vpc: Vpc | None, source: str, own_address: str | None) -> Answer | None:
        records: list[RR] = []
        for _ in range(_CHAIN_LIMIT):
            addresses = self._service_addresses(name, vpc, source, own_address)
            if addresses is not None:
                wanted = qtype in (QTYPE.A, QTYPE.ANY)
                return Answer(records + [_a(name, address) for address in addresses if wanted])
            step = self._zone_records(name, qtype, vpc)
            if step is None:
                return Answer(records) if records else None
            records += step.records
            target = next((str(r.rdata.label) for r in step.records if r.rtype == QTYPE.CNAME), None)
            if step.rcode != RCODE.NOERROR or target is None or qtype == QTYPE.CNAME:
                return Answer(records, step.rcode)
            name = target.rstrip(".").lower()
        return Answer(records, RCODE.SERVFAIL)

    def _service_addresses(self, name: str, vpc: Vpc | None, source: str, own_address: str | None) -> list[str] | None:
        """Addresses of a name that AWS itself would answer; None when it is not such a name."""
        match = _INSTANCE_NAME.match(name)
        if match:
            return [".".join(match.groups()[:4])]
        if not name.endswith(_AMAZON):
            return None
        for database in backends.rds().databases.values():
            if database.address.lower() == name:
                return _address_of(database._lab_interface)
        for group in backends.elasticache().replication_groups.values():
            if name in [known.lower() for known in caches.endpoint_names(group)]:
                return _address_of(group._lab_interface)
        for balancer in backends.elbv2().load_balancers.values():
            if name in (balancer.dns_name.lower(), f"dualstack.{balancer.dns_name.lower()}"):
                return load_balancers.addresses(balancer)
        region = self.lab.settings.region
        for file_system in backends.efs().file_systems_by_id.values():
            if name == file_systems.dns_name(file_system, region):
                return self._mount_target(file_system, source)
            for target in file_system.iter_mount_targets():
                zone = target._subnet.availability_zone
                if name == f"{zone}.{file_systems.dns_name(file_system, region)}":
                    return [target.ip_address]
        if vpc is None:
            return [own_address] if own_address else None
        if re.fullmatch(rf"{ACCOUNT}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com", name):
            return [vpc.address(_REGISTRY_OFFSET)]
        return [vpc.address(_API_OFFSET)]

    def _mount_target(self, file_system: Any, source: str) -> list[str]:
        """The mount target of the asker's zone; without one there is no answer, as on AWS."""
        zone = self._zone_of(source)
        return [t.ip_address for t in file_system.iter_mount_targets() if t._subnet.availability_zone == zone]

    def _vpc_of(self, source: str) -> Vpc | None:
        try:
            address = ipaddress.ip_address(source)
        except ValueError:
            return None
        for vpc in backends.ec2().vpcs.values():
            network = ipaddress.ip_network(vpc.cidr_block)
            if not vpc.is_default and address in network:
                return Vpc(vpc.id, ipaddress.IPv4Address(int(network.network_address)))
        return None

    def _zone_of(self, source: str) -> str | None:
        address = ipaddress.ip_address(source)
        for zone in backends.ec2().subnets.values():
            for subnet in zone.values():
                if address in subnet.cidr and not backends.ec2().vpcs[subnet.vpc_id].is_default:
                    return str(subnet.availability_zone)
        return None

    def _zone_records(self, name: str, qtype: int, vpc: Vpc | None) -> Answer | None:
        """The records of the most specific hosted zone; a private one only for its VPC (and for the machine)."""
        zones = [zone for zone in backends.route53().zones.values() if _within(name, zone.name)]
        zones = [zone for zone in zones if not zone.private_zone or _associated(zone, vpc)]
        if not zones:
            return None
        zone = max(zones, key=lambda zone: (len(zone.name), zone.private_zone))
        exact = [record for record in zone.rrsets if _decode(record.name) == name]
        if not exact:
            parents = name.split(".")[1:]
            wildcard = ["*." + ".".join(parents[start:]) for start in range(len(parents))]
            exact = next((found for w in wildcard if (found := [r for r in zone.rrsets if _decode(r.name) == w])), [])
        if not exact:
            return Answer([], RCODE.NXDOMAIN)
        records: list[RR] = []
        for record in exact:
            records += self._convert(record, name, qtype)
        return Answer(records)

    def _convert(self, record: Any, name: str, qtype: int) -> Iterable[RR]:
        kind = str(record.type)
        if record.alias_target and kind in ("A", "CNAME") and qtype in (QTYPE.A, QTYPE.ANY):
            target = str(record.alias_target["DNSName"]).rstrip(".").lower()
            addresses = self._service_addresses(target, None, "", None)
            if addresses is None:
                step = self._zone_records(target, qtype, None)
                addresses = [str(r.rdata) for r in step.records if r.rtype == QTYPE.A] if step else []
            return [_a(name, address) for address in addresses]
        if kind != "CNAME" and QTYPE[qtype] not in (kind, "ANY"):
            return []
        made = (_rdata(kind, value) for value in record.records or [])
        ttl = int(record.ttl or _TTL)
        return [RR(name, getattr(QTYPE, kind), ttl=ttl, rdata=data) for data in made if data is not None]

    def _forward(self, wire: bytes, query: DNSRecord) -> bytes:
        for upstream in self.upstreams:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
                channel.settimeout(FORWARD_SECONDS)
                try:
                    channel.sendto(wire, (upstream, 53))
                    return channel.recvfrom(65535)[0]
                except OSError:
                    continue
        reply = query.reply()
        reply.header.rcode = RCODE.SERVFAIL
        return bytes(reply.pack())


def _address_of(interface: Any) -> list[str]:
    return [] if interface is None else [str(interface.private_ip_address)]


def _a(name: str, address: str) -> RR:
    return RR(name, QTYPE.A, ttl=_TTL, rdata=A(address))


def _rdata(kind: str, value: str) -> Any:
    if kind == "A":
        return A(value)
    if kind == "AAAA":
        return AAAA(value)
    if kind == "CNAME":
        return CNAME(value)
    if kind == "NS":
        return NS(value)
    if kind == "TXT":
        return TXT(re.findall(r'"((?:[^"\\]|\\.)*)"', value) or [value])
    if kind == "MX":
        preference, host = value.split()
        return MX(host, int(preference))
    if kind == "SOA":
        primary, mailbox, *times = value.split()
        return SOA(primary, mailbox, tuple(int(number) for number in times))
    return None


def _decode(name: str) -> str:
    # Route 53 writes a wildcard's asterisk as an octal escape.
    return name.replace("\\052", "*").rstrip(".").lower()


def _within(name: str, zone: str) -> bool:
    zone = zone.rstrip(".").lower()
    return name == zone or name.endswith("." + zone)


def _associated(zone: Any, vpc: Vpc | None) -> bool:
    return vpc is not None and any(entry.get("vpc_id") == vpc.id for entry in zone.vpcs)
