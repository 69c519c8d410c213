# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How each kind of resource is found, named and deleted, and which kinds must be gone before it.

The order of deletion follows from ``after`` alone; everything that does not wait for something else goes side by side.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule has refused to start without botocore.
    pass

from ansible_collections.freehold.airflow.plugins.module_utils._common import ENVIRONMENT_TAG, tag_dict
from ansible_collections.freehold.airflow.plugins.module_utils._environment import discovery as find
from ansible_collections.freehold.airflow.plugins.module_utils._environment.discovery import Finder, Found

# AWS answers these while something else still holds on to a resource, or is not ready to go yet.
HELD = frozenset(
    {
        "DependencyViolation",
        "InvalidDBInstanceState",
        "InvalidDBInstanceStateFault",
        "InvalidReplicationGroupState",
        "InvalidDBSubnetGroupStateFault",
        "InvalidDBParameterGroupState",
        "CacheSubnetGroupInUse",
        "FileSystemInUse",
        "IncorrectFileSystemLifeCycleState",
        "InvalidNetworkInterface.InUse",
        "InvalidIPAddress.InUse",
        "IncorrectState",
        "ResourceInUse",
        "ResourceInUseException",
        "DeleteConflict",
        "OperationNotPermitted",
        "VolumeInUse",
        "AuthFailure",
    }
)


@dataclass(frozen=True)
class Choices:
    """What the caller decided."""

    name: str
    keep_data: bool
    recovery_days: int
    snapshot: str


Delete = Callable[[Any, dict[str, Any], Choices], None]


@dataclass(frozen=True)
class Kind:
    """One kind of resource."""

    service: str
    find: Finder
    identify: Callable[[dict[str, Any]], str]
    delete: Delete
    after: tuple[str, ...] = ()
    # Whether an item counts as deleted although AWS still shows it.
    leaving: Callable[[dict[str, Any]], bool] = field(default=lambda _item: False)
    # Whether the items carry the environment's tag themselves; finders of the others prove otherwise whose they are.
    tagged: bool = True
    # Whether AWS is done with it once the call was accepted, so that nothing has to be waited for.
    immediate: bool = False


def _name_of(key: str) -> Callable[[dict[str, Any]], str]:
    def identify(item: dict[str, Any]) -> str:
        name = item["tags"].get("Name")
        return f"{item[key]} ({name})" if name and name != item[key] else str(item[key])

    return identify


def _call(operation: str, parameter: str, key: str, **constants: Any) -> Delete:
    """A deletion that is one call with one parameter."""

    def delete(client: Any, item: dict[str, Any], _choices: Choices) -> None:
        getattr(client, operation)(**{parameter: item[key]}, **constants)

    return delete


def _tag_filter(name: str) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{ENVIRONMENT_TAG}", "Values": [name]}]


# --------------------------------------------------------------------------------------------------------- hosts
def terminate_instance(client: Any, item: dict[str, Any], _choices: Choices) -> None:
    """Terminate, protected or not: the environment's name was confirmed."""
    instance_id = item["InstanceId"]
    protected = client.describe_instance_attribute(InstanceId=instance_id, Attribute="disableApiTermination")
    if protected.get("DisableApiTermination", {}).get("Value"):
        client.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": False})
    client.terminate_instances(InstanceIds=[instance_id])


def roles(client: Any, name: str) -> Found:
    """IAM lists no tags; the roles of an environment have a path of their own, and tags that prove it."""
    found = client.get_paginator("list_roles").paginate(PathPrefix=f"/freehold/{name}/").build_full_result()["Roles"]
    tagged = [{**role, "tags": tag_dict(client.list_role_tags(RoleName=role["RoleName"])["Tags"])} for role in found]
    return [role for role in tagged if role["tags"].get(ENVIRONMENT_TAG) == name]


def delete_role(client: Any, name: str) -> None:
    """A role goes after its profiles, inline policies and attachments."""
    profiles = client.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"]
    for profile in profiles:
        client.remove_role_from_instance_profile(InstanceProfileName=profile["InstanceProfileName"], RoleName=name)
        client.delete_instance_profile(InstanceProfileName=profile["InstanceProfileName"])
    for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
        client.delete_role_policy(RoleName=name, PolicyName=policy)
    for policy in client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    client.delete_role(RoleName=name)


