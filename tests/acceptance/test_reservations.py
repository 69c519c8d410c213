# SPDX-License-Identifier: GPL-3.0-or-later
"""Reservations as their buyer sees them: planned, shown, typed, bought once, covering all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from .conftest import ENDPOINT, Requests, Run, Site, lab_session, run
from .test_plan import HERE, MONTH, open_month, read_page

PURCHASES = {"PurchaseReservedInstancesOffering", "PurchaseReservedDBInstancesOffering"}


def reserve(total: str = "", ok: bool = True) -> Run:
    """Type what a person types."""
    return run("make", "reserve", *([f"TOTAL={total}"] if total else []), ok=ok)


def coverage(path: Path) -> dict[str, float]:
    """What the plan says is covered, in percent, by service."""
    report = path / "plan.json"
    run("ansible-playbook", "playbooks/plan.yml", "-e", f"reservations_report={report}")
    plan: dict[str, Any] = json.loads(report.read_text())
    return {item["service"]: item["percent"] for item in plan["services"]}


def written(requests: list[dict[str, Any]]) -> list[str]:
    return [request["operation"] for request in requests if request["write"] and request["service"] != "s3"]


@pytest.fixture(scope="module")
def shown(site: Site, requests_log: Requests) -> tuple[Run, list[dict[str, Any]]]:
    """What reserve shows when no total was typed, and the requests it made."""
    mark = requests_log.mark()
    done = reserve()
    return done, requests_log.since(mark)


@pytest.fixture(scope="module")
def total(shown: tuple[Run, list[dict[str, Any]]]) -> str:
    """The total that was shown."""
    found = re.search(r"Total: (\d+\.\d\d) USD", shown[0].output)
    assert found, shown[0].output[-3000:]
    return found[1]


def test_the_plan_finds_nothing_covered(site: Site, tmp_path: Path) -> None:
    assert coverage(tmp_path) == {"ec2": 0.0, "rds": 0.0}
    assert "To close the gap" in run("make", "plan").output


def test_without_a_total_nothing_is_bought(shown: tuple[Run, list[dict[str, Any]]], total: str) -> None:
    done, requests = shown
    assert f"make reserve TOTAL={total}" in done.output
    assert [request for request in requests if request["write"]] == []
    assert done.recap()["localhost"]["changed"] == 0


def test_one_cent_off_is_refused(total: str, requests_log: Requests) -> None:
    mark = requests_log.mark()
    done = reserve(f"{float(total) - 0.01:.2f}", ok=False)
    assert done.returncode != 0
    assert "Nothing was bought" in done.output
    assert [request for request in requests_log.since(mark) if request["write"]] == []


def test_the_right_total_buys_what_was_shown_and_tags_it(total: str, requests_log: Requests) -> None:
    mark = requests_log.mark()
    done = reserve(total)
    assert sorted(name for name in written(requests_log.since(mark)) if name in PURCHASES) == sorted(PURCHASES)
    assert "ec2: 0.0 % covered before" in done.output
    session = lab_session()
    (instances,) = session.client("ec2", endpoint_url=ENDPOINT).describe_reserved_instances()["ReservedInstances"]
    assert {"Key": "freehold:environment", "Value": "lab"} in instances["Tags"]
    rds = session.client("rds", endpoint_url=ENDPOINT)
    (database,) = rds.describe_reserved_db_instances()["ReservedDBInstances"]
    tags = rds.list_tags_for_resource(ResourceName=database["ReservedDBInstanceArn"])["TagList"]
    assert {"Key": "freehold:environment", "Value": "lab"} in tags


def test_the_same_command_again_buys_nothing(total: str, requests_log: Requests) -> None:
    mark = requests_log.mark()
    done = reserve(total)
    assert [request for request in requests_log.since(mark) if request["write"]] == []
    assert done.recap()["localhost"]["changed"] == 0
    assert "No reservation is missing" in done.output


def test_all_is_covered_then_and_the_gate_is_open(total: str, tmp_path: Path) -> None:
    assert coverage(tmp_path) == {"ec2": 100.0, "rds": 100.0}
    done = run("ansible-playbook", "playbooks/provision.yml", "-e", "reservations_minimum_coverage=100")
    assert done.recap()["localhost"]["changed"] == 0


def test_what_is_owned_costs_what_was_paid_for_it(total: str, browser: Browser) -> None:
    """Our share of it, with what was paid at the start spread over its term; its page shows when it ends."""
    run("make", "plan")
    plan = json.loads((HERE / "plan.json").read_text())
    owned: dict[str, float] = {}
    for each in lab_session().client("ec2", endpoint_url=ENDPOINT).describe_reserved_instances()["ReservedInstances"]:
        hour = each["FixedPrice"] / (each["Duration"] / 3600) + sum(c["Amount"] for c in each["RecurringCharges"])
        owned[each["ReservedInstancesId"]] = hour * each["InstanceCount"]
    rds = lab_session().client("rds", endpoint_url=ENDPOINT)
    for item in rds.describe_reserved_db_instances()["ReservedDBInstances"]:
        charges = sum(c["RecurringChargeAmount"] for c in item["RecurringCharges"])
        hour = item["FixedPrice"] / (item["Duration"] / 3600) + charges
        owned[item["ReservedDBInstanceId"]] = hour * item["DBInstanceCount"]
    used = {item["id"]: item["used_by_us"] / item["units"] for item in plan["reservations"] if item["used_by_us"]}
    assert set(used) == set(owned)
    ours = sum(hour * used[name] for name, hour in owned.items())
    assert ours > 0
    assert plan["costs"]["today"]["reserved"] == pytest.approx(ours * MONTH, abs=0.01)
    assert plan["costs"]["today"]["open"] == pytest.approx(open_month(plan), abs=0.01)
    for width in (1200, 390):
        read_page(browser, plan, "light", width, ("month", "course", "coverage", "timeline"))
