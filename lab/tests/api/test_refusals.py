# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS refuses, the lab refuses, with the same code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab import names
from lab.api.services.instances import machine_architecture
from lab.tests.api.conftest import IMAGES, TYPES, Network, RunningLab

pytestmark = pytest.mark.filterwarnings(r"ignore:Exception\(AwsError\)")


def code(call: Callable[..., Any], **kwargs: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**kwargs)
    return str(caught.value.response["Error"]["Code"])


def other_architecture() -> str:
    return "arm64" if machine_architecture() == "x86_64" else "x86_64"


def test_instances_that_cannot_start(running: RunningLab, launch: Callable[..., Any]) -> None:
    other = other_architecture()
    assert code(launch, InstanceType="t9.huge") == "InvalidParameterValue"
    describe = running.client("ec2").describe_instance_types
    assert code(describe, InstanceTypes=["t9.huge"]) == "InvalidInstanceType"
    assert code(launch, InstanceType=TYPES[other]) == "InvalidParameterValue"
    assert code(launch, InstanceType=TYPES[other], ImageId=IMAGES[other]) == "Unsupported"
    assert code(launch, ImageId="ami-0123456789abcdef0") == "InvalidAMIID.NotFound"
    assert code(launch, KeyName="nobody") == "InvalidKeyPair.NotFound"
    assert code(launch, SubnetId="subnet-0123456789abcdef0") == "InvalidSubnetID.NotFound"
    assert code(launch, PrivateIpAddress="10.99.0.9") == "InvalidParameterValue"
    assert code(launch, UserData="x" * 16385) == "InvalidParameterValue"
    assert launch(UserData="x" * 16384)


def test_who_looks_for_debians_images_finds_no_virtual_machine(running: RunningLab) -> None:
    ec2 = running.client("ec2")
    filters = [{"Name": "name", "Values": ["debian-13-*"]}, {"Name": "architecture", "Values": ["x86_64"]}]
    found = ec2.describe_images(Owners=["136693071363"], Filters=filters)["Images"]
    assert [image["ImageId"] for image in found] == [IMAGES["x86_64"]]
    (virtual,) = ec2.describe_images(ImageIds=[names.VIRTUAL_MACHINE_IMAGE])["Images"]
    assert (virtual["State"], virtual["Architecture"]) == ("available", "x86_64")
    # A named image must fit the filters and be of an owner who is asked for, too.
    named = {"ImageIds": [IMAGES["x86_64"]]}
    assert ec2.describe_images(**named, Owners=["136693071363"], Filters=filters)["Images"] == found
    assert ec2.describe_images(**named, Filters=[{"Name": "architecture", "Values": ["arm64"]}])["Images"] == []
    assert ec2.describe_images(**named, Owners=["self"])["Images"] == []


def test_a_client_token_launches_once(launch: Callable[..., Any], network: Network) -> None:
    first, again = (launch(ClientToken=network.vpc_id)[0]["InstanceId"] for _ in range(2))
    assert first == again
    assert launch(ClientToken="other")[0]["InstanceId"] != first
    assert code(launch, IamInstanceProfile={"Name": "nobody"}) == "InvalidParameterValue"


def test_a_secret_that_waits_for_its_deletion_keeps_its_name(running: RunningLab, network: Network) -> None:
    secrets = running.client("secretsmanager")
    secrets.create_secret(Name=network.vpc_id, SecretString="x")
    assert code(secrets.create_secret, Name=network.vpc_id, SecretString="x") == "ResourceExistsException"
    secrets.delete_secret(SecretId=network.vpc_id, RecoveryWindowInDays=7)
    assert code(secrets.create_secret, Name=network.vpc_id, SecretString="x") == "InvalidRequestException"
    secrets.delete_secret(SecretId=network.vpc_id, ForceDeleteWithoutRecovery=True)
    secrets.create_secret(Name=network.vpc_id, SecretString="x")


