# SPDX-License-Identifier: GPL-3.0-or-later
"""ACM: a certificate is issued when its validation records stand in a public hosted zone, and not before."""

from __future__ import annotations

import hashlib
from typing import Any

from moto.acm.models import CertBundle

from lab.api import backends
from lab.api.operations import completes
from lab.api.patching import wraps
from lab.api.request import AwsRequest
from lab.api.settings import ACCOUNT
from lab.api.state import current


def validation_record(domain: str) -> tuple[str, str]:
    """Name and value of the CNAME that proves a domain; always the same for one account and domain, as on AWS."""
    bare = domain.removeprefix("*.")
    digest = hashlib.sha256(f"{ACCOUNT}/{bare}".encode()).hexdigest()
    return f"_{digest[:32]}.{bare}.", f"_{digest[32:]}.jkddzztszm.acm-validations.aws."


def domains(certificate: Any) -> list[str]:
    """Every name of a certificate, the main one first."""
    names = [certificate.common_name, *certificate.sans]
    return list(dict.fromkeys(str(name) for name in names if name))


@wraps(CertBundle, "check")
def _look_at_the_records(_original: Any, certificate: Any) -> None:
    if certificate.type == "AMAZON_ISSUED" and certificate.status == "PENDING_VALIDATION" and _proved(certificate):
        certificate.status = "ISSUED"
        current().touch()


def _proved(certificate: Any) -> bool:
    records = {
        (record.name.rstrip(".").lower(), value.rstrip(".").lower())
        for zone in backends.route53().zones.values()
        if not zone.private_zone
        for record in zone.rrsets
        if record.type == "CNAME"
        for value in record.records or []
    }
    wanted = [validation_record(domain) for domain in domains(certificate)]
    return all((name.rstrip(".").lower(), value.rstrip(".").lower()) in records for name, value in wanted)


@wraps(CertBundle, "describe")
def _describe(original: Any, certificate: Any) -> dict[str, Any]:
    shown: dict[str, Any] = original(certificate)
    described = shown["Certificate"]
    if certificate.type != "AMAZON_ISSUED":
        return shown
    order = domains(certificate)
    options = {option["DomainName"]: option for option in described.get("DomainValidationOptions", [])}
    for domain, option in options.items():
        name, value = validation_record(domain)
        option["ResourceRecord"] = {"Name": name, "Type": "CNAME", "Value": value}
    described["DomainValidationOptions"] = [options[domain] for domain in order if domain in options]
    described["InUseBy"] = users(certificate)
    if certificate.status != "ISSUED":
        for field in ("IssuedAt", "NotAfter", "NotBefore"):
            described.pop(field, None)
    return shown


def users(certificate: Any) -> list[str]:
    """The ARNs of load balancers whose listeners carry the certificate."""
    region = certificate.arn.split(":")[3]
    return [
        balancer.arn
        for balancer in backends.elbv2(region).load_balancers.values()
        if any(certificate.arn in listener.certificates for listener in balancer.listeners.values())
    ]


@completes("route53", "ChangeResourceRecordSets")
def look_again(_request: AwsRequest) -> None:
    """A record came or went: check everything that waits for one."""
    for certificate in backends.acm()._certificates.values():
        certificate.check()
