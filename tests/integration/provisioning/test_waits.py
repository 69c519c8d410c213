# SPDX-License-Identifier: GPL-3.0-or-later
"""Where AWS takes longer than the wait that was set, one sentence says so and names the variable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.provisioning.conftest import Api, running

STEPS = ["network", "dns/zones", "certificate", "load_balancer", "identity", "hosts"]
HOSTS = "lab-scheduler-1, lab-webserver-1, lab-worker-1, lab-worker-2"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An account where everything has begun, and takes ten times as long as at AWS."""
    with running(tmp_path_factory.mktemp("slow"), LAB_AWS_DELAYS="10") as found:
        run = found.run([found.play([*(f"{step}/preflight" for step in STEPS if "/" not in step), *STEPS])])
        assert run.code == 0, run.output
        yield found


@pytest.mark.parametrize(
    ("steps", "variables", "words"),
    [
        (
            ["hosts/await"],
            {"hosts_wait_timeout": 6},
            [f"{HOSTS} did not run within 6 seconds", "raise hosts_wait_timeout"],
        ),
        (
            ["load_balancer/await"],
            {"load_balancer_targets": [], "load_balancer_wait_timeout": 5},
            ["lab-airflow is provisioning after 5 seconds: raise load_balancer_wait_timeout."],
        ),
        (
            ["network/preflight", "network/await"],
            {"network_wait_timeout": 5},
            ["A NAT gateway of vpc-", "is still pending after 5 seconds: raise network_wait_timeout."],
        ),
    ],
)
def test_a_wait_that_ends_is_told_in_a_sentence(
    slow: Api, steps: list[str], variables: dict[str, Any], words: list[str]
) -> None:
    run = slow.run([slow.play(steps, **variables)])
    assert run.code != 0
    said = run.output.partition("[ERROR]: ")[2].splitlines()[0]
    for word in words:
        assert word in said
    assert "Traceback" not in run.output
    assert run.writes == []


def test_what_aws_refuses_is_told_in_its_own_words(slow: Api) -> None:
    iam = slow.client("iam")
    iam.create_user(UserName="blind")
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "elasticloadbalancing:DescribeLoadBalancers", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})
    iam.put_user_policy(UserName="blind", PolicyName="blind", PolicyDocument=policy)
    key = iam.create_access_key(UserName="blind")["AccessKey"]
    blind = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    connection = {**slow.variables()["freehold_aws_connection"], **blind}
    run = slow.run([slow.play(["load_balancer/await"], load_balancer_targets=[], freehold_aws_connection=connection)])
    assert run.code != 0
    said = run.output.partition("[ERROR]: ")[2].splitlines()[0]
    assert "elasticloadbalancing:DescribeLoadBalancers" in said


# From here on they are broken.


def test_a_load_balancer_that_failed_is_not_waited_for(slow: Api) -> None:
    [balancer] = slow.client("elbv2").describe_load_balancers()["LoadBalancers"]
    slow.admin("observed", {"load_balancers": {balancer["LoadBalancerArn"]: {"state": "failed"}}})
    run = slow.run([slow.play(["load_balancer/await"], load_balancer_targets=[])])
    assert run.code != 0
    assert "lab-airflow is failed (no reason is given): delete it and run again." in run.output


def test_a_nat_gateway_that_is_gone_is_told_in_a_sentence(slow: Api) -> None:
    ec2 = slow.client("ec2")
    [gateway] = ec2.describe_nat_gateways()["NatGateways"]
    ec2.delete_nat_gateway(NatGatewayId=gateway["NatGatewayId"])
    run = slow.run([slow.play(["network/preflight", "network/await"])])
    assert run.code != 0
    assert f"A NAT gateway of {gateway['VpcId']} failed or was deleted" in run.output
    assert "network_nat" in run.output
    assert run.writes == []
