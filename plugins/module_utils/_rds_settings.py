# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a database should be, what it is, and what must change. Pure: no calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError, tag_list


def is_version(offered: str, wanted: str) -> bool:
    """Whether a version is the wanted one or a minor version of it: '17.6' is a '17'."""
    return f"{offered}.".startswith(f"{wanted}.")


def wanted_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """What CreateDBInstance and ModifyDBInstance have in common, by AWS's names."""
    wanted = {
        "DBInstanceClass": params["db_instance_class"],
        "VpcSecurityGroupIds": params["security_group_ids"],
        "DBParameterGroupName": params["parameter_group"],
        "MaxAllocatedStorage": params["storage_max_gib"],
        "MultiAZ": params["multi_az"],
        "BackupRetentionPeriod": params["backup_days"],
        "DeletionProtection": params["deletion_protection"],
        "AutoMinorVersionUpgrade": "." not in params["engine_version"],
        "PubliclyAccessible": False,
        "CopyTagsToSnapshot": True,
    }
    if params["backup_window"]:
        wanted["PreferredBackupWindow"] = params["backup_window"].lower()
    if params["maintenance_window"]:
        wanted["PreferredMaintenanceWindow"] = params["maintenance_window"].lower()
    return wanted


def creation_request(params: Mapping[str, Any], tags: Mapping[str, str], password: str) -> dict[str, Any]:
    request = {
        **wanted_settings(params),
        "DBInstanceIdentifier": params["name"],
        "Engine": "postgres",
        "EngineVersion": params["engine_version"],
        "DBName": params["db_name"],
        "Port": params["port"],
        "MasterUsername": params["master_username"],
        "MasterUserPassword": password,
        "DBSubnetGroupName": params["name"],
        "StorageType": "gp3",
        "AllocatedStorage": params["storage_gib"],
        "StorageEncrypted": True,
        "Tags": tag_list(tags),
    }
    if params["kms_key_id"]:
        request["KmsKeyId"] = params["kms_key_id"]
    return request


# RestoreDBInstanceFromDBSnapshot takes no other settings; the rest follows once the database is available.
_RESTORABLE = (
    "DBInstanceClass",
    "VpcSecurityGroupIds",
    "DBParameterGroupName",
    "MultiAZ",
    "DeletionProtection",
    "AutoMinorVersionUpgrade",
    "PubliclyAccessible",
    "CopyTagsToSnapshot",
)


def restore_request(params: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    settings = wanted_settings(params)
    return {
        **{key: settings[key] for key in _RESTORABLE},
        "DBInstanceIdentifier": params["name"],
        "DBSnapshotIdentifier": params["restore_snapshot"],
        "Port": params["port"],
        "DBSubnetGroupName": params["name"],
        "StorageType": "gp3",
        "Tags": tag_list(tags),
    }


def current_settings(found: Mapping[str, Any]) -> dict[str, Any]:
    """What DescribeDBInstances says, in the shape of wanted_settings; what is pending counts as done."""
    pending = found.get("PendingModifiedValues") or {}
    return {
        **{
            key: pending.get(key, found.get(key))
            for key in (
                "DBInstanceClass",
                "MaxAllocatedStorage",
                "MultiAZ",
                "BackupRetentionPeriod",
                "DeletionProtection",
                "AutoMinorVersionUpgrade",
                "PubliclyAccessible",
                "CopyTagsToSnapshot",
                "PreferredBackupWindow",
                "PreferredMaintenanceWindow",
            )
        },
        "VpcSecurityGroupIds": sorted(
            group["VpcSecurityGroupId"]
            for group in found.get("VpcSecurityGroups", [])
            if group.get("Status") != "removing"
        ),
        "DBParameterGroupName": (found.get("DBParameterGroups") or [{}])[0].get("DBParameterGroupName"),
    }


def refuse_unchangeable(found: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Raise for what ModifyDBInstance can't do, or should not do by the way."""
    name = params["name"]
    if not found.get("StorageEncrypted"):
        raise FreeholdError(message=f"The database '{name}' is not encrypted, which can't be changed later.")
    if found.get("MasterUsername") != params["master_username"]:
        raise FreeholdError(
            message=(
                f"The database '{name}' has the master user {found.get('MasterUsername')}, not"
                f" {params['master_username']}; change database_master_username, because AWS can't."
            )
        )
    current, wanted = str(found["EngineVersion"]), params["engine_version"]
    if current.partition(".")[0] != wanted.partition(".")[0]:
        raise FreeholdError(
            message=(
                f"The database '{name}' runs PostgreSQL {current}; another major version ({wanted}) needs an upgrade"
                " that was tried before, so set database_engine_version back."
            )
        )


def changes(found: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What ModifyDBInstance must change, as name -> (current, desired)."""
    wanted, current = wanted_settings(params), current_settings(found)
    wanted["VpcSecurityGroupIds"] = sorted(wanted["VpcSecurityGroupIds"])
    differing = {key: (current[key], value) for key, value in wanted.items() if current[key] != value}
    pending = found.get("PendingModifiedValues") or {}
    # RDS may have grown the storage by itself, and it never shrinks.
    storage = pending.get("AllocatedStorage", found.get("AllocatedStorage", 0))
    if storage < params["storage_gib"]:
        differing["AllocatedStorage"] = (storage, params["storage_gib"])
    version = pending.get("EngineVersion", found["EngineVersion"])
    if not is_version(str(version), params["engine_version"]):
        differing["EngineVersion"] = (version, params["engine_version"])
    return differing
