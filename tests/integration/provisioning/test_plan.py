# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of reservations, from an account that owns nothing to one that owns enough."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.filter.reservation_page import reservation_page
from ansible_collections.freehold.airflow.plugins.filter.reservation_table import reservation_table

from tests.integration.provisioning.conftest import ROOT, Api, Run

WIRING: dict[str, Any] = {
    "reservations_fleet": "{{ hosts_fleet }}",
    "reservations_database_instance_class": "db.t4g.medium",
    "reservations_database_multi_az": True,
}


def plan(api: Api, path: Path, *arguments: str, **more: Any) -> tuple[Run, dict[str, Any]]:
    report = path / "plan.json"
    run = api.playbook("plan", *arguments, **{**WIRING, "reservations_report": str(report), **more})
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
    assert "4 x t3.medium      Linux/UNIX" in run.output
    # The lab's sample prices: t3.medium 0.0416 an hour, db.t4g.medium with a standby 0.13; 730 hours a month.
    costs = found["costs"]
    assert costs["on_demand"]["open"] == costs["today"]["open"] == round(730 * (4 * 0.0416 + 0.13), 2)
    # 80 GiB of disks and 20 GiB of database twice, a load balancer, a NAT gateway, and three addresses.
    assert costs["beside"]["month"] == round(80 * 0.08 + 20 * 0.23 + 730 * (0.0225 + 0.045 + 3 * 0.005) + 0.005, 2)
    # Two hosts of 4 GiB run eight tasks each: four small workers, three of which cost extra.
    assert costs["mwaa"]["month"] == round(730 * (0.49 + 3 * 0.055), 2)
    assert "MWAA: mw1.small with 4 workers, 2 schedulers and 2 web servers" in run.output
    chosen = next(item for item in costs["options"] if item["recommended"])
    assert (chosen["years"], chosen["payment"], chosen["break_even"]) == (1, "No Upfront", 0)
    assert f"{chosen['month']:,.2f} with the recommended purchase" in " ".join(run.output.split())
    for service in ("ec2", "rds"):
        buy(api, found, service)
    # What is written is for people, and so is a check run.
    run, found = plan(api, tmp_path / "new", "--check", reservations_page=str(tmp_path / "page" / "plan.html"))
    assert "</html>" in (tmp_path / "page" / "plan.html").read_text()
    assert [item["percent"] for item in found["services"]] == [100.0, 100.0]
    assert (found["costs"]["covered_percent"], found["costs"]["today"]["open"]) == (100.0, 0.0)
    # Without money at the start, what was bought costs what the offers said.
    assert found["costs"]["today"]["reserved"] == pytest.approx(chosen["bought"], abs=0.01)
    assert "Everything is covered." in run.output
    assert run.writes == []


def test_what_others_run_takes_its_share(api: Api, tmp_path: Path) -> None:
    ec2 = api.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.1.0/24")["Subnet"]["SubnetId"]
    image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=subnet)
    run, found = plan(api, tmp_path)
    assert [(item["units"], item["covered"]) for item in found["services"] if item["service"] == "ec2"] == [(8, 7)]
    # What is alike stands in one line, whose share is that of the line, not that of one host.
    assert re.search(r"EC2 +t3\.medium +4 +8 +7 +87\.5 ", run.output)


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
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    return as_user(api, name, {"Version": "2012-10-17", "Statement": [statement]})


def as_user(api: Api, name: str, policy: dict[str, Any]) -> dict[str, str]:
    """The connection of a user who has one policy."""
    iam = api.client("iam")
    iam.create_user(UserName=name)
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
    told = " ".join(run.output.split())
    # How much depends on what the tests before this one bought.
    assert re.search(r"Reservations cover [\d.]+ % of EC2 and [\d.]+ % of RDS, in units", told)
    assert "pricing:GetProducts" in told
    assert "a month today" not in told
    # As much as is open: with an offer that closes it, or as less than the smallest type.
    assert "To close the gap" in told or "stays open" in told


def test_the_project_wires_the_plan(api: Api, tmp_path: Path) -> None:
    """With the lab's inventory and group_vars, where only the connection is this test's."""
    connection = api.variables()["freehold_aws_connection"]
    given = {"freehold_aws_connection": connection, "access_directory": str(tmp_path)}
    inventory = ROOT / "inventories" / "lab" / "hosts.yml"
    run = api._run(ROOT / "playbooks" / "plan.yml", "-i", str(inventory), "-e", json.dumps(given))
    assert run.code == 0, run.output
    found = json.loads((tmp_path / "plan.json").read_text())
    assert [(item["service"], item["count"]) for item in found["services"]] == [("ec2", 4), ("rds", 1)]
    assert {line["item"]["service"]: line["count"] for line in found["costs"]["beside"]["lines"]} == {
        "ebs": 80,
        "rds_storage": 20,
        "load_balancer": 1,
        "nat_gateway": 1,
        "public_ipv4": 3,
    }
    # What unit tests trace figure by figure is what stands here.
    assert (tmp_path / "plan.html").read_text() == reservation_page(found)
    assert "sample data of the lab" in (tmp_path / "plan.html").read_text()
    printed = [line.strip() for line in run.output.splitlines()]
    assert [line for line in reservation_table(found, []) if line.strip() not in printed] == []
    kept = json.loads((tmp_path / "prices.json").read_text())
    assert kept["scope"]["region"] == "eu-west-1"
    assert len(kept["prices"]) == 9


