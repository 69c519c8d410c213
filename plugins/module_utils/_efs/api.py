# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls to EFS, each with retries, and the waits that EFS needs and botocore does not bring."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.waiter import BaseWaiterFactory
from ansible_collections.freehold.airflow.plugins.module_utils._common import aws_call, tag_list

MISSING = ("FileSystemNotFound", "PolicyNotFound", "MountTargetNotFound")


class EfsWaiterFactory(BaseWaiterFactory):  # type: ignore[misc]
    """A file system is there after seconds, a mount target after about two minutes."""

    @property
    def _waiter_model_data(self) -> dict[str, Any]:
        def acceptor(state: str, path: str, expected: str) -> dict[str, str]:
            return {"state": state, "matcher": "pathAll", "expected": expected, "argument": path}

        return {
            "file_system_available": {
                "operation": "DescribeFileSystems",
                "delay": 1,
                "maxAttempts": 120,
                "acceptors": [
                    acceptor("success", "FileSystems[].LifeCycleState", "available"),
                    acceptor("failure", "FileSystems[].LifeCycleState", "error"),
                    acceptor("failure", "FileSystems[].LifeCycleState", "deleting"),
                ],
            },
            "mount_targets_available": {
                "operation": "DescribeMountTargets",
                "delay": 2,
                "maxAttempts": 300,
                "acceptors": [
                    acceptor("success", "MountTargets[].LifeCycleState", "available"),
                    {
                        "state": "failure",
                        "matcher": "pathAny",
                        "expected": "error",
                        "argument": "MountTargets[].LifeCycleState",
                    },
                ],
            },
        }


@aws_call("find the file system", missing=MISSING)
def find_file_system(client: Any, creation_token: str) -> dict[str, Any] | None:
    """The file system made with this creation token, or None."""
    found: list[dict[str, Any]] = client.describe_file_systems(CreationToken=creation_token)["FileSystems"]
    return found[0] if found else None


@aws_call("create the file system")
def create_file_system(client: Any, request: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """Create a file system; the creation token in ``request`` keeps a repeated call from making a second one."""
    created: dict[str, Any] = client.create_file_system(**request, Tags=tag_list(tags))
    return created


@aws_call("change the throughput of the file system")
def update_file_system(client: Any, file_system_id: str, changes: Mapping[str, Any]) -> None:
    client.update_file_system(FileSystemId=file_system_id, **changes)


@aws_call("tag the file system")
def tag_file_system(client: Any, file_system_id: str, tags: Mapping[str, str]) -> None:
    client.tag_resource(ResourceId=file_system_id, Tags=tag_list(tags))


@aws_call("read the file system's policy", missing=MISSING)
def get_policy(client: Any, file_system_id: str) -> dict[str, Any] | None:
    policy: dict[str, Any] = json.loads(client.describe_file_system_policy(FileSystemId=file_system_id)["Policy"])
    return policy


@aws_call("set the file system's policy")
def put_policy(client: Any, file_system_id: str, policy: Mapping[str, Any]) -> None:
    client.put_file_system_policy(FileSystemId=file_system_id, Policy=json.dumps(policy))


@aws_call("read the file system's backup policy", missing=MISSING, default=False)
def get_backup(client: Any, file_system_id: str) -> bool:
    """Whether AWS Backup copies the file system every day."""
    status = client.describe_backup_policy(FileSystemId=file_system_id)["BackupPolicy"]["Status"]
    return status in ("ENABLED", "ENABLING")


@aws_call("set the file system's backup policy")
def put_backup(client: Any, file_system_id: str, enabled: bool) -> None:
    client.put_backup_policy(FileSystemId=file_system_id, BackupPolicy={"Status": "ENABLED" if enabled else "DISABLED"})


@aws_call("list the mount targets", missing=MISSING, default=[])
def list_mount_targets(client: Any, file_system_id: str) -> list[dict[str, Any]]:
    targets: list[dict[str, Any]] = (
        client.get_paginator("describe_mount_targets")
        .paginate(FileSystemId=file_system_id)
        .build_full_result()["MountTargets"]
    )
    return targets


@aws_call("create a mount target")
def create_mount_target(client: Any, file_system_id: str, subnet_id: str, security_groups: list[str]) -> None:
    extra = {"SecurityGroups": security_groups} if security_groups else {}
    client.create_mount_target(FileSystemId=file_system_id, SubnetId=subnet_id, **extra)


@aws_call("read a mount target's security groups")
def get_security_groups(client: Any, mount_target_id: str) -> list[str]:
    groups: list[str] = client.describe_mount_target_security_groups(MountTargetId=mount_target_id)["SecurityGroups"]
    return groups


@aws_call("set a mount target's security groups")
def set_security_groups(client: Any, mount_target_id: str, groups: list[str]) -> None:
    client.modify_mount_target_security_groups(MountTargetId=mount_target_id, SecurityGroups=groups)


@aws_call("wait for the file system")
def wait_for_file_system(client: Any, file_system_id: str) -> None:
    EfsWaiterFactory().get_waiter(client, "file_system_available").wait(FileSystemId=file_system_id)


@aws_call("wait for the file system's mount targets")
def wait_for_mount_targets(client: Any, file_system_id: str, timeout: int) -> None:
    delay = 2
    EfsWaiterFactory().get_waiter(client, "mount_targets_available").wait(
        FileSystemId=file_system_id, WaiterConfig={"Delay": delay, "MaxAttempts": max(1, timeout // delay)}
    )
