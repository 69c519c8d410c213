# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls to ElastiCache, each with retries, and the wait for a replication group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.waiter import BaseWaiterFactory
from ansible_collections.freehold.airflow.plugins.module_utils._common import aws_call, tag_dict, tag_list

MISSING = ("ReplicationGroupNotFoundFault", "CacheSubnetGroupNotFoundFault", "CacheClusterNotFound")
# States from which a replication group does not come back by itself.
BROKEN_STATES = ("create-failed", "deleting")


class ElastiCacheWaiterFactory(BaseWaiterFactory):  # type: ignore[misc]
    """botocore's own waiter looks every 15 seconds."""

    @property
    def _waiter_model_data(self) -> dict[str, Any]:
        def acceptor(state: str, expected: str) -> dict[str, str]:
            return {
                "state": state,
                "matcher": "pathAll",
                "expected": expected,
                "argument": "ReplicationGroups[].Status",
            }

        return {
            "replication_group_available": {
                "operation": "DescribeReplicationGroups",
                "delay": 5,
                "maxAttempts": 480,
                "acceptors": [
                    acceptor("success", "available"),
                    *(acceptor("failure", state) for state in BROKEN_STATES),
                ],
            }
        }


@aws_call("find the replication group", missing=MISSING)
def find_group(client: Any, name: str) -> dict[str, Any] | None:
    groups = client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"]
    return groups[0] if groups else None


@aws_call("find the subnet group", missing=MISSING)
def find_subnet_group(client: Any, name: str) -> dict[str, Any] | None:
    groups = client.describe_cache_subnet_groups(CacheSubnetGroupName=name)["CacheSubnetGroups"]
    return groups[0] if groups else None


@aws_call("read the nodes", missing=MISSING)
def find_node(client: Any, name: str) -> dict[str, Any] | None:
    """One node of a group; a group itself tells neither its security groups nor its version."""
    nodes = client.describe_cache_clusters(CacheClusterId=name)["CacheClusters"]
    return nodes[0] if nodes else None


@aws_call("read the tags", missing=MISSING, default={})
def get_tags(client: Any, arn: str) -> dict[str, str]:
    return tag_dict(client.list_tags_for_resource(ResourceName=arn)["TagList"])


@aws_call("set the tags")
def set_tags(client: Any, arn: str, tags: Mapping[str, str]) -> None:
    client.add_tags_to_resource(ResourceName=arn, Tags=tag_list(tags))


@aws_call("create the subnet group")
def create_subnet_group(
    client: Any, name: str, description: str, subnet_ids: list[str], tags: Mapping[str, str]
) -> None:
    client.create_cache_subnet_group(
        CacheSubnetGroupName=name, CacheSubnetGroupDescription=description, SubnetIds=subnet_ids, Tags=tag_list(tags)
    )


@aws_call("change the subnet group")
def modify_subnet_group(client: Any, name: str, subnet_ids: list[str]) -> None:
    client.modify_cache_subnet_group(CacheSubnetGroupName=name, SubnetIds=subnet_ids)


@aws_call("create the replication group", retry=("CacheSubnetGroupNotFoundFault",))
def create_group(client: Any, request: Mapping[str, Any]) -> None:
    """Create a replication group. ``request`` holds the password: it must not be logged."""
    client.create_replication_group(**request)


@aws_call("change the replication group")
def modify_group(client: Any, name: str, changes: Mapping[str, Any]) -> None:
    client.modify_replication_group(ReplicationGroupId=name, ApplyImmediately=True, **changes)


@aws_call("change the number of replicas")
def set_replicas(client: Any, name: str, current: int, wanted: int) -> None:
    operation = client.increase_replica_count if wanted > current else client.decrease_replica_count
    operation(ReplicationGroupId=name, NewReplicaCount=wanted, ApplyImmediately=True)


@aws_call("wait for the replication group")
def wait_for_group(client: Any, name: str, timeout: int) -> None:
    delay = 5
    ElastiCacheWaiterFactory().get_waiter(client, "replication_group_available").wait(
        ReplicationGroupId=name, WaiterConfig={"Delay": delay, "MaxAttempts": max(1, timeout // delay)}
    )