def test_groups_that_name_each_other_keep_each_other(running: RunningLab, network: Network) -> None:
    ec2 = running.client("ec2")
    other = ec2.create_security_group(GroupName="other", Description="x", VpcId=network.vpc_id)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": network.group_id}]}
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[rule])
    assert code(ec2.delete_security_group, GroupId=network.group_id) == "DependencyViolation"
    assert code(ec2.delete_vpc, VpcId=network.vpc_id) == "DependencyViolation"
    ec2.delete_security_group(GroupId=other)
    ec2.delete_security_group(GroupId=network.group_id)
    for subnet in network.subnet_ids:
        ec2.delete_subnet(SubnetId=subnet)
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc_id)
    assert code(ec2.delete_vpc, VpcId=network.vpc_id) == "DependencyViolation"
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc_id)
    ec2.delete_vpc(VpcId=network.vpc_id)


def test_addresses_are_unique_and_come_back(running: RunningLab, network: Network, launch: Callable[..., Any]) -> None:
    ec2 = running.client("ec2")
    addresses = [entry["PrivateIpAddress"] for entry in launch(MinCount=5, MaxCount=5)]
    eni = ec2.create_network_interface(SubnetId=network.subnet_ids[0])["NetworkInterface"]
    addresses.append(eni["PrivateIpAddress"])
    assert len(set(addresses)) == 6
    assert not {f"{network.prefix}.1.{number}" for number in range(4)} & set(addresses)
    assert code(launch, PrivateIpAddress=addresses[0]) == "InvalidIPAddress.InUse"
    assert code(launch, PrivateIpAddress=f"{network.prefix}.1.3") == "InvalidParameterValue"
    ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])
    launch(PrivateIpAddress=eni["PrivateIpAddress"])


def test_networks_of_wrong_size_or_in_the_way(running: RunningLab, network: Network) -> None:
    ec2 = running.client("ec2")
    assert code(ec2.create_vpc, CidrBlock="10.0.0.0/8") == "InvalidVpc.Range"
    assert code(ec2.create_vpc, CidrBlock="10.0.0.0/29") == "InvalidVpc.Range"
    subnet = {"VpcId": network.vpc_id}
    assert code(ec2.create_subnet, CidrBlock=f"{network.prefix}.1.128/25", **subnet) == "InvalidSubnet.Conflict"
    assert code(ec2.create_subnet, CidrBlock="10.200.0.0/24", **subnet) == "InvalidSubnet.Range"
    assert code(ec2.create_subnet, CidrBlock=f"{network.prefix}.9.0/29", **subnet) == "InvalidSubnet.Range"


def test_things_in_use_cannot_be_deleted(running: RunningLab, network: Network, launch: Callable[..., Any]) -> None:
    ec2 = running.client("ec2")
    name = launch()[0]["InstanceId"]
    assert code(ec2.delete_subnet, SubnetId=network.subnet_ids[0]) == "DependencyViolation"
    assert code(ec2.delete_security_group, GroupId=network.group_id) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[name])
    ec2.delete_security_group(GroupId=network.group_id)
    ec2.delete_subnet(SubnetId=network.subnet_ids[0])


