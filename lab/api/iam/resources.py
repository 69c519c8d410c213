# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request acts on, in the words of policies: resource ARNs, and the tags of what it names.

Where a service's rule is not known here, the resource is "*", which only a statement for all resources allows: never
more generous than AWS. The rules: https://docs.aws.amazon.com/service-authorization/latest/reference/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lab.api import backends
from lab.api.request import AwsRequest
from lab.api.settings import ACCOUNT

Tags = dict[str, str]

# EC2 ids by prefix, and the type in their ARN.
_EC2_TYPES = {
    "i": "instance",
    "vol": "volume",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "eni": "network-interface",
    "rtb": "route-table",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "eipalloc": "elastic-ip",
    "eice": "instance-connect-endpoint",
    "vpce": "vpc-endpoint",
    "snap": "snapshot",
    "lt": "launch-template",
    "acl": "network-acl",
    "dopt": "dhcp-options",
}
# A reading of EC2 has no resource, but for these.
_EC2_READ = ("DescribeInstanceAttribute", "DescribeVpcAttribute", "GetConsoleOutput", "GetPasswordData")
_EC2_ID = re.compile(r"^([a-z]+)-[0-9a-f]{8,17}$")
# What a creation makes, beside the things that it names.
_EC2_CREATED = {
    "RunInstances": ("instance", "volume", "network-interface"),
    "CreateVpc": ("vpc",),
    "CreateSubnet": ("subnet",),
    "CreateSecurityGroup": ("security-group",),
    "CreateVolume": ("volume",),
    "CreateInternetGateway": ("internet-gateway",),
    "CreateRouteTable": ("route-table",),
    "CreateNatGateway": ("natgateway",),
    "CreateNetworkInterface": ("network-interface",),
    "CreateInstanceConnectEndpoint": ("instance-connect-endpoint",),
    "CreateVpcEndpoint": ("vpc-endpoint",),
    "CreateKeyPair": ("key-pair",),
    "ImportKeyPair": ("key-pair",),
    "AllocateAddress": ("elastic-ip",),
}


def resources(request: AwsRequest) -> list[str]:
    """The ARNs of what the request acts on; all of them must be allowed."""
    rule = _RULES.get(request.signing_name)
    found = rule(request) if rule is not None else []
    return list(dict.fromkeys(found)) or ["*"]


def resource_tags(request: AwsRequest, arn: str) -> Tags:
    """The tags of a thing that exists, for conditions on aws:ResourceTag."""
    if request.signing_name == "ec2":
        ec2, name = backends.ec2(request.region), arn.rpartition("/")[2]
        # The one kind of thing whose ARN holds the name.
        name = ec2.key_pairs[name].id if ":key-pair/" in arn and name in ec2.key_pairs else name
        return {key: str(value) for key, value in ec2.tags.get(name, {}).items()}
    if request.signing_name == "secretsmanager":
        secret = _secret(request)
        return _plain(secret.tags) if secret is not None else {}
    if request.signing_name == "elasticfilesystem":
        return _plain(backends.efs(request.region).list_tags_for_resource(arn.rpartition("/")[2]))
    if request.signing_name == "rds":
        database = backends.rds(request.region).databases.get(arn.rpartition(":")[2])
        return _plain(database.tags) if database is not None else {}
    if request.signing_name == "elasticloadbalancing":
        found = backends.elbv2(request.region).tagging_service.get_tag_dict_for_resource(arn)
        return {key: str(value) for key, value in found.items()}
    if request.signing_name == "acm":
        certificate = backends.acm(request.region)._certificates.get(arn)
        return {key: str(value or "") for key, value in certificate.tags.items()} if certificate is not None else {}
    return {}


def request_tags(request: AwsRequest, arn: str) -> Tags:
    """The tags that a request asks to put on one thing; EC2's creations say for which kinds of things they are."""
    params = request.params
    found = _plain(params.get("Tags") or params.get("tags") or [])
    kind = arn.split(":")[-1].partition("/")[0]
    for specification in params.get("TagSpecifications") or []:
        if specification.get("ResourceType") == kind:
            found |= _plain(specification.get("Tags") or [])
    return found


def created(request: AwsRequest) -> list[str]:
    """The ARNs of what an operation of EC2 is going to make."""
    return [_arn(request, "ec2", f"{kind}/*") for kind in _EC2_CREATED.get(str(request.operation), ())]


def s3_object(request: AwsRequest) -> tuple[str, str | None] | None:
    """Bucket and key of an S3 request."""
    bucket = request.params.get("Bucket")
    return (str(bucket), request.params.get("Key")) if bucket else None


def secret_policy(request: AwsRequest) -> str | None:
    """The policy of the secret that the request names."""
    secret = _secret(request)
    return secret.policy if secret is not None else None


