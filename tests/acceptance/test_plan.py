# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs: `make plan` beside a running environment, its figures against the account's, its page in a browser."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Request, expect

from .conftest import ARTIFACTS, ENDPOINT, ROOT, Requests, Run, Site, lab_session, run

HERE = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "freehold" / "lab"
SAMPLE = json.loads((ROOT / "lab" / "api" / "services" / "reservation_prices.json").read_text())
MONTH, YEAR = 730, 8760  # hours


@pytest.fixture(scope="module")
def planned(site: Site, requests_log: Requests) -> tuple[Run, list[dict[str, Any]]]:
    """The command its users type, and the AWS requests it made."""
    mark = requests_log.mark()
    done = run("make", "plan")
    return done, requests_log.since(mark)


@pytest.fixture(scope="module")
def plan(planned: tuple[Run, list[dict[str, Any]]]) -> dict[str, Any]:
    """What it wrote."""
    found: dict[str, Any] = json.loads((HERE / "plan.json").read_text())
    return found


def hourly(service: str, name: str) -> float:
    """The lab's sample price of an instance on demand."""
    family, size = name.rsplit(".", 1)
    return float(SAMPLE[service]["families"][family]["hourly"] * SAMPLE["units"][size])


def sample(usage: str) -> float:
    """The lab's sample price of what nobody can reserve."""
    return float(next(row["price"] for row in SAMPLE["beside"] if row["usagetype"] == usage))


def running() -> list[dict[str, Any]]:
    found = (
        lab_session()
        .client("ec2", endpoint_url=ENDPOINT)
        .describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    )
    return [dict(each) for launch in found["Reservations"] for each in launch["Instances"]]


def databases() -> list[dict[str, Any]]:
    found = lab_session().client("rds", endpoint_url=ENDPOINT).describe_db_instances()
    return [dict(each) for each in found["DBInstances"]]


def test_it_prints_the_plan_and_changes_nothing(
    planned: tuple[Run, list[dict[str, Any]]], plan: dict[str, Any]
) -> None:
    done, requests = planned
    assert [f"{request['service']}:{request['operation']}" for request in requests if request["write"]] == []
    assert all(figures["changed"] == figures["failed"] == 0 for figures in done.recap().values())
    told = " ".join(done.output.split())
    assert f"The environment costs {plan['costs']['today']['month']:,.2f} USD a month today" in told
    assert f"the same work on Amazon MWAA costs {plan['costs']['mwaa']['month']:,.2f}" in told
    assert "USD, price list of eu-west-1 of 2026-07-01" in told
    assert str(HERE / "plan.html") in told


def test_no_line_is_wider_than_a_terminal(planned: tuple[Run, list[dict[str, Any]]]) -> None:
    shown = planned[0].output.split("Show the plan]", 1)[1].split("PLAY RECAP", 1)[0].splitlines()[1:]
    assert len(shown) > 30
    # A path can't be folded.
    assert [line for line in shown if len(line) > 100 and str(HERE) not in line] == []


def test_the_fleet_of_the_plan_is_the_one_that_runs(plan: dict[str, Any]) -> None:
    hosts = sorted(
        (next(tag["Value"] for tag in each["Tags"] if tag["Key"] == "Name"), each["InstanceType"]) for each in running()
    )
    assert sorted((item["name"], item["type"]) for item in plan["fleet"] if item["service"] == "ec2") == hosts
    assert [item["type"] for item in plan["fleet"] if item["service"] == "rds"] == [
        each["DBInstanceClass"] for each in databases()
    ]


def test_a_month_on_demand_is_what_the_price_list_says_of_what_runs(plan: dict[str, Any]) -> None:
    hour = sum(hourly("ec2", each["InstanceType"]) for each in running())
    hour += sum(hourly("rds", each["DBInstanceClass"]) * (2 if each["MultiAZ"] else 1) for each in databases())
    assert plan["costs"]["on_demand"]["open"] == pytest.approx(hour * MONTH, abs=0.01)


def test_what_stands_beside_is_what_there_is(plan: dict[str, Any]) -> None:
    ec2 = lab_session().client("ec2", endpoint_url=ENDPOINT)
    disks = sum(volume["Size"] for volume in ec2.describe_volumes()["Volumes"] if volume["Attachments"])
    gateways = [each for each in ec2.describe_nat_gateways()["NatGateways"] if each["State"] == "available"]
    balancers = lab_session().client("elbv2", endpoint_url=ENDPOINT).describe_load_balancers()["LoadBalancers"]
    addresses = len(gateways) + sum(len(each["AvailabilityZones"]) for each in balancers)
    counts = {line["item"]["service"]: (line["count"], line["month"]) for line in plan["costs"]["beside"]["lines"]}
    assert counts == {
        "ebs": (disks, pytest.approx(disks * sample("EBS:VolumeUsage.gp3"), abs=0.01)),
        "rds_storage": (20, pytest.approx(20 * sample("RDS:GP3-Storage"), abs=0.01)),
        "load_balancer": (len(balancers), pytest.approx(MONTH * sample("LoadBalancerUsage"), abs=0.01)),
        "nat_gateway": (len(gateways), pytest.approx(MONTH * sample("NatGateway-Hours"), abs=0.01)),
        "public_ipv4": (addresses, pytest.approx(MONTH * addresses * sample("PublicIPv4:InUseAddress"), abs=0.01)),
    }


