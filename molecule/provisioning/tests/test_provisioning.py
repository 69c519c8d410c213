# SPDX-License-Identifier: GPL-3.0-or-later
"""What the provisioning roles made, as AWS's API shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

NAME = "provisioning"
OURS = [{"Name": "tag:freehold:environment", "Values": [NAME]}]
ANYWHERE = "0.0.0.0/0"
# Who may begin a connection to whom, on which port; -1 stands for any, with any protocol.
WAYS = {
    ("load-balancer", "webserver", 8080),
    ("worker", "webserver", 8080),
    ("webserver", "worker", 8793),
    ("webserver", "scheduler", 8794),
    ("webserver", "database", 5432),
    ("scheduler", "database", 5432),
    ("scheduler", "broker", 6379),
    ("worker", "broker", 6379),
    ("host", "filesystem", 2049),
    ("host", "host", 22),
    ("endpoint", "host", 22),
}
WAYS_OUT = {("host", ANYWHERE, 80), ("host", ANYWHERE, 443), ("worker", ANYWHERE, -1)}
Client = Callable[[str], Any]


def instances(aws: Client) -> list[dict[str, Any]]:
    running = [*OURS, {"Name": "instance-state-name", "Values": ["running"]}]
    found = aws("ec2").describe_instances(Filters=running)["Reservations"]
    return [instance for reservation in found for instance in reservation["Instances"]]


def groups(aws: Client) -> dict[str, dict[str, Any]]:
    found = aws("ec2").describe_security_groups(Filters=OURS)["SecurityGroups"]
    return {group["GroupName"].removeprefix(f"{NAME}-"): group for group in found}


@pytest.fixture(scope="module")
def database(aws: Client) -> dict[str, Any]:
    """The database."""
    [found] = aws("rds").describe_db_instances(DBInstanceIdentifier=f"freehold-{NAME}")["DBInstances"]
    return dict(found)


def test_the_network_has_public_and_private_subnets_in_two_zones(aws: Client) -> None:
    [vpc] = aws("ec2").describe_vpcs(Filters=OURS)["Vpcs"]
    assert (vpc["CidrBlock"], vpc["State"]) == ("10.22.0.0/16", "available")
    subnets = aws("ec2").describe_subnets(Filters=OURS)["Subnets"]
    zones: dict[str, int] = {}
    for subnet in subnets:
        zones[subnet["AvailabilityZone"]] = zones.get(subnet["AvailabilityZone"], 0) + 1
    assert sorted(zones.values()) == [2, 2]
    assert not [subnet for subnet in subnets if subnet["MapPublicIpOnLaunch"]]


def test_each_duty_has_its_host_which_only_answers_metadata_to_itself(aws: Client) -> None:
    found = instances(aws)
    duties = {tag["Value"] for instance in found for tag in instance["Tags"] if tag["Key"] == "freehold:duties"}
    assert (len(found), duties) == (3, {"webserver", "scheduler,worker"})
    for instance in found:
        assert "PublicIpAddress" not in instance
        options = instance["MetadataOptions"]
        assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)
    assert len({instance["Placement"]["AvailabilityZone"] for instance in found}) == 2


def ways(aws: Client, direction: str) -> set[tuple[str, str, int]]:
    """What the rules of one direction say of groups and addresses, as the group, the other end and the port."""
    found = groups(aws)
    names = {group["GroupId"]: name for name, group in found.items()}
    return {
        (name, other, port)
        for name, group in found.items()
        for rule in group[direction]
        for port in range(rule.get("FromPort", -1), rule.get("ToPort", -1) + 1)
        for other in [
            *(names[pair["GroupId"]] for pair in rule["UserIdGroupPairs"]),
            *(entry["CidrIp"] for entry in rule["IpRanges"]),
            *(entry["CidrIpv6"] for entry in rule["Ipv6Ranges"]),
        ]
    }


def test_who_may_speak_to_whom_is_said_at_both_ends_and_nothing_else_is(aws: Client) -> None:
    assert ways(aws, "IpPermissionsEgress") == WAYS | WAYS_OUT
    into = {(other, name, port) for name, other, port in ways(aws, "IpPermissions") if name != "load-balancer"}
    assert into == WAYS


def test_no_rule_lets_an_address_in_but_for_the_clients_of_the_load_balancer(aws: Client) -> None:
    for name, group in groups(aws).items():
        addresses = [entry["CidrIp"] for rule in group["IpPermissions"] for entry in rule["IpRanges"]]
        assert bool(addresses) is (name == "load-balancer"), name


def test_a_role_reads_the_secrets_of_its_duties_and_no_others(aws: Client) -> None:
    read: dict[str, set[str]] = {}
    for role in aws("iam").list_roles(PathPrefix=f"/freehold/{NAME}/")["Roles"]:
        document = aws("iam").get_role_policy(RoleName=role["RoleName"], PolicyName="freehold")["PolicyDocument"]
        read[role["RoleName"]] = {
            arn.partition(f":secret:freehold/{NAME}/")[2].removesuffix("-??????")
            for statement in document["Statement"]
            if "secretsmanager:GetSecretValue" in statement["Action"]
            for arn in statement["Resource"]
        }
    assert set(read) == {f"freehold-{NAME}-webserver", f"freehold-{NAME}-scheduler-worker", f"{NAME}-dag-sync"}
    webserver = read[f"freehold-{NAME}-webserver"]
    assert {"config/sql_alchemy_conn", "config/fernet_key", "config/jwt_secret"} <= webserver
    assert not {"config/broker_url", "config/result_backend", "broker_password"} & webserver
    assert read[f"{NAME}-dag-sync"] == {"ci_ssh_key"}


def test_the_database_is_private_encrypted_and_kept(database: dict[str, Any]) -> None:
    assert database["DBInstanceStatus"] == "available"
    assert (database["Engine"], database["PubliclyAccessible"]) == ("postgres", False)
    assert database["StorageEncrypted"]
    assert database["BackupRetentionPeriod"] > 0


def test_the_database_refuses_plain_text(aws: Client, database: dict[str, Any]) -> None:
    [group] = database["DBParameterGroups"]
    pages = (
        aws("rds").get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group["DBParameterGroupName"])
    )
    values = {found["ParameterName"]: found.get("ParameterValue") for page in pages for found in page["Parameters"]}
    assert values["rds.force_ssl"] == "1"


def test_the_secrets_lead_to_the_database_with_its_password_and_to_the_broker(
    aws: Client, database: dict[str, Any]
) -> None:
    def secret(name: str) -> str:
        return str(aws("secretsmanager").get_secret_value(SecretId=f"freehold/{NAME}/{name}")["SecretString"])

    url = secret("config/sql_alchemy_conn")
    leads_there, with_its_password = database["Endpoint"]["Address"] in url, secret("database_password") in url
    assert leads_there and with_its_password
    [broker] = [
        found
        for found in aws("elasticache").describe_replication_groups()["ReplicationGroups"]
        if NAME in found["ReplicationGroupId"]
    ]
    assert broker["TransitEncryptionEnabled"] and broker["AtRestEncryptionEnabled"] and broker["AuthTokenEnabled"]
    leads_there = broker["NodeGroups"][0]["PrimaryEndpoint"]["Address"] in secret("config/broker_url")
    assert leads_there


def test_the_file_system_is_encrypted_and_reached_in_each_zone(aws: Client) -> None:
    found = aws("efs").describe_file_systems()["FileSystems"]
    [files] = [one for one in found if {"Key": "freehold:environment", "Value": NAME} in one["Tags"]]
    assert files["Encrypted"] and files["LifeCycleState"] == "available"
    targets = aws("efs").describe_mount_targets(FileSystemId=files["FileSystemId"])["MountTargets"]
    assert {target["LifeCycleState"] for target in targets} == {"available"}
    assert len({target["AvailabilityZoneName"] for target in targets}) == 2


def test_the_log_bucket_is_nobodys_but_ours(aws: Client) -> None:
    [bucket] = [found["Name"] for found in aws("s3").list_buckets()["Buckets"] if f"-{NAME}-" in found["Name"]]
    blocked = aws("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert blocked == dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    policy = json.loads(aws("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    assert [statement for statement in policy["Statement"] if statement["Effect"] == "Deny"]
    assert aws("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]


def test_the_image_is_in_the_registry_where_tags_do_not_move(aws: Client) -> None:
    [repository] = aws("ecr").describe_repositories(repositoryNames=[f"freehold-{NAME}/airflow"])["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert len(aws("ecr").describe_images(repositoryName=repository["repositoryName"])["imageDetails"]) == 1


def test_the_load_balancer_speaks_tls_and_sends_plain_text_there(aws: Client) -> None:
    [balancer] = [
        found for found in aws("elbv2").describe_load_balancers()["LoadBalancers"] if NAME in found["LoadBalancerName"]
    ]
    assert (balancer["State"]["Code"], balancer["Scheme"]) == ("active", "internal")
    listeners = aws("elbv2").describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    by_port = {listener["Port"]: listener for listener in listeners}
    assert {port: listener["Protocol"] for port, listener in by_port.items()} == {80: "HTTP", 443: "HTTPS"}
    assert by_port[80]["DefaultActions"][0]["Type"] == "redirect"
    [certificate] = by_port[443]["Certificates"]
    issued = aws("acm").describe_certificate(CertificateArn=certificate["CertificateArn"])["Certificate"]
    assert (issued["DomainName"], issued["Status"]) == (f"airflow.{NAME}.localhost", "ISSUED")


def test_names_lead_to_the_load_balancer_and_to_the_hosts(aws: Client) -> None:
    zones = {zone["Name"]: zone["Id"] for zone in aws("route53").list_hosted_zones()["HostedZones"]}

    def records(zone: str) -> dict[str, dict[str, Any]]:
        found = aws("route53").list_resource_record_sets(HostedZoneId=zones[zone])["ResourceRecordSets"]
        return {record["Name"]: record for record in found if record["Type"] == "A"}

    assert records(f"{NAME}.localhost.")[f"airflow.{NAME}.localhost."]["AliasTarget"]["DNSName"]
    private = records(f"{NAME}.internal.")
    for instance in instances(aws):
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        own = {"Value": instance["PrivateIpAddress"]}
        assert private[f"{tags['Name']}.{NAME}.internal."]["ResourceRecords"] == [own]
        served = own in private[f"api-server.{NAME}.internal."]["ResourceRecords"]
        assert served is (tags["freehold:duties"] == "webserver")


def test_a_workflow_of_the_named_repository_alone_is_trusted(aws: Client) -> None:
    trusts = [
        role["AssumeRolePolicyDocument"] for role in aws("iam").list_roles(PathPrefix=f"/freehold/{NAME}/")["Roles"]
    ]
    federated = [
        statement["Condition"]
        for trust in trusts
        for statement in trust["Statement"]
        if statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    ]
    assert len(federated) == 1
    assert "freehold/dags" in json.dumps(federated)
    assert "*" not in json.dumps(federated)
