# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources begin as on AWS, and are ready only when they were seen real."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.api.lifecycle import Lifecycle
from lab.tests.api.conftest import Network, RunningLab

QUICK = {"Delay": 1, "MaxAttempts": 3}


def test_an_instance_is_pending_until_it_was_seen_running(
    running: RunningLab, launch: Callable[..., Any], network: Network
) -> None:
    ec2 = running.client("ec2")
    (instance,) = launch()
    name = instance["InstanceId"]
    assert instance["State"]["Name"] == "pending"
    assert ec2.describe_instances(InstanceIds=[name])["Reservations"][0]["Instances"][0]["State"]["Name"] == "pending"
    taken = next(entry for entry in running.snapshot()["instances"] if entry["id"] == name)
    assert taken["state"] == "running"
    assert taken["private_ip"].startswith(network.prefix)

    running.observe(instances={name: {"state": "running", "console": "hello"}})
    ec2.get_waiter("instance_running").wait(InstanceIds=[name], WaiterConfig=QUICK)
    assert ec2.get_console_output(InstanceId=name)["Output"] == "hello"


def test_stop_start_and_terminate_follow_the_machine(running: RunningLab, launch: Callable[..., Any]) -> None:
    ec2 = running.client("ec2")
    name = launch()[0]["InstanceId"]
    running.observe(instances={name: {"state": "running"}})
    steps: list[tuple[Callable[..., Any], str, str, str]] = [
        (ec2.stop_instances, "stopping", "stopped", "instance_stopped"),
        (ec2.start_instances, "pending", "running", "instance_running"),
        (ec2.terminate_instances, "shutting-down", "terminated", "instance_terminated"),
    ]
    for call, transitional, final, waiter in steps:
        call(InstanceIds=[name])
        shown = ec2.describe_instances(InstanceIds=[name])["Reservations"][0]["Instances"][0]
        assert shown["State"]["Name"] == transitional
        assert next(e["state"] for e in running.snapshot()["instances"] if e["id"] == name) == final
        running.observe(instances={name: {"state": final}})
        ec2.get_waiter(waiter).wait(InstanceIds=[name], WaiterConfig=QUICK)
    assert name not in [entry["id"] for entry in running.snapshot()["instances"]]


def test_a_changed_group_of_subnets_keeps_its_name_and_its_tags(running: RunningLab, network: Network) -> None:
    rds = running.client("rds")
    group = f"changed-{network.vpc_id}"
    made = rds.create_db_subnet_group(
        DBSubnetGroupName=group,
        DBSubnetGroupDescription="x",
        SubnetIds=network.subnet_ids,
        Tags=[{"Key": "a", "Value": "b"}],
    )["DBSubnetGroup"]
    rds.modify_db_subnet_group(DBSubnetGroupName=group, SubnetIds=network.subnet_ids)
    (shown,) = rds.describe_db_subnet_groups(DBSubnetGroupName=group)["DBSubnetGroups"]
    assert shown == made
    tags = rds.list_tags_for_resource(ResourceName=shown["DBSubnetGroupArn"])["TagList"]
    assert tags == [{"Key": "a", "Value": "b"}]
    with pytest.raises(ClientError, match="DBSubnetGroupNotFoundFault"):
        rds.modify_db_subnet_group(DBSubnetGroupName="nothing", SubnetIds=network.subnet_ids)


