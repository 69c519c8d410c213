# SPDX-License-Identifier: GPL-3.0-or-later
"""Every request is judged by the caller's policies, and refused in its service's own form."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.tests.api.conftest import RunningLab

# moto wonders at error codes that no service's model has.
pytestmark = pytest.mark.filterwarnings(r"ignore:Exception\(AwsError\)")
_numbers = itertools.count()
_FOR_EC2 = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}


@pytest.fixture
def user(running: RunningLab, request: pytest.FixtureRequest) -> Callable[..., dict[str, str]]:
    """Make a user with one inline policy; returns client arguments."""
    iam = running.client("iam")

    def make(*statements: dict[str, Any]) -> dict[str, str]:
        name = f"{request.node.originalname[:50]}-{next(_numbers)}"
        iam.create_user(UserName=name)
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}

    return make


def code(call: Callable[..., Any], **kwargs: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**kwargs)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


REFUSALS: list[tuple[str, str, dict[str, Any], tuple[str, int], tuple[str, int]]] = [
    ("ec2", "describe_instances", {}, ("UnauthorizedOperation", 403), ("AuthFailure", 401)),
    ("iam", "list_users", {}, ("AccessDenied", 403), ("InvalidClientTokenId", 403)),
    ("rds", "describe_db_instances", {}, ("AccessDenied", 403), ("InvalidClientTokenId", 403)),
    ("route53", "list_hosted_zones", {}, ("AccessDenied", 403), ("InvalidClientTokenId", 403)),
    ("secretsmanager", "list_secrets", {}, ("AccessDeniedException", 400), ("UnrecognizedClientException", 400)),
    ("ecr", "get_authorization_token", {}, ("AccessDeniedException", 400), ("UnrecognizedClientException", 400)),
    ("efs", "describe_file_systems", {}, ("AccessDeniedException", 403), ("UnrecognizedClientException", 403)),
    ("s3", "list_buckets", {}, ("AccessDenied", 403), ("InvalidAccessKeyId", 403)),
]


@pytest.mark.parametrize(("service", "call", "arguments", "denied", "unknown"), REFUSALS)
def test_without_a_policy_nothing_is_allowed_and_unknown_keys_are_refused(
    running: RunningLab,
    user: Callable[..., dict[str, str]],
    service: str,
    call: str,
    arguments: dict[str, Any],
    denied: tuple[str, int],
    unknown: tuple[str, int],
) -> None:
    assert code(getattr(running.client(service, **user()), call), **arguments) == denied
    stranger = {"aws_access_key_id": "AKIAZZZZZZZZZZZZZZZZ", "aws_secret_access_key": "x"}
    assert code(getattr(running.client(service, **stranger), call), **arguments) == unknown


@pytest.mark.parametrize(
    ("service", "call", "expected"),
    [
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("ec2", "describe_vpcs", "AuthFailure"),
        ("secretsmanager", "list_secrets", "InvalidSignatureException"),
        ("s3", "list_buckets", "SignatureDoesNotMatch"),
    ],
)
def test_a_wrong_secret_is_refused(running: RunningLab, service: str, call: str, expected: str) -> None:
    wrong = running.client(service, aws_secret_access_key="wrong")
    assert code(getattr(wrong, call))[0] == expected


def test_everybody_may_ask_who_they_are(running: RunningLab, user: Callable[..., dict[str, str]]) -> None:
    assert ":user/" in running.client("sts", **user()).get_caller_identity()["Arn"]


def test_a_secret_is_readable_by_its_arn_only(running: RunningLab, user: Callable[..., dict[str, str]]) -> None:
    secrets = running.client("secretsmanager")
    arn = secrets.create_secret(Name="freehold/t/mine", SecretString="yes")["ARN"]
    secrets.create_secret(Name="freehold/t/other", SecretString="no")
    mine = running.client(
        "secretsmanager",
        **user({"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn[:-6] + "??????"}),
    )
    assert mine.get_secret_value(SecretId="freehold/t/mine")["SecretString"] == "yes"
    assert mine.get_secret_value(SecretId=arn)["SecretString"] == "yes"
    assert code(mine.get_secret_value, SecretId="freehold/t/other") == ("AccessDeniedException", 400)
    # Whether it exists is not told either.
    assert code(mine.get_secret_value, SecretId="freehold/t/none") == ("AccessDeniedException", 400)


def test_s3_needs_the_bucket_for_listing_and_the_key_for_objects(
    running: RunningLab, user: Callable[..., dict[str, str]]
) -> None:
    operator = running.client("s3")
    operator.create_bucket(Bucket="iam-test", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    mine = running.client(
        "s3",
        **user(
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject"],
                "Resource": "arn:aws:s3:::iam-test/logs/*",
            }
        ),
    )
    body = b"x" * 6_000_000
    mine.put_object(Bucket="iam-test", Key="logs/a b+c", Body=body)
    assert mine.get_object(Bucket="iam-test", Key="logs/a b+c")["Body"].read() == body
    assert code(mine.put_object, Bucket="iam-test", Key="other", Body=b"") == ("AccessDenied", 403)
    assert code(mine.list_objects_v2, Bucket="iam-test") == ("AccessDenied", 403)
    # A missing key is forbidden, not missing, for who may not list.
    assert code(mine.head_object, Bucket="iam-test", Key="logs/none") == ("403", 403)
    assert code(operator.head_object, Bucket="iam-test", Key="logs/none") == ("404", 404)


def test_a_bucket_policy_allows_and_denies(running: RunningLab, user: Callable[..., dict[str, str]]) -> None:
    operator = running.client("s3")
    operator.create_bucket(Bucket="policy-test", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    operator.put_object(Bucket="policy-test", Key="open", Body=b"1")
    operator.put_object(Bucket="policy-test", Key="closed", Body=b"2")
    given = user()
    arn = running.client("sts", **given).get_caller_identity()["Arn"]
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": arn},
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::policy-test/*",
            },
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::policy-test/closed",
            },
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": "arn:aws:s3:::policy-test/*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }
    operator.put_bucket_policy(Bucket="policy-test", Policy=json.dumps(document))
    mine = running.client("s3", **given)
    assert mine.get_object(Bucket="policy-test", Key="open")["Body"].read() == b"1"
    assert code(mine.get_object, Bucket="policy-test", Key="closed") == ("AccessDenied", 403)
    assert code(operator.get_object, Bucket="policy-test", Key="closed") == ("AccessDenied", 403)


def test_a_presigned_url_works_for_its_signer_only(running: RunningLab) -> None:
    s3 = running.client("s3", config=Config(signature_version="s3v4"))
    s3.create_bucket(Bucket="presigned", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="presigned", Key="k", Body=b"hello")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "k"})
    assert requests.get(url, timeout=10).content == b"hello"
    assert requests.get(url[:-1] + ("0" if url[-1] != "0" else "1"), timeout=10).status_code == 403
    assert requests.get(f"{running.url}/presigned/k", timeout=10).status_code == 403


def test_a_role_is_assumed_by_trust_and_its_session_has_the_roles_policies(
    running: RunningLab, user: Callable[..., dict[str, str]]
) -> None:
    iam, given = running.client("iam"), user()
    arn = running.client("sts", **given).get_caller_identity()["Arn"]
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="assumed", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    other = iam.create_role(RoleName="closed", AssumeRolePolicyDocument=json.dumps(_FOR_EC2))["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="assumed", PolicyName="p", PolicyDocument=json.dumps(policy))
    sts = running.client("sts", **given)
    assert code(sts.assume_role, RoleArn=other, RoleSessionName="session") == ("AccessDenied", 403)
    got = sts.assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    session = {
        "aws_access_key_id": got["AccessKeyId"],
        "aws_secret_access_key": got["SecretAccessKey"],
        "aws_session_token": got["SessionToken"],
    }
    running.client("ec2", **session).describe_vpcs()
    assert code(running.client("iam", **session).list_roles)[0] == "AccessDenied"
    stolen = {**session, "aws_session_token": "other"}
    assert code(running.client("ec2", **stolen).describe_vpcs)[0] == "AuthFailure"


@pytest.fixture
def role(running: RunningLab) -> str:
    """The ARN of a role that everybody in the account may assume for two hours."""
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}]}
    made = running.client("iam").create_role(
        RoleName=f"session-{next(_numbers)}", AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=7200
    )
    return str(made["Role"]["Arn"])


@pytest.mark.parametrize("seconds", [899, 7201])
def test_a_session_has_a_least_and_a_greatest_length(running: RunningLab, role: str, seconds: int) -> None:
    sts = running.client("sts", config=Config(parameter_validation=False))
    assume = {"RoleArn": role, "RoleSessionName": "session"}
    assert code(sts.assume_role, DurationSeconds=seconds, **assume) == ("ValidationError", 400)
    sts.assume_role(DurationSeconds=7200, **assume)
    sts.assume_role(DurationSeconds=900, **assume)


@pytest.mark.parametrize(
    ("service", "call", "expected"),
    [
        ("sts", "get_caller_identity", ("ExpiredToken", 403)),
        ("ec2", "describe_vpcs", ("RequestExpired", 400)),
        ("s3", "list_buckets", ("ExpiredToken", 400)),
        ("secretsmanager", "list_secrets", ("ExpiredTokenException", 400)),
    ],
)
def test_a_session_that_has_ended_is_called_so(
    running: RunningLab, role: str, service: str, call: str, expected: tuple[str, int]
) -> None:
    got = running.client("sts").assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    session = {
        "aws_access_key_id": got["AccessKeyId"],
        "aws_secret_access_key": got["SecretAccessKey"],
        "aws_session_token": got["SessionToken"],
    }
    running.client("sts", **session).get_caller_identity()
    running.admin("POST", "/_lab/expired", json={"access_key": got["AccessKeyId"]}).raise_for_status()
    assert code(getattr(running.client(service, **session), call)) == expected


def test_sessions_of_users_are_not_in_the_lab(running: RunningLab) -> None:
    assert code(running.client("sts").get_session_token)[0] == "InvalidAction"


def test_only_a_session_can_be_ended(running: RunningLab) -> None:
    assert running.admin("POST", "/_lab/expired", json={"access_key": running.key}).status_code == 404
    assert running.admin("POST", "/_lab/expired", json={}).status_code == 400


def test_passing_a_role_to_an_instance_needs_its_own_permission(
    running: RunningLab, user: Callable[..., dict[str, str]], launch: Callable[..., Any]
) -> None:
    iam = running.client("iam")
    trust = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    }
    iam.create_role(RoleName="passed", AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName="passed")
    iam.add_role_to_instance_profile(InstanceProfileName="passed", RoleName="passed")
    instances = launch(IamInstanceProfile={"Name": "passed"}, MinCount=2, MaxCount=2)
    ec2 = running.client("ec2")
    shown = ec2.describe_instances(InstanceIds=[i["InstanceId"] for i in instances])["Reservations"][0]["Instances"]
    assert all(entry["IamInstanceProfile"]["Arn"].endswith("/passed") for entry in shown)
    mine = running.client("ec2", **user({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}))
    arguments = {"ImageId": instances[0]["ImageId"], "InstanceType": instances[0]["InstanceType"]}
    arguments |= {"SubnetId": instances[0]["SubnetId"], "MinCount": 1, "MaxCount": 1}
    mine.run_instances(**arguments)
    assert code(mine.run_instances, IamInstanceProfile={"Name": "passed"}, **arguments)[0] == "UnauthorizedOperation"


def test_tags_of_the_request_and_of_the_resource_are_conditions(
    running: RunningLab, user: Callable[..., dict[str, str]], launch: Callable[..., Any]
) -> None:
    mine = running.client(
        "ec2",
        **user(
            {
                "Effect": "Allow",
                "Action": "ec2:StopInstances",
                "Resource": "arn:aws:ec2:*:*:instance/*",
                "Condition": {"StringEquals": {"aws:ResourceTag/env": "lab"}},
            }
        ),
    )
    ours = launch(TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "env", "Value": "lab"}]}])
    others = launch()
    mine.stop_instances(InstanceIds=[ours[0]["InstanceId"]])
    assert code(mine.stop_instances, InstanceIds=[others[0]["InstanceId"]])[0] == "UnauthorizedOperation"
