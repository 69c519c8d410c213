# SPDX-License-Identifier: GPL-3.0-or-later
"""What can't be deleted or made because of something else that is there; moto looks away from these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import checks
from lab.api.request import AwsRequest
from lab.api.services.certificates import users

_COMMON_NAME_LIMIT = 64


@checks("ec2", "DeleteVpc")
def refuse_to_delete_a_vpc_in_use(request: AwsRequest) -> None:
    """A VPC keeps while it has gateways, interfaces or security groups of its own."""
    vpc_id = request.params.get("VpcId")
    ec2 = backends.ec2(request.region)
    gateways = any(gateway.vpc is not None and gateway.vpc.id == vpc_id for gateway in ec2.internet_gateways.values())
    interfaces = any(interface.vpc_id == vpc_id for interface in ec2.enis.values())
    groups = any(not group.is_default for group in ec2.groups.get(vpc_id, {}).values())
    if gateways or interfaces or groups:
        message = f"The vpc '{vpc_id}' has dependencies and cannot be deleted."
        raise AwsError("DependencyViolation", message)


@checks("ec2", "DeleteSecurityGroup")
def refuse_to_delete_a_security_group_in_use(request: AwsRequest) -> None:
    """A group that an interface carries or that another group's rule names can't be deleted."""
    group_id = str(request.params.get("GroupId"))
    ec2 = backends.ec2(request.region)
    carried = any(group.id == group_id for interface in ec2.enis.values() for group in interface.group_set)
    if carried or group_id in _named_by_others(ec2, group_id):
        raise AwsError("DependencyViolation", f"resource {group_id} has a dependent object")


def _named_by_others(ec2: Any, group_id: str) -> Iterator[str]:
    for groups in ec2.groups.values():
        for group in groups.values():
            if group.id != group_id:
                for rule in (*group.ingress_rules, *group.egress_rules):
                    yield rule.source_group.get("GroupId", "")


@checks("ec2", "DeleteSubnet")
def refuse_to_delete_a_subnet_in_use(request: AwsRequest) -> None:
    """A subnet with network interfaces can't be deleted."""
    subnet_id = request.params.get("SubnetId")
    interfaces = backends.ec2(request.region).enis.values()
    if any(interface.subnet.id == subnet_id for interface in interfaces):
        message = f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
        raise AwsError("DependencyViolation", message)


@checks("rds", "DeleteDBSubnetGroup")
def refuse_to_delete_a_subnet_group_in_use(request: AwsRequest) -> None:
    """A subnet group with databases can't be deleted."""
    name = str(request.params.get("DBSubnetGroupName")).lower()
    for database in backends.rds(request.region).databases.values():
        if getattr(database, "_db_subnet_group_name", None) == name:
            message = (
                f"Cannot delete the subnet group '{name}' because at least one database instance: "
                f"{database.db_instance_identifier} is still using it."
            )
            raise AwsError("InvalidDBSubnetGroupStateFault", message)


@checks("rds", "DeleteDBParameterGroup")
def refuse_to_delete_a_parameter_group_in_use(request: AwsRequest) -> None:
    """A parameter group with databases can't be deleted."""
    name = str(request.params.get("DBParameterGroupName")).lower()
    databases = backends.rds(request.region).databases.values()
    if any(str(database.db_parameter_group_name).lower() == name for database in databases):
        message = (
            "One or more database instances are still members of this parameter group, so the group cannot be deleted"
        )
        raise AwsError("InvalidDBParameterGroupState", message)


@checks("elbv2", "CreateListener")
def refuse_a_second_listener_on_a_port(request: AwsRequest) -> None:
    """One listener a port, and none for HTTPS without a certificate."""
    params = request.params
    balancer = backends.elbv2(request.region).load_balancers.get(params.get("LoadBalancerArn"))
    taken = balancer is not None and any(
        int(listener.port) == int(params.get("Port") or 0) for listener in balancer.listeners.values()
    )
    if taken:
        raise AwsError(
            "DuplicateListener", f"A listener already exists on port {params.get('Port')} for this load balancer"
        )
    if params.get("Protocol") in ("HTTPS", "TLS") and not params.get("Certificates"):
        raise AwsError("ValidationError", f"A certificate must be specified for {params['Protocol']} listeners")


@checks("acm", "DeleteCertificate")
def refuse_to_delete_a_certificate_in_use(request: AwsRequest) -> None:
    """A certificate that a listener uses can't be deleted."""
    arn = request.params.get("CertificateArn")
    certificate = backends.acm(request.region)._certificates.get(arn)
    if certificate is not None and users(certificate):
        raise AwsError("ResourceInUseException", f"Certificate {arn} is in use.")


@checks("acm", "RequestCertificate")
def refuse_a_long_first_name(request: AwsRequest) -> None:
    """The first name is the certificate's common name, which X.509 limits."""
    if len(str(request.params.get("DomainName", ""))) > _COMMON_NAME_LIMIT:
        message = f"The first domain name can be no longer than {_COMMON_NAME_LIMIT} octets, including periods."
        raise AwsError("ValidationException", message)


@checks("route53", "CreateHostedZone")
def refuse_a_second_zone_by_the_same_reference(request: AwsRequest) -> None:
    """A caller reference makes one zone, once."""
    reference = request.params.get("CallerReference")
    if any(zone.caller_reference == reference for zone in backends.route53().zones.values()):
        message = f"A hosted zone has already been created with the specified caller reference {reference}."
        raise AwsError("HostedZoneAlreadyExists", message, 409)
