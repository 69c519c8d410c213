# SPDX-License-Identifier: GPL-3.0-or-later
"""The module environment_teardown against moto."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._environment import discovery, removal, teardown
from ansible_collections.freehold.airflow.plugins.modules import environment_teardown
from botocore.exceptions import ClientError

POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)
KEPT_SECRETS = {"freehold/lab/database_password", "freehold/lab/config/fernet_key"}


@pytest.fixture(autouse=True)
def moto_knows_no_instance_connect_endpoints(aws: Any) -> None:
    aws.answers["DescribeInstanceConnectEndpoints"] = {"InstanceConnectEndpoints": []}


def tags_of(environment: str) -> list[dict[str, str]]:
    return [{"Key": "freehold:environment", "Value": environment}]


def make(aws: Any, environment: str) -> dict[str, str]:
    """An environment with something of most kinds, held together as a real one is."""
    tags = tags_of(environment)
    ec2, rds, elbv2 = aws.client("ec2"), aws.client("rds"), aws.client("elbv2")

    def tagged(kind: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": tags}]

    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=tagged("vpc"))["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway"))["InternetGateway"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc_id)
    subnets = [
        ec2.create_subnet(
            VpcId=vpc_id,
            CidrBlock=f"10.20.{number}.0/24",
            AvailabilityZone=f"eu-west-1{zone}",
            TagSpecifications=tagged("subnet"),
        )["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
    table = ec2.create_route_table(VpcId=vpc_id, TagSpecifications=tagged("route-table"))["RouteTable"]
    ec2.associate_route_table(RouteTableId=table["RouteTableId"], SubnetId=subnets[0])
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.create_nat_gateway(SubnetId=subnets[0], AllocationId=address, TagSpecifications=tagged("natgateway"))
    groups = [
        ec2.create_security_group(
            GroupName=f"{environment}-{name}", Description="x", VpcId=vpc_id, TagSpecifications=tagged("security-group")
        )["GroupId"]
        for name in ("one", "two")
    ]
    for mine, other in (groups, reversed(groups)):
        pair = [{"GroupId": other}]
        rule = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": pair}]
        ec2.authorize_security_group_ingress(GroupId=mine, IpPermissions=rule)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        SubnetId=subnets[0],
        TagSpecifications=tagged("instance"),
    )["Instances"][0]["InstanceId"]
    # moto forgets what run_instances is told of this.
    ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": True})
    ec2.create_volume(AvailabilityZone="eu-west-1a", Size=1, TagSpecifications=tagged("volume"))
    ec2.create_key_pair(KeyName=f"freehold-{environment}", TagSpecifications=tagged("key-pair"))
    file_system = aws.client("efs").create_file_system(CreationToken=environment, Encrypted=True, Tags=tags)
    aws.client("efs").create_mount_target(FileSystemId=file_system["FileSystemId"], SubnetId=subnets[0])
    rds.create_db_subnet_group(
        DBSubnetGroupName=f"freehold-{environment}", DBSubnetGroupDescription="x", SubnetIds=subnets, Tags=tags
    )
    rds.create_db_parameter_group(
        DBParameterGroupName=f"freehold-{environment}", DBParameterGroupFamily="postgres17", Description="x", Tags=tags
    )
    rds.create_db_instance(
        DBInstanceIdentifier=f"freehold-{environment}",
        Engine="postgres",
        DBInstanceClass="db.t4g.medium",
        MasterUsername="airflow",
        MasterUserPassword="u7Gh2kPq9sVx4",
        AllocatedStorage=20,
        DBSubnetGroupName=f"freehold-{environment}",
        DeletionProtection=True,
        CopyTagsToSnapshot=True,
        Tags=tags,
    )
    balancer = elbv2.create_load_balancer(Name=environment, Subnets=subnets, Tags=tags)["LoadBalancers"][0]
    elbv2.modify_load_balancer_attributes(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}],
    )
    elbv2.create_target_group(Name=environment, Protocol="HTTP", Port=8080, VpcId=vpc_id, Tags=tags)
    bucket = f"freehold-{environment}-123456789012-logs"
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    s3.put_object(Bucket=bucket, Key="logs/a", Body=b"log")
    aws.client("ecr").create_repository(repositoryName=f"freehold-{environment}/airflow", tags=tags)
    for name in ("database_password", "broker_password", "config/fernet_key"):
        aws.client("secretsmanager").create_secret(Name=f"freehold/{environment}/{name}", SecretString="x", Tags=tags)
    iam = aws.client("iam")
    role = f"freehold-{environment}-worker"
    path = f"/freehold/{environment}/"
    iam.create_role(RoleName=role, Path=path, AssumeRolePolicyDocument="{}", Tags=tags)
    iam.put_role_policy(RoleName=role, PolicyName="freehold", PolicyDocument=POLICY)
    iam.create_instance_profile(InstanceProfileName=role, Path=path)
    iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
    return {"balancer": balancer["DNSName"], "instance": instance, "vpc": vpc_id}


def add_cache(aws: Any, environment: str) -> None:
    """A cache, which moto shows as being deleted for ever once it is."""
    cache, name = aws.client("elasticache"), f"freehold-{environment}"
    subnet = aws.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    cache.create_cache_subnet_group(
        CacheSubnetGroupName=name, CacheSubnetGroupDescription="x", SubnetIds=[subnet], Tags=tags_of(environment)
    )
    cache.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="x", Engine="valkey", Tags=tags_of(environment)
    )


def add_public_names(aws: Any, **targets: str) -> str:
    """Records in one zone that is none of the environments': an alias by name, and one of somebody else."""
    route53 = aws.client("route53")
    zone: str = route53.create_hosted_zone(Name="example.com", CallerReference="x")["HostedZone"]["Id"]
    records: list[dict[str, Any]] = [
        {"Name": "www.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    ]
    for name, target in targets.items():
        alias = {"HostedZoneId": "Z32O12XQLNTSW2", "DNSName": f"dualstack.{target}.", "EvaluateTargetHealth": True}
        records.append({"Name": f"{name}.example.com", "Type": "A", "AliasTarget": alias})
    changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return zone


def addresses_in(aws: Any, zone: str) -> list[str]:
    """The names of a zone that lead to an address."""
    records = aws.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return sorted(record["Name"] for record in records if record["Type"] == "A")


def run(aws: Any, check: bool = False, **params: Any) -> dict[str, Any]:
    wanted = {"name": "lab", "wait_interval": 0.01, "wait_timeout": 20, **params}
    result: dict[str, Any] = aws.run(environment_teardown, check=check, **wanted)
    return result


def kinds(entries: list[dict[str, Any]]) -> set[str]:
    return {entry["kind"] for entry in entries}


def test_an_empty_account_changes_nothing(aws: Any) -> None:
    result = run(aws)
    assert not result["changed"]
    assert aws.writes == []
    assert result["report"] == ["Nothing belongs to the environment 'lab'."]


@pytest.mark.parametrize("keep_data", [True, False])
def test_check_mode_lists_what_would_go_and_writes_nothing(aws: Any, keep_data: bool) -> None:
    make(aws, "lab")
    # What an earlier run has kept.
    aws.client("rds").create_db_snapshot(
        DBSnapshotIdentifier="freehold-lab-final-1", DBInstanceIdentifier="freehold-lab", Tags=tags_of("lab")
    )
    result = run(aws, check=True, keep_data=keep_data)
    assert result["changed"]
    assert aws.writes == []
    assert {"instance", "database", "load_balancer", "vpc", "bucket", "role"} <= kinds(result["deleted"])
    data = {"file_system", "database_snapshot"}
    assert kinds(result["kept"]) == (data | {"secret"} if keep_data else set())
    assert kinds(result["deleted"]) & data == (set() if keep_data else data)
    secrets = {entry["id"] for entry in result["deleted"] if entry["kind"] == "secret"}
    assert secrets == {"freehold/lab/broker_password"} | (set() if keep_data else KEPT_SECRETS)


def test_everything_goes_but_the_data(aws: Any) -> None:
    made = make(aws, "lab")
    result = run(aws)
    assert not result.get("failed"), result["msg"]
    ec2 = aws.client("ec2")
    assert made["vpc"] not in [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]]
    assert ec2.describe_addresses()["Addresses"] == []
    assert (ec2.describe_volumes()["Volumes"], ec2.describe_key_pairs()["KeyPairs"]) == ([], [])
    assert aws.client("rds").describe_db_instances()["DBInstances"] == []
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    assert aws.client("iam").list_roles(PathPrefix="/freehold/lab/")["Roles"] == []
    assert kinds(result["kept"]) == {"file_system", "database_snapshot", "secret"}
    assert {entry["id"] for entry in result["kept"] if entry["kind"] == "secret"} == KEPT_SECRETS
    not_made = {"cache", "cache_subnet_group", "instance_connect_endpoint", "vpc_endpoint"}
    not_made |= {"dns_record", "certificate", "hosted_zone"}
    assert kinds(result["deleted"]) == set(removal.KINDS) - not_made - {"file_system", "database_snapshot"}


@pytest.mark.parametrize(
    ("keep_data", "secret", "database"),
    [
        (
            True,
            {"RecoveryWindowInDays": 7},
            {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": "freehold-lab-final-N"},
        ),
        (False, {"ForceDeleteWithoutRecovery": True}, {"SkipFinalSnapshot": True}),
    ],
)
def test_only_without_data_can_nothing_be_taken_back(
    aws: Any, keep_data: bool, secret: dict[str, Any], database: dict[str, Any]
) -> None:
    make(aws, "lab")
    run(aws, keep_data=keep_data, recovery_days=7)
    [asked] = aws.asked("DeleteDBInstance")
    if keep_data:
        asked = {**asked, "FinalDBSnapshotIdentifier": re.sub(r"\d{14}$", "N", asked["FinalDBSnapshotIdentifier"])}
    assert asked == {"DBInstanceIdentifier": "freehold-lab", "DeleteAutomatedBackups": True, **database}
    secrets = aws.asked("DeleteSecret")
    assert [{key: value for key, value in asked.items() if key != "SecretId"} for asked in secrets] == [secret] * (
        1 if keep_data else 3
    )


def test_protection_is_lifted_before_anything_protected_is_deleted(aws: Any) -> None:
    make(aws, "lab")
    run(aws)
    for lifted, deletion in (
        ("ModifyInstanceAttribute", "TerminateInstances"),
        ("ModifyDBInstance", "DeleteDBInstance"),
        ("ModifyLoadBalancerAttributes", "DeleteLoadBalancer"),
    ):
        assert aws.operations.count(lifted) == aws.operations.count(deletion) == 1
        assert aws.operations.index(lifted) < aws.operations.index(deletion)
    [balancer] = aws.asked("ModifyLoadBalancerAttributes")
    assert balancer["Attributes"] == [{"Key": "deletion_protection.enabled", "Value": "false"}]
    assert balancer["LoadBalancerArn"] == aws.asked("DeleteLoadBalancer")[0]["LoadBalancerArn"]


def test_what_is_not_protected_is_deleted_as_it_is(aws: Any) -> None:
    made = make(aws, "lab")
    elbv2 = aws.client("elbv2")
    [balancer] = elbv2.describe_load_balancers()["LoadBalancers"]
    unprotected = [{"Key": "deletion_protection.enabled", "Value": "false"}]
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=unprotected)
    aws.client("rds").modify_db_instance(DBInstanceIdentifier="freehold-lab", DeletionProtection=False)
    aws.client("ec2").modify_instance_attribute(InstanceId=made["instance"], DisableApiTermination={"Value": False})
    assert {"instance", "database", "load_balancer"} <= kinds(run(aws)["deleted"])
    assert [operation for operation in aws.writes if operation.startswith("Modify")] == []


def test_a_cache_is_gone_before_its_subnet_group_is_looked_at_and_an_endpoint_goes_once(aws: Any) -> None:
    """moto deletes no caches, and knows no endpoints of Instance Connect."""
    cache = {"ReplicationGroupId": "freehold-lab", "ARN": "arn:cache"}
    subnets = {"CacheSubnetGroupName": "freehold-lab", "ARN": "arn:subnets"}
    endpoint = {"InstanceConnectEndpointId": "eice-1", "Tags": tags_of("lab")}
    aws.answers |= {
        "ListTagsForResource": {"TagList": tags_of("lab")},
        "DescribeReplicationGroups": [
            {"ReplicationGroups": [{**cache, "Status": "available"}]},
            {"ReplicationGroups": [{**cache, "Status": "deleting"}]},
            {"ReplicationGroups": []},
        ],
        "DescribeCacheSubnetGroups": [{"CacheSubnetGroups": [subnets]}, {"CacheSubnetGroups": []}],
        "DescribeInstanceConnectEndpoints": [
            {"InstanceConnectEndpoints": [{**endpoint, "State": state}]}
            for state in ("create-complete", "delete-in-progress", "delete-complete")
        ],
        "DeleteReplicationGroup": {},
        "DeleteCacheSubnetGroup": {},
        "DeleteInstanceConnectEndpoint": {},
    }
    result = run(aws)
    assert not result.get("failed"), result["msg"]
    assert aws.asked("DeleteReplicationGroup") == [{"ReplicationGroupId": "freehold-lab"}]
    assert aws.asked("DeleteCacheSubnetGroup") == [{"CacheSubnetGroupName": "freehold-lab"}]
    assert aws.asked("DeleteInstanceConnectEndpoint") == [{"InstanceConnectEndpointId": "eice-1"}]
    before = aws.operations[: aws.operations.index("DescribeCacheSubnetGroups")]
    assert before.count("DescribeReplicationGroups") == 3


def test_the_report_says_what_keeping_costs(aws: Any) -> None:
    make(aws, "lab")
    lines = [line for line in run(aws)["report"] if line.startswith("Kept the database snapshot")]
    assert lines[0].endswith("at most 1.90 USD a month.")


@pytest.mark.parametrize("keep_data", [True, False])
def test_a_second_run_changes_nothing(aws: Any, keep_data: bool) -> None:
    make(aws, "lab")
    run(aws, keep_data=keep_data)
    for check in (True, False):
        result = run(aws, check=check, keep_data=keep_data)
        assert not result["changed"], result["deleted"]
        assert aws.writes == []


def test_without_data_nothing_at_all_is_left(aws: Any) -> None:
    make(aws, "lab")
    run(aws)
    result = run(aws, keep_data=False)
    assert result["kept"] == []
    assert aws.client("efs").describe_file_systems()["FileSystems"] == []
    assert aws.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"] == []
    assert aws.client("secretsmanager").list_secrets()["SecretList"] == []


def test_an_environment_whose_name_begins_alike_and_untagged_things_stay(aws: Any) -> None:
    ours, theirs = make(aws, "lab"), make(aws, "lab-2")
    add_cache(aws, "lab-2")
    zone = add_public_names(aws, airflow=ours["balancer"], other=theirs["balancer"])
    aws.client("efs").create_file_system(CreationToken="untagged", Encrypted=True)
    before = run(aws, check=True, name="lab-2", keep_data=False)["deleted"]
    assert {"cache", "cache_subnet_group", "dns_record", "file_system", "role"} <= kinds(before)
    result = run(aws, keep_data=False)
    assert not result.get("failed"), result["msg"]
    assert run(aws, check=True, name="lab-2", keep_data=False)["deleted"] == before
    assert addresses_in(aws, zone) == ["other.example.com.", "www.example.com."]
    assert len(aws.client("efs").describe_file_systems()["FileSystems"]) == 2


def test_names_in_a_private_zone_of_somebody_else_stay(aws: Any) -> None:
    made = make(aws, "lab")
    route53 = aws.client("route53")
    zone = route53.create_hosted_zone(
        Name="corp.internal",
        CallerReference="x",
        HostedZoneConfig={"PrivateZone": True},
        VPC={"VPCRegion": "eu-west-1", "VPCId": made["vpc"]},
    )["HostedZone"]["Id"]
    alias = {"HostedZoneId": "Z32O12XQLNTSW2", "DNSName": made["balancer"], "EvaluateTargetHealth": True}
    record = {"Name": "airflow.corp.internal", "Type": "A", "AliasTarget": alias}
    change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=change)
    assert "dns_record" not in kinds(run(aws, check=True)["deleted"])


