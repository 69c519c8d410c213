#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: efs_file_system
version_added: 0.1.0
short_description: Manage an EFS file system with its mount targets, policy and backups
description:
  - Creates an encrypted EFS file system and keeps its throughput, mount targets, resource policy, backup policy and
    tags as asked.
  - M(community.aws.efs) knows neither elastic throughput nor the resource policy nor backups, and has no check mode.
author:
  - The Freehold authors (@freehold)
options:
  name:
    description:
      - The creation token, by which the file system is found again. AWS refuses a second one with the same token.
    type: str
    required: true
  performance_mode:
    description:
      - V(general_purpose) has the lowest latency; AWS advises against V(max_io). It can't be changed later.
    type: str
    choices: [general_purpose, max_io]
    default: general_purpose
  throughput_mode:
    description:
      - V(elastic) pays per byte moved and never runs out of credits. V(bursting) earns throughput by stored size,
        which is next to nothing for a small file system. V(provisioned) needs O(provisioned_throughput).
      - AWS allows a change of mode once in 24 hours.
    type: str
    choices: [elastic, bursting, provisioned]
    default: elastic
  provisioned_throughput:
    description:
      - MiB per second, for O(throughput_mode=provisioned).
    type: float
  kms_key_id:
    description:
      - The KMS key that encrypts the file system. Without it AWS uses C(aws/elasticfilesystem). It can't be changed
        later.
    type: str
  policy:
    description:
      - The resource policy. Left alone when not given.
    type: dict
  backup:
    description:
      - Whether AWS Backup copies the file system every day. Left alone when not given.
    type: bool
  subnet_ids:
    description:
      - The subnets that get a mount target, at most one per availability zone. Missing ones are created; others are
        left alone. Left alone altogether when not given.
    type: list
    elements: str
  security_group_ids:
    description:
      - The security groups of the mount targets in O(subnet_ids).
    type: list
    elements: str
  tags:
    description:
      - Tags that the file system must carry. Other tags are left alone.
    type: dict
    aliases: [resource_tags]
  wait:
    description:
      - Wait until every mount target is available, which takes AWS about two minutes.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait.
    type: int
    default: 600
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create the file system, with a mount target in two zones
  freehold.airflow.efs_file_system:
    name: freehold-production
    backup: true
    subnet_ids: [subnet-0a1b2c3d, subnet-4e5f6a7b]
    security_group_ids: [sg-0a1b2c3d]
    tags:
      freehold:environment: production
    wait: false
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
file_system:
  description: The file system; its values are null when check mode would create it.
  returned: success
  type: dict
  contains:
    id:
      description: ID of the file system.
      type: str
      sample: fs-0123456789abcdef0
    arn:
      description: ARN of the file system.
      type: str
    dns_name:
      description: Name that resolves, within the VPC, to the mount target of the caller's zone.
      type: str
      sample: fs-0123456789abcdef0.efs.eu-west-1.amazonaws.com
    state:
      description: Life cycle state of the file system.
      type: str
      sample: available
    mount_targets:
      description: The mount targets.
      type: list
      elements: dict
      contains:
        id:
          description: ID of the mount target.
          type: str
        subnet_id:
          description: Its subnet.
          type: str
        ip:
          description: Its address.
          type: str
        state:
          description: Its life cycle state.
          type: str
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.freehold.airflow.plugins.module_utils._common import (
    FreeholdError,
    difference,
    missing_tags,
    refuse_foreign,
    tag_dict,
)
from ansible_collections.freehold.airflow.plugins.module_utils._efs import api

PERFORMANCE_MODES = {"general_purpose": "generalPurpose", "max_io": "maxIO"}


def wanted_throughput(params: dict[str, Any]) -> dict[str, Any]:
    """The throughput part of CreateFileSystem and UpdateFileSystem."""
    wanted = {"ThroughputMode": params["throughput_mode"]}
    if params["throughput_mode"] == "provisioned":
        wanted["ProvisionedThroughputInMibps"] = params["provisioned_throughput"]
    return wanted


def creation_request(params: dict[str, Any]) -> dict[str, Any]:
    request = {
        "CreationToken": params["name"],
        "PerformanceMode": PERFORMANCE_MODES[params["performance_mode"]],
        "Encrypted": True,
        **wanted_throughput(params),
    }
    if params["backup"]:
        request["Backup"] = True
    if params["kms_key_id"]:
        request["KmsKeyId"] = params["kms_key_id"]
    return request


def refuse_unchangeable(found: dict[str, Any], params: dict[str, Any]) -> None:
    """What AWS can't change must not be silently ignored."""
    if not found.get("Encrypted"):
        raise FreeholdError(
            message=f"The file system '{params['name']}' is not encrypted, which can't be changed later."
        )
    if found["PerformanceMode"] != PERFORMANCE_MODES[params["performance_mode"]]:
        raise FreeholdError(
            message=(
                f"The file system '{params['name']}' has the performance mode {found['PerformanceMode']}, which"
                f" can't be changed to {params['performance_mode']}."
            )
        )


def update_settings(client: Any, found: dict[str, Any], params: dict[str, Any], write: bool) -> list[dict[str, Any]]:
    """Bring throughput, tags, policy and backups of an available file system in line; return the differences."""
    differences = []
    file_system_id = found["FileSystemId"]

    throughput = wanted_throughput(params)
    current = {key: found.get(key) for key in throughput}
    if current != throughput:
        differences.append(difference("throughput", current, throughput))
        if write:
            api.update_file_system(client, file_system_id, throughput)

    tags = missing_tags(tag_dict(found.get("Tags")), params["tags"])
    if tags:
        differences.append(difference("tags", {key: tag_dict(found.get("Tags")).get(key) for key in tags}, tags))
        if write:
            api.tag_file_system(client, file_system_id, tags)

    if params["policy"] is not None:
        policy = api.get_policy(client, file_system_id)
        if compare_policies(policy or {}, params["policy"]):
            differences.append(difference("policy", policy, params["policy"]))
            if write:
                api.put_policy(client, file_system_id, params["policy"])

    if params["backup"] is not None:
        backup = api.get_backup(client, file_system_id)
        if backup != params["backup"]:
            differences.append(difference("backup", backup, params["backup"]))
            if write:
                api.put_backup(client, file_system_id, params["backup"])
    return differences


