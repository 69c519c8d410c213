# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator with the policies of docs/ and nothing else: an environment's whole life, and what stays refused.

The image is missing here, because making it takes a Docker engine; its requests to AWS are those of the registry.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.integration.provisioning.conftest import REGION, ROOT, Api, Run

POLICIES = sorted((ROOT / "docs").glob("operator-policy-*.json"))
DOCS = (ROOT / "docs" / "quickstart-aws.md").read_text()
PARTS = [
    *("environment", "network", "identity", "secrets", "filesystem", "database", "broker", "log_bucket", "registry"),
    *("hosts", "ci_access", "certificate", "load_balancer", "dns"),
]
# As in playbooks/provision.yml.
STEPS = [
    *(f"{part}/preflight" for part in PARTS),
    *("network", "secrets", "database", "broker", "filesystem", "dns/zones"),
    *("certificate", "identity", "hosts", "ci_access", "log_bucket", "registry", "certificate/await", "load_balancer"),
    *(f"{part}/await" for part in ("network", "hosts", "filesystem", "load_balancer", "database", "broker")),
    *("dns", "secrets/compose"),
]
FOR_EC2 = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)
WIRING: dict[str, Any] = {"ci_access_repositories": [{"repository": "acme/dags"}]}

# Other values of settings, each of which makes another change.
GROWN: dict[str, Any] = {
    "network_nat": "per_zone",
    "network_client_cidrs": ["198.51.100.0/24", "203.0.113.0/24"],
    "broker_kind": "elasticache",
    "database_backup_days": 7,
    "filesystem_throughput_mode": "bursting",
    "log_bucket_retention_days": 30,
    "load_balancer_idle_timeout": 120,
    "load_balancer_health_interval": 20,
    "registry_scan_on_push": False,
}
GOING = {"confirm": "lab", "teardown_wait_interval": 0.1}
PLAN: dict[str, Any] = {
    "reservations_fleet": "{{ hosts_fleet }}",
    "reservations_database_instance_class": "db.t4g.medium",
    "reservations_broker_kind": "elasticache",
}


def statements() -> list[dict[str, Any]]:
    """All statements of all policies."""
    return [statement for path in POLICIES for statement in json.loads(path.read_text())["Statement"]]


def only(*sids: str) -> str:
    """Make a policy of some of the statements."""
    assert set(sids) <= {statement["Sid"] for statement in statements()}
    return json.dumps({"Version": "2012-10-17", "Statement": [entry for entry in statements() if entry["Sid"] in sids]})


def narrowed(policy: str) -> str:
    """Make a policy narrower by the expressions for sed that the documentation has, for the environment 'lab'."""
    text = DOCS.partition("make narrower ones")[2].partition("```console")[2].partition("```")[0]
    expressions = [part.replace("prod", "lab") for part in re.findall(r"-e ('[^']+')", text)]
    assert len(expressions) == 5
    command = ["sed", *(word for part in expressions for word in ("-e", part.strip("'")))]
    return subprocess.run(command, input=policy, capture_output=True, text=True, check=True).stdout


def named_in_docs(words: str) -> list[str]:
    """Return the statements that a paragraph of the documentation names."""
    assert words in DOCS
    found: list[str] = re.findall(r"`([A-Z][A-Za-z]+)`", DOCS.partition(words)[2].partition("\n\n")[0])
    return found


class Operator:
    """A user with some policies, and plays in their name."""

    def __init__(self, api: Api, name: str, documents: list[str]) -> None:
        self.api = api
        iam = api.client("iam")
        iam.create_user(UserName=name)
        for number, document in enumerate(documents):
            policy = iam.create_policy(PolicyName=f"{name}-{number}", PolicyDocument=document)["Policy"]
            iam.attach_user_policy(UserName=name, PolicyArn=policy["Arn"])
        self.key = iam.create_access_key(UserName=name)["AccessKey"]
        keys = {"access_key": self.key["AccessKeyId"], "secret_key": self.key["SecretAccessKey"]}
        self.connection = {**api.variables()["freehold_aws_connection"], **keys}

    def client(self, service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{self.api.port}",
            aws_access_key_id=self.key["AccessKeyId"],
            aws_secret_access_key=self.key["SecretAccessKey"],
        )

    def play(self, steps: list[str], *arguments: str, **more: Any) -> Run:
        """Run roles, wired by group_vars as every playbook is; what I(more) says wins over them."""
        given = {**WIRING, **more, "freehold_aws_connection": self.connection}
        play = self.api.play(steps, files=(ROOT / "group_vars" / "all" / "wiring.yml",), **given)
        return self._done(self.api.run([play], "-e", json.dumps(given), *arguments))

    def playbook(self, name: str, *arguments: str, **more: Any) -> Run:
        return self._done(self.api.playbook(name, *arguments, **more, freehold_aws_connection=self.connection))

    def inventory(self) -> tuple[str, str]:
        """Write an inventory like inventories/example; returns the arguments that name it."""
        folder = self.api.home / f"inventory-{self.key['AccessKeyId']}"
        folder.mkdir()
        (folder / "hosts.yml").write_text("all: {hosts: {localhost: {}}}\n")
        given = {key: value for key, value in self.connection.items() if key != "region"}
        plugin = {"plugin": "amazon.aws.aws_ec2", "regions": [REGION], **given, "hostnames": ["tag:Name"]}
        (folder / "aws_ec2.yml").write_text(json.dumps(plugin))
        return "-i", str(folder)

    def _done(self, run: Run) -> Run:
        assert run.code == 0, run.output
        # The admin API hands out host keys; everything else was asked by this user.
        assert {request["access_key"] for request in run.requests} == {self.key["AccessKeyId"]}
        return run