def delete_environment_role(client: Any, item: dict[str, Any], _choices: Choices) -> None:
    delete_role(client, item["RoleName"])


def instance_connect_endpoints(client: Any, name: str) -> Found:
    found = client.describe_instance_connect_endpoints(Filters=_tag_filter(name))["InstanceConnectEndpoints"]
    return [{**item, "tags": tag_dict(item.get("Tags"))} for item in found if item["State"] != "delete-complete"]


# ---------------------------------------------------------------------------------------------------------- data
def delete_database(client: Any, item: dict[str, Any], choices: Choices) -> None:
    """Delete, protected or not; with a final snapshot when the data is kept."""
    identifier = item["DBInstanceIdentifier"]
    if item.get("DeletionProtection"):
        client.modify_db_instance(DBInstanceIdentifier=identifier, DeletionProtection=False, ApplyImmediately=True)
    if choices.keep_data:
        client.delete_db_instance(
            DBInstanceIdentifier=identifier,
            SkipFinalSnapshot=False,
            FinalDBSnapshotIdentifier=choices.snapshot,
            DeleteAutomatedBackups=True,
        )
    else:
        client.delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)


def database_snapshots(client: Any, name: str) -> Found:
    found = client.get_paginator("describe_db_snapshots").paginate(SnapshotType="manual").build_full_result()
    return [
        {**item, "tags": tag_dict(item.get("TagList"))}
        for item in found["DBSnapshots"]
        if tag_dict(item.get("TagList")).get(ENVIRONMENT_TAG) == name
    ]


def mount_targets(client: Any, name: str) -> Found:
    """The mount targets of the environment's file systems; they have no tags of their own."""
    return [
        {**target, "tags": file_system["tags"]}
        for file_system in find.file_systems(client, name)
        for target in client.get_paginator("describe_mount_targets")
        .paginate(FileSystemId=file_system["FileSystemId"])
        .build_full_result()["MountTargets"]
    ]


def delete_bucket(client: Any, item: dict[str, Any], _choices: Choices) -> None:
    """Empty a bucket, old versions and unfinished uploads included, then delete it."""
    bucket = item["Name"]
    for upload in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket).search("Uploads[]"):
        if upload:
            client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        objects = [
            {"Key": entry["Key"], "VersionId": entry["VersionId"]}
            for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        ]
        if objects:
            client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    client.delete_bucket(Bucket=bucket)


def delete_secret(client: Any, item: dict[str, Any], choices: Choices) -> None:
    """With the data kept, a secret can be taken back for some days; a later site run does so."""
    if choices.keep_data:
        client.delete_secret(SecretId=item["ARN"], RecoveryWindowInDays=choices.recovery_days)
    else:
        client.delete_secret(SecretId=item["ARN"], ForceDeleteWithoutRecovery=True)


# ------------------------------------------------------------------------------------------------- load balancer
def delete_load_balancer(client: Any, item: dict[str, Any], _choices: Choices) -> None:
    """Delete, protected or not."""
    arn = item["LoadBalancerArn"]
    attributes = client.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    if {"Key": "deletion_protection.enabled", "Value": "true"} in attributes:
        client.modify_load_balancer_attributes(
            LoadBalancerArn=arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}]
        )
    client.delete_load_balancer(LoadBalancerArn=arn)


def public_records(clients: dict[str, Any], name: str) -> Found:
    """Records in zones that may be others': the load balancer's aliases and the certificate's proofs."""
    route53 = clients["route53"]
    balancers = {item["DNSName"].lower().rstrip(".") for item in _BALANCERS(clients["elbv2"], name)}
    proofs = set()
    for certificate in find.certificates(clients["acm"], name):
        described = clients["acm"].describe_certificate(CertificateArn=certificate["CertificateArn"])["Certificate"]
        for option in described.get("DomainValidationOptions", []):
            proofs.add(option.get("ResourceRecord", {}).get("Name", "").rstrip("."))
    if not balancers and not proofs:
        return []
    records = []
    for zone in route53.get_paginator("list_hosted_zones").paginate().build_full_result()["HostedZones"]:
        if zone.get("Config", {}).get("PrivateZone"):
            continue
        for record in zone_records(route53, zone["Id"]):
            target = record.get("AliasTarget", {}).get("DNSName", "").lower().rstrip(".").removeprefix("dualstack.")
            if target in balancers or record["Name"].rstrip(".") in proofs:
                records.append({"zone": zone["Id"], "record": record, "id": record["Name"], "tags": {}})
    return records