def test_a_database_has_no_endpoint_before_it_is_available(running: RunningLab, network: Network) -> None:
    rds = running.client("rds")
    group = f"group-{network.vpc_id}"
    rds.create_db_subnet_group(DBSubnetGroupName=group, DBSubnetGroupDescription="x", SubnetIds=network.subnet_ids)
    name = f"db-{network.vpc_id}"
    made = rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        EngineVersion="17.6",
        AllocatedStorage=20,
        MasterUsername="airflow",
        MasterUserPassword="longenough1",
        DBSubnetGroupName=group,
        VpcSecurityGroupIds=[network.group_id],
        DBName="airflow",
    )["DBInstance"]
    assert made["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in made
    taken = next(entry for entry in running.snapshot()["databases"] if entry["id"] == name)
    assert taken["force_tls"] is True
    assert taken["master_password"] == "longenough1"
    assert taken["private_ip"].startswith(network.prefix)

    running.observe(databases={name: {"status": "available"}})
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=name, WaiterConfig=QUICK)
    endpoint = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["Endpoint"]
    assert endpoint["Address"] == taken["endpoint"]
    assert endpoint["Address"].endswith(".eu-west-1.rds.amazonaws.com")
    rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=name, WaiterConfig=QUICK)


def test_a_valkey_cache_becomes_available_with_its_endpoints(running: RunningLab, network: Network) -> None:
    cache = running.client("elasticache")
    group = f"cache-{network.vpc_id}"
    cache.create_cache_subnet_group(
        CacheSubnetGroupName=group, CacheSubnetGroupDescription="x", SubnetIds=network.subnet_ids
    )
    name = f"c{network.vpc_id[-8:]}"
    made = cache.create_replication_group(
        ReplicationGroupId=name,
        ReplicationGroupDescription="x",
        Engine="valkey",
        CacheNodeType="cache.t4g.micro",
        NumCacheClusters=1,
        CacheSubnetGroupName=group,
        SecurityGroupIds=[network.group_id],
        TransitEncryptionEnabled=True,
        AuthToken="0123456789abcdef0123",
    )["ReplicationGroup"]
    assert made["Status"] == "creating"
    running.observe(caches={name: {"status": "available"}})
    cache.get_waiter("replication_group_available").wait(ReplicationGroupId=name, WaiterConfig=QUICK)
    shown = cache.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]
    assert shown["Engine"] == "valkey"
    address = shown["NodeGroups"][0]["PrimaryEndpoint"]["Address"]
    assert address.startswith(f"master.{name}.")
    assert address.endswith(".euw1.cache.amazonaws.com")
    taken = next(entry for entry in running.snapshot()["caches"] if entry["id"] == name)
    assert (taken["auth_token"], taken["tls"], taken["endpoint"]) == ("0123456789abcdef0123", True, address)


def test_mount_targets_are_creating_until_the_export_is_there(running: RunningLab, network: Network) -> None:
    efs = running.client("efs")
    name = efs.create_file_system(
        CreationToken=network.vpc_id, Encrypted=True, ThroughputMode="elastic", Tags=[{"Key": "Name", "Value": "x"}]
    )["FileSystemId"]
    assert efs.describe_file_systems(FileSystemId=name)["FileSystems"][0]["LifeCycleState"] == "available"
    for subnet in network.subnet_ids:
        made = efs.create_mount_target(FileSystemId=name, SubnetId=subnet, SecurityGroups=[network.group_id])
        assert made["LifeCycleState"] == "creating"
    running.observe(file_systems={name: {"state": "available"}})
    targets = efs.describe_mount_targets(FileSystemId=name)["MountTargets"]
    assert [target["LifeCycleState"] for target in targets] == ["available", "available"]
    assert efs.describe_tags(FileSystemId=name)["Tags"] == [{"Key": "Name", "Value": "x"}]