def _plain(tags: Any) -> Tags:
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in tags or [] if "Key" in tag}


def _secret(request: AwsRequest) -> Any | None:
    name = request.params.get("SecretId")
    store = backends.secretsmanager(request.region).secrets
    return store.get(name) if name and name in store else None


def _arn(request: AwsRequest, service: str, rest: str) -> str:
    return f"arn:aws:{service}:{request.region}:{ACCOUNT}:{rest}"


def _s3(request: AwsRequest) -> list[str]:
    named = s3_object(request)
    if named is None:
        return []
    bucket, key = named
    if request.operation == "DeleteObjects":
        objects = (request.params.get("Delete") or {}).get("Objects") or []
        return [f"arn:aws:s3:::{bucket}/{entry['Key']}" for entry in objects]
    return [f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"]


def _secretsmanager(request: AwsRequest) -> list[str]:
    secret = _secret(request)
    if secret is not None:
        return [str(secret.arn)]
    name = request.params.get("SecretId") or request.params.get("Name")
    if not name:
        return []
    # Of a secret that is not there, AWS knows but the name; the six letters at an ARN's end are then question marks.
    return [str(name) if str(name).startswith("arn:") else _arn(request, "secretsmanager", f"secret:{name}-??????")]


def _ecr(request: AwsRequest) -> list[str]:
    params = request.params
    if params.get("resourceArn"):
        return [str(params["resourceArn"])]
    names = [params["repositoryName"]] if params.get("repositoryName") else params.get("repositoryNames") or []
    return [_arn(request, "ecr", f"repository/{name}") for name in names]


def _efs(request: AwsRequest) -> list[str]:
    params = request.params
    if params.get("FileSystemId"):
        return [_arn(request, "elasticfilesystem", f"file-system/{str(params['FileSystemId']).rpartition('/')[2]}")]
    efs = backends.efs(request.region)
    target = efs.mount_targets_by_id.get(params.get("MountTargetId"))
    if target is not None:
        return [_arn(request, "elasticfilesystem", f"file-system/{target.file_system_id}")]
    if params.get("AccessPointId"):
        return [_arn(request, "elasticfilesystem", f"access-point/{params['AccessPointId']}")]
    resource = str(params.get("ResourceId") or "")
    if resource:
        kind = "access-point" if "fsap-" in resource else "file-system"
        return [_arn(request, "elasticfilesystem", f"{kind}/{resource.rpartition('/')[2]}")]
    return []


def _iam(request: AwsRequest) -> list[str]:
    """What is not there is known by its name alone, or at its creation by its path too."""
    params = request.params
    iam = backends.iam()
    path = str(params.get("Path") or "/")
    if params.get("InstanceProfileName"):
        name = params["InstanceProfileName"]
        known = next((profile.arn for profile in iam.instance_profiles.values() if profile.name == name), None)
        return [known or f"arn:aws:iam::{ACCOUNT}:instance-profile{path}{name}"]
    if params.get("RoleName"):
        name = params["RoleName"]
        known = next((role.arn for role in iam.roles.values() if role.name == name), None)
        return [known or f"arn:aws:iam::{ACCOUNT}:role{path}{name}"]
    if request.operation == "CreateOpenIDConnectProvider":
        return [f"arn:aws:iam::{ACCOUNT}:oidc-provider/{str(params.get('Url')).removeprefix('https://')}"]
    if params.get("OpenIDConnectProviderArn"):
        return [str(params["OpenIDConnectProviderArn"])]
    if params.get("UserName"):
        return [f"arn:aws:iam::{ACCOUNT}:user/{params['UserName']}"]
    if params.get("GroupName"):
        return [f"arn:aws:iam::{ACCOUNT}:group/{params['GroupName']}"]
    if params.get("PolicyArn"):
        return [str(params["PolicyArn"])]
    return [f"arn:aws:iam::{ACCOUNT}:policy/{params['PolicyName']}"] if params.get("PolicyName") else []


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _ec2(request: AwsRequest) -> list[str]:
    operation = str(request.operation)
    if operation.startswith(("Describe", "Get")) and operation not in _EC2_READ:
        return []
    found = created(request)
    for value in [*_strings(request.params), *_associated(request)]:
        match = _EC2_ID.match(value)
        if match is None:
            continue
        if match.group(1) == "ami":
            found.append(f"arn:aws:ec2:{request.region}::image/{value}")
        elif match.group(1) in _EC2_TYPES:
            found.append(_arn(request, "ec2", f"{_EC2_TYPES[match.group(1)]}/{value}"))
    if request.params.get("KeyName"):
        found.append(_arn(request, "ec2", f"key-pair/{request.params['KeyName']}"))
    if operation in ("CreateTags", "DeleteTags"):
        # The one kind of thing whose ids have no prefix.
        names = [str(name) for name in request.params.get("Resources") or []]
        found += [_arn(request, "ec2", f"reserved-instances/{name}") for name in names if _UUID.fullmatch(name)]
    return found


def _associated(request: AwsRequest) -> list[str]:
    """What an association joins: a route table and a subnet, an instance and its profile."""
    wanted, ec2 = request.params.get("AssociationId"), backends.ec2(request.region)
    if not wanted:
        return []
    tables = [
        name
        for table in ec2.route_tables.values()
        for association in table.associations
        if association["RouteTableAssociationId"] == wanted
        for name in (table.id, association.get("SubnetId"))
        if name
    ]
    profiles = ec2.iam_instance_profile_associations.values()
    return tables + [profile.instance.id for profile in profiles if profile.association_id == wanted]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            # Text that a caller made up is no reference.
            if key not in ("Tags", "TagSpecifications", "Filters", "UserData", "Description", "ClientToken"):
                yield from _strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry)


