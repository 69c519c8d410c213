# SPDX-License-Identifier: GPL-3.0-or-later
"""Input that can't work is refused in one sentence which names the variable, before the first write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from .conftest import ENDPOINT, STATE, Requests, Run, Site, lab_session, run


def fleet(**changes: Any) -> dict[str, Any]:
    """Return a fleet of one host with all duties and ``changes`` to it."""
    host = {"name": "all", "duties": ["webserver", "scheduler", "worker"], "instance_type": "t3.large", "count": 1}
    return {"hosts_fleet": [{**host, "volume_gib": 20, **changes}]}


def provision(**variables: Any) -> Run:
    """Run the playbook as a user would who set ``variables``; it is expected to fail."""
    return run("ansible-playbook", "playbooks/provision.yml", "-e", json.dumps(variables), ok=False, timeout=120)


def sentence(done: Run) -> str:
    """Return what the failed run said, on one line."""
    return " ".join(done.output.partition("[ERROR]")[2].split() or done.output.split())


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    # name: (variables, the variable that must be named, words that must be said)
    "unknown instance type": (fleet(instance_type="t3.gigantic"), "hosts_fleet", "t3.gigantic"),
    "unknown duty": (fleet(duties=["webmaster"]), "hosts_fleet", "webmaster"),
    "no host of a duty": (fleet(duties=["webserver"]), "hosts_fleet", "scheduler"),
    "unknown database class": ({"database_instance_class": "db.t9.mega"}, "database_instance_class", "db.t9.mega"),
    "overlapping addresses": (
        {"environment_name": "other", "network_cidr": "10.20.128.0/17"},
        "network_cidr",
        "overlaps",
    ),
    "addresses that Docker needs": (
        {"environment_name": "other", "network_cidr": "172.17.0.0/16"},
        "network_cidr",
        "overlaps",
    ),
    "addresses that are none": ({"environment_name": "other", "network_cidr": "10.20.0.0/33"}, "network_cidr", "/33"),
    "too few addresses": (
        {"environment_name": "other", "network_cidr": "10.99.0.0/28"},
        "network_cidr",
        "10.99.0.0/28",
    ),
    "one zone": (
        {"environment_name": "other", "network_cidr": "10.99.0.0/16", "network_zones": ["eu-west-1a"]},
        "network_zones",
        "two",
    ),
    "unknown zone": (
        {
            "environment_name": "other",
            "network_cidr": "10.99.0.0/16",
            "network_zones": ["eu-west-1a", "eu-west-1q"],
        },
        "network_zones",
        "eu-west-1q",
    ),
    "a name longer than AWS allows": (
        {"environment_name": "an-environment-with-a-very-long-name", "network_cidr": "10.99.0.0/16"},
        "environment_name",
        "3 to 20",
    ),
    "a name that AWS does not take": (
        {"environment_name": "My_Env", "network_cidr": "10.99.0.0/16"},
        "environment_name",
        "lower-case",
    ),
    "nobody may enter": ({"network_client_cidrs": []}, "network_client_cidrs", "Nobody"),
    "a key file that is not there": (
        {"hosts_public_key_file": "/nowhere/key.pub"},
        "hosts_public_key_file",
        "/nowhere",
    ),
    "a requirements file that is not there": (
        {"image_requirements_file": "/nowhere/requirements.txt"},
        "image_requirements_file",
        "/nowhere",
    ),
    "a profile that is not there": (
        {"freehold_aws_connection": {"region": "eu-west-1", "profile": "nobody"}},
        "freehold_aws_connection",
        "nobody",
    ),
    "keys that AWS does not know": (
        {
            "freehold_aws_connection": {
                "region": "eu-west-1",
                "endpoint_url": ENDPOINT,
                "access_key": "AKIAAAAAAAAAAAAAAAAA",
                "secret_key": "x",
            }
        },
        "freehold_aws_connection",
        "does not know the access key AKIAAAAAAAAAAAAAAAAA",
    ),
    "a secret key of another": (
        {
            "freehold_aws_connection": {
                "region": "eu-west-1",
                "endpoint_url": ENDPOINT,
                "access_key": "AKIAIOSFODNN7EXAMPLE",
                "secret_key": "x",
            }
        },
        "freehold_aws_connection",
        "secret key",
    ),
    "half of a pair of keys": (
        {
            "freehold_aws_connection": {
                "region": "eu-west-1",
                "endpoint_url": ENDPOINT,
                "access_key": "AKIAIOSFODNN7EXAMPLE",
            }
        },
        "freehold_aws_connection",
        "secret_key",
    ),
    "an API that does not answer": (
        {
            "freehold_aws_connection": {
                "region": "eu-west-1",
                "endpoint_url": "http://127.0.0.1:9",
                "access_key": "a",
                "secret_key": "b",
            }
        },
        "freehold_aws_connection",
        "127.0.0.1:9",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_before_the_first_write(case: str, site: Site, requests_log: Requests) -> None:
    variables, name, words = CASES[case]
    mark = requests_log.mark()
    done = provision(**variables)
    assert done.returncode != 0
    assert name in sentence(done), done.output[-3000:]
    assert words in sentence(done), done.output[-3000:]
    assert "Traceback" not in done.output
    assert [request for request in requests_log.since(mark) if request["write"]] == []


@pytest.fixture
def ended_session() -> Iterator[dict[str, str]]:
    """The keys of a session that was good and has ended."""
    session = lab_session()
    iam, sts = (session.client(service, endpoint_url=ENDPOINT) for service in ("iam", "sts"))
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="yesterday", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    try:
        given = sts.assume_role(RoleArn=role, RoleSessionName="yesterday")["Credentials"]
        answer = urllib3.request(
            "POST",
            f"{ENDPOINT}/_lab/expired",
            json={"access_key": given["AccessKeyId"]},
            headers={"X-Freehold-Lab-Token": (STATE / "admin-token").read_text().strip()},
        )
        assert answer.status == 200, answer.data
        yield {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "session_token": given["SessionToken"],
        }
    finally:
        iam.delete_role(RoleName="yesterday")


def test_an_expired_session_is_named(site: Site, ended_session: dict[str, str], requests_log: Requests) -> None:
    connection = {"region": "eu-west-1", "endpoint_url": ENDPOINT, **ended_session}
    mark = requests_log.mark()
    done = provision(freehold_aws_connection=connection)
    assert done.returncode != 0
    for words in ("freehold_aws_connection", "has expired", "log in again"):
        assert words in sentence(done), done.output[-3000:]
    assert "Traceback" not in done.output
    assert [request for request in requests_log.since(mark) if request["write"]] == []


@pytest.mark.parametrize("playbook", ["site", "configure", "deploy", "verify", "dag_sync", "destroy", "password"])
def test_every_playbook_names_a_profile_that_is_not_there(site: Site, playbook: str, requests_log: Requests) -> None:
    variables = {"freehold_aws_connection": {"region": "eu-west-1", "profile": "nobody"}, "confirm": "lab"}
    mark = requests_log.mark()
    done = run("ansible-playbook", f"playbooks/{playbook}.yml", "-e", json.dumps(variables), ok=False, timeout=120)
    assert done.returncode != 0
    for words in ("freehold_aws_connection", "'nobody'"):
        assert words in sentence(done), done.output[-3000:]
    assert [request for request in requests_log.since(mark) if request["write"]] == []


def test_an_environment_name_that_two_vpcs_carry_is_refused(site: Site, requests_log: Requests) -> None:
    ec2 = lab_session().client("ec2", endpoint_url=ENDPOINT)
    tags: Any = [{"Key": "freehold:environment", "Value": "lab"}]
    second = ec2.create_vpc(CidrBlock="10.77.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}])["Vpc"]
    try:
        mark = requests_log.mark()
        done = provision()
        assert done.returncode != 0
        assert "environment_name" in sentence(done)
        assert [request for request in requests_log.since(mark) if request["write"]] == []
    finally:
        ec2.delete_vpc(VpcId=second["VpcId"])


def test_requirements_that_can_not_be_installed_touch_nothing(site: Site, tmp_path: Any) -> None:
    broken = tmp_path / "requirements.txt"
    broken.write_text("no-such-package-of-nobody==1.0\n")
    done = run(
        "ansible-playbook", "playbooks/provision.yml", "-e", f"image_requirements_file={broken}", ok=False, timeout=300
    )
    assert done.returncode != 0
    assert "image_requirements_file" in sentence(done), done.output[-3000:]
    assert "no-such-package-of-nobody" in sentence(done), done.output[-3000:]
    assert site.http().request("GET", "/api/v2/version").status == 200
