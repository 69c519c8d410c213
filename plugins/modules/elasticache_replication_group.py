#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: elasticache_replication_group
version_added: 0.1.0
short_description: Manage a Valkey replication group in ElastiCache
description:
  - Creates a Valkey replication group of one shard with its subnet group, keeps node type, replicas, security groups
    and tags as asked, and waits for it. Traffic and storage are always encrypted, and a password is always needed.
  - M(community.aws.elasticache) makes single clusters only, which know no encryption, no password and no replica.
author:
  - The Freehold authors (@freehold)
options:
  name:
    description:
      - ID of the replication group, and name of its subnet group.
    type: str
    required: true
  description:
    description:
      - Description in AWS. Only looked at when the group is created.
    type: str
    default: Managed by freehold.airflow
  node_type:
    description:
      - Size of each node.
    type: str
    required: true
  engine_version:
    description:
      - Valkey version, for instance V(8.0). Only looked at when the group is created.
    type: str
  replicas:
    description:
      - Replicas beside the primary node. With one or more, AWS fails over by itself, and the nodes are in different
        zones.
    type: int
    default: 1
  subnet_ids:
    description:
      - Subnets of the nodes, in two zones or more if there are replicas.
    type: list
    elements: str
    required: true
  security_group_ids:
    description:
      - Security groups of the nodes.
    type: list
    elements: str
    required: true
  password_secret:
    description:
      - Name or ARN of the secret in Secrets Manager that holds the password. Only read when the group is created.
    type: str
    required: true
  kms_key_id:
    description:
      - The KMS key that encrypts the storage. Without it AWS uses its own. It can't be changed later.
    type: str
  maintenance_window:
    description:
      - UTC window of maintenance. Only looked at when the group is created.
    type: str
  tags:
    description:
      - Tags that the group must carry. Other tags are left alone.
    type: dict
    aliases: [resource_tags]
  wait:
    description:
      - Wait until the group is available. Without it, a group that AWS is still busy with is left as it is.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait.
    type: int
    default: 2400
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create a broker with a replica
  freehold.airflow.elasticache_replication_group:
    name: freehold-production
    node_type: cache.t4g.small
    subnet_ids: [subnet-0a1b2c3d, subnet-4e5f6a7b]
    security_group_ids: [sg-0a1b2c3d]
    password_secret: freehold/production/broker_password
    tags:
      freehold:environment: production
"""

RETURN = r"""
differences:
  description: What was brought in line, and why.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What differed.
      type: str
    current:
      description: What AWS said.
      type: raw
    desired:
      description: What was asked for.
      type: raw
replication_group:
  description: The group; values are null when check mode would create it, or AWS does not know them yet.
  returned: success
  type: dict
  contains:
    name:
      description: ID of the group.
      type: str
    status:
      description: State of the group.
      type: str
      sample: available
    endpoint:
      description: Name of the primary node.
      type: str
      sample: master.freehold-production.a1b2c3.euw1.cache.amazonaws.com
    port:
      description: Its port.
      type: int
      sample: 6379
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils import _elasticache as api
from ansible_collections.freehold.airflow.plugins.module_utils._common import (
    FreeholdError,
    difference,
    missing_tags,
    refuse_foreign,
    tag_list,
    unready,
)
from ansible_collections.freehold.airflow.plugins.module_utils._secretsmanager.api import get_value


def creation_request(params: dict[str, Any], tags: dict[str, str], password: str) -> dict[str, Any]:
    """One shard; every byte encrypted; fail-over as soon as there is something to fail over to."""
    request = {
        "ReplicationGroupId": params["name"],
        "ReplicationGroupDescription": params["description"],
        "Engine": "valkey",
        "CacheNodeType": params["node_type"],
        "NumNodeGroups": 1,
        "ReplicasPerNodeGroup": params["replicas"],
        "AutomaticFailoverEnabled": params["replicas"] > 0,
        "MultiAZEnabled": params["replicas"] > 0,
        "CacheSubnetGroupName": params["name"],
        "SecurityGroupIds": params["security_group_ids"],
        "AtRestEncryptionEnabled": True,
        "TransitEncryptionEnabled": True,
        "TransitEncryptionMode": "required",
        "AuthToken": password,
        "Tags": tag_list(tags),
    }
    optional = {
        "EngineVersion": params["engine_version"],
        "KmsKeyId": params["kms_key_id"],
        "PreferredMaintenanceWindow": params["maintenance_window"],
    }
    return {**request, **{key: value for key, value in optional.items() if value}}


def ensure_subnet_group(client: Any, params: dict[str, Any], tags: dict[str, str], write: bool) -> list[dict[str, Any]]:
    """Create the subnet group or give it its subnets; return the differences."""
    found = api.find_subnet_group(client, params["name"])
    wanted = sorted(params["subnet_ids"])
    if found is None:
        if write:
            api.create_subnet_group(client, params["name"], params["description"], wanted, tags)
        return [difference("subnet_group", None, params["name"])]
    refuse_foreign(f"The subnet group '{params['name']}'", api.get_tags(client, found["ARN"]), params["tags"])
    current = sorted(subnet["SubnetIdentifier"] for subnet in found["Subnets"])
    if current == wanted:
        return []
    if write:
        api.modify_subnet_group(client, params["name"], wanted)
    return [difference("subnets", current, wanted)]


