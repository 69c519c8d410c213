# SPDX-License-Identifier: GPL-3.0-or-later
"""A stopped and started host comes back by itself."""

from __future__ import annotations

import pytest

from .conftest import ENDPOINT, Site, lab_session, run, until


@pytest.mark.parametrize("name", ["lab-worker-1", "lab-scheduler-1", "lab-webserver-1"])
def test_a_stopped_and_started_host_comes_back_by_itself(site: Site, name: str) -> None:
    ec2 = lab_session().client("ec2", endpoint_url=ENDPOINT)
    found = ec2.describe_instances(
        Filters=[{"Name": "tag:Name", "Values": [name]}, {"Name": "instance-state-name", "Values": ["running"]}]
    )
    instance = found["Reservations"][0]["Instances"][0]["InstanceId"]
    ec2.stop_instances(InstanceIds=[instance])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    ec2.start_instances(InstanceIds=[instance])
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    until("the entrance answers", lambda: _answers(site), 180)
    # The check a person would type: health of every part, and a run with a task on each worker host.
    verified = run("ansible-playbook", "playbooks/verify.yml", ok=False)
    assert verified.returncode == 0, verified.output[-4000:]


def _answers(site: Site) -> bool:
    try:
        return bool(site.http().request("GET", "/api/v2/version", retries=False).status == 200)
    except OSError:
        return False
