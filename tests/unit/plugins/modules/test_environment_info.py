# SPDX-License-Identifier: GPL-3.0-or-later
"""The module environment_info against moto."""

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import environment_info


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