@pytest.fixture(scope="module")
def operator(api: Api, stranger: dict[str, str]) -> Operator:
    """Give the user whom the documentation describes, in an account where others were before."""
    return Operator(api, "operator", [path.read_text() for path in POLICIES])


@pytest.fixture(scope="module")
def stranger(api: Api) -> dict[str, str]:
    """Give what others have in the account."""
    ec2, iam, elb = api.client("ec2"), api.client("iam"), api.client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.77.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for number, zone in enumerate(zones[:2])
    ]
    group = ec2.create_security_group(GroupName="theirs", Description="theirs", VpcId=vpc)["GroupId"]
    image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]
    (host,) = ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnets[0], SecurityGroupIds=[group]
    )["Instances"]
    api.client("s3").create_bucket(Bucket="their-data", CreateBucketConfiguration={"LocationConstraint": REGION})
    api.client("secretsmanager").create_secret(Name="theirs/password", SecretString="x")
    iam.create_role(RoleName="their-administrator", AssumeRolePolicyDocument=FOR_EC2)
    iam.create_instance_profile(InstanceProfileName="their-administrator")
    iam.add_role_to_instance_profile(InstanceProfileName="their-administrator", RoleName="their-administrator")
    balancer = elb.create_load_balancer(Name="their-airflow", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    files = api.client("efs").create_file_system(CreationToken="theirs")["FileSystemId"]
    certificate = api.client("acm").request_certificate(DomainName="theirs.example.com")["CertificateArn"]
    api.client("ecr").create_repository(repositoryName="theirs")
    zone = api.client("route53").create_hosted_zone(Name="theirs.example.com", CallerReference="x")["HostedZone"]["Id"]
    return {
        "zone": zone,
        "vpc": vpc,
        "subnet": subnets[0],
        "group": group,
        "image": image,
        "host": host["InstanceId"],
        "card": host["NetworkInterfaces"][0]["NetworkInterfaceId"],
        "balancer": balancer,
        "files": files,
        "certificate": certificate,
    }


def test_aws_takes_them_as_managed_policies() -> None:
    assert len(POLICIES) == 3
    for path in POLICIES:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
        assert len("".join(path.read_text().split())) <= 6144, path
    sids = [statement["Sid"] for statement in statements()]
    assert len(set(sids)) == len(sids)
    assert all(sid.isalnum() and f"`{sid}`" in DOCS for sid in sids)


def test_an_environment_is_made_by_them_alone(operator: Operator) -> None:
    assert operator.play(STEPS).changed > 0
    again = operator.play(STEPS)
    assert (again.changed, again.writes) == (0, [])


def test_it_grows_changes_and_is_set_right(operator: Operator, api: Api) -> None:
    ec2, ours = api.client("ec2"), [{"Name": "tag:freehold:environment", "Values": ["lab"]}]
    hosts = {
        {tag["Key"]: tag["Value"] for tag in host["Tags"]}["Name"]: host["InstanceId"]
        for reservation in ec2.describe_instances(Filters=ours)["Reservations"]
        for host in reservation["Instances"]
    }
    ec2.stop_instances(InstanceIds=[hosts["lab-scheduler-1"]])
    ec2.modify_instance_metadata_options(
        InstanceId=hosts["lab-worker-1"],
        HttpPutResponseHopLimit=3,
        # Other than on AWS, what is not named here would be lost.
        HttpTokens="required",
        HttpEndpoint="enabled",
        HttpProtocolIpv6="disabled",
        InstanceMetadataTags="disabled",
    )
    groups = {found["GroupName"]: found for found in ec2.describe_security_groups(Filters=ours)["SecurityGroups"]}
    worker = groups["lab-worker"]["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=worker, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")
    iam = api.client("iam")
    iam.update_assume_role_policy(RoleName="freehold-lab-worker", PolicyDocument=FOR_EC2.replace("ec2", "lambda"))
    iam.untag_role(RoleName="freehold-lab-worker", TagKeys=["Name"])
    iam.delete_role_policy(RoleName="freehold-lab-webserver", PolicyName="freehold")
    fleet = api.variables()["hosts_fleet"]
    grown = operator.play(STEPS, **GROWN, hosts_fleet=[*fleet[:2], {**fleet[2], "count": 3}])
    done = set(grown.writes)
    assert done >= {
        *("ec2:RunInstances", "ec2:StartInstances", "ec2:ModifyInstanceMetadataOptions"),
        *("ec2:RevokeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupIngress", "iam:UpdateAssumeRolePolicy"),
        *("iam:PutRolePolicy", "iam:TagRole", "rds:ModifyDBInstance", "elasticache:CreateReplicationGroup"),
        *("elasticfilesystem:UpdateFileSystem", "s3:PutBucketLifecycleConfiguration", "secretsmanager:PutSecretValue"),
        *("elasticloadbalancing:ModifyTargetGroup", "ecr:PutImageScanningConfiguration"),
    }, done


def test_its_plan_is_made_and_its_ways_are_found(operator: Operator, api: Api) -> None:
    operator.playbook("plan", *operator.inventory(), **PLAN)
    publisher = Operator(api, "publisher", [only(*named_in_docs("Publishing DAGs alone"))])
    publisher.play(["environment", "access"], *publisher.inventory(), access_directory=str(api.home / "access"))
    planner = Operator(api, "planner", [only(*named_in_docs("`plan.yml` needs"))])
    planner.playbook("plan", *planner.inventory(), **PLAN)


def test_it_goes_and_comes_back_and_goes_for_good(operator: Operator, api: Api) -> None:
    """The second time with the policies as the documentation narrows them to one environment."""
    operator.playbook("destroy", **GOING)
    (snapshot,) = api.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    narrow = Operator(api, "narrow", [narrowed(path.read_text()) for path in POLICIES])
    narrow.play(STEPS, database_restore_snapshot=snapshot["DBSnapshotIdentifier"])
    narrow.playbook("destroy", **GOING, destroy_keep_data=False)
    assert api.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"] == []
    (secret,) = api.client("secretsmanager").list_secrets()["SecretList"]
    assert secret["Name"] == "theirs/password"


def refusals(theirs: dict[str, str]) -> list[tuple[str, str, dict[str, Any], str]]:
    """Make a list of what is not ours: service, call, arguments, and the permission that is missing."""
    host, group, zone = theirs["host"], theirs["group"], theirs["zone"]
    ours = [{"Key": "freehold:environment", "Value": "lab"}]
    tagged = [{"ResourceType": kind, "Tags": ours} for kind in ("instance", "volume")]
    launch: dict[str, Any] = {"ImageId": theirs["image"], "InstanceType": "t3.micro", "SubnetId": theirs["subnet"]}
    launch |= {"MinCount": 1, "MaxCount": 1}
    passed = {"TagSpecifications": tagged, "IamInstanceProfile": {"Name": "their-administrator"}}
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
    role, secret = {"RoleName": "their-administrator"}, {"SecretId": "theirs/password"}
    record = {"Name": "theirs.example.com", "Type": "MX", "TTL": 60, "ResourceRecords": [{"Value": "1 mail."}]}
    allowing = json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    administrator = "arn:aws:iam::aws:policy/AdministratorAccess"
    return [
        ("ec2", "terminate_instances", {"InstanceIds": [host]}, "ec2:TerminateInstances"),
        ("ec2", "modify_instance_attribute", {"InstanceId": host, "Groups": [group]}, "ec2:ModifyInstanceAttribute"),
        (
            *("ec2", "modify_network_interface_attribute", {"NetworkInterfaceId": theirs["card"], "Groups": [group]}),
            "ec2:ModifyNetworkInterfaceAttribute",
        ),
        ("ec2", "get_console_output", {"InstanceId": host}, "ec2:GetConsoleOutput"),
        ("ec2", "create_tags", {"Resources": [host], "Tags": ours}, "ec2:CreateTags"),
        ("ec2", "authorize_security_group_ingress", {"GroupId": group, **ssh}, "ec2:AuthorizeSecurityGroupIngress"),
        ("ec2", "delete_security_group", {"GroupId": group}, "ec2:DeleteSecurityGroup"),
        ("ec2", "delete_subnet", {"SubnetId": theirs["subnet"]}, "ec2:DeleteSubnet"),
        ("ec2", "delete_vpc", {"VpcId": theirs["vpc"]}, "ec2:DeleteVpc"),
        ("ec2", "create_subnet", {"VpcId": theirs["vpc"], "CidrBlock": "10.77.9.0/24"}, "ec2:CreateSubnet"),
        ("ec2", "create_vpc", {"CidrBlock": "10.78.0.0/16"}, "ec2:CreateVpc"),
        ("ec2", "run_instances", launch, "ec2:RunInstances"),
        ("ec2", "run_instances", {**launch, **passed}, "iam:PassRole"),
        ("s3", "delete_bucket", {"Bucket": "their-data"}, "s3:DeleteBucket"),
        ("s3", "get_object", {"Bucket": "freehold-lab-123456789012-logs", "Key": "x"}, "s3:GetObject"),
        ("secretsmanager", "get_secret_value", secret, "secretsmanager:GetSecretValue"),
        ("secretsmanager", "delete_secret", secret, "secretsmanager:DeleteSecret"),
        ("iam", "delete_role", role, "iam:DeleteRole"),
        ("iam", "put_role_policy", {**role, "PolicyName": "x", "PolicyDocument": allowing}, "iam:PutRolePolicy"),
        ("iam", "create_role", {"RoleName": "x", "AssumeRolePolicyDocument": FOR_EC2}, "iam:CreateRole"),
        ("iam", "attach_role_policy", {"RoleName": "mine", "PolicyArn": administrator}, "iam:AttachRolePolicy"),
        ("iam", "add_role_to_instance_profile", {**role, "InstanceProfileName": "mine"}, "iam:PassRole"),
        ("iam", "create_access_key", {"UserName": "freehold-operator"}, "iam:CreateAccessKey"),
        ("rds", "delete_db_instance", {"DBInstanceIdentifier": "theirs"}, "rds:DeleteDBInstance"),
        ("efs", "tag_resource", {"ResourceId": theirs["files"], "Tags": ours}, "elasticfilesystem:TagResource"),
        ("elbv2", "add_tags", {"ResourceArns": [theirs["balancer"]], "Tags": ours}, "elasticloadbalancing:AddTags"),
        # Named like ours, but without the tag.
        (
            *("elbv2", "delete_load_balancer", {"LoadBalancerArn": theirs["balancer"]}),
            "elasticloadbalancing:DeleteLoadBalancer",
        ),
        ("efs", "delete_file_system", {"FileSystemId": theirs["files"]}, "elasticfilesystem:DeleteFileSystem"),
        ("acm", "delete_certificate", {"CertificateArn": theirs["certificate"]}, "acm:DeleteCertificate"),
        ("ecr", "delete_repository", {"repositoryName": "theirs", "force": True}, "ecr:DeleteRepository"),
        (
            *("route53", "change_resource_record_sets"),
            {"HostedZoneId": zone, "ChangeBatch": {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}},
            "route53:ChangeResourceRecordSets",
        ),
    ]


def test_what_belongs_to_others_is_refused(operator: Operator, stranger: dict[str, str]) -> None:
    iam = operator.client("iam")
    iam.create_role(RoleName="mine", Path="/freehold/mine/", AssumeRolePolicyDocument=FOR_EC2)
    iam.create_instance_profile(InstanceProfileName="mine", Path="/freehold/mine/")
    for service, call, arguments, permission in refusals(stranger):
        with pytest.raises(ClientError) as refused:
            getattr(operator.client(service), call)(**arguments)
        assert f"not authorized to perform: {permission} " in str(refused.value), (call, refused.value)


def test_a_boundary_binds_the_roles_that_are_written(api: Api) -> None:
    """As the documentation changes WriteRoles for an operator who is not to be trusted with the whole account."""
    assert '{StringEquals: {"iam:PermissionsBoundary": $boundary}}' in DOCS
    boundary = api.client("iam").create_policy(PolicyName="boundary", PolicyDocument=only("TagsOfBuckets"))["Policy"][
        "Arn"
    ]
    (writing,) = json.loads(only("WriteRoles"))["Statement"]
    writing["Condition"] = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    bound = Operator(api, "bound", [json.dumps({"Version": "2012-10-17", "Statement": [writing]})]).client("iam")
    given = {"RoleName": "bound", "Path": "/freehold/lab/", "AssumeRolePolicyDocument": FOR_EC2}
    with pytest.raises(ClientError, match="iam:CreateRole"):
        bound.create_role(**given)
    bound.create_role(**given, PermissionsBoundary=boundary)
    bound.put_role_policy(RoleName="bound", PolicyName="x", PolicyDocument=only("TagsOfBuckets"))
    with pytest.raises(ClientError, match="iam:DeleteRolePermissionsBoundary"):
        bound.delete_role_permissions_boundary(RoleName="bound")
