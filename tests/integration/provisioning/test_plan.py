# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of reservations, from an account that owns nothing to one that owns enough."""

import json
import re
from pathlib import Path
from typing import Any

from tests.integration.provisioning.conftest import ROOT, Api, Run

WIRING: dict[str, Any] = {
    "reservations_fleet": "{{ hosts_fleet }}",
    "reservations_database_instance_class": "db.t4g.medium",
    "reservations_database_multi_az": True,
}


def plan(api: Api, path: Path, **more: Any) -> tuple[Run, dict[str, Any]]:
    report = path / "plan.json"
    run = api.playbook("plan", **{**WIRING, "reservations_report": str(report), **more})
    assert run.code == 0, run.output
    found: dict[str, Any] = json.loads(report.read_text())
    return run, found


def buy(api: Api, found: dict[str, Any], service: str) -> None:
    """Buy what the plan says would close the gap, for a year and without money at the start."""
    offer = next(
        item
        for item in found["offers"]
        if (item["service"], item["years"], item["payment"]) == (service, 1, "No Upfront")
    )
    client = api.client(service)
    if service == "ec2":
        client.purchase_reserved_instances_offering(
            ReservedInstancesOfferingId=offer["id"], InstanceCount=offer["count"]
        )
        client.describe_reserved_instances()
    else:
        client.purchase_reserved_db_instances_offering(
            ReservedDBInstancesOfferingId=offer["id"], DBInstanceCount=offer["count"], ReservedDBInstanceId="bought"
        )
        client.describe_reserved_db_instances()


def test_the_plan_changes_nothing_and_what_it_names_closes_the_gap(api: Api, tmp_path: Path) -> None:
    run, found = plan(api, tmp_path)
    assert run.writes == []
    assert run.changed == 0
    assert [(item["service"], item["units"], item["percent"]) for item in found["services"]] == [
        ("ec2", 8, 0.0),
        ("rds", 4, 0.0),
    ]
    assert [(item["type"], item["count"]) for item in found["closing"]] == [("t3.medium", 4), ("db.t4g.medium", 2)]
    assert "To close the gap: 4 x t3.medium" in run.output
    # The lab's sample price of a t3.medium is 0.0416 an hour.
    assert found["services"][0]["on_demand"] == found["services"][0]["still_on_demand"] == 121.47
    assert "ec2 would cost 121.47 USD a month on demand; 121.47 of it is not covered" in run.output
    yearly = [item for item in found["offers"] if (item["service"], item["years"]) == ("ec2", 1)]
    assert {item["payment"]: item["break_even"] for item in yearly}["No Upfront"] == 0
    assert all(30 < item["saving"] < 45 for item in yearly)
    for service in ("ec2", "rds"):
        buy(api, found, service)
    run, found = plan(api, tmp_path)
    assert [item["percent"] for item in found["services"]] == [100.0, 100.0]
    assert [item["still_on_demand"] for item in found["services"]] == [0, 0]
    assert "Everything is covered." in run.output
    assert run.writes == []


def test_what_others_run_takes_its_share(api: Api, tmp_path: Path) -> None:
    ec2 = api.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.1.0/24")["Subnet"]["SubnetId"]
    image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=subnet)
    _, found = plan(api, tmp_path)
    assert [(item["units"], item["covered"]) for item in found["services"] if item["service"] == "ec2"] == [(8, 7)]


def test_settings_that_can_not_work_are_refused_before_aws_is_asked(api: Api) -> None:
    run = api.playbook("plan", **{**WIRING, "reservations_database_instance_class": "t4g.medium"})
    assert run.code != 0
    assert "database_instance_class is 't4g.medium'" in run.output
    assert not [request for request in run.requests if "Reserved" in request["operation"]]


def as_reader(api: Api, name: str, without: str = "") -> dict[str, str]:
    """The connection of a user with the permissions that the role's README lists, but for one."""
    text = (ROOT / "roles" / "reservations" / "README.md").read_text()
    actions = [action for action in re.findall(r"`([a-z0-9]+:[A-Za-z]+)`", text) if action != without]
    assert len(actions) >= 9
    iam = api.client("iam")
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    connection = dict(api.variables()["freehold_aws_connection"])
    return {**connection, "access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}


def test_the_listed_permissions_are_enough_and_a_missing_one_is_named(api: Api) -> None:
    play = api.play(["reservations/plan"], **WIRING)
    play["vars"]["freehold_aws_connection"] = as_reader(api, "reader")
    run = api.run([play])
    assert run.code == 0, run.output
    missing = "rds:DescribeReservedDBInstances"
    play["vars"]["freehold_aws_connection"] = as_reader(api, "blind", without=missing)
    run = api.run([play])
    assert run.code != 0
    assert missing in run.output


def test_without_prices_the_plan_is_in_units_and_says_so(api: Api) -> None:
    play = api.play(["reservations/plan"], **WIRING)
    play["vars"]["freehold_aws_connection"] = as_reader(api, "unpriced", without="pricing:GetProducts")
    run = api.run([play])
    assert run.code == 0, run.output
    assert "Without prices on demand nothing is said of savings" in run.output
    assert "pricing:GetProducts" in run.output
    assert "a month on demand" not in run.output


def test_the_project_wires_the_plan(api: Api, tmp_path: Path) -> None:
    """With the lab's inventory and group_vars, where only the connection is this test's."""
    connection = api.variables()["freehold_aws_connection"]
    given = {"freehold_aws_connection": connection, "reservations_report": str(tmp_path / "plan.json")}
    inventory = ROOT / "inventories" / "lab" / "hosts.yml"
    run = api._run(ROOT / "playbooks" / "plan.yml", "-i", str(inventory), "-e", json.dumps(given))
    assert run.code == 0, run.output
    found = json.loads((tmp_path / "plan.json").read_text())
    assert [(item["service"], item["count"]) for item in found["services"]] == [("ec2", 4), ("rds", 1)]