def test_what_is_not_covered_is_billed_on_demand(plan: dict[str, Any]) -> None:
    assert plan["costs"]["today"]["open"] == pytest.approx(open_month(plan), abs=0.01)


def open_month(plan: dict[str, Any]) -> float:
    """What a month on demand costs of whatever the plan calls open."""
    still = sum(
        hourly(item["service"], item["type"]) * item["copies"] * item["open"] / item["units"] for item in plan["fleet"]
    )
    return float(still * MONTH)


def test_each_purchase_costs_what_the_offerings_say(plan: dict[str, Any]) -> None:
    ec2 = lab_session().client("ec2", endpoint_url=ENDPOINT)
    rds = lab_session().client("rds", endpoint_url=ENDPOINT)
    for option in plan["costs"]["options"]:
        bought = 0.0
        for item in plan["closing"]:
            offers = [
                each["id"]
                for each in plan["offers"]
                if (each["service"], each["type"]) == (item["service"], item["type"])
                and (each["years"], each["payment"]) == (option["years"], option["payment"])
            ]
            if not offers:
                assert f"{item['count']} x {item['type']}" in option["not_sold"]
                continue
            sold: Any
            if item["service"] == "ec2":
                sold = ec2.describe_reserved_instances_offerings(ReservedInstancesOfferingIds=offers)
                sold = sold["ReservedInstancesOfferings"][0]
                hour = sum(charge["Amount"] for charge in sold["RecurringCharges"])
            else:
                sold = rds.describe_reserved_db_instances_offerings(ReservedDBInstancesOfferingId=offers[0])
                sold = sold["ReservedDBInstancesOfferings"][0]
                hour = sum(charge["RecurringChargeAmount"] for charge in sold["RecurringCharges"])
            assert sold["OfferingType"] == option["payment"]
            assert sold["Duration"] == option["years"] * YEAR * 3600
            bought += (sold["FixedPrice"] / (option["years"] * YEAR) + hour) * item["count"]
        assert option["bought"] == pytest.approx(bought * MONTH, abs=0.01)


def test_mwaa_does_the_same_work_at_the_price_of_the_list(plan: dict[str, Any]) -> None:
    found = plan["costs"]["mwaa"]
    size = found["class"].removeprefix("mw1.").title()
    hour = sample(f"Airflow-{size}Environment") + (found["workers"] - 1) * sample(f"Airflow-{size}Worker")
    assert (found["schedulers"], found["webservers"]) == (2, 2)
    assert found["month"] == pytest.approx(hour * MONTH, abs=0.01)
    assert found["workers"] * found["tasks_per_worker"] >= found["tasks"] > 0


def test_a_second_plan_takes_the_prices_from_its_file(
    plan: dict[str, Any], requests_log: Requests, planned: tuple[Run, list[dict[str, Any]]]
) -> None:
    mark = requests_log.mark()
    run("make", "plan")
    assert "GetProducts" not in [request["operation"] for request in requests_log.since(mark)]
    again = json.loads((HERE / "plan.json").read_text())
    assert again["costs"]["read"] == plan["costs"]["read"]
    assert again["costs"]["on_demand"] == plan["costs"]["on_demand"]


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_read_in_a_browser(plan: dict[str, Any], browser: Browser, scheme: Any, width: int) -> None:
    # Nothing is covered, so that there is something to buy; nothing is owned, so that nothing can end.
    read_page(browser, plan, scheme, width, ("month", "course", "savings", "coverage"))


def read_page(browser: Browser, plan: dict[str, Any], scheme: Any, width: int, plots: tuple[str, ...]) -> None:
    """Open the page that `make plan` wrote and see that all of it is there, and that it asks for nothing else."""
    said: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)

    def hear(message: ConsoleMessage) -> None:
        said.append(message.text)

    def ask(request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            said.append(request.url)

    page.on("console", hear)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", ask)
    page.goto((HERE / "plan.html").as_uri())
    expect(page.locator(".answer")).to_contain_text(f"{plan['costs']['today']['month']:,.2f} USD a month today")
    kind = "wide" if width > 1000 else "narrow"
    for name in plots:
        expect(page.locator(f".plot.{kind}[data-plot={name}]")).to_be_visible()
    assert page.locator(f".plot.{kind}").count() == len(plots)
    # The page itself never scrolls to the side; only a wide table does, in its own frame.
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(17, 22, 28)"
    )
    page.screenshot(path=str(ARTIFACTS / f"plan-{plots[-1]}-{scheme}-{width}.png"), full_page=True)
    assert said == []
    page.close()
