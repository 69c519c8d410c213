# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one environment: nothing, all of it, nothing to do, repaired and grown. Each test builds on the last."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.integration.provisioning.conftest import Api, Run

STEPS = [
    *(f"{role}/preflight" for role in ("network", "identity", "hosts", "certificate", "load_balancer", "dns")),
    "network",
    "dns/zones",
    "certificate",
    "load_balancer",
    "identity",
    "hosts",
    "network/await",
    "hosts/await",
    "load_balancer/await",
    "dns",
]
OURS = [{"Name": "tag:freehold:environment", "Values": ["lab"]}]
# What is asked for when the environment grows, and from then on.
GROWN = {"network_nat": "per_zone", "hosts_termination_protection": True, "load_balancer_deletion_protection": True}
ALIVE = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]


def provision(api: Api, *arguments: str, **more: Any) -> Run:
    run = api.run([api.play(STEPS, **more)], *arguments)
    assert run.code == 0, run.output
    return run


def hosts(api: Api) -> dict[str, dict[str, Any]]:
    """The living hosts by name."""
    found = api.client("ec2").describe_instances(Filters=OURS + ALIVE)["Reservations"]
    return {
        {tag["Key"]: tag["Value"] for tag in host["Tags"]}["Name"]: host
        for reservation in found
        for host in reservation["Instances"]
    }


def private_names(api: Api) -> dict[str, list[str]]:
    """The addresses by name, as the private zone has them."""
    route53 = api.client("route53")
    zone = next(zone for zone in route53.list_hosted_zones()["HostedZones"] if zone["Name"] == "lab.internal.")
    records = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    return {
        record["Name"].removesuffix(".lab.internal."): [entry["Value"] for entry in record["ResourceRecords"]]
        for record in records
        if record["Type"] == "A"
    }


def balancer_attributes(api: Api) -> dict[str, str]:
    elb = api.client("elbv2")
    balancer = elb.describe_load_balancers(Names=["lab-airflow"])["LoadBalancers"][0]["LoadBalancerArn"]
    attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer)["Attributes"]
    return {attribute["Key"]: attribute["Value"] for attribute in attributes}


def target_group(api: Api) -> str:
    arn: str = api.client("elbv2").describe_target_groups(Names=["lab-webserver"])["TargetGroups"][0]["TargetGroupArn"]
    return arn


def behind_the_balancer(api: Api) -> list[str]:
    health = api.client("elbv2").describe_target_health(TargetGroupArn=target_group(api))["TargetHealthDescriptions"]
    return [entry["Target"]["Id"] for entry in health]


def test_check_mode_on_nothing_says_what_it_would_make_and_makes_nothing(api: Api) -> None:
    run = provision(api, "--check", "--diff")
    assert run.writes == []
    assert run.changed >= 8
    for name in ("lab-worker-2", "10.20.128.0/19", "lab-airflow", "freehold-lab-worker", "airflow.freehold.localhost"):
        assert name in run.output


def test_the_environment_is_made(api: Api) -> None:
    assert provision(api).changed > 0
    assert set(hosts(api)) == {"lab-webserver-1", "lab-scheduler-1", "lab-worker-1", "lab-worker-2"}


def test_an_inventory_that_shows_no_hosts_is_refused(api: Api) -> None:
    """With another region in the inventory, every later play would do nothing and call it success."""
    run = api.run([api.play(["environment"])])
    assert run.code != 0
    unseen = "lab-scheduler-1, lab-webserver-1, lab-worker-1, lab-worker-2"
    told = " ".join(run.output.split())
    assert f"The inventory does not show {unseen}, which AWS does: make the region and the profile" in told
    assert run.writes == []


