# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a database must change."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils import _rds_settings as settings
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError

WANTED: dict[str, Any] = {
    "name": "freehold-lab",
    "engine_version": "17",
    "db_instance_class": "db.t4g.medium",
    "db_name": "airflow",
    "port": 5432,
    "master_username": "airflow",
    "security_group_ids": ["sg-2", "sg-1"],
    "parameter_group": "freehold-lab-postgres17",
    "storage_gib": 20,
    "storage_max_gib": 100,
    "kms_key_id": None,
    "multi_az": False,
    "backup_days": 14,
    "backup_window": "02:00-03:00",
    "maintenance_window": "Sun:03:30-Sun:04:30",
    "deletion_protection": True,
    "restore_snapshot": "snap",
}
FOUND: dict[str, Any] = {
    "DBInstanceClass": "db.t4g.medium",
    "EngineVersion": "17.6",
    "MasterUsername": "airflow",
    "StorageEncrypted": True,
    "AllocatedStorage": 20,
    "MaxAllocatedStorage": 100,
    "MultiAZ": False,
    "BackupRetentionPeriod": 14,
    "DeletionProtection": True,
    "AutoMinorVersionUpgrade": True,
    "PubliclyAccessible": False,
    "CopyTagsToSnapshot": True,
    "PreferredBackupWindow": "02:00-03:00",
    "PreferredMaintenanceWindow": "sun:03:30-sun:04:30",
    "VpcSecurityGroups": [
        {"VpcSecurityGroupId": "sg-1", "Status": "active"},
        {"VpcSecurityGroupId": "sg-2", "Status": "adding"},
        {"VpcSecurityGroupId": "sg-9", "Status": "removing"},
    ],
    "DBParameterGroups": [{"DBParameterGroupName": "freehold-lab-postgres17"}],
}

CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "nothing, although AWS chose the minor version": ({}, {}, {}),
    "another class": ({"db_instance_class": "db.m7g.large"}, {}, {"DBInstanceClass": "db.m7g.large"}),
    "a class that is pending already": (
        {"db_instance_class": "db.m7g.large"},
        {"PendingModifiedValues": {"DBInstanceClass": "db.m7g.large"}},
        {},
    ),
    "more storage": ({"storage_gib": 50}, {}, {"AllocatedStorage": 50}),
    "nothing, although RDS grew the storage": ({}, {"AllocatedStorage": 60}, {}),
    "a standby": ({"multi_az": True}, {}, {"MultiAZ": True}),
    "an exact version": (
        {"engine_version": "17.7"},
        {},
        {"EngineVersion": "17.7", "AutoMinorVersionUpgrade": False},
    ),
    "a public address that somebody gave it": ({}, {"PubliclyAccessible": True}, {"PubliclyAccessible": False}),
    "protection that somebody switched off": ({}, {"DeletionProtection": False}, {"DeletionProtection": True}),
    "protection that is not wanted": ({"deletion_protection": False}, {}, {"DeletionProtection": False}),
    "a higher limit of the storage": ({"storage_max_gib": 200}, {}, {"MaxAllocatedStorage": 200}),
    "a storage that does not grow by itself": ({}, {"MaxAllocatedStorage": None}, {"MaxAllocatedStorage": 100}),
    "snapshots without tags": ({}, {"CopyTagsToSnapshot": False}, {"CopyTagsToSnapshot": True}),
    "another parameter group": ({"parameter_group": "other"}, {}, {"DBParameterGroupName": "other"}),
    "backups for fewer days": ({"backup_days": 7}, {}, {"BackupRetentionPeriod": 7}),
    "another window of backups": ({"backup_window": "04:00-05:00"}, {}, {"PreferredBackupWindow": "04:00-05:00"}),
    "another window of maintenance": (
        {"maintenance_window": "Mon:03:30-Mon:04:30"},
        {},
        {"PreferredMaintenanceWindow": "mon:03:30-mon:04:30"},
    ),
    "an exact version that is pending already": (
        {"engine_version": "17.7"},
        {"PendingModifiedValues": {"EngineVersion": "17.7"}, "AutoMinorVersionUpgrade": False},
        {},
    ),
    "storage that is pending already": ({"storage_gib": 50}, {"PendingModifiedValues": {"AllocatedStorage": 50}}, {}),
    "other security groups": ({"security_group_ids": ["sg-3"]}, {}, {"VpcSecurityGroupIds": ["sg-3"]}),
    "no window asked for": ({"backup_window": None}, {"PreferredBackupWindow": "11:00-12:00"}, {}),
}


@pytest.mark.parametrize(("wanted", "found", "expected"), CHANGES.values(), ids=CHANGES)
def test_only_what_differs_changes(wanted: dict[str, Any], found: dict[str, Any], expected: dict[str, Any]) -> None:
    changes = settings.changes({**FOUND, **found}, {**WANTED, **wanted})
    assert {name: desired for name, (_, desired) in changes.items()} == expected


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"StorageEncrypted": False}, "not encrypted"),
        ({"MasterUsername": "root"}, "database_master_username"),
        ({"EngineVersion": "16.10"}, "database_engine_version"),
    ],
)
def test_what_can_not_be_changed_is_refused(found: dict[str, Any], said: str) -> None:
    with pytest.raises(FreeholdError, match=said):
        settings.refuse_unchangeable({**FOUND, **found}, WANTED)


@pytest.mark.parametrize(
    ("offered", "wanted", "same"),
    [("17.6", "17", True), ("17.6", "17.6", True), ("17.10", "17.1", False), ("17", "17", True), ("16.1", "17", False)],
)
def test_a_major_version_covers_its_minor_ones(offered: str, wanted: str, same: bool) -> None:
    assert settings.is_version(offered, wanted) is same


def test_a_new_database_is_private_encrypted_and_protected() -> None:
    request = settings.creation_request(WANTED, {"Name": "x"}, "secret")
    assert request["PubliclyAccessible"] is False
    assert request["StorageEncrypted"] is True
    assert request["DeletionProtection"] is True
    assert request["StorageType"] == "gp3"


def test_a_restored_database_takes_no_password() -> None:
    assert "MasterUserPassword" not in settings.restore_request(WANTED, {})
