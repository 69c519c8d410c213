# SPDX-License-Identifier: GPL-3.0-or-later
"""The module acm_certificate_request against moto."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import acm_certificate_request
from moto.acm.models import CertBundle, acm_backends
from moto.core import DEFAULT_ACCOUNT_ID

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


def test_the_request_asks_for_dns_validation_of_every_name_and_for_the_key_algorithm(aws: Any) -> None:
    run(aws, subject_alternative_names=["Flower.example.com.", NAME], key_algorithm="EC_prime256v1")
    (request,) = aws.asked("RequestCertificate")
    token = request.pop("IdempotencyToken")
    assert re.fullmatch(r"\w{1,32}", token)
    assert request == {
        "DomainName": NAME,
        "SubjectAlternativeNames": [NAME, "flower.example.com"],
        "ValidationMethod": "DNS",
        "KeyAlgorithm": "EC_prime256v1",
        "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()],
    }


def test_a_certificate_with_another_key_algorithm_is_not_taken(aws: Any) -> None:
    run(aws)
    assert run(aws, key_algorithm="EC_secp384r1", check=True)["changed"]
    assert not run(aws, key_algorithm="RSA_2048", check=True)["changed"]


@pytest.mark.parametrize("status", ["FAILED", "VALIDATION_TIMED_OUT", "EXPIRED", "REVOKED", "INACTIVE"])
def test_a_lost_certificate_does_not_count_and_a_new_one_is_requested_beside_it(aws: Any, status: str) -> None:
    lost = run(aws)["certificate"]["arn"]
    bundle_of(lost).status = status
    assert aws.settles(partial(run, aws), ["RequestCertificate"])["certificate"]["arn"] != lost


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
    aws.settles(partial(run, aws, subject_alternative_names=["flower.example.com"]), ["RequestCertificate"])


def test_check_mode_requests_nothing(aws: Any) -> None:
    result = run(aws, check=True)
    assert result["changed"]
    assert result["certificate"] == {}
    assert aws.writes == []


def test_waiting_ends_when_the_certificate_is_issued(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(aws)
    monkeypatch.setattr(CertBundle, "describe", issued(CertBundle.describe))
    assert run(aws, wait=True)["certificate"]["status"] == "ISSUED"


@pytest.mark.parametrize(("seconds", "pauses"), [(10, 1), (0, 0)])
def test_a_certificate_that_never_gets_valid_is_said_in_words(
    aws: Any, monkeypatch: pytest.MonkeyPatch, seconds: int, pauses: int
) -> None:
    run(aws)
    waited: list[float] = []
    monkeypatch.setattr("botocore.waiter.time.sleep", waited.append)
    result = run(aws, wait=True, wait_timeout=seconds)
    assert result["failed"]
    assert (
        f"The certificate for {NAME} is not issued: see that its validation records are in public DNS, or raise"
        in (result["msg"])
    )
    assert "certificate_wait_timeout" in result["msg"]
    assert len(waited) == pauses


@pytest.mark.parametrize(
    ("said", "why", "looks"),
    [
        ({"Status": "FAILED", "FailureReason": "CAA_ERROR"}, "it is FAILED (CAA_ERROR), and the next run requests", 2),
        ({"Status": "FAILED", "DomainValidationOptions": []}, "it is FAILED (ACM gives no reason), and", 1),
        ({"Status": "VALIDATION_TIMED_OUT"}, "it is VALIDATION_TIMED_OUT (ACM gives no reason), and", 2),
        ({"Status": "EXPIRED"}, "it is EXPIRED (ACM gives no reason), and", 2),
        ({"Status": "REVOKED", "RevocationReason": "KEY_COMPROMISE"}, "it is REVOKED (KEY_COMPROMISE), and", 2),
        ({"DomainValidationOptions": []}, "ACM has not named its validation records yet, so run again later", 60),
    ],
    ids=["failed", "failed before it had records", "timed out", "expired", "revoked", "no records"],
)
def test_waiting_in_vain_ends_with_the_reason_that_acm_gives(
    aws: Any, waited: list[float], said: dict[str, Any], why: str, looks: int
) -> None:
    arn = run(aws)["certificate"]["arn"]
    pending = aws.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
    # The first look finds the certificate, which is lost while the module waits for it.
    aws.answers["DescribeCertificate"] = [{"Certificate": pending}, {"Certificate": {**pending, **said}}]
    result = run(aws, wait=True)
    assert result["msg"].startswith(f"The certificate for {NAME} is not issued: {why}")
    assert "public DNS" not in result["msg"]
    # The first look is not part of the wait.
    assert len(aws.asked("DescribeCertificate")) == 1 + looks
    assert aws.writes == []


def test_a_certificate_that_may_not_be_read_while_it_is_waited_for_is_not_blamed_on_dns(aws: Any) -> None:
    aws.refusals["DescribeCertificate"] = "AccessDeniedException"
    message = run(aws)["msg"]
    assert message.startswith(f"The certificate for {NAME} is not issued: ACM does not describe it: ")
    assert "AccessDeniedException" in message


def bundle_of(arn: str) -> CertBundle:
    return acm_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"]._certificates[arn]


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