def test_hosts_are_private_spread_and_guarded(api: Api) -> None:
    found = hosts(api)
    assert {host["Placement"]["AvailabilityZone"] for host in found.values()} == {"eu-west-1a", "eu-west-1b"}
    for host in found.values():
        assert "PublicIpAddress" not in host
        assert host["MetadataOptions"]["HttpTokens"] == "required"
        assert host["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    volumes = api.client("ec2").describe_volumes(Filters=OURS)["Volumes"]
    assert len(volumes) == len(found)
    assert all(volume["Encrypted"] and volume["VolumeType"] == "gp3" for volume in volumes)


def test_nobody_but_the_clients_comes_in_from_outside(api: Api) -> None:
    for group in api.client("ec2").describe_security_groups(Filters=OURS)["SecurityGroups"]:
        outside = {entry["CidrIp"] for rule in group["IpPermissions"] for entry in rule["IpRanges"]}
        assert outside == ({"198.51.100.0/24"} if group["GroupName"] == "lab-load-balancer" else set())


@pytest.mark.parametrize(
    ("duty", "may_read"),
    [("worker", False), ("webserver", True), ("scheduler", True)],
)
def test_a_worker_may_not_read_the_databases_secret(api: Api, duty: str, may_read: bool) -> None:
    policy = api.client("iam").get_role_policy(RoleName=f"freehold-lab-{duty}", PolicyName="freehold")
    statements = {entry["Sid"]: entry for entry in policy["PolicyDocument"]["Statement"]}
    secrets = [arn.split(":secret:")[1] for arn in statements["ReadSecrets"]["Resource"]]
    for name in ("sql_alchemy_conn", "fernet_key", "jwt_secret"):
        assert (f"freehold/lab/config/{name}-??????" in secrets) == may_read
    assert all("*" not in action for entry in statements.values() for action in entry["Action"])


def test_the_entrance_redirects_and_hides_the_execution_api(api: Api) -> None:
    elb = api.client("elbv2")
    balancer = elb.describe_load_balancers(Names=["lab-airflow"])["LoadBalancers"][0]
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    by_port = {listener["Port"]: listener for listener in listeners}
    assert set(by_port) == {80, 443}
    assert by_port[80]["DefaultActions"][0]["RedirectConfig"]["Protocol"] == "HTTPS"
    assert "TLS13" in by_port[443]["SslPolicy"]
    rules = elb.describe_rules(ListenerArn=by_port[443]["ListenerArn"])["Rules"]
    (closed,) = [rule for rule in rules if not rule["IsDefault"]]
    assert closed["Conditions"][0]["Values"] == ["/execution*"]
    assert closed["Actions"][0]["FixedResponseConfig"]["StatusCode"] == "404"
    attributes = balancer_attributes(api)
    # AWS's 60 are too few for views of logs and long queries.
    assert attributes["idle_timeout.timeout_seconds"] == "300"
    assert attributes["routing.http2.enabled"] == "true"
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"


def open_the_entrance(api: Api) -> None:
    """What nobody should do by hand: a way around TLS, and one to the execution API."""
    elb = api.client("elbv2")
    balancer = elb.describe_load_balancers(Names=["lab-airflow"])["LoadBalancers"][0]["LoadBalancerArn"]
    forward = {"Type": "forward", "TargetGroupArn": target_group(api)}
    elb.create_listener(LoadBalancerArn=balancer, Port=8080, Protocol="HTTP", DefaultActions=[forward])
    [secure] = [
        listener["ListenerArn"]
        for listener in elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
        if listener["Port"] == 443
    ]
    execution = {"Field": "path-pattern", "Values": ["/execution/*"]}
    elb.create_rule(ListenerArn=secure, Priority=5, Conditions=[execution], Actions=[forward])


def test_host_keys_come_from_the_console(api: Api) -> None:
    known = (api.home / "known_hosts").read_text()
    for name, host in hosts(api).items():
        assert f"{host['PrivateIpAddress']} ssh-ed25519 AAAAC3Nz{host['InstanceId'][2:]}" in known
        assert name in known


def test_a_second_run_changes_and_writes_nothing(api: Api) -> None:
    run = provision(api)
    assert run.changed == 0, run.output
    assert run.writes == []


def test_check_mode_on_a_finished_environment_finds_nothing_to_do(api: Api) -> None:
    run = provision(api, "--check", "--diff")
    assert run.changed == 0, run.output
    assert run.writes == []


def test_check_mode_says_which_host_would_come_back_behind_the_load_balancer(api: Api) -> None:
    (webserver,) = behind_the_balancer(api)
    api.client("elbv2").deregister_targets(TargetGroupArn=target_group(api), Targets=[{"Id": webserver}])
    run = provision(api, "--check")
    assert run.changed == 1, run.output
    assert re.search(rf"Say which hosts .*\n(.*\n){{1,6}}.*{webserver}", run.output), run.output
    assert behind_the_balancer(api) == []


def test_what_is_lost_or_changed_by_hand_is_set_right_while_the_environment_grows(api: Api) -> None:
    ec2, before = api.client("ec2"), hosts(api)
    ec2.stop_instances(InstanceIds=[before["lab-scheduler-1"]["InstanceId"]])
    ec2.terminate_instances(InstanceIds=[before["lab-webserver-1"]["InstanceId"]])
    groups = ec2.describe_security_groups(Filters=OURS)["SecurityGroups"]
    worker = next(group["GroupId"] for group in groups if group["GroupName"] == "lab-worker")
    ec2.authorize_security_group_ingress(GroupId=worker, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")
    open_the_entrance(api)
    fleet = api.variables()["hosts_fleet"]
    provision(api, hosts_fleet=[*fleet[:2], {**fleet[2], "count": 3}], **GROWN)

    after = hosts(api)
    assert after["lab-scheduler-1"]["InstanceId"] == before["lab-scheduler-1"]["InstanceId"]
    assert after["lab-webserver-1"]["InstanceId"] != before["lab-webserver-1"]["InstanceId"]
    assert behind_the_balancer(api) == [after["lab-webserver-1"]["InstanceId"]]
    assert private_names(api)["api-server"] == [after["lab-webserver-1"]["PrivateIpAddress"]]
    assert f"AAAAC3Nz{after['lab-webserver-1']['InstanceId'][2:]}" in (api.home / "known_hosts").read_text()
    assert "lab-worker-3" in after
    assert len(private_names(api)) == len(after) + 2
    test_nobody_but_the_clients_comes_in_from_outside(api)
    test_the_entrance_redirects_and_hides_the_execution_api(api)


def test_what_was_made_and_what_was_there_is_protected_now(api: Api) -> None:
    ec2 = api.client("ec2")
    for name, host in hosts(api).items():
        told = ec2.describe_instance_attribute(InstanceId=host["InstanceId"], Attribute="disableApiTermination")
        assert told["DisableApiTermination"]["Value"] is True, name
    assert balancer_attributes(api)["deletion_protection.enabled"] == "true"


def test_every_zone_has_a_gateway_of_its_own_now(api: Api) -> None:
    ec2 = api.client("ec2")
    assert len(ec2.describe_nat_gateways(Filter=OURS)["NatGateways"]) == 2
    assert len(ec2.describe_addresses(Filters=OURS)["Addresses"]) == 2
    private = [{"Name": "tag:freehold:subnet", "Values": ["private"]}]
    ways = set()
    for subnet in ec2.describe_subnets(Filters=OURS + private)["Subnets"]:
        of_subnet = [{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}]
        (table,) = ec2.describe_route_tables(Filters=of_subnet)["RouteTables"]
        ways |= {route["NatGatewayId"] for route in table["Routes"] if route.get("NatGatewayId")}
    assert len(ways) == 2


def test_a_worker_too_many_is_reported_and_left_alone(api: Api) -> None:
    run = provision(api, **GROWN)
    assert "Not wanted by hosts_fleet: lab-worker-3" in run.output
    assert "lab-worker-3" in hosts(api)
    assert run.changed == 0, run.output
    assert run.writes == []
