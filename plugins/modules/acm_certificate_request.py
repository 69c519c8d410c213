#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: acm_certificate_request
short_description: Request a public certificate from ACM, to be validated through DNS
version_added: 0.1.0
description:
  - Requests a certificate from AWS Certificate Manager and returns the DNS records that prove who owns the names.
  - C(community.aws.acm_certificate) imports certificates; it can't request one.
  - An environment's certificate is found again by its names and tags. One that failed, expired or was revoked does not
    count; a new one is requested beside it, because a load balancer may still use the old one.
options:
  domain_name:
    description: The name the certificate is for.
    type: str
    required: true
  subject_alternative_names:
    description: Further names.
    type: list
    elements: str
    default: []
  key_algorithm:
    description: Algorithm of the certificate's key.
    type: str
    default: RSA_2048
    choices: [RSA_2048, EC_prime256v1, EC_secp384r1]
  tags:
    description: Tags of the certificate; only a certificate that carries them is found again.
    type: dict
    required: true
  wait:
    description: Whether to wait until the certificate is issued. The validation records must exist by then.
    type: bool
    default: false
  wait_timeout:
    description: Longest wait, in seconds.
    type: int
    default: 1800
author:
  - The Freehold authors (@freehold)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says whether a certificate would be requested, and makes no write call.
"""

EXAMPLES = r"""
- name: Request a certificate
  freehold.airflow.acm_certificate_request:
    domain_name: airflow.example.com
    tags:
      freehold:environment: lab
  register: certificate

- name: Prove that the name is ours
  freehold.airflow.route53_record_sets:
    zone_id: Z0123456789ABCDEFGHIJ
    records: "{{ certificate.certificate.validation_records }}"

- name: Wait until it is issued
  freehold.airflow.acm_certificate_request:
    domain_name: airflow.example.com
    tags:
      freehold:environment: lab
    wait: true
"""

RETURN = r"""
certificate:
  description: The certificate. Empty in check mode when one would be requested.
  returned: always
  type: dict
  contains:
    arn:
      description: ARN of the certificate.
      type: str
    status:
      description: V(PENDING_VALIDATION) or V(ISSUED).
      type: str
    validation_records:
      description: The DNS records to make, in the form of M(freehold.airflow.route53_record_sets).
      type: list
      elements: dict
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.amazon.aws.plugins.module_utils.waiter import BaseWaiterFactory

# A certificate in any other state will never become, or is no longer, valid.
# https://docs.aws.amazon.com/acm/latest/APIReference/API_CertificateDetail.html
USABLE = ["PENDING_VALIDATION", "ISSUED"]
RECORD_TTL = 300
LOST = ["FAILED", "VALIDATION_TIMED_OUT", "EXPIRED", "REVOKED"]


class CertificateWaiters(BaseWaiterFactory):  # type: ignore[misc]
    """What botocore does not wait for itself, or not without failing first."""

    @property
    def _waiter_model_data(self) -> dict[str, Any]:
        lost = [
            {"state": "failure", "matcher": "path", "argument": "Certificate.Status", "expected": status}
            for status in LOST
        ]
        records = "length(Certificate.DomainValidationOptions[?ResourceRecord]) > `0`"
        return {
            # ACM thinks of the records some seconds after the request.
            "certificate_records": {
                "operation": "DescribeCertificate",
                "delay": 1,
                "maxAttempts": 60,
                "acceptors": [
                    {"state": "success", "matcher": "path", "argument": records, "expected": True},
                    *lost,
                ],
            },
            "certificate_issued": {
                "operation": "DescribeCertificate",
                "delay": 5,
                "maxAttempts": 360,
                "acceptors": [
                    {"state": "success", "matcher": "path", "argument": "Certificate.Status", "expected": "ISSUED"},
                    *lost,
                ],
            },
        }


def names_of(module: AnsibleAWSModule) -> list[str]:
    """Return every wanted name, in lower case as ACM keeps them."""
    names = [module.params["domain_name"], *module.params["subject_alternative_names"]]
    return sorted({name.lower().rstrip(".") for name in names})


