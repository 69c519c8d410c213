# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of what the API wants to be real: GET /_lab/snapshot."""

from __future__ import annotations

import ipaddress
from typing import Any, NotRequired, TypedDict


class Vpc(TypedDict):
    id: str
    cidr: str


class Subnet(TypedDict):
    id: str
    cidr: str
    zone: str
    vpc_id: str
    egress: str


class Instance(TypedDict):
    id: str
    state: str
    private_ip: str
    public_ip: str | None
    subnet_id: str
    vpc_id: str
    hostname: str
    image_id: str
    instance_type: str
    memory_mib: int | None
    security_groups: list[str]


class Database(TypedDict):
    id: str
    engine: str
    status: str
    endpoint: str
    port: int
    master_username: str
    master_password: str
    db_name: str | None
    force_tls: bool
    vpc_id: str | None
    private_ip: str | None
    security_groups: list[str]


class Cache(TypedDict):
    id: str
    engine: str
    status: str
    auth_token: str | None
    tls: bool
    endpoint: str
    endpoints: list[str]
    port: int
    vpc_id: str | None
    private_ip: str | None
    security_groups: list[str]


class MountTarget(TypedDict):
    id: str
    ip: str
    subnet_id: str
    security_groups: list[str]


class FileSystem(TypedDict):
    id: str
    dns_name: str
    mount_targets: list[MountTarget]


# Conditions and actions have the shape of the ELBv2 API.
Rule = dict[str, Any]
Action = dict[str, Any]


class Listener(TypedDict):
    arn: str
    port: int
    protocol: str
    certificate_arns: list[str]
    default_actions: list[Action]
    rules: list[Rule]


class LoadBalancer(TypedDict):
    arn: str
    name: str
    type: str
    dns_name: str
    scheme: str
    vpc_id: str
    ips: list[str]
    security_groups: list[str]
    listeners: list[Listener]


class HealthCheck(TypedDict):
    protocol: str
    path: str | None
    port: str
    interval: int
    timeout: int
    healthy: int
    unhealthy: int
    matcher: str | None


class Target(TypedDict):
    id: str
    ip: str
    port: int


class TargetGroup(TypedDict):
    arn: str
    protocol: str
    port: int
    health_check: HealthCheck
    targets: list[Target]


class Certificate(TypedDict):
    arn: str
    domains: list[str]
    # An imported certificate is the owner's own: there is nothing to issue.
    certificate_pem: NotRequired[str]
    key_pem: NotRequired[str]


# "from" is a keyword of Python.
Permission = TypedDict(
    "Permission",
    {"protocol": str, "from": int | None, "to": int | None, "cidrs": list[str], "groups": list[str]},
)


class SecurityGroup(TypedDict):
    id: str
    vpc_id: str
    ingress: list[Permission]
    egress: list[Permission]


class Repository(TypedDict):
    name: str


class ConnectEndpoint(TypedDict):
    id: str
    vpc_id: str
    private_ip: str | None
    security_groups: list[str]


class Snapshot(TypedDict):
    epoch: str
    revision: int
    region: str
    account: str
    vpcs: list[Vpc]
    subnets: list[Subnet]
    instances: list[Instance]
    databases: list[Database]
    caches: list[Cache]
    file_systems: list[FileSystem]
    load_balancers: list[LoadBalancer]
    target_groups: list[TargetGroup]
    certificates: list[Certificate]
    security_groups: list[SecurityGroup]
    repositories: list[Repository]
    connect_endpoints: NotRequired[list[ConnectEndpoint]]


def reserved_address(cidr: str, offset: int) -> str:
    """The address that AWS reserves in a VPC: base+1 the router, base+2 the resolver, base+3 (here) the registry."""
    return str(ipaddress.ip_network(cidr).network_address + offset)


def vpc_cidrs(snapshot: Snapshot) -> dict[str, str]:
    """VPC -> its address block. The account's default VPC is not among them: nothing in it becomes real."""
    return {vpc["id"]: vpc["cidr"] for vpc in snapshot["vpcs"]}


def vpcs_of_subnets(snapshot: Snapshot) -> dict[str, str]:
    """Subnet -> its VPC."""
    return {subnet["id"]: subnet["vpc_id"] for subnet in snapshot["subnets"]}


def home_of(file_system: FileSystem, snapshot: Snapshot) -> str | None:
    """The VPC of a file system's mount targets; all of them are in one, as on AWS. None without mount targets."""
    vpcs = vpcs_of_subnets(snapshot)
    return next((vpcs.get(target["subnet_id"]) for target in file_system["mount_targets"]), None)
