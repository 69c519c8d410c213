# SPDX-License-Identifier: GPL-3.0-or-later
"""The module environment_info against moto."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._environment import discovery
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


def make_hosts(aws: Any, subnet_id: str) -> dict[str, str]:
    """Hosts by name, one of which is terminated; each has a key of its own and the duties that its name says."""
    ec2 = aws.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    hosts: dict[str, str] = {}
    for name, duties in (("worker-1", "worker"), ("core-1", "api-server,scheduler"), ("gone-1", "worker")):
        [specification] = tagged("instance", "lab", name)
        specification["Tags"] += [
            {"Key": "freehold:duties", "Value": duties},
            {"Key": "freehold:ssh-host-key", "Value": f"key-of-{name}"},
        ]
        hosts[name] = ec2.run_instances(
            ImageId=image,
            InstanceType="t4g.medium",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet_id,
            PrivateIpAddress=f"10.20.96.1{len(hosts)}",
            TagSpecifications=[specification],
        )["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[hosts["gone-1"]])
    return hosts


def test_a_whole_environment_is_described(aws: Any) -> None:
    vpc_id, tags = make_vpc(aws, "lab"), [{"Key": "freehold:environment", "Value": "lab"}]
    ec2, elbv2 = aws.client("ec2"), aws.client("elbv2")
    subnets = []
    # Neither in the order of their addresses nor, as text, in that of their numbers.
    for kind, zone, cidr in (
        ("private", "a", "10.20.96.0/19"),
        ("public", "a", "10.20.0.0/24"),
        ("", "b", "10.20.128.0/24"),
    ):
        [specification] = tagged("subnet", "lab", zone)
        specification["Tags"] += [{"Key": "freehold:subnet", "Value": kind}] if kind else []
        zone = f"eu-west-1{zone}"
        made = ec2.create_subnet(
            VpcId=vpc_id, CidrBlock=cidr, AvailabilityZone=zone, TagSpecifications=[specification]
        )["Subnet"]["SubnetId"]
        subnets.append({"id": made, "zone": zone, "cidr": cidr, "kind": kind})
    hosts = make_hosts(aws, subnets[0]["id"])
    file_system = aws.client("efs").create_file_system(CreationToken="x", Encrypted=True, Tags=tags)["FileSystemId"]
    database = aws.client("rds").create_db_instance(
        DBInstanceIdentifier="freehold-lab",
        Engine="postgres",
        EngineVersion="17.5",
        DBInstanceClass="db.t4g.medium",
        MasterUsername="airflow",
        MasterUserPassword="u7Gh2kPq9sVx4",
        DBName="metadata",
        AllocatedStorage=20,
        Tags=tags,
    )["DBInstance"]
    [balancer] = elbv2.create_load_balancer(Name="lab", Subnets=[net["id"] for net in subnets[1:]], Tags=tags)[
        "LoadBalancers"
    ]
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="freehold-lab-1-logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_tagging(Bucket="freehold-lab-1-logs", Tagging={"TagSet": tags})
    image = {"Key": "freehold:image", "Value": "sha256:abc"}
    uri = aws.client("ecr").create_repository(repositoryName="freehold-lab/airflow", tags=[*tags, image])["repository"][
        "repositoryUri"
    ]
    aws.client("acm").request_certificate(DomainName="airflow.example.com", Tags=tags)
    [group] = ec2.describe_security_groups(Filters=[{"Name": "tag:Name", "Values": ["lab-webserver"]}])[
        "SecurityGroups"
    ]

    def host(name: str, duties: list[str], address: str) -> dict[str, Any]:
        return {
            "id": hosts[name],
            "name": f"lab-{name}",
            "duties": duties,
            "state": "running",
            "private_ip": address,
            "zone": "eu-west-1a",
            "instance_type": "t4g.medium",
            "ssh_host_key": f"key-of-{name}",
        }

    assert run(aws)["environment"] == {
        "name": "lab",
        "region": "eu-west-1",
        "found": True,
        "vpc": {"id": vpc_id, "cidr": "10.20.0.0/16"},
        "subnets": [subnets[1], subnets[0], subnets[2]],
        "security_groups": {"webserver": group["GroupId"]},
        "instances": [
            host("core-1", ["api-server", "scheduler"], "10.20.96.11"),
            host("worker-1", ["worker"], "10.20.96.10"),
        ],
        "file_system": {
            "id": file_system,
            "dns_name": f"{file_system}.efs.eu-west-1.amazonaws.com",
            "state": "available",
        },
        "database": {
            "identifier": "freehold-lab",
            "endpoint": database["Endpoint"]["Address"],
            "port": 5432,
            "status": "available",
            "engine_version": "17.5",
            "name": "metadata",
            "user": "airflow",
        },
        "broker": {"kind": "host", "endpoint": "broker.lab.internal", "port": 6379, "status": None},
        "load_balancer": {
            "arn": balancer["LoadBalancerArn"],
            "name": "lab",
            "dns_name": balancer["DNSName"],
            "zone_id": balancer["CanonicalHostedZoneId"],
            "state": "active",
        },
        "log_bucket": "freehold-lab-1-logs",
        "repository": {"name": "freehold-lab/airflow", "uri": uri},
        "image_reference": f"{uri}@sha256:abc",
        "url": "https://airflow.example.com",
        "secrets_prefix": "freehold/lab",
    }
    assert aws.writes == []


def test_load_balancers_are_asked_for_their_tags_by_twenties(aws: Any) -> None:
    ours = [{"Key": "freehold:environment", "Value": "lab"}]
    arns = [f"arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/lb-{number}/1" for number in range(21)]
    aws.answers["DescribeLoadBalancers"] = {"LoadBalancers": [{"LoadBalancerArn": arn} for arn in arns]}
    # The same answer to every batch.
    aws.answers["DescribeTags"] = {"TagDescriptions": [{"ResourceArn": arns[-1], "Tags": ours}]}
    _service, find = discovery.FINDERS["load_balancer"]
    assert [item["LoadBalancerArn"] for item in find(aws.client("elbv2"), "lab")] == arns[-1:]
    assert sorted(asked["ResourceArns"] for asked in aws.asked("DescribeTags")) == sorted([arns[:20], arns[20:]])


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


def test_a_bucket_whose_tags_may_not_be_read_is_not_taken_for_one_without(aws: Any) -> None:
    where = {"LocationConstraint": "eu-west-1"}
    aws.client("s3").create_bucket(Bucket="freehold-lab-1-logs", CreateBucketConfiguration=where)
    aws.refusals["GetBucketTagging"] = "AccessDenied"
    result = run(aws)
    assert result["failed"]
    assert "refused by the test" in result["msg"]