def find_certificate(module: AnsibleAWSModule, client: Any) -> str | None:
    """Return the ARN of the environment's usable certificate with exactly the wanted names, or None."""
    pages = client.get_paginator("list_certificates").paginate(
        CertificateStatuses=USABLE, Includes={"keyTypes": [module.params["key_algorithm"]]}
    )
    first_name = module.params["domain_name"].lower().rstrip(".")
    for summary in pages.build_full_result()["CertificateSummaryList"]:
        arn = summary["CertificateArn"]
        if summary["DomainName"].lower() != first_name:
            continue
        tags = boto3_tag_list_to_ansible_dict(
            client.list_tags_for_certificate(aws_retry=True, CertificateArn=arn)["Tags"]
        )
        if any(tags.get(key) != value for key, value in module.params["tags"].items()):
            continue
        found = describe(client, arn)
        if sorted(name.lower() for name in found["SubjectAlternativeNames"]) == names_of(module):
            return str(arn)
    return None


def request_certificate(module: AnsibleAWSModule, client: Any) -> str:
    """Request the certificate and return its ARN.

    The token is one for each run: retries of this request get one certificate, while a request after one that failed or
    was deleted within the hour gets a new one.
    """
    names = names_of(module)
    answer = client.request_certificate(
        aws_retry=True,
        DomainName=module.params["domain_name"],
        SubjectAlternativeNames=names,
        ValidationMethod="DNS",
        KeyAlgorithm=module.params["key_algorithm"],
        IdempotencyToken=secrets.token_hex(16),
        Tags=ansible_dict_to_boto3_tag_list(module.params["tags"]),
    )
    return str(answer["CertificateArn"])


def describe(client: Any, arn: str) -> dict[str, Any]:
    """Return what ACM says about the certificate."""
    return client.describe_certificate(aws_retry=True, CertificateArn=arn)["Certificate"]  # type: ignore[no-any-return]


def validation_records(certificate: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records to make, once each: names of one zone may share a record."""
    records = {
        option["ResourceRecord"]["Name"]: {
            "name": option["ResourceRecord"]["Name"],
            "type": option["ResourceRecord"]["Type"],
            "ttl": RECORD_TTL,
            "values": [option["ResourceRecord"]["Value"]],
        }
        for option in certificate.get("DomainValidationOptions", [])
        if option.get("ResourceRecord")
    }
    return [records[name] for name in sorted(records)]


def wait_for(client: Any, waiter: str, arn: str, timeout: int | None = None) -> None:
    """Wait for a certificate; I(timeout) in seconds."""
    config = {"WaiterConfig": {"Delay": 5, "MaxAttempts": max(1, timeout // 5)}} if timeout is not None else {}
    CertificateWaiters().get_waiter(client, waiter).wait(CertificateArn=arn, **config)


def why_not_issued(last: Mapping[str, Any]) -> str:
    """Say why the certificate of ACM's last answer is not issued."""
    certificate = last.get("Certificate")
    if not certificate:
        return "ACM does not describe it"
    if certificate["Status"] in LOST:
        reason = certificate.get("FailureReason") or certificate.get("RevocationReason") or "ACM gives no reason"
        return f"it is {certificate['Status']} ({reason}), and the next run requests another one"
    if not validation_records(certificate):
        return "ACM has not named its validation records yet, so run again later"
    return "see that its validation records are in public DNS, or raise certificate_wait_timeout"


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "domain_name": {"type": "str", "required": True},
            "subject_alternative_names": {"type": "list", "elements": "str", "default": []},
            "key_algorithm": {
                "type": "str",
                "default": "RSA_2048",
                "choices": ["RSA_2048", "EC_prime256v1", "EC_secp384r1"],
            },
            "tags": {"type": "dict", "required": True},
            "wait": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    client = module.client("acm", retry_decorator=AWSRetry.jittered_backoff())
    name = module.params["domain_name"]
    try:
        arn = find_certificate(module, client)
        missing = arn is None
        if arn is None:
            if module.check_mode:
                module.exit_json(changed=True, certificate={}, msg=f"A certificate for {name} would be requested.")
            arn = request_certificate(module, client)
        if not module.check_mode:
            wait_for(client, "certificate_records", arn)
            if module.params["wait"]:
                wait_for(client, "certificate_issued", arn, module.params["wait_timeout"])
        certificate = describe(client, arn)
    except WaiterError as error:
        module.fail_json_aws(
            error, msg=f"The certificate for {name} is not issued: {why_not_issued(error.last_response)}"
        )
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"The certificate for {name} can't be requested")
    module.exit_json(
        changed=missing,
        certificate={
            "arn": arn,
            "status": certificate["Status"],
            "validation_records": validation_records(certificate),
        },
    )


if __name__ == "__main__":
    main()