def zone_records(route53: Any, zone_id: str) -> Found:
    records: Found = (
        route53.get_paginator("list_resource_record_sets")
        .paginate(HostedZoneId=zone_id)
        .build_full_result()["ResourceRecordSets"]
    )
    return records


def delete_record(clients: dict[str, Any], item: dict[str, Any], _choices: Choices) -> None:
    clients["route53"].change_resource_record_sets(
        HostedZoneId=item["zone"],
        ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": item["record"]}]},
    )


def delete_hosted_zone(client: Any, item: dict[str, Any], _choices: Choices) -> None:
    """A zone goes after its records; those of the zone itself (NS, SOA) go with it."""
    name = item["Name"]
    changes = [
        {"Action": "DELETE", "ResourceRecordSet": record}
        for record in zone_records(client, item["Id"])
        if not (record["Name"] == name and record["Type"] in ("NS", "SOA"))
    ]
    if changes:
        client.change_resource_record_sets(HostedZoneId=item["Id"], ChangeBatch={"Changes": changes})
    client.delete_hosted_zone(Id=item["Id"])


# ------------------------------------------------------------------------------------------------------- network
def delete_security_group(client: Any, item: dict[str, Any], _choices: Choices) -> None:
    """Rules first: groups name each other, and a group that is named can't go."""
    group_id = item["GroupId"]
    pages = client.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group_id]}]
    )
    rules = pages.build_full_result()["SecurityGroupRules"]
    for egress, revoke in ((False, client.revoke_security_group_ingress), (True, client.revoke_security_group_egress)):
        ids = [rule["SecurityGroupRuleId"] for rule in rules if rule["IsEgress"] is egress]
        if ids:
            revoke(GroupId=group_id, SecurityGroupRuleIds=ids)
    client.delete_security_group(GroupId=group_id)


def nat_gateways(client: Any, name: str) -> Found:
    found = client.get_paginator("describe_nat_gateways").paginate(Filter=_tag_filter(name)).build_full_result()
    return [
        {**item, "tags": tag_dict(item.get("Tags"))}
        for item in found["NatGateways"]
        if item["State"] not in ("deleted", "failed")
    ]


def addresses(client: Any, name: str) -> Found:
    """Elastic addresses: tagged ones, and those of the NAT gateways, which AWS still lists for an hour."""
    found = client.get_paginator("describe_nat_gateways").paginate(Filter=_tag_filter(name)).build_full_result()
    of_gateways = {
        address.get("AllocationId")
        for gateway in found["NatGateways"]
        if tag_dict(gateway.get("Tags")).get(ENVIRONMENT_TAG) == name
        for address in gateway.get("NatGatewayAddresses", [])
    }
    return [
        {**item, "tags": tag_dict(item.get("Tags"))}
        for item in client.describe_addresses()["Addresses"]
        if item.get("AllocationId") in of_gateways or tag_dict(item.get("Tags")).get(ENVIRONMENT_TAG) == name
    ]


def vpc_endpoints(client: Any, name: str) -> Found:
    found = client.get_paginator("describe_vpc_endpoints").paginate(Filters=_tag_filter(name)).build_full_result()
    return [
        {**item, "tags": tag_dict(item.get("Tags"))}
        for item in found["VpcEndpoints"]
        if item["State"].lower() != "deleted"
    ]


def delete_vpc_endpoint(client: Any, item: dict[str, Any], _choices: Choices) -> None:
    client.delete_vpc_endpoints(VpcEndpointIds=[item["VpcEndpointId"]])


def delete_internet_gateway(client: Any, item: dict[str, Any], _choices: Choices) -> None:
    for attachment in item.get("Attachments", []):
        client.detach_internet_gateway(InternetGatewayId=item["InternetGatewayId"], VpcId=attachment["VpcId"])
    client.delete_internet_gateway(InternetGatewayId=item["InternetGatewayId"])