def test_prices_are_read_once_and_a_damaged_file_is_no_obstacle(api: Api, tmp_path: Path) -> None:
    kept = str(tmp_path / "prices.json")

    def asked(run: Run) -> int:
        return [request["operation"] for request in run.requests].count("GetProducts")

    run, first = plan(api, tmp_path, reservations_price_cache=kept)
    assert asked(run) > 0
    run, again = plan(api, tmp_path, reservations_price_cache=kept)
    assert asked(run) == 0
    # But for the months to come, which begin now: what is bought ends some seconds earlier in the second plan.
    assert {**again["costs"]["today"], "series": []} == {**first["costs"]["today"], "series": []}
    assert again["costs"]["read"] == first["costs"]["read"]
    Path(kept).write_text("{")
    run, _ = plan(api, tmp_path, reservations_price_cache=kept)
    assert asked(run) > 0
    assert json.loads(Path(kept).read_text())["prices"]


def test_a_type_that_nobody_sells_reservations_of_or_prices_is_named(api: Api, tmp_path: Path) -> None:
    fleet = [{"name": "worker", "duties": ["worker"], "instance_type": "c5.large", "count": 1, "volume_gib": 20}]
    run, found = plan(api, tmp_path, reservations_fleet=fleet, reservations_page=str(tmp_path / "plan.html"))
    told = " ".join(run.output.split())
    assert "AWS sells no reservation of c5.large (ec2, Linux/UNIX) here." in told
    assert "No price: c5.large (ec2, Linux/UNIX): the price list of eu-west-1 does not have it" in told
    assert found["costs"]["today"] is None
    assert "There are no sums of money on this page." in (tmp_path / "plan.html").read_text()


def test_a_region_without_any_price_is_told_once_and_in_units(api: Api, tmp_path: Path) -> None:
    connection = {**api.variables()["freehold_aws_connection"], "region": "mx-central-1"}
    run, found = plan(api, tmp_path, freehold_aws_connection=connection, reservations_page=str(tmp_path / "plan.html"))
    told = " ".join(run.output.split())
    assert "Reservations cover 0 % of EC2 and 0 % of RDS, in units." in told
    # In the answer, and where prices come from.
    assert told.count("the price list has no price of any of it for mx-central-1") == 2
    assert "does not have it" not in told
    assert "No price" not in told
    assert (found["costs"]["today"], found["costs"]["on_demand"], found["costs"]["mwaa"]["month"]) == (None, None, None)
    assert "There are no sums of money on this page." in (tmp_path / "plan.html").read_text()


def test_a_currency_that_is_not_expected_is_not_added_up(api: Api, tmp_path: Path) -> None:
    run, found = plan(api, tmp_path, reservations_currency="CNY")
    assert "its price is in USD, and CNY is expected" in " ".join(run.output.split())
    assert found["costs"]["today"] is None


def test_reads_that_aws_throttles_are_asked_again(api: Api, tmp_path: Path) -> None:
    throttled = ("DescribeReservedInstances", "DescribeReservedDBInstances", "DescribeReservedCacheNodes")
    for operation in throttled:
        api.admin("faults", {"operation": operation, "kind": "throttled"})
    run, found = plan(api, tmp_path)
    asked = [request["operation"] for request in run.requests]
    assert {operation: asked.count(operation) for operation in throttled} == dict.fromkeys(throttled, 2)
    assert found["costs"]["today"] is not None


def test_a_session_that_is_over_is_told_in_aws_words(api: Api) -> None:
    everybody = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Statement": [everybody]})
    role = api.client("iam").create_role(RoleName="operator", AssumeRolePolicyDocument=document)["Role"]
    session = api.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="monday")["Credentials"]
    api.admin("expired", {"access_key": session["AccessKeyId"]})
    play = api.play(["reservations/plan"], **WIRING)
    play["vars"]["freehold_aws_connection"] = {
        **api.variables()["freehold_aws_connection"],
        "access_key": session["AccessKeyId"],
        "secret_key": session["SecretAccessKey"],
        "session_token": session["SessionToken"],
    }
    run = api.run([play])
    assert run.code != 0
    assert "expired" in run.output
    assert run.writes == []


def test_the_documented_policy_is_enough_for_the_whole_playbook(api: Api, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "what-will-it-cost.md").read_text()
    policy = json.loads(text.split("```json")[1].split("```")[0])
    run, found = plan(api, tmp_path, freehold_aws_connection=as_user(api, "planner", policy))
    assert run.writes == []
    assert found["costs"]["today"] is not None