def test_a_load_balancer_is_provisioning_and_targets_have_the_health_that_was_seen(
    running: RunningLab, network: Network, launch: Callable[..., Any]
) -> None:
    elb = running.client("elbv2")
    name = f"lb-{network.prefix.replace('.', '-')}"
    balancer = elb.create_load_balancer(
        Name=name, Subnets=network.subnet_ids, SecurityGroups=[network.group_id], Scheme="internet-facing"
    )["LoadBalancers"][0]
    arn = balancer["LoadBalancerArn"]
    assert elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["State"]["Code"] == "provisioning"
    group = elb.create_target_group(Name=name, Protocol="HTTP", Port=8080, VpcId=network.vpc_id)["TargetGroups"][0]
    group_arn = group["TargetGroupArn"]
    instance = launch()[0]["InstanceId"]
    running.observe(instances={instance: {"state": "running"}}, load_balancers={arn: {"state": "active"}})
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn], WaiterConfig=QUICK)
    elb.register_targets(TargetGroupArn=group_arn, Targets=[{"Id": instance}])

    def health() -> dict[str, str]:
        seen = elb.describe_target_health(TargetGroupArn=group_arn)["TargetHealthDescriptions"][0]["TargetHealth"]
        return {key: seen.get(key, "") for key in ("State", "Reason")}

    assert health() == {"State": "unused", "Reason": "Target.NotInUse"}
    elb.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group_arn}],
    )
    assert health() == {"State": "initial", "Reason": "Elb.RegistrationInProgress"}
    running.observe(targets={group_arn: {f"{instance}:8080": {"state": "unhealthy", "reason": "refused"}}})
    assert health() == {"State": "unhealthy", "Reason": "Target.FailedHealthChecks"}
    running.observe(targets={group_arn: {f"{instance}:8080": {"state": "healthy"}}})
    assert health()["State"] == "healthy"
    taken = next(entry for entry in running.snapshot()["load_balancers"] if entry["arn"] == arn)
    assert len(set(taken["ips"])) == 2
    assert taken["listeners"][0]["default_actions"][0]["TargetGroupArn"] == group_arn


@pytest.mark.parametrize(
    ("given", "scheme", "name"),
    [
        ({}, "internet-facing", "lb-"),
        ({"Scheme": "internet-facing"}, "internet-facing", "lb-"),
        ({"Scheme": "internal"}, "internal", "internal-lb-"),
    ],
)
def test_a_load_balancer_faces_the_internet_unless_it_is_told_otherwise(
    running: RunningLab, network: Network, given: dict[str, str], scheme: str, name: str
) -> None:
    elb = running.client("elbv2")
    made = elb.create_load_balancer(Name=f"lb-{network.prefix.replace('.', '-')}", Subnets=network.subnet_ids, **given)
    (balancer,) = made["LoadBalancers"]
    assert balancer["Scheme"] == scheme
    assert balancer["DNSName"].startswith(name)
    (taken,) = [entry for entry in running.snapshot()["load_balancers"] if entry["arn"] == balancer["LoadBalancerArn"]]
    assert taken["scheme"] == scheme


def test_a_certificate_is_issued_when_its_record_stands(running: RunningLab, network: Network) -> None:
    acm, route53 = running.client("acm"), running.client("route53")
    domain = f"airflow.{network.vpc_id}.example"
    arn = acm.request_certificate(DomainName=domain, ValidationMethod="DNS")["CertificateArn"]
    described = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert described["Status"] == "PENDING_VALIDATION"
    record = described["DomainValidationOptions"][0]["ResourceRecord"]
    zone = route53.create_hosted_zone(Name=f"{network.vpc_id}.example", CallerReference=domain)["HostedZone"]["Id"]
    change = {
        "Action": "UPSERT",
        "ResourceRecordSet": {
            "Name": record["Name"],
            "Type": "CNAME",
            "TTL": 60,
            "ResourceRecords": [{"Value": record["Value"]}],
        },
    }
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    acm.get_waiter("certificate_validated").wait(CertificateArn=arn, WaiterConfig=QUICK)
    assert {"arn": arn, "domains": [domain], "type": "AMAZON_ISSUED"} in running.snapshot()["certificates"]


def test_delays_hold_a_resource_back_that_is_already_real() -> None:
    now = 0.0
    states: list[str] = []
    lifecycle = Lifecycle(delay_scale=1 / 60, clock=lambda: now)
    lifecycle.begin("database", "db", "available", states.append)
    lifecycle.observe("database", "db", "available")
    assert states == []
    now = 507 / 60
    lifecycle.settle()
    assert states == ["available"]
