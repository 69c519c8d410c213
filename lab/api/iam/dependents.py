# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS checks beside an operation's own permission: tags, passed roles, what a service does in the caller's name.

The dependent actions of https://docs.aws.amazon.com/service-authorization/latest/reference/, for the operations that
the lab's users send.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.api import backends
from lab.api.iam.resources import created, request_tags, resources
from lab.api.request import AwsRequest
from lab.api.settings import ACCOUNT


@dataclass(frozen=True)
class Needed:
    """A permission that is needed too, on one resource; what AWS knows of it beside the request's own conditions."""

    action: str
    arn: str
    context: dict[str, str] = field(default_factory=dict)


_BY_SERVICE = {"aws:ViaAWSService": "true"}
# Tagging at creation, where the permission is not called like that of EC2. A creation names what it makes first.
_TAGGING = {
    "acm": "AddTagsToCertificate",
    "ecr": "TagResource",
    "elasticache": "AddTagsToResource",
    "elasticfilesystem": "TagResource",
    "elasticloadbalancing": "AddTags",
    "rds": "AddTagsToResource",
    "secretsmanager": "TagResource",
}
_TAGGING_IN_IAM = {
    "CreateInstanceProfile": "TagInstanceProfile",
    "CreateOpenIDConnectProvider": "TagOpenIDConnectProvider",
    "CreatePolicy": "TagPolicy",
    "CreateRole": "TagRole",
    "CreateUser": "TagUser",
}
# Whose service-linked role is made with the first thing of the kind.
_LINKED = {
    "CreateDBInstance": "rds.amazonaws.com",
    "CreateFileSystem": "elasticfilesystem.amazonaws.com",
    "CreateInstanceConnectEndpoint": "ec2-instance-connect.amazonaws.com",
    "CreateLoadBalancer": "elasticloadbalancing.amazonaws.com",
    "CreateReplicationGroup": "elasticache.amazonaws.com",
    "RestoreDBInstanceFromDBSnapshot": "rds.amazonaws.com",
}
# What a service reads of the caller's network in the caller's name; without resources.
_LOOKS = {
    "CreateHostedZone": ("DescribeVpcs",),
    "CreateLoadBalancer": (
        *("DescribeAccountAttributes", "DescribeInternetGateways", "DescribeSecurityGroups", "DescribeSubnets"),
        # https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3917
        *("DescribeVpcs", "GetSecurityGroupsForVpc"),
    ),
    "CreateMountTarget": ("DescribeSubnets", "DescribeNetworkInterfaces"),
    "CreateReplicationGroup": ("DescribeSubnets", "DescribeVpcs"),
    "DescribeMountTargetSecurityGroups": ("DescribeNetworkInterfaceAttribute",),
}
# What EFS does to a mount target's interface.
_ON_INTERFACES = {
    "DeleteMountTarget": "ec2:DeleteNetworkInterface",
    "ModifyMountTargetSecurityGroups": "ec2:ModifyNetworkInterfaceAttribute",
}


def needed_too(request: AwsRequest) -> Iterator[Needed]:
    """Every permission that the request needs beside its own."""
    operation = str(request.operation)
    yield from _tagging(request, operation)
    yield from _passing(request, operation)
    for look in _LOOKS.get(operation, ()):
        yield Needed(f"ec2:{look}", "*", _BY_SERVICE)
    yield from _interfaces(request, operation)
    if operation in _LINKED:
        service = _LINKED[operation]
        arn = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/*"
        yield Needed("iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": service})
    if operation == "DeleteDBInstance" and request.params.get("FinalDBSnapshotIdentifier"):
        database, snapshot = resources(request)
        yield Needed("rds:CreateDBSnapshot", database)
        yield Needed("rds:CreateDBSnapshot", snapshot)
        yield Needed("rds:AddTagsToResource", snapshot)


def _tagging(request: AwsRequest, operation: str) -> Iterator[Needed]:
    if request.signing_name == "ec2":
        for arn in created(request):
            if request_tags(request, arn):
                yield Needed("ec2:CreateTags", arn, {"ec2:CreateAction": operation})
        return
    service = request.signing_name
    name = _TAGGING_IN_IAM.get(operation) if service == "iam" else _TAGGING.get(service)
    if name is None or operation == name or not request_tags(request, "*"):
        return
    named = {
        "acm": f"arn:aws:acm:{request.region}:{ACCOUNT}:certificate/*",
        "elasticfilesystem": f"arn:aws:elasticfilesystem:{request.region}:{ACCOUNT}:file-system/*",
    }
    arn = named.get(service) or resources(request)[0]
    yield Needed(f"{service}:{name}", arn, {f"{service}:CreateAction": operation})


def _passing(request: AwsRequest, operation: str) -> Iterator[Needed]:
    """Giving an instance or an instance profile a role needs iam:PassRole on that role."""
    roles = {role.name: role.arn for role in backends.iam().roles.values()}
    if operation == "AddRoleToInstanceProfile":
        passed = [roles.get(str(request.params.get("RoleName")))]
    else:
        passed = _roles_of_profile(request.params.get("IamInstanceProfile") or {})
    for arn in passed:
        if arn is not None:
            yield Needed("iam:PassRole", arn, {"iam:PassedToService": "ec2.amazonaws.com"})


def _roles_of_profile(profile: dict[str, Any]) -> list[str | None]:
    return [
        role.arn
        for known in backends.iam().instance_profiles.values()
        if known.arn == profile.get("Arn") or known.name == profile.get("Name")
        for role in known.roles
    ]


def _interfaces(request: AwsRequest, operation: str) -> Iterator[Needed]:
    """Network interfaces that EFS and EC2 Instance Connect make, change and delete in the caller's name."""
    params = request.params
    here = f"arn:aws:ec2:{request.region}:{ACCOUNT}:"
    groups = [
        f"{here}security-group/{name}" for name in params.get("SecurityGroups") or params.get("SecurityGroupIds") or []
    ]
    if operation in ("CreateMountTarget", "CreateInstanceConnectEndpoint"):
        for arn in (f"{here}subnet/{params.get('SubnetId')}", f"{here}network-interface/*", *groups):
            yield Needed("ec2:CreateNetworkInterface", arn, _BY_SERVICE)
    action = _ON_INTERFACES.get(operation)
    if action is not None:
        target = backends.efs(request.region).mount_targets_by_id.get(params.get("MountTargetId"))
        interface = f"{here}network-interface/{target.network_interface_id if target else '*'}"
        for arn in (interface, *groups):
            yield Needed(action, arn, _BY_SERVICE)
