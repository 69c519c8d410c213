# SPDX-License-Identifier: GPL-3.0-or-later
"""Where AWS can't be asked, every playbook ends in one sentence that names freehold_aws_connection, writing nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.provisioning.conftest import ACCESS_KEY, REGION, SECRET_KEY, Api, Run

PLAYBOOKS = ["site", "provision", "configure", "deploy", "verify", "dag_sync", "destroy", "password", "reserve"]
EVERYBODY = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}]}


def sentence(run: Run) -> str:
    """What the failed task said."""
    assert run.code != 0, run.output
    said = run.output.partition("[ERROR]: ")[2].splitlines()
    assert said, run.output
    return said[0]


def connection(api: Api, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY, **more: str) -> dict[str, str]:
    keys = {"access_key": access_key, "secret_key": secret_key}
    return {"region": REGION, "endpoint_url": f"http://127.0.0.1:{api.port}", **keys, **more}


def with_a_profile(api: Api) -> dict[str, str]:
    return {"region": REGION, "profile": "nobody"}


def with_a_key_of_nobody(api: Api) -> dict[str, str]:
    return connection(api, access_key="AKIAZZZZZZZZZZZZZZZZ")


def with_the_secret_of_another_key(api: Api) -> dict[str, str]:
    return connection(api, secret_key="another")


def with_half_a_pair(api: Api) -> dict[str, str]:
    return connection(api, secret_key="")


def with_a_profile_and_keys(api: Api) -> dict[str, str]:
    return connection(api, profile="nobody")


def with_an_endpoint_that_is_none(api: Api) -> dict[str, str]:
    return {**connection(api), "endpoint_url": "nowhere"}


def with_nobody_at_the_endpoint(api: Api) -> dict[str, str]:
    return {**connection(api), "endpoint_url": "http://127.0.0.1:9"}


def with_a_session_that_has_ended(api: Api) -> dict[str, str]:
    role = api.client("iam").create_role(RoleName="operator", AssumeRolePolicyDocument=json.dumps(EVERYBODY))["Role"]
    session = api.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="monday")["Credentials"]
    api.admin("expired", {"access_key": session["AccessKeyId"]})
    return connection(api, session["AccessKeyId"], session["SecretAccessKey"], session_token=session["SessionToken"])


def with_a_user_who_may_nothing(api: Api) -> dict[str, str]:
    api.client("iam").create_user(UserName="guest")
    key = api.client("iam").create_access_key(UserName="guest")["AccessKey"]
    return connection(api, key["AccessKeyId"], key["SecretAccessKey"])


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_every_playbook_names_the_profile_that_is_not_there(api: Api, name: str) -> None:
    run = api.playbook(name, "-e", "confirm=lab", freehold_aws_connection=with_a_profile(api))
    said = sentence(run)
    assert "'nobody'" in said
    assert "freehold_aws_connection" in said
    assert "Traceback" not in run.output
    assert run.requests == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (with_a_key_of_nobody, ["does not know the access key AKIAZZZZZZZZZZZZZZZZ"]),
        (with_the_secret_of_another_key, ["secret key", ACCESS_KEY]),
        (with_half_a_pair, ["half", "secret_key"]),
        (with_a_profile_and_keys, ["'nobody'", "AWS_PROFILE"]),
        (with_an_endpoint_that_is_none, ["nowhere"]),
        (with_nobody_at_the_endpoint, ["can't be reached", "127.0.0.1:9"]),
        (with_a_session_that_has_ended, ["session", "has expired", "log in again"]),
        (with_a_user_who_may_nothing, ["permissions", "user/guest", "ec2:DescribeVpcs"]),
    ],
)
def test_a_connection_that_can_not_work_is_refused(
    api: Api, make: Callable[[Api], dict[str, str]], words: list[str]
) -> None:
    given = make(api)
    run = api.playbook("provision", freehold_aws_connection=given)
    said = sentence(run)
    for word in ["freehold_aws_connection", *words]:
        assert word in said
    assert "Traceback" not in run.output
    assert run.writes == []


@pytest.fixture(scope="module")
def host(api: Api) -> str:
    """A host of the environment 'lab' that runs."""
    tags = [{"Key": "freehold:environment", "Value": "lab"}, {"Key": "Name", "Value": "lab-all-1"}]
    image = api.client("ec2").describe_images(Owners=["136693071363"])["Images"][0]
    size = "t4g.small" if image["Architecture"] == "arm64" else "t3.small"
    api.client("ec2").run_instances(
        ImageId=image["ImageId"],
        InstanceType=size,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    api.client("ec2").get_waiter("instance_running").wait(WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    return "lab-all-1"


def find(api: Api, tmp_path: Path, **more: Any) -> Run:
    """Run the role ``environment`` with an inventory like inventories/example, changed by ``more``."""
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text("all: {hosts: {localhost: {}}}\n")
    plugin: dict[str, Any] = {
        "plugin": "amazon.aws.aws_ec2",
        "regions": [REGION],
        **{key: value for key, value in connection(api).items() if key != "region"},
        "hostnames": ["tag:Name"],
    }
    (folder / "aws_ec2.yml").write_text(yaml.safe_dump({**plugin, **more}))
    return api.run([api.play(["environment"])], "-i", str(folder))


def test_an_inventory_that_sees_the_hosts_is_used(api: Api, host: str, tmp_path: Path) -> None:
    run = find(api, tmp_path)
    assert run.code == 0, run.output


def test_an_environment_that_is_not_there_is_refused(api: Api) -> None:
    said = sentence(api.run([api.play(["environment"], environment_name="nowhere")]))
    assert f"There is no environment 'nowhere' in {REGION}; run site.yml first" in said
    assert "environment_name" in said


@pytest.mark.parametrize("mistake", [{"secret_key": "another"}, {"regions": ["eu-central-1"]}])
def test_an_inventory_that_does_not_see_the_hosts_is_refused(
    api: Api, host: str, tmp_path: Path, mistake: dict[str, Any]
) -> None:
    said = sentence(find(api, tmp_path, **mistake))
    assert host in said
    assert "aws_ec2.yml" in said
    assert "freehold_aws_connection" in said
