# SPDX-License-Identifier: GPL-3.0-or-later
"""The module acm_certificate_request against moto."""

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import acm_certificate_request
from moto.acm.models import CertBundle

NAME = "airflow.example.com"
TAGS = {"freehold:environment": "lab", "Name": "lab-certificate"}


def run(aws: Any, check: bool = False, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(
        acm_certificate_request, check=check, **{"domain_name": NAME, "tags": TAGS, **params}
    )
    return result


@pytest.fixture(autouse=True)
def _issued_only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_ACM_VALIDATION_WAIT", "100000")


def test_a_certificate_is_requested_with_the_records_that_prove_it(aws: Any) -> None:
    result = run(aws)
    certificate = result["certificate"]
    assert result["changed"]
    assert certificate["status"] == "PENDING_VALIDATION"
    (record,) = certificate["validation_records"]
    assert record["type"] == "CNAME"
    assert record["name"].rstrip(".").endswith(NAME)
    assert len(record["values"]) == 1


def test_a_pending_certificate_is_found_again(aws: Any) -> None:
    arn = run(aws)["certificate"]["arn"]
    result = run(aws)
    assert not result["changed"]
    assert result["certificate"]["arn"] == arn
    assert aws.writes == []


def test_a_certificate_of_another_environment_is_not_taken(aws: Any) -> None:
    first = run(aws)["certificate"]["arn"]
    second = run(aws, tags={**TAGS, "freehold:environment": "other"})["certificate"]["arn"]
    assert first != second


def test_a_certificate_deleted_within_the_hour_is_requested_anew(aws: Any) -> None:
    arn = run(aws)["certificate"]["arn"]
    aws.client("acm").delete_certificate(CertificateArn=arn)
    assert run(aws)["certificate"]["arn"] != arn


def test_a_certificate_of_other_names_is_not_taken(aws: Any) -> None:
    run(aws)
    assert run(aws, subject_alternative_names=["flower.example.com"])["changed"]


def test_check_mode_requests_nothing(aws: Any) -> None:
    result = run(aws, check=True)
    assert result["changed"]
    assert result["certificate"] == {}
    assert aws.writes == []


def test_waiting_ends_when_the_certificate_is_issued(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(aws)
    monkeypatch.setattr(CertBundle, "describe", issued(CertBundle.describe))
    assert run(aws, wait=True)["certificate"]["status"] == "ISSUED"


def test_a_certificate_that_never_gets_valid_is_said_in_words(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(aws)
    monkeypatch.setattr("botocore.waiter.time.sleep", lambda _seconds: None)
    result = run(aws, wait=True, wait_timeout=10)
    assert result["failed"]
    assert NAME in result["msg"]
    assert "validation records" in result["msg"]


def issued(describe: Any) -> Any:
    def described(bundle: Any) -> Any:
        answer = describe(bundle)
        answer["Certificate"]["Status"] = "ISSUED"
        return answer

    return described


def test_a_certificate_of_another_domain_is_not_looked_into(aws: Any) -> None:
    run(aws, domain_name="other.example.com")
    result = run(aws, check=True)
    assert result["changed"]
    assert "ListTagsForCertificate" not in aws.operations


def test_what_acm_refuses_is_said(aws: Any) -> None:
    result = run(aws, tags={**TAGS, "aws:reserved": "x"})
    assert f"The certificate for {NAME} can't be requested" in result["msg"]


def test_check_mode_reads_a_certificate_that_is_there(aws: Any) -> None:
    arn = run(aws)["certificate"]["arn"]
    result = run(aws, check=True)
    assert not result["changed"]
    assert result["certificate"]["arn"] == arn
    assert aws.writes == []