def test_databases_that_rds_would_not_make(running: RunningLab, network: Network) -> None:
    rds = running.client("rds")
    subnets = {"DBSubnetGroupName": f"r-{network.vpc_id}", "DBSubnetGroupDescription": "x"}
    one = network.subnet_ids[:1]
    assert code(rds.create_db_subnet_group, SubnetIds=one, **subnets) == "DBSubnetGroupDoesNotCoverEnoughAZs"
    rds.create_db_subnet_group(SubnetIds=network.subnet_ids, **subnets)
    name = f"r-{network.vpc_id}"
    good = {
        "DBInstanceIdentifier": name,
        "DBInstanceClass": "db.t4g.micro",
        "Engine": "postgres",
        "EngineVersion": "17",
        "AllocatedStorage": 20,
        "MasterUsername": "airflow",
        "MasterUserPassword": "longenough1",
        "DBSubnetGroupName": name,
        "DeletionProtection": True,
    }
    bad: list[tuple[dict[str, Any], str]] = [
        ({"DBInstanceClass": "db.t9.huge"}, "InvalidParameterValue"),
        ({"EngineVersion": "99"}, "InvalidParameterCombination"),
        ({"MasterUserPassword": "short"}, "InvalidParameterValue"),
        ({"MasterUserPassword": "with a space"}, "InvalidParameterValue"),
        ({"DBInstanceIdentifier": "9lives"}, "InvalidParameterValue"),
        ({"DBInstanceIdentifier": "x" * 64}, "InvalidParameterValue"),
        ({"DBParameterGroupName": "none"}, "DBParameterGroupNotFound"),
    ]
    for change, expected in bad:
        assert code(rds.create_db_instance, **{**good, **change}) == expected, change
    made = rds.create_db_instance(**good)["DBInstance"]
    assert made["EngineVersion"] == "17.6"
    assert code(rds.modify_db_instance, DBInstanceIdentifier=name, MultiAZ=True) == "InvalidDBInstanceState"
    running.observe(databases={name: {"status": "available"}})
    assert code(rds.delete_db_instance, DBInstanceIdentifier=name) == "InvalidParameterCombination"
    protected = code(rds.delete_db_instance, DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    assert protected == "InvalidParameterCombination"
    group = code(rds.delete_db_subnet_group, DBSubnetGroupName=name)
    assert group == "InvalidDBSubnetGroupStateFault"


def test_parameter_groups_know_their_parameters(running: RunningLab, network: Network) -> None:
    rds = running.client("rds")
    name = f"p-{network.vpc_id}"
    family = {"DBParameterGroupName": name, "Description": "x"}
    assert code(rds.describe_db_parameter_groups, DBParameterGroupName=name) == "DBParameterGroupNotFound"
    wrong = code(rds.create_db_parameter_group, DBParameterGroupFamily="postgres99", **family)
    assert wrong == "InvalidParameterValue"
    rds.create_db_parameter_group(DBParameterGroupFamily="postgres17", **family)

    def modify(parameter: str, method: str) -> Any:
        given = {"ParameterName": parameter, "ParameterValue": "1", "ApplyMethod": method}
        return rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=[given])

    assert code(lambda: modify("no_such_parameter", "immediate")) == "InvalidParameterValue"
    assert code(lambda: modify("fsync", "immediate")) == "InvalidParameterValue"
    assert code(lambda: modify("max_connections", "immediate")) == "InvalidParameterCombination"
    modify("rds.force_ssl", "immediate")
    pages = rds.get_paginator("describe_db_parameters")
    found = pages.paginate(DBParameterGroupName=name).build_full_result()["Parameters"]
    assert len(found) > 300
    chosen = pages.paginate(DBParameterGroupName=name, Source="user").build_full_result()["Parameters"]
    assert [(entry["ParameterName"], entry["ParameterValue"]) for entry in chosen] == [("rds.force_ssl", "1")]


def test_load_balancers_that_elb_would_not_make(running: RunningLab, network: Network) -> None:
    elb = running.client("elbv2")
    subnets = network.subnet_ids
    assert code(elb.create_load_balancer, Name="x" * 33, Subnets=subnets) == "ValidationError"
    assert code(elb.create_load_balancer, Name="-x", Subnets=subnets) == "ValidationError"
    assert code(elb.create_load_balancer, Name="x", Subnets=subnets, Scheme="public") == "InvalidScheme"
    assert code(elb.create_load_balancer, Name="one-zone", Subnets=subnets[:1]) == "ValidationError"
    group = {"Protocol": "HTTP", "Port": 80, "VpcId": network.vpc_id}
    assert code(elb.create_target_group, Name="x" * 33, **group) in ("ValidationError", "InvalidTargetGroupName")
    name = f"kept-{network.prefix.replace('.', '-')}"
    made = elb.create_load_balancer(Name=name, Subnets=subnets, SecurityGroups=[network.group_id])["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    protection = {"Key": "deletion_protection.enabled", "Value": "true"}
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[protection])
    assert code(elb.delete_load_balancer, LoadBalancerArn=arn) == "OperationNotPermitted"
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{**protection, "Value": "false"}])
    elb.delete_load_balancer(LoadBalancerArn=arn)
    assert arn not in [entry["arn"] for entry in running.snapshot()["load_balancers"]]


