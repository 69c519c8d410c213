# SPDX-License-Identifier: GPL-3.0-or-later
"""ELBv2: an address in every subnet, states and target health that follow the real proxy, and missing refusals."""

from __future__ import annotations

import re
import secrets
from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeLoadBalancer, FakeTargetGroup

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import checks, completes
from lab.api.patching import wraps
from lab.api.request import AwsRequest
from lab.api.services.addresses import create_service_interface, delete_service_interface
from lab.api.state import current

_REQUESTER = "amazon-elb"
_NAME_LIMIT = 32
_PUBLIC, _PRIVATE = "internet-facing", "internal"
_NAME = re.compile(r"^(?!-)(?!internal-)[A-Za-z0-9-]+(?<!-)$")
# The hosted zones of application load balancers, for alias records.
_HOSTED_ZONES = {
    "eu-west-1": "Z32O12XQLNTSW2",
    "eu-west-2": "ZHURV8PSTC4K8",
    "eu-central-1": "Z215JYRZR1TBD5",
    "us-east-1": "Z35SXDOTRQ7X7K",
    "us-west-2": "Z1H1FL5HABSF5",
}

# What AWS answers for a new application load balancer and moto leaves out.
_ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "idle_timeout.timeout_seconds": "60",
    "client_keep_alive.seconds": "3600",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http2.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "waf.fail_open.enabled": "false",
}


@wraps(FakeLoadBalancer, "__init__")
def _begin_as_provisioning(original: Any, balancer: Any, *args: Any, **kwargs: Any) -> None:
    original(balancer, *args, **kwargs)
    balancer.attrs.update(_ATTRIBUTES)
    # moto's own default is lost on the way: it hands on the None of a request that does not say.
    balancer.scheme = balancer.scheme or _PUBLIC
    region = balancer.arn.split(":")[3]
    prefix = "internal-" if balancer.scheme == _PRIVATE else ""
    balancer.dns_name = f"{prefix}{balancer.name}-{secrets.randbelow(10**10):010}.{region}.elb.amazonaws.com"
    balancer.canonical_hosted_zone_id = _HOSTED_ZONES.get(region, _HOSTED_ZONES["eu-west-1"])
    balancer._lab_region = region
    balancer._lab_interfaces = {}
    update_interfaces(balancer)

    def apply(state: str) -> None:
        balancer.state = state

    current().lifecycle.begin("load_balancer", balancer.arn, "active", apply)


@wraps(FakeLoadBalancer, "activate")
def _only_the_proxy_activates(_original: Any, _balancer: Any) -> None:
    """moto makes a load balancer active when it is looked at."""


def update_interfaces(balancer: Any) -> None:
    """Keep one network interface in each of the load balancer's subnets."""
    wanted = {subnet.id for subnet in balancer.subnets}
    for subnet_id in sorted(wanted - balancer._lab_interfaces.keys()):
        path = balancer.arn.partition(":loadbalancer/")[2]
        balancer._lab_interfaces[subnet_id] = create_service_interface(
            balancer._lab_region, subnet_id, f"ELB {path}", balancer.security_groups or [], _REQUESTER
        )
    for subnet_id in balancer._lab_interfaces.keys() - wanted:
        delete_service_interface(balancer._lab_region, balancer._lab_interfaces.pop(subnet_id).id)


def addresses(balancer: Any) -> list[str]:
    """The load balancer's private addresses, one a subnet, in the order of the subnets."""
    return [balancer._lab_interfaces[subnet.id].private_ip_address for subnet in balancer.subnets]


@completes("elbv2", "SetSubnets")
def follow_the_subnets(request: AwsRequest) -> None:
    """New subnets, new addresses."""
    update_interfaces(backends.elbv2(request.region).load_balancers[request.params["LoadBalancerArn"]])


