# SPDX-License-Identifier: GPL-3.0-or-later
"""A call that AWS refuses ends a module's run there, with what could not be done and without a secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._ecr import engine
from ansible_collections.freehold.airflow.plugins.modules import (
    ecr_image,
    ecr_repository,
    efs_file_system,
    elasticache_replication_group,
    rds_parameter_group,
    rds_postgresql,
    s3_private_bucket,
    secretsmanager_composed_secret,
    secretsmanager_generated_secret,
)

TAGS = {"freehold:environment": "lab"}
TAG_LIST = [{"Key": "freehold:environment", "Value": "lab"}]
PASSWORD = "u7Gh2kPq9sVx4LmN8rTz"
POLICY = {"Version": "2012-10-17", "Statement": []}
KEEP = {
    "rulePriority": 1,
    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 20},
    "action": {"type": "expire"},
}
# What requests call a password or a secret.
SECRET = ("SecretString", "MasterUserPassword", "AuthToken")

Params = dict[str, Any]


def network(aws: Any) -> Params:
    ec2 = aws.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="lab", Description="lab", VpcId=vpc_id)["GroupId"]
    return {
        "name": "lab",
        "subnet_ids": [subnet["Subnet"]["SubnetId"] for subnet in subnets],
        "security_group_ids": [group],
    }


def image(aws: Any, tmp_path: Path) -> Params:
    aws.client("ecr").create_repository(repositoryName="lab")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return {"repository": "lab", "path": str(tmp_path)}


def repository(_aws: Any, _tmp_path: Path) -> Params:
    return {"name": "lab", "lifecycle_policy": {"rules": [KEEP]}, "tags": TAGS}


def file_system(aws: Any, _tmp_path: Path) -> Params:
    return {**network(aws), "policy": POLICY, "backup": True, "tags": TAGS}


def replication_group(aws: Any, _tmp_path: Path) -> Params:
    aws.client("secretsmanager").create_secret(Name="password", SecretString=PASSWORD)
    return {**network(aws), "node_type": "cache.t4g.small", "password_secret": "password", "tags": TAGS}


def parameter_group(_aws: Any, _tmp_path: Path) -> Params:
    return {"name": "lab", "family": "postgres17", "parameters": {"rds.force_ssl": "1"}, "tags": TAGS}


def database(aws: Any, _tmp_path: Path) -> Params:
    aws.client("rds").create_db_parameter_group(
        DBParameterGroupName="postgres17", DBParameterGroupFamily="postgres17", Description="x"
    )
    aws.client("secretsmanager").create_secret(Name="password", SecretString=PASSWORD)
    return {
        **network(aws),
        "engine_version": "17",
        "db_instance_class": "db.t4g.medium",
        "db_name": "airflow",
        "master_username": "airflow",
        "password_secret": "password",
        "parameter_group": "postgres17",
        "tags": TAGS,
    }


def bucket(_aws: Any, _tmp_path: Path) -> Params:
    return {"name": "lab", "expiration_days": 90, "tags": TAGS}


def composed(aws: Any, _tmp_path: Path) -> Params:
    aws.client("secretsmanager").create_secret(Name="password", SecretString=PASSWORD)
    return {"secrets": [{"name": "url", "template": "redis://${password}@cache"}], "tags": TAGS}


def generated(_aws: Any, _tmp_path: Path) -> Params:
    return {"secrets": [{"name": "password"}], "tags": TAGS}


MODULES: dict[ModuleType, Callable[[Any, Path], Params]] = {
    ecr_image: image,
    ecr_repository: repository,
    efs_file_system: file_system,
    elasticache_replication_group: replication_group,
    rds_parameter_group: parameter_group,
    rds_postgresql: database,
    s3_private_bucket: bucket,
    secretsmanager_composed_secret: composed,
    secretsmanager_generated_secret: generated,
}


class Case(NamedTuple):
    """A request that is refused, and how a module comes to make it."""

    module: ModuleType
    operation: str
    said: str
    # What is asked for once everything is there; None: nothing is there yet.
    change: Params | None = None
    # What is asked for besides, also at first.
    params: Params | None = None
    answers: dict[str, Params] | None = None

    @property
    def name(self) -> str:
        return f"{self.module.__name__.rpartition('.')[-1]} {self.operation}"


MORE_TAGS = {"tags": {**TAGS, "team": "data"}}
DELETED = {"DescribeSecret": {"ARN": "arn", "Tags": TAG_LIST, "DeletedDate": 0}}
EMPTY = {"DescribeSecret": {"ARN": "arn", "Tags": TAG_LIST}}
THEIR_OWNERSHIP: dict[str, Params] = {"GetBucketOwnershipControls": {"OwnershipControls": {"Rules": []}}}

CASES = [
    Case(ecr_image, "DescribeRepositories", "find the repository"),
    Case(ecr_image, "DescribeImages", "look for the image"),
    Case(ecr_image, "GetAuthorizationToken", "get a token for the registry"),
    Case(ecr_image, "ListTagsForResource", "read the repository's tags"),
    Case(ecr_image, "TagResource", "tag the repository"),
    Case(ecr_repository, "DescribeRepositories", "find the repository"),
    Case(ecr_repository, "CreateRepository", "create the repository"),
    Case(ecr_repository, "PutLifecyclePolicy", "set the repository's lifecycle policy"),
    Case(ecr_repository, "ListTagsForResource", "read the repository's tags", {}),
    Case(ecr_repository, "PutImageTagMutability", "set the repository's tag mutability", {"immutable": False}),
    Case(ecr_repository, "PutImageScanningConfiguration", "set the repository's scanning", {"scan_on_push": False}),
    Case(ecr_repository, "TagResource", "tag the repository", MORE_TAGS),
    Case(efs_file_system, "DescribeFileSystems", "find the file system"),
    Case(efs_file_system, "CreateFileSystem", "create the file system"),
    Case(efs_file_system, "PutFileSystemPolicy", "set the file system's policy"),
    Case(efs_file_system, "CreateMountTarget", "create a mount target"),
    Case(efs_file_system, "UpdateFileSystem", "change the throughput of the file", {"throughput_mode": "bursting"}),
    Case(efs_file_system, "TagResource", "tag the file system", MORE_TAGS),
    Case(efs_file_system, "PutBackupPolicy", "set the file system's backup policy", {"backup": False}),
    Case(
        efs_file_system,
        "ModifyMountTargetSecurityGroups",
        "set a mount target's security groups",
        {"security_group_ids": ["sg-0123456789abcdef0"]},
    ),
    Case(elasticache_replication_group, "DescribeReplicationGroups", "find the replication group"),
    Case(elasticache_replication_group, "CreateCacheSubnetGroup", "create the subnet group"),
    Case(elasticache_replication_group, "GetSecretValue", "read the secret"),
    Case(elasticache_replication_group, "CreateReplicationGroup", "create the replication group"),
    Case(elasticache_replication_group, "ModifyCacheSubnetGroup", "change the subnet group", {"subnet_ids": ["x"]}),
    Case(elasticache_replication_group, "AddTagsToResource", "set the tags", MORE_TAGS),
    Case(elasticache_replication_group, "IncreaseReplicaCount", "change the number of replicas", {"replicas": 2}),
    Case(
        elasticache_replication_group,
        "ModifyReplicationGroup",
        "change the replication group",
        {"node_type": "cache.m7g.large"},
    ),
    Case(rds_parameter_group, "DescribeDBParameterGroups", "find the parameter group"),
    Case(rds_parameter_group, "CreateDBParameterGroup", "create the parameter group"),
    Case(rds_parameter_group, "ModifyDBParameterGroup", "set the parameters"),
    Case(rds_parameter_group, "AddTagsToResource", "set the tags", MORE_TAGS),
    Case(rds_postgresql, "DescribeDBInstances", "find the database"),
    Case(rds_postgresql, "CreateDBSubnetGroup", "create the subnet group"),
    Case(rds_postgresql, "GetSecretValue", "read the secret"),
    Case(rds_postgresql, "CreateDBInstance", "create the database"),
    Case(
        rds_postgresql, "RestoreDBInstanceFromDBSnapshot", "restore the database", params={"restore_snapshot": "last"}
    ),
    Case(rds_postgresql, "ModifyDBSubnetGroup", "change the subnet group", {"subnet_ids": ["x"]}),
    Case(rds_postgresql, "AddTagsToResource", "set the tags", MORE_TAGS),
    Case(rds_postgresql, "ModifyDBInstance", "change the database", {"backup_days": 7}),
    Case(s3_private_bucket, "HeadBucket", "look for the bucket"),
    Case(s3_private_bucket, "CreateBucket", "create the bucket"),
    Case(s3_private_bucket, "GetBucketTagging", "read the bucket's tags", {}),
    Case(s3_private_bucket, "PutBucketTagging", "tag the bucket"),
    Case(s3_private_bucket, "PutPublicAccessBlock", "close the bucket to the public"),
    Case(
        s3_private_bucket,
        "PutBucketOwnershipControls",
        "set who owns the bucket's objects",
        answers=THEIR_OWNERSHIP,
    ),
    Case(s3_private_bucket, "PutBucketEncryption", "set the bucket's encryption"),
    Case(s3_private_bucket, "PutBucketPolicy", "set the bucket's policy"),
    Case(s3_private_bucket, "PutBucketLifecycleConfiguration", "set the bucket's lifecycle"),
    Case(secretsmanager_composed_secret, "DescribeSecret", "describe the secret"),
    Case(secretsmanager_composed_secret, "GetSecretValue", "read the secret"),
    Case(secretsmanager_composed_secret, "CreateSecret", "create the secret"),
    Case(
        secretsmanager_composed_secret,
        "PutSecretValue",
        "write the secret",
        {"secrets": [{"name": "url", "template": "rediss://${password}@cache"}]},
    ),
    Case(secretsmanager_composed_secret, "TagResource", "tag the secret", MORE_TAGS),
    Case(secretsmanager_generated_secret, "DescribeSecret", "describe the secret"),
    Case(secretsmanager_generated_secret, "CreateSecret", "create the secret"),
    Case(
        secretsmanager_generated_secret,
        "RestoreSecret",
        "restore the secret",
        params={"restore": True},
        answers=DELETED,
    ),
    Case(secretsmanager_generated_secret, "PutSecretValue", "write the secret", answers=EMPTY),
    Case(secretsmanager_generated_secret, "TagResource", "tag the secret", MORE_TAGS),
]


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Give the credentials of every push of an engine that takes everything."""
    credentials: list[dict[str, str]] = []

    def push(*args: Any) -> str:
        credentials.append(args[-1])
        return "sha256:1"

    monkeypatch.setattr(engine, "connect", lambda _reason: None)
    monkeypatch.setattr(engine, "build", lambda *_args: None)
    monkeypatch.setattr(engine, "smoke_check", lambda *_args: "")
    monkeypatch.setattr(engine, "push", push)
    return credentials


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_refused_request_is_the_last_one_and_is_named(
    aws: Any, pushed: list[dict[str, str]], waited: list[float], tmp_path: Path, case: Case
) -> None:
    wanted = {**MODULES[case.module](aws, tmp_path), **(case.params or {})}
    if case.change is not None:
        assert not aws.run(case.module, **wanted).get("failed")
    aws.answers.update(case.answers or {})
    aws.refusals[case.operation] = "AccessDenied"

    result = aws.run(case.module, **{**wanted, **(case.change or {})})

    assert result["failed"]
    assert f"Failed to {case.said}" in result["msg"]
    assert "AccessDenied" in result["msg"]
    assert aws.operations.count(case.operation) == 1
    assert aws.operations[-1] == case.operation
    assert waited == []
    secrets = [str(request[key]) for _name, request in aws.requests for key in SECRET if key in request]
    for secret in [PASSWORD, *secrets, *(credentials["password"] for credentials in pushed)]:
        assert secret not in str(result)


def test_nothing_is_pushed_without_a_token(aws: Any, pushed: list[dict[str, str]], tmp_path: Path) -> None:
    wanted = image(aws, tmp_path)
    aws.refusals["GetAuthorizationToken"] = "AccessDenied"
    assert aws.run(ecr_image, **wanted)["failed"]
    assert pushed == []


def test_a_bucket_of_another_account_is_not_taken_for_a_missing_one(aws: Any) -> None:
    # An answer to HeadBucket has no body: the status is all that there is of the error's code.
    aws.refusals["HeadBucket"] = "403"
    result = aws.run(s3_private_bucket, name="lab", tags=TAGS)
    assert "Failed to look for the bucket: An error occurred (403)" in result["msg"]
    assert aws.operations == ["HeadBucket"]
