# SPDX-License-Identifier: GPL-3.0-or-later
"""EFS: the operations that moto lacks, and states that follow the real export."""

from __future__ import annotations

from typing import Any

from moto.efs.models import EFSBackend, FileSystem, MountTarget

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import answers
from lab.api.patching import wraps
from lab.api.request import AwsRequest
from lab.api.state import current

_REQUESTER = "amazon-efs"


def dns_name(file_system: Any, region: str) -> str:
    """The name that resolves to the mount target of the asker's zone."""
    return f"{file_system.file_system_id}.efs.{region}.amazonaws.com"


@wraps(FileSystem, "__init__")
def _begin_as_creating(original: Any, file_system: Any, *args: Any, **kwargs: Any) -> None:
    original(file_system, *args, **kwargs)
    file_system.life_cycle_state = "creating"

    def apply(state: str) -> None:
        file_system.life_cycle_state = "error" if state == "failed" else state

    # A file system is a record; what takes time, on AWS as here, are the mount targets.
    lifecycle = current().lifecycle
    lifecycle.begin("file_system", file_system.file_system_id, "available", apply)
    lifecycle.observe("file_system", file_system.file_system_id, "available")


@wraps(MountTarget, "__init__")
def _begin_mount_target(original: Any, target: Any, *args: Any, **kwargs: Any) -> None:
    original(target, *args, **kwargs)
    if not target.security_groups:
        ec2 = backends.ec2(target._subnet.ec2_backend.region_name)
        target.security_groups = [ec2.get_default_security_group(target.vpc_id).id]
    target._lab_state = "creating"

    def apply(state: str) -> None:
        target._lab_state = "error" if state == "failed" else state

    current().lifecycle.begin("mount_target", target.mount_target_id, "available", apply)


@wraps(MountTarget, "info_json")
def _mount_target_json(original: Any, target: Any) -> dict[str, Any]:
    shown: dict[str, Any] = original(target)
    shown["LifeCycleState"] = target._lab_state
    # Whose groups these are is asked by another operation.
    shown.pop("SecurityGroups", None)
    return shown


@wraps(EFSBackend, "create_mount_target")
def _mark_the_interface(original: Any, efs: Any, *args: Any, **kwargs: Any) -> Any:
    target = original(efs, *args, **kwargs)
    interface = efs.ec2_backend.enis[target.network_interface_id]
    interface.requester_managed = True
    interface.requester_id = _REQUESTER
    interface.status = "in-use"
    interface.description = f"EFS mount target for {target.file_system_id} ({target.mount_target_id})"
    return target


@wraps(EFSBackend, "delete_mount_target")
def _forget_mount_target(original: Any, efs: Any, mount_target_id: str) -> None:
    original(efs, mount_target_id)
    current().lifecycle.forget("mount_target", mount_target_id)


def _file_system(request: AwsRequest) -> Any:
    name = request.params["FileSystemId"]
    found = backends.efs(request.region).file_systems_by_id.get(name)
    if found is None:
        raise AwsError("FileSystemNotFound", f"File system '{name}' does not exist.", 404)
    return found


@answers("efs", "DescribeTags")
def describe_tags(request: AwsRequest) -> object:
    """The older way to read tags; community.aws.efs uses it."""
    tags = backends.efs(request.region).list_tags_for_resource(_file_system(request).file_system_id)
    start = int(request.params.get("Marker") or 0)
    size = int(request.params.get("MaxItems") or 100)
    following = str(start + size) if start + size < len(tags) else None
    return {"Tags": tags[start : start + size], "NextMarker": following, "Marker": request.params.get("Marker")}


@answers("efs", "CreateTags")
def create_tags(request: AwsRequest) -> object:
    """The older way to write tags."""
    tags = {tag["Key"]: tag["Value"] for tag in request.params.get("Tags") or []}
    backends.efs(request.region).tag_resource(_file_system(request).file_system_id, tags)
    return {}


@answers("efs", "DeleteTags")
def delete_tags(request: AwsRequest) -> object:
    """The older way to remove tags."""
    keys = list(request.params.get("TagKeys") or [])
    backends.efs(request.region).untag_resource(_file_system(request).file_system_id, keys)
    return {}


@answers("efs", "UpdateFileSystem")
def update_file_system(request: AwsRequest) -> object:
    """Change the throughput mode."""
    file_system = _file_system(request)
    mode = request.params.get("ThroughputMode")
    amount = request.params.get("ProvisionedThroughputInMibps")
    if mode == "provisioned" and amount is None:
        message = "ProvisionedThroughputInMibps is required when ThroughputMode is provisioned."
        raise AwsError("BadRequest", message, 400)
    if mode is not None:
        file_system.throughput_mode = mode
        file_system.provisioned_throughput_in_mibps = amount if mode == "provisioned" else None
    shown = file_system.info_json()
    return {key: value for key, value in shown.items() if value is not None}


@answers("efs", "PutBackupPolicy")
def put_backup_policy(request: AwsRequest) -> object:
    """Switch automatic backups."""
    file_system = _file_system(request)
    enabled = request.params["BackupPolicy"]["Status"] == "ENABLED"
    file_system._backup = enabled
    return {"BackupPolicy": {"Status": "ENABLED" if enabled else "DISABLED"}}


@answers("efs", "DescribeBackupPolicy")
def describe_backup_policy(request: AwsRequest) -> object:
    """Say whether automatic backups are on; AWS answers DISABLED once it was ever switched, not found otherwise."""
    policy = _file_system(request).backup_policy
    return {"BackupPolicy": policy or {"Status": "DISABLED"}}


@answers("efs", "DescribeFileSystemPolicy")
def describe_file_system_policy(request: AwsRequest) -> object:
    """The file system's policy; without one there is only the error."""
    file_system = _file_system(request)
    if not file_system.file_system_policy:
        message = f"File system policy for {file_system.file_system_id} does not exist."
        raise AwsError("PolicyNotFound", message, 404)
    return {"FileSystemId": file_system.file_system_id, "Policy": file_system.file_system_policy}


@answers("efs", "DeleteFileSystemPolicy")
def delete_file_system_policy(request: AwsRequest) -> object:
    """Remove the file system's policy."""
    _file_system(request).file_system_policy = None
    return {}
