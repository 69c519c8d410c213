# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies are evaluated as AWS documents it."""

from __future__ import annotations

from typing import Any

import pytest

from lab.api.iam.policy import Question, Verdict, judge

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:freehold/lab/config/fernet_key-AbCdEf"

NOT_IAM = {"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}}


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Allow", "Action": action, "Resource": resource, **more}]}


def deny(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Deny", "Action": action, "Resource": resource, **more}]}


def verdict(*documents: dict[str, Any], action: str = "s3:GetObject", resource: str = "*", **context: Any) -> Verdict:
    return judge(documents, Question(action, resource, {key.replace("__", ":"): v for key, v in context.items()}))


@pytest.mark.parametrize(
    ("document", "action", "resource", "expected"),
    [
        (allow("s3:Get*"), "s3:GetObject", "arn:aws:s3:::b/k", Verdict.ALLOWED),
        (allow("S3:getobject"), "s3:GetObject", "arn:aws:s3:::b/k", Verdict.ALLOWED),
        (allow("s3:Get*"), "s3:PutObject", "arn:aws:s3:::b/k", Verdict.NOT_MENTIONED),
        (allow("s3:GetObject", "arn:aws:s3:::b/*"), "s3:GetObject", "arn:aws:s3:::b/a/b", Verdict.ALLOWED),
        (allow("s3:GetObject", "arn:aws:s3:::b/*"), "s3:GetObject", "arn:aws:s3:::c/a", Verdict.NOT_MENTIONED),
        (
            allow("secretsmanager:GetSecretValue", SECRET[:-6] + "??????"),
            "secretsmanager:GetSecretValue",
            SECRET,
            Verdict.ALLOWED,
        ),
        (
            allow("secretsmanager:GetSecretValue", SECRET[:-7]),
            "secretsmanager:GetSecretValue",
            SECRET,
            Verdict.NOT_MENTIONED,
        ),
        (
            {"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}},
            "iam:GetUser",
            "*",
            Verdict.NOT_MENTIONED,
        ),
        (
            {"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}},
            "s3:GetObject",
            "*",
            Verdict.ALLOWED,
        ),
        ({}, "s3:GetObject", "*", Verdict.NOT_MENTIONED),
    ],
)
def test_actions_and_resources_match_by_wildcards(
    document: dict[str, Any], action: str, resource: str, expected: Verdict
) -> None:
    assert verdict(document, action=action, resource=resource) is expected


def test_an_explicit_deny_wins_whatever_the_order() -> None:
    assert verdict(allow(), deny("s3:GetObject")) is Verdict.DENIED
    assert verdict(deny("s3:GetObject"), allow()) is Verdict.DENIED


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"aws:RequestTag/env": "lab"}}, {"aws:RequestTag/env": "lab"}, True),
        ({"StringEquals": {"aws:RequestTag/env": "lab"}}, {"aws:requesttag/ENV": "lab"}, True),
        ({"StringEquals": {"aws:RequestTag/env": "lab"}}, {}, False),
        ({"StringEqualsIfExists": {"aws:RequestTag/env": "lab"}}, {}, True),
        ({"StringNotEquals": {"aws:RequestTag/env": "lab"}}, {}, True),
        ({"StringLike": {"s3:prefix": ["logs/*", ""]}}, {"s3:prefix": "logs/x"}, True),
        ({"StringLike": {"s3:prefix": ["logs/*", ""]}}, {"s3:prefix": "other"}, False),
        (
            {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/f-*"}},
            {"aws:PrincipalArn": "arn:aws:iam::1:role/f-a"},
            True,
        ),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "true"}, False),
        ({"Bool": {"aws:SecureTransport": True}}, {"aws:SecureTransport": "true"}, True),
        ({"Null": {"aws:RequestTag/env": "true"}}, {}, True),
        ({"IpAddress": {"aws:SourceIp": "10.20.0.0/16"}}, {"aws:SourceIp": "10.20.1.5"}, True),
        ({"NumericLessThan": {"s3:max-keys": "10"}}, {"s3:max-keys": "9"}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ["a"]}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ["a", "c"]}, False),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, {"aws:TagKeys": ["a", "c"]}, True),
        ({"BinaryEquals": {"key": "YQ=="}}, {"key": "a"}, False),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, Any], holds: bool) -> None:
    expected = Verdict.ALLOWED if holds else Verdict.NOT_MENTIONED
    assert judge([allow(Condition=condition)], Question("s3:GetObject", "*", context)) is expected


def test_an_unknown_condition_allows_nothing_and_denies() -> None:
    condition = {"BinaryEquals": {"key": "YQ=="}}
    assert verdict(allow(Condition=condition)) is Verdict.NOT_MENTIONED
    assert verdict(allow(), deny(Condition=condition)) is Verdict.DENIED


def test_policy_variables_are_filled_in() -> None:
    document = allow("s3:GetObject", "arn:aws:s3:::b/${aws:username}/*")
    assert verdict(document, resource="arn:aws:s3:::b/ada/x", aws__username="ada") is Verdict.ALLOWED
    assert verdict(document, resource="arn:aws:s3:::b/eve/x", aws__username="ada") is Verdict.NOT_MENTIONED
    assert verdict(document, resource="arn:aws:s3:::b/ada/x") is Verdict.NOT_MENTIONED


def test_a_resource_policy_names_who_it_means() -> None:
    document = allow(Principal={"AWS": "arn:aws:iam::1:role/a"})
    asked = Question("s3:GetObject", "x", {}, principals=frozenset({"arn:aws:iam::1:role/a"}))
    assert judge([document], asked) is Verdict.ALLOWED
    other = Question("s3:GetObject", "x", {}, principals=frozenset({"arn:aws:iam::1:role/b"}))
    assert judge([document], other) is Verdict.NOT_MENTIONED
    assert judge([allow(Principal="*")], other) is Verdict.ALLOWED