def test_a_listener_takes_no_certificate_that_is_not_issued(running: RunningLab, network: Network) -> None:
    elb, acm = running.client("elbv2"), running.client("acm")
    name = f"tls-{network.prefix.replace('.', '-')}"
    made = elb.create_load_balancer(Name=name, Subnets=network.subnet_ids)["LoadBalancers"][0]
    waiting = acm.request_certificate(DomainName="waiting.example", ValidationMethod="DNS")["CertificateArn"]
    listener = {
        "LoadBalancerArn": made["LoadBalancerArn"],
        "Protocol": "HTTPS",
        "Port": 443,
        "DefaultActions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    }
    given = [{"CertificateArn": waiting}]
    assert code(elb.create_listener, Certificates=given, **listener) == "UnsupportedCertificate"


def test_caches_that_elasticache_would_not_make(running: RunningLab) -> None:
    cache = running.client("elasticache")
    good = {"ReplicationGroupId": "c", "ReplicationGroupDescription": "x", "Engine": "valkey"}
    token = "0123456789abcdef"
    assert code(cache.create_replication_group, AuthToken=token, **good) == "InvalidParameterCombination"
    tls = {**good, "TransitEncryptionEnabled": True}
    assert code(cache.create_replication_group, AuthToken="short", **tls) == "InvalidParameterValue"
    assert code(cache.create_replication_group, **{**tls, "ReplicationGroupId": "x" * 41}) == "InvalidParameterValue"
    missing = code(cache.create_replication_group, CacheSubnetGroupName="none", **tls)
    assert missing == "CacheSubnetGroupNotFoundFault"


def test_connect_endpoints_one_a_vpc(running: RunningLab, network: Network) -> None:
    ec2 = running.client("ec2")
    made = ec2.create_instance_connect_endpoint(
        SubnetId=network.subnet_ids[0],
        SecurityGroupIds=[network.group_id],
        ClientToken=network.vpc_id,
        TagSpecifications=[
            {"ResourceType": "instance-connect-endpoint", "Tags": [{"Key": "env", "Value": network.vpc_id}]}
        ],
    )["InstanceConnectEndpoint"]
    name = made["InstanceConnectEndpointId"]
    again = ec2.create_instance_connect_endpoint(SubnetId=network.subnet_ids[0], ClientToken=network.vpc_id)
    assert again["InstanceConnectEndpoint"]["InstanceConnectEndpointId"] == name
    assert made["State"] == "create-in-progress"
    by_tag = [{"Name": "tag:env", "Values": [network.vpc_id]}]
    (found,) = ec2.describe_instance_connect_endpoints(Filters=by_tag)["InstanceConnectEndpoints"]
    assert (found["InstanceConnectEndpointId"], found["State"]) == (name, "create-complete")
    ec2.create_tags(Resources=[name], Tags=[{"Key": "more", "Value": "1"}])
    (found,) = ec2.describe_instance_connect_endpoints(Filters=by_tag)["InstanceConnectEndpoints"]
    assert {"Key": "more", "Value": "1"} in found["Tags"]
    second = code(ec2.create_instance_connect_endpoint, SubnetId=network.subnet_ids[1])
    assert second == "InstanceConnectEndpointLimitExceeded"
    ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=name)
    assert ec2.describe_instance_connect_endpoints(Filters=by_tag)["InstanceConnectEndpoints"] == []


def test_unknown_operations_name_themselves(running: RunningLab) -> None:
    assert code(running.client("ec2").describe_reserved_instances_listings) == "InvalidAction"
    assert code(running.client("cloudhsm").list_hapgs) == "UnknownOperationException"
    assert code(running.client("pricing").describe_services) == "UnknownOperationException"
