# SPDX-License-Identifier: GPL-3.0-or-later
"""The sentence for every way in which AWS can't be asked."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._environment.connection import contradiction, explain
from botocore import exceptions as botocore_errors
from botocore.exceptions import ClientError

KEYS = {"access_key": "AKIDEXAMPLE", "secret_key": "x"}


def answer(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetCallerIdentity")


CASES: dict[str, tuple[Exception, dict[str, Any], list[str]]] = {
    # name: (error, parameters, words of the sentence)
    "no such profile": (
        botocore_errors.ProfileNotFound(profile="nope"),
        {"profile": "nope"},
        ["'nope'", "~/.aws/config"],
    ),
    "nothing given": (botocore_errors.NoCredentialsError(), {}, ["no AWS credentials", "this machine has none"]),
    "a profile without keys": (
        botocore_errors.PartialCredentialsError(provider="shared-credentials-file", cred_var="aws_secret_access_key"),
        {"profile": "half"},
        ["'half'", "aws_secret_access_key"],
    ),
    "single sign-on that ended": (
        botocore_errors.UnauthorizedSSOTokenError(),
        {"profile": "work"},
        ["log in again", "aws sso login --profile work"],
    ),
    "a token that can't be renewed": (
        botocore_errors.TokenRetrievalError(provider="sso", error_msg="Token has expired"),
        {"profile": "work"},
        ["log in again", "Token has expired"],
    ),
    "no region": (botocore_errors.NoRegionError(), KEYS, ["region"]),
    "nobody answers": (
        botocore_errors.EndpointConnectionError(endpoint_url="https://ec2.eu-west-9.amazonaws.com/"),
        KEYS,
        ["environment_region", "ec2.eu-west-9"],
    ),
    "an endpoint that is no URL": (ValueError("Invalid endpoint: nowhere"), KEYS, ["nowhere"]),
    "a session that ended": (answer("ExpiredToken"), KEYS, ["session", "AKIDEXAMPLE", "has expired", "log in again"]),
    "a session that ended, to EC2": (answer("RequestExpired"), {"profile": "work"}, ["'work'", "has expired"]),
    "a key that nobody has": (answer("InvalidClientTokenId"), KEYS, ["does not know", "AKIDEXAMPLE"]),
    "another key's secret": (answer("SignatureDoesNotMatch", "The request..."), KEYS, ["secret key", "AKIDEXAMPLE"]),
    "a clock that is late": (
        answer("SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier than ..."),
        KEYS,
        ["clock"],
    ),
    "not permitted": (
        answer("UnauthorizedOperation", "You are not authorized to perform: ec2:DescribeVpcs"),
        KEYS,
        ["permissions", "ec2:DescribeVpcs"],
    ),
}


@pytest.mark.parametrize(("error", "parameters", "words"), CASES.values(), ids=CASES)
def test_it_is_one_line_that_names_the_variable(error: Exception, parameters: dict[str, Any], words: list[str]) -> None:
    said = explain(error, parameters)
    assert said is not None
    assert "freehold_aws_connection" in said
    assert "\n" not in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({**KEYS, "profile": "work"}, ["'work'", "AWS_PROFILE"]),
        ({"access_key": "AKIDEXAMPLE"}, ["secret_key"]),
        ({"secret_key": "x"}, ["access_key"]),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(parameters: dict[str, Any], words: list[str]) -> None:
    said = contradiction(parameters)
    assert said is not None
    for word in ["freehold_aws_connection", *words]:
        assert word in said


@pytest.mark.parametrize("parameters", [{}, KEYS, {"profile": "work"}])
def test_parameters_that_fit_are_not(parameters: dict[str, Any]) -> None:
    assert contradiction(parameters) is None


@pytest.mark.parametrize("error", [answer("ThrottlingException"), botocore_errors.DataNotFoundError(data_path="x")])
def test_other_errors_are_not_about_the_connection(error: Exception) -> None:
    assert explain(error, KEYS) is None
