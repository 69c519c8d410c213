# SPDX-License-Identifier: GPL-3.0-or-later
"""The module iam_oidc_provider against moto."""

from __future__ import annotations

from typing import Any

from ansible_collections.freehold.airflow.plugins.modules import iam_oidc_provider

URL = "https://token.actions.githubusercontent.com"
ARN = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
TAGS = {"freehold:environment": "lab"}


def run(aws: Any, check: bool = False, url: str = URL) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(iam_oidc_provider, check=check, url=url, audience="sts.amazonaws.com", tags=TAGS)
    return result


def test_the_account_gets_to_know_the_issuer_once(aws: Any) -> None:
    first = run(aws)
    assert (first["changed"], first["arn"]) == (True, ARN)
    (request,) = aws.asked("CreateOpenIDConnectProvider")
    assert request["Url"] == URL
    assert request["ClientIDList"] == ["sts.amazonaws.com"]
    assert request["Tags"] == [{"Key": "freehold:environment", "Value": "lab"}]
    again = run(aws)
    assert (again["changed"], again["arn"]) == (False, ARN)
    assert aws.writes == []


def test_check_mode_makes_nothing(aws: Any) -> None:
    result = run(aws, check=True)
    assert (result["changed"], result["arn"]) == (True, None)
    assert aws.writes == []
    run(aws)
    again = run(aws, check=True)
    assert (again["changed"], again["arn"]) == (False, ARN)
    assert aws.writes == []


def test_a_slash_at_the_end_names_the_same_issuer(aws: Any) -> None:
    run(aws)
    again = run(aws, url=f"{URL}/")
    assert (again["changed"], again["arn"]) == (False, ARN)


def test_what_iam_refuses_is_said(aws: Any) -> None:
    result = run(aws, url="token.actions.githubusercontent.com")
    assert result["failed"]
    assert result["msg"].startswith("The OpenID Connect provider for token.actions.githubusercontent.com can't be made")


def test_a_provider_of_another_issuer_is_not_taken_for_it(aws: Any) -> None:
    iam = aws.client("iam")
    iam.create_open_id_connect_provider(Url=f"{URL}/enterprise", ClientIDList=["sts.amazonaws.com"])
    assert run(aws)["changed"]


def test_one_that_others_made_is_used_or_refused_but_never_changed(aws: Any) -> None:
    iam = aws.client("iam")
    iam.create_open_id_connect_provider(Url=URL, ClientIDList=["other"], ThumbprintList=["0" * 40])
    refused = run(aws)
    assert refused["failed"]
    assert ARN in refused["msg"] and "sts.amazonaws.com" in refused["msg"]
    assert aws.writes == []