def test_hosted_zones_are_asked_for_their_tags_by_tens(aws: Any) -> None:
    route53 = aws.client("route53")
    ids = [
        route53.create_hosted_zone(Name=f"z{number}.internal", CallerReference=str(number))["HostedZone"]["Id"]
        for number in range(11)
    ]
    last = route53.list_hosted_zones()["HostedZones"][-1]["Id"]
    assert last in ids
    route53.change_tags_for_resource(
        ResourceType="hostedzone", ResourceId=last.rpartition("/")[2], AddTags=tags_of("lab")
    )
    assert [item["Id"] for item in discovery.hosted_zones(route53, "lab")] == [last]
    assert sorted(len(asked["ResourceIds"]) for asked in aws.asked("ListTagsForResources")) == [1, 10]


def test_what_hangs_on_other_things_goes_with_them(aws: Any) -> None:
    made = make(aws, "lab")
    tags = tags_of("lab")
    ec2, iam, s3, route53, acm = (aws.client(name) for name in ("ec2", "iam", "s3", "route53", "acm"))
    ec2.create_vpc_endpoint(
        VpcId=made["vpc"],
        VpcEndpointType="Gateway",
        ServiceName="com.amazonaws.eu-west-1.s3",
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": tags}],
    )
    policy = iam.create_policy(PolicyName="theirs", PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="freehold-lab-worker", PolicyArn=policy)
    bucket = "freehold-lab-123456789012-logs"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.create_multipart_upload(Bucket=bucket, Key="logs/unfinished")
    s3.delete_object(Bucket=bucket, Key="logs/a")
    theirs = route53.create_hosted_zone(Name="example.com", CallerReference="x")["HostedZone"]["Id"]
    arn = acm.request_certificate(DomainName="airflow.example.com", ValidationMethod="DNS", Tags=tags)["CertificateArn"]
    [option] = acm.describe_certificate(CertificateArn=arn)["Certificate"]["DomainValidationOptions"]
    proof = {"TTL": 60, **{key: option["ResourceRecord"][key] for key in ("Name", "Type")}}
    proof["ResourceRecords"] = [{"Value": option["ResourceRecord"]["Value"]}]
    ours = route53.create_hosted_zone(
        Name="lab.internal", CallerReference="y", VPC={"VPCRegion": "eu-west-1", "VPCId": made["vpc"]}
    )["HostedZone"]["Id"]
    route53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=ours.split("/")[-1], AddTags=tags)
    host = {"Name": "lab-worker-1.lab.internal", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "10.20.0.4"}]}
    for zone, record in ((theirs, proof), (ours, host)):
        change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=change)
    result = run(aws)
    assert not result.get("failed"), result["msg"]
    assert {"vpc_endpoint", "bucket", "role", "hosted_zone", "certificate", "dns_record"} <= kinds(result["deleted"])
    assert [zone["Id"] for zone in route53.list_hosted_zones()["HostedZones"]] == [theirs]
    left = route53.list_resource_record_sets(HostedZoneId=theirs)["ResourceRecordSets"]
    assert {record["Type"] for record in left} == {"NS", "SOA"}
    assert acm.list_certificates()["CertificateSummaryList"] == []
    assert run(aws, check=True)["deleted"] == []