def delete_route_table(client: Any, item: dict[str, Any], _choices: Choices) -> None:
    for association in item.get("Associations", []):
        if not association.get("Main"):
            client.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    client.delete_route_table(RouteTableId=item["RouteTableId"])


def _is_main(item: dict[str, Any]) -> bool:
    """A VPC's main route table goes with the VPC."""
    return any(association.get("Main") for association in item.get("Associations", []))


_BALANCERS = find.elbv2_finder("describe_load_balancers", "LoadBalancers", "LoadBalancerArn")

# What holds addresses in the VPC's subnets, and so the subnets and security groups.
_IN_SUBNETS = (
    "instance",
    "database",
    "cache",
    "load_balancer",
    "mount_target",
    "nat_gateway",
    "vpc_endpoint",
    "instance_connect_endpoint",
)

KINDS: dict[str, Kind] = {
    "instance": Kind(
        "ec2",
        find.instances,
        _name_of("InstanceId"),
        terminate_instance,
        leaving=lambda item: item["State"]["Name"] == "shutting-down",
    ),
    "database": Kind(
        "rds",
        find.databases,
        lambda item: item["DBInstanceIdentifier"],
        delete_database,
        leaving=lambda item: item["DBInstanceStatus"] == "deleting",
    ),
    "cache": Kind(
        "elasticache",
        find.FINDERS["cache"][1],
        lambda item: item["ReplicationGroupId"],
        _call("delete_replication_group", "ReplicationGroupId", "ReplicationGroupId"),
        leaving=lambda item: item["Status"] == "deleting",
    ),
    "dns_record": Kind(
        "route53+elbv2+acm", public_records, lambda item: item["id"].rstrip("."), delete_record, tagged=False
    ),
    "load_balancer": Kind(
        "elbv2", _BALANCERS, lambda item: item["LoadBalancerName"], delete_load_balancer, after=("dns_record",)
    ),
    "mount_target": Kind(
        "efs",
        mount_targets,
        lambda item: item["MountTargetId"],
        _call("delete_mount_target", "MountTargetId", "MountTargetId"),
        leaving=lambda item: item["LifeCycleState"] in ("deleting", "deleted"),
    ),
    "nat_gateway": Kind(
        "ec2",
        nat_gateways,
        _name_of("NatGatewayId"),
        _call("delete_nat_gateway", "NatGatewayId", "NatGatewayId"),
        leaving=lambda item: item["State"] == "deleting",
    ),
    "vpc_endpoint": Kind(
        "ec2",
        vpc_endpoints,
        _name_of("VpcEndpointId"),
        delete_vpc_endpoint,
        leaving=lambda item: item["State"].lower() == "deleting",
    ),
    "instance_connect_endpoint": Kind(
        "ec2",
        instance_connect_endpoints,
        _name_of("InstanceConnectEndpointId"),
        _call("delete_instance_connect_endpoint", "InstanceConnectEndpointId", "InstanceConnectEndpointId"),
        leaving=lambda item: item["State"].startswith("delete-in"),
    ),
    "bucket": Kind("s3", find.buckets, lambda item: item["Name"], delete_bucket, after=("instance",), immediate=True),
    "repository": Kind(
        "ecr",
        find.repositories,
        lambda item: item["repositoryName"],
        _call("delete_repository", "repositoryName", "repositoryName", force=True),
    ),
    # Nobody may need a secret any more when it goes: the database's final snapshot is made by AWS itself.
    "secret": Kind(
        "secretsmanager",
        find.secrets,
        lambda item: item["Name"],
        delete_secret,
        after=("instance",),
        leaving=lambda item: "DeletedDate" in item,
        immediate=True,
    ),
    "key_pair": Kind(
        "ec2", find.key_pairs, lambda item: item["KeyName"], _call("delete_key_pair", "KeyName", "KeyName")
    ),
    "role": Kind("iam", roles, lambda item: item["RoleName"], delete_environment_role, after=("instance",)),
    "volume": Kind(
        "ec2",
        find.ec2_finder("describe_volumes", "Volumes"),
        _name_of("VolumeId"),
        _call("delete_volume", "VolumeId", "VolumeId"),
        after=("instance",),
        leaving=lambda item: item["State"] in ("deleting", "deleted"),
    ),
    "target_group": Kind(
        "elbv2",
        find.elbv2_finder("describe_target_groups", "TargetGroups", "TargetGroupArn"),
        lambda item: item["TargetGroupName"],
        _call("delete_target_group", "TargetGroupArn", "TargetGroupArn"),
        after=("load_balancer",),
    ),
    "certificate": Kind(
        "acm",
        find.certificates,
        lambda item: item["DomainName"],
        _call("delete_certificate", "CertificateArn", "CertificateArn"),
        after=("load_balancer", "dns_record"),
    ),
    "hosted_zone": Kind(
        "route53", find.hosted_zones, lambda item: item["Name"].rstrip("."), delete_hosted_zone, after=("dns_record",)
    ),
    "file_system": Kind(
        "efs",
        find.file_systems,
        lambda item: item["FileSystemId"],
        _call("delete_file_system", "FileSystemId", "FileSystemId"),
        after=("mount_target",),
        leaving=lambda item: item["LifeCycleState"] in ("deleting", "deleted"),
    ),
    "database_snapshot": Kind(
        "rds",
        database_snapshots,
        lambda item: item["DBSnapshotIdentifier"],
        _call("delete_db_snapshot", "DBSnapshotIdentifier", "DBSnapshotIdentifier"),
        after=("database",),
    ),
    "database_subnet_group": Kind(
        "rds",
        find.database_groups("describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName", "DBSubnetGroupArn"),
        lambda item: item["DBSubnetGroupName"],
        _call("delete_db_subnet_group", "DBSubnetGroupName", "DBSubnetGroupName"),
        after=("database",),
    ),
    "database_parameter_group": Kind(
        "rds",
        find.database_groups(
            "describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName", "DBParameterGroupArn"
        ),
        lambda item: item["DBParameterGroupName"],
        _call("delete_db_parameter_group", "DBParameterGroupName", "DBParameterGroupName"),
        after=("database",),
    ),
    "cache_subnet_group": Kind(
        "elasticache",
        find.caches("describe_cache_subnet_groups", "CacheSubnetGroups", "CacheSubnetGroupName"),
        lambda item: item["CacheSubnetGroupName"],
        _call("delete_cache_subnet_group", "CacheSubnetGroupName", "CacheSubnetGroupName"),
        after=("cache",),
    ),
    "address": Kind(
        "ec2",
        addresses,
        lambda item: item["PublicIp"],
        _call("release_address", "AllocationId", "AllocationId"),
        after=("nat_gateway",),
        tagged=False,
    ),
    "security_group": Kind(
        "ec2",
        find.ec2_finder("describe_security_groups", "SecurityGroups"),
        _name_of("GroupId"),
        delete_security_group,
        after=_IN_SUBNETS,
    ),
    "subnet": Kind(
        "ec2",
        find.ec2_finder("describe_subnets", "Subnets"),
        _name_of("SubnetId"),
        _call("delete_subnet", "SubnetId", "SubnetId"),
        after=(*_IN_SUBNETS, "database_subnet_group", "cache_subnet_group"),
    ),
    "route_table": Kind(
        "ec2",
        find.ec2_finder("describe_route_tables", "RouteTables"),
        _name_of("RouteTableId"),
        delete_route_table,
        after=("subnet", "vpc_endpoint"),
        leaving=_is_main,
        immediate=True,
    ),
    "internet_gateway": Kind(
        "ec2",
        find.ec2_finder("describe_internet_gateways", "InternetGateways"),
        _name_of("InternetGatewayId"),
        delete_internet_gateway,
        after=("address", *_IN_SUBNETS),
    ),
    "vpc": Kind(
        "ec2",
        find.ec2_finder("describe_vpcs", "Vpcs"),
        _name_of("VpcId"),
        _call("delete_vpc", "VpcId", "VpcId"),
        after=("subnet", "route_table", "internet_gateway", "security_group", "hosted_zone"),
    ),
}

# Stays when the data is kept.
DATA_KINDS = ("file_system", "database_snapshot")
# The secrets without which the kept data can't be read: the database's password, and the key of its connections.
DATA_SECRETS = ("database_password", "config/fernet_key")