@wraps(ELBv2Backend, "delete_load_balancer")
def _delete(original: Any, elbv2: Any, arn: str) -> None:
    balancer = elbv2.load_balancers.get(arn)
    if balancer is not None and balancer.attrs.get("deletion_protection.enabled") == "true":
        message = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
        raise AwsError("OperationNotPermitted", message)
    original(elbv2, arn)
    if balancer is None:
        return
    current().lifecycle.forget("load_balancer", arn)
    for interface in balancer._lab_interfaces.values():
        delete_service_interface(balancer._lab_region, interface.id)
    for group in elbv2.target_groups.values():
        group.load_balancer_arns = [known for known in group.load_balancer_arns if known != arn]


@checks("elbv2", "CreateLoadBalancer")
def refuse_bad_names_schemes_and_too_few_zones(request: AwsRequest) -> None:
    """Name, scheme and subnets as ELB demands them for an application load balancer."""
    params = request.params
    name = str(params.get("Name", ""))
    if len(name) > _NAME_LIMIT:
        message = f"The load balancer name '{name}' cannot be longer than '{_NAME_LIMIT}' characters"
        raise AwsError("ValidationError", message)
    if not _NAME.match(name):
        message = f"The load balancer name '{name}' can only contain characters that are alphanumeric or hyphens (-)"
        raise AwsError("ValidationError", message)
    if params.get("Scheme", _PUBLIC) not in (_PUBLIC, _PRIVATE):
        raise AwsError("InvalidScheme", "The requested scheme is not valid")
    elbv2, ec2 = backends.elbv2(request.region), backends.ec2(request.region)
    if any(balancer.name == name for balancer in elbv2.load_balancers.values()):
        message = f"A load balancer with the same name '{name}' exists, but with different settings"
        raise AwsError("DuplicateLoadBalancerName", message)
    if params.get("Type", "application") != "application":
        return
    subnets = list(params.get("Subnets") or [])
    subnets += [mapping["SubnetId"] for mapping in params.get("SubnetMappings") or []]
    zones = [ec2.get_subnet(subnet_id).availability_zone for subnet_id in subnets]
    if len(set(zones)) < len(zones):
        message = "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        raise AwsError("InvalidConfigurationRequest", message)
    if subnets and len(zones) < 2:
        message = "At least two subnets in two different Availability Zones must be specified"
        raise AwsError("ValidationError", message)


@checks("elbv2", "CreateListener", "ModifyListener")
def refuse_a_certificate_that_is_not_issued(request: AwsRequest) -> None:
    """A listener takes only certificates that are there and issued."""
    certificates = backends.acm(request.region)._certificates
    for entry in request.params.get("Certificates") or []:
        arn = entry.get("CertificateArn")
        if not str(arn).startswith("arn:aws:acm:"):
            continue
        if arn not in certificates:
            raise AwsError("CertificateNotFound", f"Certificate '{arn}' not found")
        if certificates[arn].status != "ISSUED":
            message = (
                f"The certificate '{arn}' must have a fully-qualified domain name, a supported signature, "
                "and a supported key size."
            )
            raise AwsError("UnsupportedCertificate", message)


@wraps(FakeTargetGroup, "health_for")
def _health(original: Any, group: Any, target: dict[str, Any], ec2: Any) -> Any:
    health = original(group, target, ec2)
    if health.status != "healthy":
        return health
    port = health.port
    if not group.load_balancer_arns:
        reason, words = "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"
        return FakeHealthStatus(health.instance_id, port, health.health_check_port, "unused", reason, words)
    lab = current()
    seen = lab.target_health.get(group.arn, {}).get(f"{health.instance_id}:{port}")
    if seen is None and lab.settings.unattended:
        return health
    if seen is None or seen.get("state") == "initial":
        reason, words = "Elb.RegistrationInProgress", "Target registration is in progress"
        return FakeHealthStatus(health.instance_id, port, health.health_check_port, "initial", reason, words)
    if seen["state"] == "healthy":
        return health
    reason = seen.get("reason") or "Target.FailedHealthChecks"
    code, words = (reason, "Health checks failed") if "." in reason else ("Target.FailedHealthChecks", reason)
    return FakeHealthStatus(health.instance_id, port, health.health_check_port, seen["state"], code, words)