def test_a_half_made_environment_goes_as_well(aws: Any) -> None:
    aws.client("ec2").create_vpc(
        CidrBlock="10.20.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags_of("lab")}]
    )
    assert kinds(run(aws)["deleted"]) == {"vpc"}


def test_what_is_still_held_is_tried_again(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make(aws, "lab")
    kind = removal.KINDS["security_group"]
    # What the services answer while something holds on to a resource, by the error tables of their API references.
    refusals = iter(
        (
            *("DependencyViolation", "InvalidNetworkInterface.InUse", "InvalidIPAddress.InUse", "IncorrectState"),
            *("OperationNotPermitted", "VolumeInUse", "AuthFailure"),  # EC2; the last of what another service owns
            *("InvalidDBInstanceState", "InvalidDBInstanceStateFault", "InvalidDBSubnetGroupStateFault"),
            *("InvalidDBParameterGroupState", "InvalidReplicationGroupState", "CacheSubnetGroupInUse"),
            *("FileSystemInUse", "IncorrectFileSystemLifeCycleState"),
            *("ResourceInUse", "ResourceInUseException", "DeleteConflict"),  # load balancers, certificates, IAM
        )
    )

    def reluctant(client: Any, item: dict[str, Any], choices: removal.Choices) -> None:
        if code := next(refusals, None):
            error: Any = {"Error": {"Code": code, "Message": "still held"}}
            raise ClientError(error, "DeleteSecurityGroup")
        kind.delete(client, item, choices)

    monkeypatch.setitem(removal.KINDS, "security_group", replace(kind, delete=reluctant))
    assert not run(aws).get("failed")
    assert next(refusals, None) is None


def test_a_failure_stops_the_rest_and_is_named(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(aws, "lab")
    kind = removal.KINDS["database"]

    def refuse(_client: Any, _item: dict[str, Any], _choices: removal.Choices) -> None:
        error: Any = {"Error": {"Code": "AccessDenied", "Message": "not yours"}}
        raise ClientError(error, "DeleteDBInstance")

    monkeypatch.setitem(removal.KINDS, "database", replace(kind, delete=refuse))
    result = run(aws)
    assert result["failed"]
    assert "Failed to delete the database freehold-lab" in result["msg"]
    assert made["vpc"] in [vpc["VpcId"] for vpc in aws.client("ec2").describe_vpcs()["Vpcs"]]


def test_every_kind_waits_only_for_kinds_before_it() -> None:
    order = teardown.in_order(removal.KINDS)
    assert sorted(order) == sorted(removal.KINDS)
    for kind, definition in removal.KINDS.items():
        assert all(order.index(name) < order.index(kind) for name in definition.after)
    assert order[-1] == "vpc"


def test_kinds_that_wait_for_each_other_are_an_error() -> None:
    kind = removal.KINDS["vpc"]
    with pytest.raises(ValueError, match="wait for each other"):
        teardown.in_order({"a": replace(kind, after=("b",)), "b": replace(kind, after=("a",))})


def test_what_aws_never_lets_go_is_named_when_the_time_is_over(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make(aws, "lab")
    kind = removal.KINDS["security_group"]

    def refuse(_client: Any, _item: dict[str, Any], _choices: removal.Choices) -> None:
        error: Any = {"Error": {"Code": "DependencyViolation", "Message": "has a dependent object"}}
        raise ClientError(error, "DeleteSecurityGroup")

    monkeypatch.setitem(removal.KINDS, "security_group", replace(kind, delete=refuse))
    result = run(aws, wait_timeout=0)
    assert "After 0 seconds AWS still has the" in result["msg"]
    assert "run the playbook again, or raise teardown_wait_timeout" in result["msg"]


def test_a_kind_that_aws_does_not_list_stops_everything(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = removal.KINDS["vpc"]

    def refuse(_client: Any, _name: str) -> Any:
        error: Any = {"Error": {"Code": "UnauthorizedOperation", "Message": "not yours"}}
        raise ClientError(error, "DescribeVpcs")

    monkeypatch.setitem(removal.KINDS, "vpc", replace(kind, find=refuse))
    assert "Failed to look for vpcs" in run(aws)["msg"]
    assert aws.writes == []


def test_only_endpoints_that_are_there_are_found(aws: Any) -> None:
    living = {"InstanceConnectEndpointId": "eice-1", "State": "create-complete", "Tags": tags_of("lab")}
    gone = {"InstanceConnectEndpointId": "eice-2", "State": "delete-complete", "Tags": tags_of("lab")}
    aws.answers["DescribeInstanceConnectEndpoints"] = {"InstanceConnectEndpoints": [living, gone]}
    found = removal.instance_connect_endpoints(aws.client("ec2"), "lab")
    assert [(item["InstanceConnectEndpointId"], item["tags"]) for item in found] == [
        ("eice-1", {"freehold:environment": "lab"})
    ]


def test_what_is_half_undone_already_goes(aws: Any) -> None:
    """Nothing is left to be detached, emptied or taken out of protection."""
    tags = tags_of("lab")
    ec2, s3, route53 = aws.client("ec2"), aws.client("s3"), aws.client("route53")
    vpc_id = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(
        GroupName="lab-one",
        Description="x",
        VpcId=vpc_id,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=everything)
    s3.create_bucket(Bucket="freehold-lab-1-logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_tagging(Bucket="freehold-lab-1-logs", Tagging={"TagSet": tags})
    zone = route53.create_hosted_zone(
        Name="lab.internal", CallerReference="y", VPC={"VPCRegion": "eu-west-1", "VPCId": vpc_id}
    )["HostedZone"]["Id"]
    route53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone.split("/")[-1], AddTags=tags)
    result = run(aws, keep_data=False)
    assert not result.get("failed"), result["msg"]
    assert kinds(result["deleted"]) == {"security_group", "bucket", "hosted_zone"}
    assert {"DeleteObjects", "ChangeResourceRecordSets", "RevokeSecurityGroupEgress"}.isdisjoint(aws.operations)