def refuse_unchangeable(found: dict[str, Any], name: str) -> None:
    """Encryption can't be added to a group that AWS made without."""
    if not (found.get("AtRestEncryptionEnabled") and found.get("TransitEncryptionEnabled")):
        raise FreeholdError(message=f"The replication group '{name}' is not encrypted, which can't be changed later.")


def changes(found: dict[str, Any], node: dict[str, Any] | None, params: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What ModifyReplicationGroup must change, as name -> (current, desired)."""
    failover = params["replicas"] > 0
    current: dict[str, Any] = {
        "CacheNodeType": found.get("CacheNodeType"),
        "AutomaticFailoverEnabled": found.get("AutomaticFailover") in ("enabled", "enabling"),
        "MultiAZEnabled": found.get("MultiAZ") == "enabled",
    }
    wanted: dict[str, Any] = {
        "CacheNodeType": params["node_type"],
        "AutomaticFailoverEnabled": failover,
        "MultiAZEnabled": failover,
    }
    if node is not None and node.get("SecurityGroups"):
        current["SecurityGroupIds"] = sorted(group["SecurityGroupId"] for group in node["SecurityGroups"])
        wanted["SecurityGroupIds"] = sorted(params["security_group_ids"])
    return {key: (current[key], value) for key, value in wanted.items() if current[key] != value}


def bring_in_line(client: Any, found: dict[str, Any], params: dict[str, Any], write: bool) -> list[dict[str, Any]]:
    """Change what differs and return it. A group that AWS is busy with can't be changed, so it is left alone."""
    differences = []
    existing = api.get_tags(client, found["ARN"])
    tags = missing_tags(existing, params["tags"])
    if tags:
        differences += [difference(f"tag {key}", existing.get(key), value) for key, value in tags.items()]
        if write:
            api.set_tags(client, found["ARN"], tags)
    if found["Status"] != "available":
        return differences
    members = found.get("MemberClusters", [])
    replicas = len(members) - 1
    # More replicas before fail-over is asked for, fewer after it was switched off: one of the two a run.
    if replicas < params["replicas"]:
        differences.append(difference("replicas", replicas, params["replicas"]))
        if write:
            api.set_replicas(client, params["name"], replicas, params["replicas"])
        return differences
    changing = changes(found, api.find_node(client, members[0]) if members else None, params)
    differences += [difference(key, current, desired) for key, (current, desired) in changing.items()]
    if changing and write:
        api.modify_group(client, params["name"], {key: desired for key, (_current, desired) in changing.items()})
    if replicas > params["replicas"]:
        differences.append(difference("replicas", replicas, params["replicas"]))
        if write and not changing:
            api.set_replicas(client, params["name"], replicas, params["replicas"])
    return differences


def create(module: AnsibleAWSModule, client: Any, tags: dict[str, str]) -> None:
    """Create the group. The password goes from one AWS answer into the next request, and nowhere else."""
    secret = module.params["password_secret"]
    password = get_value(module.client("secretsmanager"), secret)
    if password is None:
        raise FreeholdError(message=f"There is no secret '{secret}' to take the broker's password from.")
    api.create_group(client, creation_request(module.params, tags, password))


def wait(client: Any, params: dict[str, Any]) -> None:
    """Wait until the group is available; a broken one is named as such."""
    name, timeout = params["name"], params["wait_timeout"]
    try:
        api.wait_for_group(client, name, timeout)
    except FreeholdError as error:
        status = (api.find_group(client, name) or {}).get("Status")
        what = f"The replication group '{name}'"
        raise unready(what, status, api.BROKEN_STATES, timeout, "broker_wait_timeout") from error


def describe(found: dict[str, Any] | None, name: str) -> dict[str, Any]:
    found = found or {}
    node_groups = found.get("NodeGroups") or [{}]
    endpoint = node_groups[0].get("PrimaryEndpoint") or {}
    return {
        "name": name,
        "status": found.get("Status"),
        "endpoint": endpoint.get("Address"),
        "port": endpoint.get("Port"),
    }


def ensure_group(module: AnsibleAWSModule, client: Any) -> dict[str, Any]:
    """Bring the group to its wanted state and return the module's result."""
    params, write = module.params, not module.check_mode
    name = params["name"]
    found = api.find_group(client, name)
    if found is not None:
        refuse_foreign(f"The replication group '{name}'", api.get_tags(client, found["ARN"]), params["tags"])
        refuse_unchangeable(found, name)
    tags = {"Name": name, **(params["tags"] or {})}
    differences = ensure_subnet_group(client, params, tags, write) if params["subnet_ids"] else []
    if found is None:
        differences.append(difference("replication_group", None, name))
        if write:
            create(module, client, tags)
    if params["wait"] and write:
        wait(client, params)
    found = api.find_group(client, name)
    if found is not None:
        changed_now = bring_in_line(client, found, params, write)
        differences += changed_now
        if changed_now and params["wait"] and write:
            wait(client, params)
            found = api.find_group(client, name)
    return {"changed": bool(differences), "differences": differences, "replication_group": describe(found, name)}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "description": {"type": "str", "default": "Managed by freehold.airflow"},
            "node_type": {"type": "str", "required": True},
            "engine_version": {"type": "str"},
            "replicas": {"type": "int", "default": 1},
            "subnet_ids": {"type": "list", "elements": "str", "required": True},
            "security_group_ids": {"type": "list", "elements": "str", "required": True},
            "password_secret": {"type": "str", "required": True, "no_log": False},
            "kms_key_id": {"type": "str", "no_log": False},
            "maintenance_window": {"type": "str"},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 2400},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure_group(module, module.client("elasticache"))
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