def update_mount_targets(
    client: Any, file_system_id: str, subnet_ids: list[str], groups: list[str] | None, write: bool
) -> list[dict[str, Any]]:
    """Create missing mount targets and set security groups; return the differences."""
    differences = []
    existing = {target["SubnetId"]: target for target in api.list_mount_targets(client, file_system_id)}
    for subnet_id in subnet_ids:
        if subnet_id not in existing:
            differences.append(difference("mount_target", None, subnet_id))
            if write:
                api.create_mount_target(client, file_system_id, subnet_id, groups or [])
            continue
        mount_target_id = existing[subnet_id]["MountTargetId"]
        current = api.get_security_groups(client, mount_target_id) if groups else None
        if groups and set(current or []) != set(groups):
            differences.append(difference(f"security groups of {mount_target_id}", current, groups))
            if write:
                api.set_security_groups(client, mount_target_id, groups)
    return differences


def wait_for_file_system(client: Any, name: str, file_system_id: str) -> None:
    """Wait until the file system is available; a broken one is named as such."""
    try:
        api.wait_for_file_system(client, file_system_id)
    except FreeholdError as error:
        state = (api.find_file_system(client, name) or {}).get("LifeCycleState", "gone")
        raise FreeholdError(
            message=f"The file system '{name}' is {state} instead of available; see what EFS says of it, and run again."
        ) from error


def wait_for_mount_targets(client: Any, params: dict[str, Any], file_system_id: str) -> None:
    """Wait until every mount target is available; those that are not are named."""
    try:
        api.wait_for_mount_targets(client, file_system_id, params["wait_timeout"])
    except FreeholdError as error:
        states = {
            target["SubnetId"]: target["LifeCycleState"] for target in api.list_mount_targets(client, file_system_id)
        }
        late = ", ".join(f"{subnet_id} ({state})" for subnet_id, state in states.items() if state != "available")
        advice = (
            "delete the broken one, and run again" if "error" in states.values() else "raise filesystem_wait_timeout"
        )
        raise FreeholdError(
            message=f"Mount targets of the file system '{params['name']}' are not available: {late}; {advice}."
        ) from error


def describe(client: Any, found: dict[str, Any] | None, region: str) -> dict[str, Any]:
    """The file system as RETURN documents it."""
    if found is None:
        return {"id": None, "arn": None, "dns_name": None, "state": None, "mount_targets": []}
    return {
        "id": found["FileSystemId"],
        "arn": found.get("FileSystemArn"),
        "dns_name": f"{found['FileSystemId']}.efs.{region}.amazonaws.com",
        "state": found["LifeCycleState"],
        "mount_targets": [
            {
                "id": target["MountTargetId"],
                "subnet_id": target["SubnetId"],
                "ip": target.get("IpAddress"),
                "state": target["LifeCycleState"],
            }
            for target in api.list_mount_targets(client, found["FileSystemId"])
        ],
    }


def ensure_file_system(module: AnsibleAWSModule, client: Any) -> dict[str, Any]:
    """Bring the file system to its wanted state and return the module's result."""
    params, write = module.params, not module.check_mode
    found = api.find_file_system(client, params["name"])
    differences = []
    if found is None:
        differences.append(difference("file_system", None, params["name"]))
        if not write:
            return {"changed": True, "differences": differences, "file_system": describe(client, None, module.region)}
        tags = {"Name": params["name"], **(params["tags"] or {})}
        found = api.create_file_system(client, creation_request(params), tags)
    else:
        refuse_foreign(f"The file system '{params['name']}'", tag_dict(found.get("Tags")), params["tags"])
        refuse_unchangeable(found, params)

    # Settings and mount targets can only be given to an available file system; AWS takes a few seconds to get there.
    if found["LifeCycleState"] != "available" and write:
        wait_for_file_system(client, params["name"], found["FileSystemId"])
        found = api.find_file_system(client, params["name"])
        if found is None:
            raise FreeholdError(message=f"The file system '{params['name']}' was deleted while it was set up.")
    differences += update_settings(client, found, params, write)
    if params["subnet_ids"]:
        differences += update_mount_targets(
            client, found["FileSystemId"], params["subnet_ids"], params["security_group_ids"], write
        )
        if params["wait"] and write:
            wait_for_mount_targets(client, params, found["FileSystemId"])
    return {
        "changed": bool(differences),
        "differences": differences,
        "file_system": describe(client, found, module.region),
    }


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "performance_mode": {"type": "str", "choices": list(PERFORMANCE_MODES), "default": "general_purpose"},
            "throughput_mode": {
                "type": "str",
                "choices": ["elastic", "bursting", "provisioned"],
                "default": "elastic",
            },
            "provisioned_throughput": {"type": "float"},
            "kms_key_id": {"type": "str", "no_log": False},
            "policy": {"type": "dict"},
            "backup": {"type": "bool"},
            "subnet_ids": {"type": "list", "elements": "str"},
            "security_group_ids": {"type": "list", "elements": "str"},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 600},
        },
        required_if=[("throughput_mode", "provisioned", ["provisioned_throughput"])],
        supports_check_mode=True,
    )
    try:
        result = ensure_file_system(module, module.client("efs"))
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
