# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input for the data stores ends in one sentence that names the variable, before the first write."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.provisioning.conftest import Api

# name of the case: (role, variables, words of the sentence)
CASES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "an unknown database class": ("database", {"database_instance_class": "db.t9.mega"}, ["db.t9.mega"]),
    "an unknown PostgreSQL": ("database", {"database_engine_version": "12"}, ["database_engine_version", "12"]),
    "storage below gp3's least": ("database", {"database_storage_gib": 5}, ["database_storage_gib", "20 GiB"]),
    "backups for too long": ("database", {"database_backup_days": 99}, ["database_backup_days", "35"]),
    "a name too long for RDS": (
        "database",
        {"environment_name": "a" * 60},
        ["database_identifier", "environment_name"],
    ),
    "throughput of no size": (
        "filesystem",
        {"filesystem_throughput_mode": "provisioned"},
        ["filesystem_provisioned_throughput"],
    ),
    "an unknown throughput": ("filesystem", {"filesystem_throughput_mode": "fast"}, ["filesystem_throughput_mode"]),
    "an unknown broker": ("broker", {"broker_kind": "sqs"}, ["broker_kind", "elasticache"]),
    "two schedulers and a broker on one of them": (
        "broker",
        {"broker_scheduler_hosts": 2},
        ["broker_kind", "hosts_fleet", "elasticache"],
    ),
    "a name too long for ElastiCache": (
        "broker",
        {"broker_kind": "elasticache", "environment_name": "a" * 40},
        ["environment_name", "40"],
    ),
    "a node type that is none": (
        "broker",
        {"broker_kind": "elasticache", "broker_node_type": "t4g.small"},
        ["broker_node_type", "cache."],
    ),
    "a name too long for S3": ("log_bucket", {"environment_name": "a" * 60}, ["environment_name", "63"]),
    "logs kept for no time": ("log_bucket", {"log_bucket_retention_days": 0}, ["log_bucket_retention_days"]),
    "no way back to the image before": ("registry", {"registry_kept_images": 1}, ["registry_kept_images"]),
    "requirements that are not there": (
        "image",
        {"image_requirements_file": "/nowhere/requirements.txt"},
        ["image_requirements_file", "/nowhere/requirements.txt"],
    ),
    "an unknown platform": ("image", {"image_platform": "windows"}, ["image_platform", "linux/arm64"]),
    "hosts of two architectures": (
        "image",
        {"image_instance_types": ["t4g.medium", "t3.medium"]},
        ["hosts_fleet", "arm64 and x86_64", "t4g.medium"],
    ),
    "an image that the hosts can't run": (
        "image",
        {"image_platform": "linux/arm64", "image_instance_types": ["t3.medium"]},
        ["image_platform", "linux/amd64", "t3.medium"],
    ),
    "a build context that is none": ("image", {"image_directory": "/nowhere"}, ["image_directory", "/nowhere"]),
    "capitals in the environment's name": ("secrets", {"environment_name": "Lab"}, ["environment_name", "'Lab'"]),
    "an environment's name of two letters": ("environment", {"environment_name": "ab"}, ["environment_name", "'ab'"]),
    "a secret of somebody else": ("secrets", {"environment_name": "taken"}, ["freehold/taken/admin_password"]),
    "a database of somebody else": ("database", {"environment_name": "taken"}, ["freehold-taken", "environment_name"]),
    "a bucket of another environment": ("log_bucket", {"environment_name": "taken"}, ["'other'"]),
}


@pytest.fixture(scope="module", autouse=True)
def taken(api: Api) -> None:
    """Resources with the names of an environment called 'taken', which are not its own."""
    api.client("secretsmanager").create_secret(Name="freehold/taken/admin_password", SecretString="theirs")
    api.client("rds").create_db_instance(
        DBInstanceIdentifier="freehold-taken",
        Engine="postgres",
        DBInstanceClass="db.t4g.medium",
        MasterUsername="theirs",
        MasterUserPassword="u7Gh2kPq9sVx4",
        AllocatedStorage=20,
    )
    s3 = api.client("s3")
    bucket = "freehold-taken-123456789012-logs"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "freehold:environment", "Value": "other"}]})


@pytest.mark.parametrize(("role", "variables", "words"), CASES.values(), ids=CASES)
def test_it_is_one_sentence_before_the_first_write(
    api: Api, role: str, variables: dict[str, Any], words: list[str]
) -> None:
    run = api.run([api.play([f"{role}/preflight"], **variables)])
    output = " ".join(run.output.split())
    assert run.code != 0, run.output
    assert run.writes == []
    assert "Traceback" not in output
    for word in words:
        assert word in output
