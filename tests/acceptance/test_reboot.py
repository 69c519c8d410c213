# SPDX-License-Identifier: GPL-3.0-or-later
"""A stopped and started host comes back by itself, and the logs of its tasks can be read while it is away."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from .conftest import ENDPOINT, Site, lab_session, run, until


@pytest.mark.parametrize("name", ["lab-scheduler-1", "lab-webserver-1"])
def test_a_stopped_and_started_host_comes_back_by_itself(site: Site, name: str) -> None:
    with stopped(name):
        pass
    _is_whole_again(site)


def test_the_logs_of_a_worker_host_that_is_gone_are_shown(site: Site) -> None:
    name = "lab-worker-1"
    with stopped(name):
        runs = site.api("GET", "dags/freehold_smoke/dagRuns?state=success&order_by=-end_date&limit=1")["dag_runs"]
        path = f"dags/freehold_smoke/dagRuns/{quote(runs[0]['dag_run_id'])}/taskInstances"
        tasks = [task for task in site.api("GET", path)["task_instances"] if name in task["hostname"]]
        assert tasks
        for task in tasks:
            log = site.api("GET", f"{path}/{task['task_id']}/logs/{task['try_number']}")
            assert "Answered on" in json.dumps(log["content"]), log
    _is_whole_again(site)


@contextlib.contextmanager
def stopped(name: str) -> Iterator[None]:
    """Stop a host, and start it when the context ends."""
    ec2 = lab_session().client("ec2", endpoint_url=ENDPOINT)
    found = ec2.describe_instances(
        Filters=[{"Name": "tag:Name", "Values": [name]}, {"Name": "instance-state-name", "Values": ["running"]}]
    )
    instance = found["Reservations"][0]["Instances"][0]["InstanceId"]
    ec2.stop_instances(InstanceIds=[instance])
    try:
        ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        yield
    finally:
        ec2.start_instances(InstanceIds=[instance])
        ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 120})


def _is_whole_again(site: Site) -> None:
    until("the entrance answers", lambda: _answers(site), 180)
    # The check a person would type: health of every part, and a run with a task on each worker host.
    verified = run("ansible-playbook", "playbooks/verify.yml", ok=False)
    assert verified.returncode == 0, verified.output[-4000:]


def _answers(site: Site) -> bool:
    try:
        return bool(site.http().request("GET", "/api/v2/version", retries=False).status == 200)
    except OSError:
        return False
