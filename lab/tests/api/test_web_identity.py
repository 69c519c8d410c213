# SPDX-License-Identifier: GPL-3.0-or-later
"""A role is given for a token only when the account knows its issuer, its audience, its signature, and its subject."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import botocore
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.tests.api.conftest import RunningLab

pytestmark = pytest.mark.filterwarnings(r"ignore:Exception\(AwsError\)")
ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
SUBJECT = "repo:acme/dags:environment:prod"
PROVIDER = f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"


def trust(condition: dict[str, Any] | None = None, principal: dict[str, Any] | None = None) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": principal or {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": condition
        if condition is not None
        else {
            "StringEquals": {
                f"{ISSUER}:aud": AUDIENCE,
                f"{ISSUER}:sub": [SUBJECT, "repo:acme@1/dags@2:environment:prod"],
            }
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def provider(running: RunningLab) -> Iterator[None]:
    """The account trusts the issuer for one audience."""
    iam = running.client("iam")
    iam.create_open_id_connect_provider(Url=f"https://{ISSUER}", ClientIDList=[AUDIENCE])
    yield
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=PROVIDER)


def role(running: RunningLab, document: str) -> str:
    """A role that may look at VPCs, with this trust."""
    iam, name = running.client("iam"), f"web-{uuid.uuid4().hex[:8]}"
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    allowed = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ec2:DescribeVpcs", "Resource": "*"}],
    }
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(allowed))
    return str(arn)


def token(running: RunningLab, **claims: Any) -> str:
    """What GitHub would give a job of the repository acme/dags in the environment prod."""
    answer = running.admin("POST", "/_lab/identity-token", json={"sub": SUBJECT, "aud": AUDIENCE, **claims})
    answer.raise_for_status()
    return str(answer.json()["value"])


def assume(running: RunningLab, arn: str, web_token: str, **more: Any) -> dict[str, str]:
    """Ask as a runner does: unsigned, with nothing but the token."""
    sts = running.client("sts", config=Config(signature_version=botocore.UNSIGNED, parameter_validation=False))
    got = sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="job", WebIdentityToken=web_token, **more)
    return {
        "aws_access_key_id": got["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": got["Credentials"]["SecretAccessKey"],
        "aws_session_token": got["Credentials"]["SessionToken"],
    }


def refused(running: RunningLab, arn: str, web_token: str, **more: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        assume(running, arn, web_token, **more)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize("subject", [SUBJECT, "repo:acme@1/dags@2:environment:prod"])
def test_a_token_of_the_trusted_subject_gets_the_roles_permissions(
    running: RunningLab, provider: None, subject: str
) -> None:
    session = assume(running, role(running, trust()), token(running, sub=subject))
    running.client("ec2", **session).describe_vpcs()
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        running.client("ec2", **session).describe_instances()


@pytest.mark.parametrize(
    "subject",
    ["repo:acme/dags:environment:test", "repo:acme/other:environment:prod", "repo:acme/dags:ref:refs/heads/main", ""],
)
def test_another_subject_is_denied(running: RunningLab, provider: None, subject: str) -> None:
    assert refused(running, role(running, trust()), token(running, sub=subject))[0] == "AccessDenied"


def test_an_issuer_that_the_account_does_not_know_is_refused(running: RunningLab) -> None:
    code, message = refused(running, role(running, trust()), token(running))
    assert (code, f"https://{ISSUER}" in message) == ("InvalidIdentityToken", True)


def test_an_audience_that_the_provider_does_not_list_is_refused(running: RunningLab, provider: None) -> None:
    anybody = role(running, trust(condition={}))
    assert refused(running, anybody, token(running, aud="https://github.com/acme")) == (
        "InvalidIdentityToken",
        "Incorrect token audience",
    )


def test_a_changed_or_unsigned_token_is_refused(running: RunningLab, provider: None) -> None:
    arn = role(running, trust(condition={}))
    header, payload, signature = token(running).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "repo:evil/dags"}).encode()).rstrip(b"=").decode()
    unsigned = base64.urlsafe_b64encode(b'{"alg": "none", "typ": "JWT"}').rstrip(b"=").decode()
    for bad in (f"{header}.{forged}.{signature}", f"{unsigned}.{payload}.", "no token", "a.b.c"):
        assert refused(running, arn, bad)[0] == "InvalidIdentityToken"


def test_a_token_of_yesterday_is_refused(running: RunningLab, provider: None) -> None:
    old = token(running, exp=int(time.time()) - 1)
    assert refused(running, role(running, trust()), old)[0] == "ExpiredTokenException"


@pytest.mark.parametrize(
    "principal",
    [{"Service": "ec2.amazonaws.com"}, {"AWS": PROVIDER}, {"Federated": f"{PROVIDER}.example.com"}],
)
def test_a_role_that_trusts_others_is_denied(running: RunningLab, provider: None, principal: dict[str, Any]) -> None:
    arn = role(running, trust(principal=principal))
    assert refused(running, arn, token(running))[0] == "AccessDenied"


def test_a_role_that_is_not_there_is_denied(running: RunningLab, provider: None) -> None:
    assert refused(running, "arn:aws:iam::123456789012:role/none", token(running))[0] == "AccessDenied"


def test_a_session_is_as_long_as_aws_and_the_role_allow(running: RunningLab, provider: None) -> None:
    arn = role(running, trust())
    assert refused(running, arn, token(running), DurationSeconds=7200)[0] == "ValidationError"
    assert refused(running, arn, token(running), DurationSeconds=899)[0] == "ValidationError"
    assume(running, arn, token(running), DurationSeconds=900)


def test_tokens_are_not_given_to_who_lacks_the_admin_token(running: RunningLab) -> None:
    answer = requests.post(f"{running.url}/_lab/identity-token", json={"sub": "a", "aud": "b"}, timeout=10)
    assert answer.status_code == 403
    assert running.admin("POST", "/_lab/identity-token", json={"sub": "a"}).status_code == 400
