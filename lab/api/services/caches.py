# SPDX-License-Identifier: GPL-3.0-or-later
"""ElastiCache replication groups: endpoints as AWS forms them, a private address, states, the auth token."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from moto.elasticache.models import ElastiCacheBackend, ReplicationGroup

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import checks, completes
from lab.api.patching import wraps
from lab.api.request import AwsRequest
from lab.api.services.addresses import create_service_interface, delete_service_interface
from lab.api.settings import ACCOUNT
from lab.api.state import current

_REQUESTER = "amazon-elasticache"
_NAME = re.compile(r"^[a-zA-Z](?:-?[a-zA-Z0-9])*$")
_NAME_LIMIT = 40
_TOKEN = re.compile(r"^[!&#$^<>\-A-Za-z0-9]{16,128}$")
_DEFAULT_VERSIONS = {"valkey": "8.1", "redis": "7.1"}


def _region_code(region: str) -> str:
    """eu-west-1 is euw1 in cache names."""
    area, direction, number = region.split("-")
    compass = {"northeast": "ne", "southeast": "se", "northwest": "nw", "southwest": "sw"}
    return f"{area}{compass.get(direction, direction[0])}{number}"


def _domain(group: Any, region: str) -> str:
    letters = hashlib.sha256(f"{ACCOUNT}/{region}/cache".encode()).hexdigest()[:6]
    return f"{group.replication_group_id}.{letters}.{_region_code(region)}.cache.amazonaws.com"


@wraps(ReplicationGroup, "__init__")
def _begin_as_creating(original: Any, group: Any, *args: Any, **kwargs: Any) -> None:
    original(group, *args, **kwargs)
    region = kwargs["region_name"]
    group._lab_region = region
    group._lab_auth_token = kwargs.get("auth_token")
    group._lab_interface = None
    group.engine_version = group.engine_version or _DEFAULT_VERSIONS.get(group.engine)
    _name_endpoints(group, region)
    subnet_group = backends.elasticache(region).cache_subnet_groups.get(group.cache_subnet_group_name)
    if subnet_group is not None:
        group._lab_interface = create_service_interface(
            region,
            subnet_group.subnet_ids[0],
            f"ElastiCache {group.member_clusters[0]}",
            group.security_group_ids or [],
            _REQUESTER,
        )
    group.status = "creating"

    def apply(state: str) -> None:
        group.status = state

    current().lifecycle.begin("cache", group.replication_group_id, "available", apply)


def _name_endpoints(group: Any, region: str) -> None:
    domain = _domain(group, region)
    for node_group in group.node_groups:
        if group.cluster_mode == "enabled":
            group.configuration_endpoint = {"address": f"clustercfg.{domain}", "port": group.port}
            continue
        node_group["primary_endpoint"] = {"address": f"master.{domain}", "port": group.port}
        node_group["reader_endpoint"] = {"address": f"replica.{domain}", "port": group.port}
        node_group["primary_endpoint_address"] = f"master.{domain}"
        node_group["reader_endpoint_address"] = f"replica.{domain}"
        for index, member in enumerate(node_group["node_group_members"], 1):
            address = f"{group.replication_group_id}-{index:03}.{domain}"
            member["read_endpoint"] = {"address": address, "port": group.port}
            if member["preferred_availability_zone"].startswith("us-east-1"):
                member["preferred_availability_zone"] = region + member["preferred_availability_zone"][-1]


def primary_endpoint(group: Any) -> str:
    """The name that clients connect to."""
    if group.cluster_mode == "enabled":
        return str(group.configuration_endpoint["address"])
    return str(group.node_groups[0]["primary_endpoint"]["address"])


def endpoint_names(group: Any) -> list[str]:
    """Every name that the group answers to."""
    names = [primary_endpoint(group)]
    for node_group in group.node_groups:
        if "reader_endpoint" in node_group:
            names.append(node_group["reader_endpoint"]["address"])
        names += [m["read_endpoint"]["address"] for m in node_group["node_group_members"] if "read_endpoint" in m]
    return names


@wraps(ElastiCacheBackend, "delete_replication_group")
def _delete(original: Any, elasticache: Any, replication_group_id: str, *args: Any, **kwargs: Any) -> Any:
    group = original(elasticache, replication_group_id, *args, **kwargs)
    elasticache.replication_groups.pop(replication_group_id, None)
    current().lifecycle.forget("cache", replication_group_id)
    if group._lab_interface is not None:
        delete_service_interface(group._lab_region, group._lab_interface.id)
    return group


@checks("elasticache", "CreateReplicationGroup")
def refuse_bad_names_and_tokens(request: AwsRequest) -> None:
    """Name, token and subnet group as ElastiCache demands them."""
    params = request.params
    name = str(params.get("ReplicationGroupId", ""))
    if len(name) > _NAME_LIMIT or not _NAME.match(name):
        message = (
            "The parameter ReplicationGroupId is not a valid identifier. Identifiers must begin with a letter; must "
            "contain only ASCII letters, digits, and hyphens; must not end with a hyphen or contain two consecutive "
            f"hyphens; and must not be longer than {_NAME_LIMIT} characters."
        )
        raise AwsError("InvalidParameterValue", message)
    token = params.get("AuthToken")
    if token is not None and not params.get("TransitEncryptionEnabled"):
        message = "AuthToken can only be used when TransitEncryptionEnabled is true."
        raise AwsError("InvalidParameterCombination", message)
    if token is not None and not _TOKEN.match(token):
        message = "Invalid AuthToken provided: it must be 16 to 128 letters, digits or !&#$^<>- characters."
        raise AwsError("InvalidParameterValue", message)
    subnet_group = params.get("CacheSubnetGroupName")
    if subnet_group and subnet_group not in backends.elasticache(request.region).cache_subnet_groups:
        message = f"Cache Subnet Group {subnet_group} does not exist."
        raise AwsError("CacheSubnetGroupNotFoundFault", message)


@completes("elasticache", "ModifyReplicationGroup")
def take_the_new_token(request: AwsRequest) -> None:
    """moto forgets the auth token of a modification."""
    params = request.params
    group = backends.elasticache(request.region).replication_groups[params["ReplicationGroupId"]]
    if params.get("AuthToken"):
        group._lab_auth_token = params["AuthToken"]
        group.auth_token_enabled = True
    if params.get("SecurityGroupIds"):
        group.security_group_ids = list(params["SecurityGroupIds"])