def _rds(request: AwsRequest) -> list[str]:
    params = request.params
    if params.get("ResourceName"):
        return [str(params["ResourceName"])]
    kinds = {
        "DBInstanceIdentifier": "db",
        "DBSubnetGroupName": "subgrp",
        "DBParameterGroupName": "pg",
        "DBSnapshotIdentifier": "snapshot",
        "FinalDBSnapshotIdentifier": "snapshot",
    }
    return [_arn(request, "rds", f"{kind}:{params[name]}") for name, kind in kinds.items() if params.get(name)]


def _elasticache(request: AwsRequest) -> list[str]:
    params = request.params
    if params.get("ResourceName"):
        return [str(params["ResourceName"])]
    kinds = {
        "ReplicationGroupId": "replicationgroup",
        "CacheClusterId": "cluster",
        "CacheSubnetGroupName": "subnetgroup",
        "CacheParameterGroupName": "parametergroup",
    }
    return [_arn(request, "elasticache", f"{kind}:{params[name]}") for name, kind in kinds.items() if params.get(name)]


def _load_balancing(request: AwsRequest) -> list[str]:
    params = request.params
    if str(request.operation).startswith("Describe"):
        return []
    if params.get("ResourceArns"):
        return [str(arn) for arn in params["ResourceArns"]]
    names = ("LoadBalancerArn", "ListenerArn", "RuleArn", "TargetGroupArn", "ResourceArn")
    found = [str(params[name]) for name in names if params.get(name)]
    if request.operation == "CreateLoadBalancer":
        found.append(_arn(request, "elasticloadbalancing", f"loadbalancer/app/{params.get('Name')}/*"))
    if request.operation == "CreateTargetGroup":
        found.append(_arn(request, "elasticloadbalancing", f"targetgroup/{params.get('Name')}/*"))
    return found


def _route53(request: AwsRequest) -> list[str]:
    kind, names = request.params.get("ResourceType"), request.params.get("ResourceIds") or []
    tagged = [*names, *([request.params["ResourceId"]] if request.params.get("ResourceId") else [])]
    if tagged:
        return [f"arn:aws:route53:::{kind}/{str(name).rpartition('/')[2]}" for name in tagged]
    zone = request.params.get("HostedZoneId") or (
        request.params.get("Id") if "HostedZone" in str(request.operation) else None
    )
    if zone:
        return [f"arn:aws:route53:::hostedzone/{str(zone).rpartition('/')[2]}"]
    change = request.params.get("Id")
    return [f"arn:aws:route53:::change/{str(change).rpartition('/')[2]}"] if change else []


def _acm(request: AwsRequest) -> list[str]:
    arn = request.params.get("CertificateArn")
    return [str(arn)] if arn else []


def _sts(request: AwsRequest) -> list[str]:
    arn = request.params.get("RoleArn")
    return [str(arn)] if arn else []


def _logs(request: AwsRequest) -> list[str]:
    name = request.params.get("logGroupName")
    stream = request.params.get("logStreamName")
    if not name:
        return []
    return [_arn(request, "logs", f"log-group:{name}" + (f":log-stream:{stream}" if stream else ""))]


def _ssm(request: AwsRequest) -> list[str]:
    names = request.params.get("Names") or [request.params.get("Name") or request.params.get("Path")]
    return [_arn(request, "ssm", f"parameter/{str(name).lstrip('/')}") for name in names if name]


_RULES: dict[str, Callable[[AwsRequest], list[str]]] = {
    "s3": _s3,
    "secretsmanager": _secretsmanager,
    "ecr": _ecr,
    "elasticfilesystem": _efs,
    "iam": _iam,
    "ec2": _ec2,
    "rds": _rds,
    "elasticache": _elasticache,
    "elasticloadbalancing": _load_balancing,
    "route53": _route53,
    "acm": _acm,
    "sts": _sts,
    "logs": _logs,
    "ssm": _ssm,
}
