# SPDX-License-Identifier: GPL-3.0-or-later
"""The module environment_info against moto."""

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import environment_info
from botocore.client import BaseClient
from botocore.exceptions import ClientError


def run(aws: Any, name: str = "lab") -> dict[str, Any]:
    result: dict[str, Any] = aws.run(environment_info, name=name)
    return result


def tagged(kind: str, environment: str, name: str) -> list[dict[str, Any]]:
    tags = [{"Key": "freehold:environment", "Value": environment}, {"Key": "Name", "Value": f"{environment}-{name}"}]
    return [{"ResourceType": kind, "Tags": tags}]


def make_vpc(aws: Any, environment: str) -> str:
    ec2 = aws.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=tagged("vpc", environment, "vpc"))["Vpc"]
    ec2.create_security_group(
        GroupName=f"{environment}-webserver",
        Description="x",
        VpcId=vpc_id["VpcId"],
        TagSpecifications=tagged("security-group", environment, "webserver"),
    )
    return str(vpc_id["VpcId"])


def test_an_empty_account_has_no_environment(aws: Any) -> None:
    environment = run(aws)["environment"]
    assert not environment["found"]
    assert environment["vpc"] is None
    assert environment["instances"] == []
    assert environment["database"] is None


def test_only_what_carries_the_name_is_found(aws: Any) -> None:
    vpc_id = make_vpc(aws, "lab")
    make_vpc(aws, "lab2")
    aws.client("efs").create_file_system(CreationToken="other", Encrypted=True)
    environment = run(aws)["environment"]
    assert environment["found"]
    assert environment["vpc"] == {"id": vpc_id, "cidr": "10.20.0.0/16"}
    assert list(environment["security_groups"]) == ["webserver"]
    assert environment["file_system"] is None


def test_two_vpcs_of_one_name_are_refused(aws: Any) -> None:
    ids = sorted([make_vpc(aws, "lab"), make_vpc(aws, "lab")])
    result = run(aws)
    assert result["failed"]
    assert ", ".join(ids) in result["msg"]
    assert "environment_name" in result["msg"]


def test_the_image_in_use_is_the_one_that_the_repository_names(aws: Any) -> None:
    ecr = aws.client("ecr")
    tags = [{"Key": "freehold:environment", "Value": "lab"}, {"Key": "freehold:image", "Value": "sha256:abc"}]
    uri = ecr.create_repository(repositoryName="freehold-lab/airflow", tags=tags)["repository"]["repositoryUri"]
    assert run(aws)["environment"]["image_reference"] == f"{uri}@sha256:abc"


def test_data_and_broker_are_described(aws: Any) -> None:
    tags = [{"Key": "freehold:environment", "Value": "lab"}]
    file_system = aws.client("efs").create_file_system(CreationToken="x", Encrypted=True, Tags=tags)
    aws.client("rds").create_db_instance(
        DBInstanceIdentifier="freehold-lab",
        Engine="postgres",
        DBInstanceClass="db.t4g.medium",
        MasterUsername="airflow",
        MasterUserPassword="u7Gh2kPq9sVx4",
        DBName="airflow",
        AllocatedStorage=20,
        Tags=tags,
    )
    environment = run(aws)["environment"]
    assert environment["file_system"]["dns_name"] == f"{file_system['FileSystemId']}.efs.eu-west-1.amazonaws.com"
    assert environment["database"]["name"] == "airflow"
    assert environment["database"]["endpoint"].startswith("freehold-lab.")
    assert environment["broker"] == {
        "kind": "host",
        "endpoint": "broker.lab.internal",
        "port": 6379,
        "status": None,
    }


def test_a_profile_that_is_not_there_is_refused_in_one_sentence(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Keys in the environment and a profile would contradict each other.
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = aws.run(environment_info, name="lab", profile="nobody")
    assert result["failed"]
    assert "'nobody'" in result["msg"]
    assert "freehold_aws_connection" in result["msg"]
    assert aws.operations == []


def test_it_only_reads(aws: Any) -> None:
    make_vpc(aws, "lab")
    run(aws)
    assert aws.writes == []


def refuse(monkeypatch: pytest.MonkeyPatch, **codes: str) -> None:
    """Let AWS answer with an error code, one for C(GetCallerIdentity) and one for everything else."""

    def answer(_client: Any, operation: str, _params: dict[str, Any]) -> Any:
        code = codes.get(operation, codes.get("others"))
        if code:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)
        return {}

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)


def test_a_profile_that_is_not_there_is_named(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = aws.run(environment_info, name="lab", profile="nobody")
    assert "The AWS profile 'nobody' of freehold_aws_connection is neither in" in result["msg"]
    assert aws.operations == []


def test_keys_and_a_profile_contradict_each_other(aws: Any) -> None:
    result = aws.run(environment_info, name="lab", profile="three")
    assert "has both keys and the profile 'three'" in result["msg"]
    assert aws.operations == []


def test_an_address_that_is_none_is_named(aws: Any) -> None:
    result = aws.run(environment_info, name="lab", endpoint_url="nonsense")
    assert "freehold_aws_connection can't be used: Invalid endpoint: nonsense" in result["msg"]


def test_who_aws_does_not_know_is_told_what_the_token_service_says(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, others="AuthFailure", GetCallerIdentity="ExpiredToken")
    message = run(aws)["msg"]
    assert "has expired: log in again" in message
    assert "Failed to" not in message


def test_who_is_known_and_may_not_is_told_so(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, others="AccessDenied", GetCallerIdentity="")
    message = run(aws)["msg"]
    assert message.startswith("Failed to ")
    assert "AWS does not permit this to" in message


def test_any_other_error_is_aws_own(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, others="ValidationError", GetCallerIdentity="")
    assert "ValidationError" in run(aws)["msg"]


def test_a_replication_group_is_the_broker_where_there_is_one(aws: Any) -> None:
    aws.client("elasticache").create_replication_group(
        ReplicationGroupId="freehold-lab",
        ReplicationGroupDescription="x",
        Engine="valkey",
        CacheNodeType="cache.t4g.small",
        NumNodeGroups=1,
        ReplicasPerNodeGroup=1,
        AutomaticFailoverEnabled=True,
        Tags=[{"Key": "freehold:environment", "Value": "lab"}],
    )
    broker = run(aws)["environment"]["broker"]
    assert (broker["kind"], broker["port"], broker["status"]) == ("elasticache", 6379, "available")
    assert "freehold-lab" in broker["endpoint"]


def test_a_bucket_without_tags_is_not_ours(aws: Any) -> None:
    s3 = aws.client("s3")
    where = {"LocationConstraint": "eu-west-1"}
    for name in ("freehold-lab-1-logs", "freehold-lab-2-logs"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    tags = [{"Key": "freehold:environment", "Value": "lab"}]
    s3.put_bucket_tagging(Bucket="freehold-lab-2-logs", Tagging={"TagSet": tags})
    assert run(aws)["environment"]["log_bucket"] == "freehold-lab-2-logs"
