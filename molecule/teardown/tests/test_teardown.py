# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment that was deleted with its data: nothing that AWS shows belongs to it any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NAME = "teardown"
OURS = [{"Name": "tag:freehold:environment", "Values": [NAME]}]
TAG = {"Key": "freehold:environment", "Value": NAME}
Client = Callable[[str], Any]


def test_no_machine_and_no_network_is_left(aws: Client) -> None:
    ec2 = aws("ec2")
    assert ec2.describe_vpcs(Filters=OURS)["Vpcs"] == []
    assert ec2.describe_subnets(Filters=OURS)["Subnets"] == []
    assert ec2.describe_security_groups(Filters=OURS)["SecurityGroups"] == []
    assert ec2.describe_addresses(Filters=OURS)["Addresses"] == []
    assert ec2.describe_key_pairs(Filters=OURS)["KeyPairs"] == []
    alive = [*OURS, {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    assert ec2.describe_instances(Filters=alive)["Reservations"] == []
    assert ec2.describe_volumes(Filters=OURS)["Volumes"] == []
    endpoints = ec2.describe_instance_connect_endpoints(Filters=OURS)["InstanceConnectEndpoints"]
    assert {endpoint["State"] for endpoint in endpoints} <= {"delete-complete"}
    gateways = ec2.describe_nat_gateways()["NatGateways"]
    assert {gateway["State"] for gateway in gateways if TAG in gateway["Tags"]} <= {"deleted"}


def test_no_data_is_left(aws: Client) -> None:
    databases = aws("rds").describe_db_instances()["DBInstances"]
    assert not [found for found in databases if NAME in found["DBInstanceIdentifier"]]
    snapshots = aws("rds").describe_db_snapshots()["DBSnapshots"]
    assert not [found for found in snapshots if found["DBInstanceIdentifier"] == f"freehold-{NAME}"]
    groups = aws("rds").describe_db_subnet_groups()["DBSubnetGroups"]
    assert not [found for found in groups if NAME in found["DBSubnetGroupName"]]
    groups = aws("rds").describe_db_parameter_groups()["DBParameterGroups"]
    assert not [found for found in groups if NAME in found["DBParameterGroupName"]]
    caches = aws("elasticache").describe_replication_groups()["ReplicationGroups"]
    assert not [found for found in caches if NAME in found["ReplicationGroupId"]]
    assert not [found for found in aws("efs").describe_file_systems()["FileSystems"] if TAG in found["Tags"]]
    assert not [found for found in aws("s3").list_buckets()["Buckets"] if f"-{NAME}-" in found["Name"]]
    pages = aws("secretsmanager").get_paginator("list_secrets").paginate(IncludePlannedDeletion=True)
    names = [secret["Name"] for page in pages for secret in page["SecretList"]]
    assert not [name for name in names if name.startswith(f"freehold/{NAME}/")]
    repositories = aws("ecr").describe_repositories()["repositories"]
    assert not [found for found in repositories if NAME in found["repositoryName"]]


def test_no_entrance_and_no_name_is_left(aws: Client) -> None:
    balancers = aws("elbv2").describe_load_balancers()["LoadBalancers"]
    assert not [found for found in balancers if NAME in found["LoadBalancerName"]]
    targets = aws("elbv2").describe_target_groups()["TargetGroups"]
    assert not [found for found in targets if NAME in found["TargetGroupName"]]
    certificates = aws("acm").list_certificates()["CertificateSummaryList"]
    assert not [found for found in certificates if NAME in found["DomainName"]]
    # The public zone, too: the environment made it, with the proofs of its certificate.
    assert not [zone for zone in aws("route53").list_hosted_zones()["HostedZones"] if NAME in zone["Name"]]


def test_no_role_is_left(aws: Client) -> None:
    assert aws("iam").list_roles(PathPrefix=f"/freehold/{NAME}/")["Roles"] == []
    profiles = aws("iam").list_instance_profiles()["InstanceProfiles"]
    assert not [found for found in profiles if found["Path"] == f"/freehold/{NAME}/"]
    policies = aws("iam").list_policies(Scope="Local")["Policies"]
    assert not [found for found in policies if found["Path"] == f"/freehold/{NAME}/"]
