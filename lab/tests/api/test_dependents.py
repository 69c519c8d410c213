# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS checks beside an operation's own permission, and what it knows of the things a request is about."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.tests.api.conftest import Network, RunningLab

# moto wonders at error codes that no service's model has.
pytestmark = pytest.mark.filterwarnings(r"ignore:Exception\(AwsError\)")
_numbers = itertools.count()
_TAGS = [{"Key": "env", "Value": "lab"}]
_FOR_EC2 = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
)
Clients = Callable[[str], Any]
Statement = dict[str, Any]


def allow(*actions: str, resource: str = "*", **condition: dict[str, Any]) -> Statement:
    found: Statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return {**found, "Condition": condition} if condition else found


@pytest.fixture
def user(running: RunningLab) -> Callable[..., Clients]:
    """Make a user with some statements; returns what makes clients with its keys."""
    iam = running.client("iam")

    def make(*statements: Statement) -> Clients:
        name = f"dependent-{next(_numbers)}"
        iam.create_user(UserName=name)
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        return lambda service: running.client(service, **keys)

    return make


def refused(permission: str, call: Callable[..., Any], **arguments: Any) -> None:
    """See the call fail for want of this permission and of no other."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert f"not authorized to perform: {permission} " in str(caught.value)


TAGGED: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("iam", "iam:CreateRole", "create_role", {"AssumeRolePolicyDocument": _FOR_EC2}, "iam:TagRole"),
    ("iam", "iam:CreateInstanceProfile", "create_instance_profile", {}, "iam:TagInstanceProfile"),
    ("secretsmanager", "secretsmanager:CreateSecret", "create_secret", {}, "secretsmanager:TagResource"),
    ("acm", "acm:RequestCertificate", "request_certificate", {}, "acm:AddTagsToCertificate"),
    ("ecr", "ecr:CreateRepository", "create_repository", {}, "ecr:TagResource"),
    (
        "elbv2",
        "elasticloadbalancing:CreateTargetGroup",
        "create_target_group",
        {"TargetType": "lambda"},
        "elasticloadbalancing:AddTags",
    ),
]
NAMED = {
    "create_role": "RoleName",
    "create_instance_profile": "InstanceProfileName",
    "request_certificate": "DomainName",
    "create_repository": "repositoryName",
}


@pytest.mark.parametrize(("service", "own", "call", "arguments", "tagging"), TAGGED)
def test_tagging_at_creation_is_a_permission_of_its_own(
    user: Callable[..., Clients], service: str, own: str, call: str, arguments: dict[str, Any], tagging: str
) -> None:
    name = f"tagged{next(_numbers)}.example" if service == "acm" else f"tagged-{next(_numbers)}"
    given = {NAMED.get(call, "Name"): name, **arguments}
    tags = {"tags" if service == "ecr" else "Tags": _TAGS}
    refused(tagging, getattr(user(allow(own))(service), call), **given, **tags)
    getattr(user(allow(own), allow(tagging))(service), call)(**given, **tags)
    getattr(user(allow(own))(service), call)(**{**given, NAMED.get(call, "Name"): f"un{name}"})


def test_ec2_tells_tagging_at_creation_from_tagging_later(user: Callable[..., Clients]) -> None:
    at_creation = allow("ec2:CreateTags", StringEquals={"ec2:CreateAction": "CreateVpc"})
    tagged = [{"ResourceType": "vpc", "Tags": _TAGS}]
    refused(
        "ec2:CreateTags",
        user(allow("ec2:CreateVpc"))("ec2").create_vpc,
        CidrBlock="10.91.0.0/16",
        TagSpecifications=tagged,
    )
    ec2 = user(allow("ec2:CreateVpc"), at_creation)("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.91.0.0/16", TagSpecifications=tagged)["Vpc"]["VpcId"]
    refused("ec2:CreateTags", ec2.create_tags, Resources=[vpc], Tags=_TAGS)


def test_a_tag_is_asked_for_one_kind_of_thing(
    user: Callable[..., Clients], launch: Callable[..., Any], network: Network
) -> None:
    """Tags of the instance say nothing of its volumes."""
    known = launch()[0]
    ec2 = user(
        *(
            allow("ec2:RunInstances", resource=f"arn:aws:ec2:*:*:{kind}/*", StringEquals={"aws:RequestTag/env": "lab"})
            for kind in ("instance", "volume")
        ),
        *(
            allow("ec2:RunInstances", resource=f"arn:aws:ec2:*:*:{kind}/*")
            for kind in ("subnet", "network-interface", "security-group")
        ),
        allow("ec2:RunInstances", resource="arn:aws:ec2:*::image/*"),
        allow("ec2:CreateTags"),
    )("ec2")
    given = {"ImageId": known["ImageId"], "InstanceType": known["InstanceType"], "SubnetId": network.subnet_ids[0]}
    given |= {"MinCount": 1, "MaxCount": 1}
    one = [{"ResourceType": "instance", "Tags": _TAGS}]
    refused("ec2:RunInstances", ec2.run_instances, **given, TagSpecifications=one)
    ec2.run_instances(**given, TagSpecifications=[*one, {"ResourceType": "volume", "Tags": _TAGS}])


def test_a_route_tables_association_is_known_by_what_it_joins(
    running: RunningLab, user: Callable[..., Clients], network: Network
) -> None:
    ec2 = running.client("ec2")
    table = ec2.create_route_table(VpcId=network.vpc_id)["RouteTable"]["RouteTableId"]
    joined = ec2.associate_route_table(RouteTableId=table, SubnetId=network.subnet_ids[0])["AssociationId"]
    mine = user(allow("ec2:DisassociateRouteTable", StringEquals={"aws:ResourceTag/env": "lab"}))("ec2")
    refused("ec2:DisassociateRouteTable", mine.disassociate_route_table, AssociationId=joined)
    ec2.create_tags(Resources=[table], Tags=_TAGS)
    refused("ec2:DisassociateRouteTable", mine.disassociate_route_table, AssociationId=joined)
    ec2.create_tags(Resources=[network.subnet_ids[0]], Tags=_TAGS)
    mine.disassociate_route_table(AssociationId=joined)


def test_a_key_pair_is_judged_by_its_tags_although_it_is_named(
    running: RunningLab, user: Callable[..., Clients]
) -> None:
    for name, tags in (("judged", []), ("judged-ours", [{"ResourceType": "key-pair", "Tags": _TAGS}])):
        running.client("ec2").create_key_pair(KeyName=name, TagSpecifications=tags)
    mine = user(allow("ec2:DeleteKeyPair", StringEquals={"aws:ResourceTag/env": "lab"}))("ec2")
    refused("ec2:DeleteKeyPair", mine.delete_key_pair, KeyName="judged")
    mine.delete_key_pair(KeyName="judged-ours")


def test_a_role_is_known_by_its_path_once_it_is_there(running: RunningLab, user: Callable[..., Clients]) -> None:
    iam = user(
        allow("iam:CreateRole", "iam:GetRole", "iam:DeleteRole", resource="arn:aws:iam::*:role/ours/*"),
        allow("iam:CreateInstanceProfile", "iam:GetInstanceProfile", resource="arn:aws:iam::*:instance-profile/ours/*"),
    )("iam")
    refused("iam:GetRole", iam.get_role, RoleName="by-path")
    refused("iam:CreateRole", iam.create_role, RoleName="by-path", AssumeRolePolicyDocument=_FOR_EC2)
    iam.create_role(RoleName="by-path", Path="/ours/", AssumeRolePolicyDocument=_FOR_EC2)
    iam.create_instance_profile(InstanceProfileName="by-path", Path="/ours/")
    iam.get_role(RoleName="by-path")
    iam.get_instance_profile(InstanceProfileName="by-path")
    running.client("iam").create_role(RoleName="by-root", AssumeRolePolicyDocument=_FOR_EC2)
    refused("iam:DeleteRole", iam.delete_role, RoleName="by-root")
    iam.delete_role(RoleName="by-path")


def test_putting_a_role_into_a_profile_passes_it(running: RunningLab, user: Callable[..., Clients]) -> None:
    iam = running.client("iam")
    iam.create_role(RoleName="put-in", AssumeRolePolicyDocument=_FOR_EC2)
    iam.create_instance_profile(InstanceProfileName="put-in")
    adding, given = allow("iam:AddRoleToInstanceProfile"), {"RoleName": "put-in", "InstanceProfileName": "put-in"}
    refused("iam:PassRole", user(adding)("iam").add_role_to_instance_profile, **given)
    lambdas = allow("iam:PassRole", StringEquals={"iam:PassedToService": "lambda.amazonaws.com"})
    refused("iam:PassRole", user(adding, lambdas)("iam").add_role_to_instance_profile, **given)
    hosts = allow("iam:PassRole", StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    user(adding, hosts)("iam").add_role_to_instance_profile(**given)


def test_a_role_is_written_only_with_its_boundary(running: RunningLab, user: Callable[..., Clients]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:GetObject")]})
    boundary = running.client("iam").create_policy(PolicyName="edge", PolicyDocument=document)["Policy"]["Arn"]
    writing = allow("iam:CreateRole", "iam:PutRolePolicy", StringEquals={"iam:PermissionsBoundary": boundary})
    iam = user(writing)("iam")
    given = {"RoleName": "bounded", "AssumeRolePolicyDocument": _FOR_EC2}
    refused("iam:CreateRole", iam.create_role, **given)
    iam.create_role(**given, PermissionsBoundary=boundary)
    iam.put_role_policy(RoleName="bounded", PolicyName="x", PolicyDocument=document)
    running.client("iam").delete_role_permissions_boundary(RoleName="bounded")
    refused(
        "iam:PutRolePolicy",
        iam.put_role_policy,
        RoleName="bounded",
        PolicyName="x",
        PolicyDocument=document,
    )


def test_a_mount_targets_interface_is_made_in_the_callers_name(
    running: RunningLab, user: Callable[..., Clients], network: Network
) -> None:
    files = running.client("efs").create_file_system(CreationToken="interfaces")["FileSystemId"]
    own = allow("elasticfilesystem:*")
    looks = allow("ec2:DescribeSubnets", "ec2:DescribeNetworkInterfaces")
    given = {"FileSystemId": files, "SubnetId": network.subnet_ids[0], "SecurityGroups": [network.group_id]}
    refused("ec2:DescribeSubnets", user(own)("efs").create_mount_target, **given)
    refused("ec2:CreateNetworkInterface", user(own, looks)("efs").create_mount_target, **given)
    through = allow("ec2:*NetworkInterface*", Bool={"aws:ViaAWSService": "true"})
    mine = user(own, looks, through)
    target = mine("efs").create_mount_target(**given)
    refused(
        "ec2:DeleteNetworkInterface",
        mine("ec2").delete_network_interface,
        NetworkInterfaceId=target["NetworkInterfaceId"],
    )
    groups = {"MountTargetId": target["MountTargetId"], "SecurityGroups": [network.group_id]}
    changing = user(own, looks)("efs").modify_mount_target_security_groups
    refused("ec2:ModifyNetworkInterfaceAttribute", changing, **groups)
    mine("efs").modify_mount_target_security_groups(**groups)
    deleting = user(own, looks)("efs").delete_mount_target
    refused("ec2:DeleteNetworkInterface", deleting, MountTargetId=target["MountTargetId"])


def test_a_load_balancer_makes_a_service_linked_role_and_looks_at_the_network(
    user: Callable[..., Clients], network: Network
) -> None:
    given = {"Name": "linked", "Subnets": network.subnet_ids}
    another, right = (
        allow("iam:CreateServiceLinkedRole", StringEquals={"iam:AWSServiceName": f"{service}.amazonaws.com"})
        for service in ("rds", "elasticloadbalancing")
    )
    looks = allow("ec2:Describe*", "ec2:GetSecurityGroupsForVpc")

    def create(*statements: Statement) -> Callable[..., Any]:
        calling: Callable[..., Any] = user(allow("elasticloadbalancing:*"), *statements)("elbv2").create_load_balancer
        return calling

    refused("iam:CreateServiceLinkedRole", create(looks), **given)
    refused("iam:CreateServiceLinkedRole", create(looks, another), **given)
    refused("ec2:DescribeAccountAttributes", create(right), **given)
    create(looks, right)(**given)


def test_records_are_limited_by_type_and_name(running: RunningLab, user: Callable[..., Clients]) -> None:
    zone = running.client("route53").create_hosted_zone(Name="limited.example", CallerReference="limited")
    limits = {
        "ForAllValues:StringEquals": {"route53:ChangeResourceRecordSetsRecordTypes": ["A"]},
        "ForAllValues:StringLike": {"route53:ChangeResourceRecordSetsNormalizedRecordNames": ["*.limited.example"]},
    }
    mine = user(allow("route53:ChangeResourceRecordSets") | {"Condition": limits})("route53")

    def change(name: str, kind: str, value: str) -> dict[str, Any]:
        record = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}
        changes = [{"Action": "UPSERT", "ResourceRecordSet": record}]
        return {"HostedZoneId": zone["HostedZone"]["Id"], "ChangeBatch": {"Changes": changes}}

    mine.change_resource_record_sets(**change("a.limited.example.", "A", "192.0.2.1"))
    denied = "route53:ChangeResourceRecordSets"
    refused(denied, mine.change_resource_record_sets, **change("a.limited.example.", "TXT", '"x"'))
    refused(denied, mine.change_resource_record_sets, **change("limited.example.", "A", "192.0.2.1"))


def test_a_version_of_an_object_is_another_permission(running: RunningLab, user: Callable[..., Clients]) -> None:
    s3 = running.client("s3")
    s3.create_bucket(Bucket="versions", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="versions", Key="x", Body=b"x")["VersionId"]
    mine = user(allow("s3:GetObject", "s3:DeleteObject"))("s3")
    mine.get_object(Bucket="versions", Key="x")
    refused("s3:GetObjectVersion", mine.get_object, Bucket="versions", Key="x", VersionId=version)
    objects = {"Objects": [{"Key": "x", "VersionId": version}]}
    refused("s3:DeleteObjectVersion", mine.delete_objects, Bucket="versions", Delete=objects)
    mine.delete_objects(Bucket="versions", Delete={"Objects": [{"Key": "x"}]})
