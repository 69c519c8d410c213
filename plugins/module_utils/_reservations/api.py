# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What AWS is asked: for reservations, offerings, and what runs. Nothing here buys; only tags are written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.freehold.airflow.plugins.module_utils._common import aws_call, tag_dict, tag_list

Described = list[dict[str, Any]]


def _snake(items: Described) -> Described:
    """AWS's names in Ansible's form."""
    return [camel_dict_to_snake_dict(item) for item in items]


def _snake_with_tags(items: Described) -> Described:
    """The same of what AWS describes with its tags, which become a dict."""
    return [
        {**camel_dict_to_snake_dict(item), "tags": tag_dict(item.get("Tags") or item.get("TagList"))} for item in items
    ]


def _pages(client: Any, operation: str, key: str, **request: Any) -> Described:
    found: Described = client.get_paginator(operation).paginate(**request).build_full_result().get(key, [])
    return found


def _with_end(items: Described) -> Described:
    """RDS and ElastiCache say when a reservation began and how long it lasts, but not when it ends."""
    return [
        {**item, "End": item["StartTime"] + timedelta(seconds=item["Duration"])} if item.get("StartTime") else item
        for item in items
    ]


@aws_call("read the reserved instances")
def reserved_instances(client: Any) -> Described:
    """All there ever were; EC2 shows ended ones for a while. This list of EC2 has no pages."""
    return _snake_with_tags(client.describe_reserved_instances()["ReservedInstances"])


@aws_call("read the reserved DB instances")
def reserved_databases(client: Any) -> Described:
    return _snake(_with_end(_pages(client, "describe_reserved_db_instances", "ReservedDBInstances")))


@aws_call("read the reserved cache nodes")
def reserved_nodes(client: Any) -> Described:
    return _snake(_with_end(_pages(client, "describe_reserved_cache_nodes", "ReservedCacheNodes")))


@aws_call("read the offerings of reserved instances")
def instance_offerings(client: Any, **request: Any) -> Described:
    """AWS's own offerings; those of other customers on the marketplace never."""
    key = "ReservedInstancesOfferings"
    found = _pages(client, "describe_reserved_instances_offerings", key, IncludeMarketplace=False, **request)
    return [offering for offering in found if not offering.get("Marketplace")]


@aws_call("read the offerings of reserved DB instances")
def database_offerings(client: Any, **request: Any) -> Described:
    return _pages(client, "describe_reserved_db_instances_offerings", "ReservedDBInstancesOfferings", **request)


@aws_call("read the offerings of reserved cache nodes")
def node_offerings(client: Any, **request: Any) -> Described:
    return _pages(client, "describe_reserved_cache_nodes_offerings", "ReservedCacheNodesOfferings", **request)


@aws_call("read the instances")
def instances(client: Any) -> Described:
    """Everything that runs or is about to."""
    alive = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    launches = _pages(client, "describe_instances", "Reservations", Filters=alive)
    return _snake_with_tags([instance for launch in launches for instance in launch["Instances"]])


@aws_call("read the databases")
def databases(client: Any) -> Described:
    return _snake_with_tags(_pages(client, "describe_db_instances", "DBInstances"))


@aws_call("read the caches")
def caches(client: Any) -> Described:
    """Caches that stand alone and members of replication groups, without their tags, which are asked for one by one."""
    return _snake(_pages(client, "describe_cache_clusters", "CacheClusters"))


@aws_call("read the tags of a cache", missing=("CacheClusterNotFound", "ReplicationGroupNotFoundFault"), default={})
def cache_tags(client: Any, arn: str) -> dict[str, str]:
    return tag_dict(client.list_tags_for_resource(ResourceName=arn)["TagList"])


@aws_call("read the offering", missing=("InvalidReservedInstancesOfferingId",), default=[])
def instance_offering(client: Any, name: str) -> Described:
    """One offering by its id, those of other customers too; empty when it is not sold."""
    found: Described = client.describe_reserved_instances_offerings(ReservedInstancesOfferingIds=[name])[
        "ReservedInstancesOfferings"
    ]
    return found


@aws_call("read the offering", missing=("ReservedDBInstancesOfferingNotFound",), default=[])
def database_offering(client: Any, name: str) -> Described:
    """One offering by its id; empty when it is not sold."""
    request = {"ReservedDBInstancesOfferingId": name}
    return _pages(client, "describe_reserved_db_instances_offerings", "ReservedDBInstancesOfferings", **request)


@aws_call("read the offering", missing=("ReservedCacheNodesOfferingNotFound",), default=[])
def node_offering(client: Any, name: str) -> Described:
    """One offering by its id; empty when it is not sold."""
    request = {"ReservedCacheNodesOfferingId": name}
    return _pages(client, "describe_reserved_cache_nodes_offerings", "ReservedCacheNodesOfferings", **request)


@aws_call("tag the reserved instances", retry=("InvalidReservedInstancesId", "InvalidReservedInstancesID.NotFound"))
def tag_reserved_instances(client: Any, name: str, tags: Mapping[str, str]) -> None:
    """Tag what was bought a moment ago, and may not be known everywhere yet."""
    client.create_tags(Resources=[name], Tags=tag_list(tags))
