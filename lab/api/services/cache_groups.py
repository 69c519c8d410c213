# SPDX-License-Identifier: GPL-3.0-or-later
"""ElastiCache's subnet groups and parameter groups, where moto lacks their operations."""

from __future__ import annotations

from typing import Any

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import answers
from lab.api.request import AwsRequest
from lab.api.settings import ACCOUNT

_FAMILIES = ("valkey7", "valkey8", "redis7")
# By region and name: the group and the values that it sets.
_GROUPS: dict[tuple[str, str], tuple[dict[str, Any], dict[str, str]]] = {}


def _subnet_group(request: AwsRequest) -> Any:
    name = request.params["CacheSubnetGroupName"]
    group = backends.elasticache(request.region).cache_subnet_groups.get(name)
    if group is None:
        raise AwsError("CacheSubnetGroupNotFoundFault", f"Cache Subnet Group {name} does not exist.")
    return group


@answers("elasticache", "DeleteCacheSubnetGroup")
def delete_subnet_group(request: AwsRequest) -> object:
    """Delete a group that no cache lies in."""
    group = _subnet_group(request)
    elasticache = backends.elasticache(request.region)
    name = group.cache_subnet_group_name
    if any(cache.cache_subnet_group_name == name for cache in elasticache.replication_groups.values()):
        raise AwsError("CacheSubnetGroupInUse", f"The cache subnet group {name} is in use.")
    del elasticache.cache_subnet_groups[name]
    return {}


@answers("elasticache", "ModifyCacheSubnetGroup")
def modify_subnet_group(request: AwsRequest) -> object:
    """Change description and subnets."""
    group = _subnet_group(request)
    params = request.params
    if params.get("CacheSubnetGroupDescription"):
        group.cache_subnet_group_description = params["CacheSubnetGroupDescription"]
    if params.get("SubnetIds"):
        subnets = backends.ec2(request.region).describe_subnets(subnet_ids=list(params["SubnetIds"]))
        group.subnet_ids = [subnet.id for subnet in subnets]
        group.subnets = [
            {
                "subnet_identifier": subnet.id,
                "subnet_availability_zone": {"Name": subnet.availability_zone},
                "supported_network_types": ["ipv4"],
            }
            for subnet in subnets
        ]
    return {"CacheSubnetGroup": group}


def _parameter_group(request: AwsRequest) -> tuple[dict[str, Any], dict[str, str]]:
    name = request.params["CacheParameterGroupName"]
    found = _GROUPS.get((request.region, name))
    if found is None:
        raise AwsError("CacheParameterGroupNotFound", f"CacheParameterGroup not found: {name}")
    return found


@answers("elasticache", "CreateCacheParameterGroup")
def create_parameter_group(request: AwsRequest) -> object:
    """Make an empty group of a family."""
    params = request.params
    name, family = params["CacheParameterGroupName"], params["CacheParameterGroupFamily"]
    if family not in _FAMILIES:
        message = f"CacheParameterGroupFamily {family} is not a valid parameter group family."
        raise AwsError("InvalidParameterValue", message)
    if (request.region, name) in _GROUPS:
        raise AwsError("CacheParameterGroupAlreadyExists", f"Cache parameter group {name} already exists.")
    group = {
        "CacheParameterGroupName": name,
        "CacheParameterGroupFamily": family,
        "Description": params["Description"],
        "IsGlobal": False,
        "ARN": f"arn:aws:elasticache:{request.region}:{ACCOUNT}:parametergroup:{name}",
    }
    _GROUPS[request.region, name] = (group, {})
    return {"CacheParameterGroup": group}


@answers("elasticache", "DescribeCacheParameterGroups")
def describe_parameter_groups(request: AwsRequest) -> object:
    """One group, or all with AWS's own."""
    name = request.params.get("CacheParameterGroupName")
    defaults = {f"default.{family}": family for family in _FAMILIES}
    if name and name not in defaults:
        return {"CacheParameterGroups": [_parameter_group(request)[0]]}
    shown = [
        {"CacheParameterGroupName": key, "CacheParameterGroupFamily": family, "Description": f"Default for {family}"}
        for key, family in defaults.items()
        if name in (None, key)
    ]
    if name is None:
        shown += [group for (region, _), (group, _) in _GROUPS.items() if region == request.region]
    return {"CacheParameterGroups": shown}


@answers("elasticache", "ModifyCacheParameterGroup")
def modify_parameter_group(request: AwsRequest) -> object:
    """Set values."""
    group, values = _parameter_group(request)
    for given in request.params.get("ParameterNameValues") or []:
        values[given["ParameterName"]] = given.get("ParameterValue", "")
    return {"CacheParameterGroupName": group["CacheParameterGroupName"]}


@answers("elasticache", "DescribeCacheParameters")
def describe_parameters(request: AwsRequest) -> object:
    """The values that a group sets; the lab does not know the engine's own."""
    if str(request.params["CacheParameterGroupName"]).startswith("default."):
        return {"Parameters": []}
    _, values = _parameter_group(request)
    return {
        "Parameters": [
            {"ParameterName": name, "ParameterValue": value, "Source": "user", "IsModifiable": True}
            for name, value in values.items()
        ]
    }


@answers("elasticache", "DeleteCacheParameterGroup")
def delete_parameter_group(request: AwsRequest) -> object:
    """Delete a group that no cache uses."""
    group, _ = _parameter_group(request)
    name = group["CacheParameterGroupName"]
    caches = backends.elasticache(request.region).replication_groups.values()
    if any(cache.cache_parameter_group_name == name for cache in caches):
        raise AwsError("InvalidCacheParameterGroupState", f"The cache parameter group {name} is in use.")
    del _GROUPS[request.region, name]
    return {}


def parameters(region: str, name: str | None) -> dict[str, str]:
    """The values that a parameter group sets."""
    found = _GROUPS.get((region, name)) if name else None
    return dict(found[1]) if found is not None else {}
