# SPDX-License-Identifier: GPL-3.0-or-later
"""What a workflow may do in an account, asked with the credentials that GitHub's token gets it there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
import yaml
from ansible_collections.freehold.airflow.plugins.filter.ssh_public_key import ssh_public_key
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.api.iam.policy import Question, Verdict, judge
from tests.integration.provisioning.conftest import REGION, ROOT, Api, Run

REPOSITORIES = [{"repository": "acme/dags", "owner_id": 1, "repository_id": 2}]
ROLE = "arn:aws:iam::123456789012:role/freehold/lab/lab-dag-sync"
SUBJECT = "repo:acme/dags:environment:lab"
HOSTS = [f"{part}/preflight" for part in ("network", "identity", "hosts")] + ["network", "identity", "hosts"]


def provision(api: Api, *arguments: str, repositories: list[dict[str, Any]] = REPOSITORIES, **more: Any) -> Run:
    steps = ["ci_access/preflight", "ci_access"]
    given: dict[str, Any] = {"ci_access_repositories": repositories, "ci_access_host_cidr": "10.20.0.0/16"}
    run = api.run([api.play(steps, **given, ci_access_provider_tags={"purpose": "github"}, **more)], *arguments)
    assert run.code == 0, run.output
    return run


def assume(api: Api, subject: str = SUBJECT, role: str = ROLE) -> dict[str, str]:
    """Be a job of GitHub: get a token for the subject, and the role for the token."""
    token = api.admin("identity-token", {"sub": subject, "aud": "sts.amazonaws.com"})["value"]
    sts = boto3.client(
        "sts",
        region_name=REGION,
        endpoint_url=f"http://127.0.0.1:{api.port}",
        config=Config(signature_version=botocore.UNSIGNED),
    )
    got = sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="job", WebIdentityToken=token)["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": got["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": got["SecretAccessKey"],
        "AWS_SESSION_TOKEN": got["SessionToken"],
    }


def as_workflow(api: Api, service: str) -> Any:
    """A client with the workflow's credentials."""
    given = assume(api)
    return boto3.client(  # type: ignore[call-overload]
        service,
        region_name=REGION,
        endpoint_url=f"http://127.0.0.1:{api.port}",
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=given["AWS_SESSION_TOKEN"],
    )


def denied(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


def test_without_repositories_nothing_is_made(api: Api) -> None:
    run = provision(api, repositories=[])
    assert (run.changed, run.writes) == (0, [])


def test_check_mode_shows_whom_it_would_trust_and_makes_nothing(api: Api) -> None:
    run = provision(api, "--check", "--diff")
    assert run.writes == []
    for word in (SUBJECT, "repo:acme@1/dags@2:environment:lab", "ec2-instance-connect:OpenTunnel"):
        assert word in run.output


def test_the_access_is_made_once(api: Api) -> None:
    assert provision(api).changed == 3
    again = provision(api)
    assert (again.changed, again.writes) == (0, [])
    assert f"FREEHOLD_ROLE_ARN={ROLE}" in again.output


@pytest.mark.parametrize("subject", [SUBJECT, "repo:acme@1/dags@2:environment:lab"])
def test_a_job_in_the_environment_gets_the_role_in_both_forms_of_its_name(api: Api, subject: str) -> None:
    assert assume(api, subject)["AWS_SESSION_TOKEN"]


@pytest.mark.parametrize(
    "subject",
    [
        "repo:acme/dags:ref:refs/heads/main",
        "repo:acme/dags:pull_request",
        "repo:acme/dags:environment:other",
        "repo:acme/dags2:environment:lab",
        "repo:acme@3/dags@2:environment:lab",
    ],
)
def test_any_other_job_gets_nothing(api: Api, subject: str) -> None:
    with pytest.raises(ClientError, match="Not authorized to perform sts:AssumeRoleWithWebIdentity"):
        assume(api, subject)


def test_the_key_can_be_read_and_no_secret_of_airflow(api: Api) -> None:
    secrets = as_workflow(api, "secretsmanager")
    private = secrets.get_secret_value(SecretId="freehold/lab/ci_ssh_key")["SecretString"]
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    api.client("secretsmanager").create_secret(Name="freehold/lab/admin_password", SecretString="no")
    for name in ("freehold/lab/admin_password", "freehold/lab/config/fernet_key"):
        assert denied(secrets.get_secret_value, SecretId=name) == "AccessDeniedException"
    other = {"SecretId": "freehold/lab/ci_ssh_key", "SecretString": "mine"}
    assert denied(secrets.put_secret_value, **other) == "AccessDeniedException"


def test_the_hosts_get_the_public_half_of_that_key(api: Api) -> None:
    play = api.play(["ci_access/public_key"], ci_access_repositories=REPOSITORIES)
    note = {"content": "{{ ci_access_public_key }}", "dest": str(api.home / "public_key"), "mode": "0600"}
    play["tasks"].append({"name": "Note it", "ansible.builtin.copy": note})
    run = api.run([play])
    assert run.code == 0, run.output
    private = api.client("secretsmanager").get_secret_value(SecretId="freehold/lab/ci_ssh_key")["SecretString"]
    assert (api.home / "public_key").read_text() == ssh_public_key(private)
    assert private not in run.output


@pytest.mark.parametrize("given", [{}, {"environment_name": "keyless", "ci_access_repositories": REPOSITORIES}])
def test_where_there_is_no_key_the_hosts_get_none(api: Api, given: dict[str, Any]) -> None:
    play = api.play(["ci_access/public_key"], **given)
    check = {"that": "ci_access_public_key == ''"}
    play["tasks"].append({"name": "There is none", "ansible.builtin.assert": check})
    run = api.run([play])
    assert run.code == 0, run.output


def test_nothing_can_be_changed(api: Api) -> None:
    assert denied(as_workflow(api, "ec2").create_vpc, CidrBlock="10.9.0.0/16") == "UnauthorizedOperation"
    iam = as_workflow(api, "iam")
    assert denied(iam.put_role_policy, RoleName="lab-dag-sync", PolicyName="p", PolicyDocument="{}") == "AccessDenied"
    assert denied(iam.get_role, RoleName="lab-dag-sync") == "AccessDenied"


def test_the_first_play_of_the_sync_works_with_the_roles_permissions(api: Api, tmp_path: Path) -> None:
    """Inventory, role environment and role access, asked with nothing but the temporary credentials."""
    made = api.run([api.play(HOSTS)])
    assert made.code == 0, made.output
    source = yaml.safe_load((ROOT / "inventories" / "lab" / "aws_ec2.yml").read_text())
    source = {key: value for key, value in source.items() if key not in ("access_key", "secret_key")}
    source["endpoint_url"] = f"http://127.0.0.1:{api.port}"
    (tmp_path / "aws_ec2.yml").write_text(yaml.safe_dump(source))
    variables = {
        key: value
        for key, value in api.variables().items()
        if key not in ("ansible_connection", "ansible_python_interpreter")
    }
    variables["freehold_aws_connection"] = {"region": REGION, "endpoint_url": f"http://127.0.0.1:{api.port}"}
    variables["access_directory"] = str(tmp_path / "access")
    variables["access_hosts"] = "{{ environment_resources.instances | selectattr('private_ip') }}"
    (tmp_path / "hosts.yml").write_text(
        yaml.safe_dump(
            {
                "all": {
                    "hosts": {
                        "localhost": {
                            "ansible_connection": "local",
                            "ansible_python_interpreter": sys.executable,
                        }
                    },
                    "vars": variables,
                }
            }
        )
    )
    find = yaml.safe_load((ROOT / "playbooks" / "find.yml").read_text())
    (tmp_path / "play.yml").write_text(yaml.safe_dump(find))
    before = len(api.logged())
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    credentials = assume(api)
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path, tmp_path / "play.yml"],
        cwd=ROOT,
        env={**environment, **credentials, "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [request for request in api.logged()[before:] if request["operation"] != "AssumeRoleWithWebIdentity"]
    assert {request["access_key"] for request in asked} == {credentials["AWS_ACCESS_KEY_ID"]}
    assert [request for request in asked if request["error"] == "AccessDenied" or request["status"] == 403] == []
    assert "lab-worker-2" in (tmp_path / "access" / "ssh_config").read_text()


def test_no_permission_to_find_something_is_more_than_the_sync_needs(api: Api) -> None:
    document = api.client("iam").get_role_policy(RoleName="lab-dag-sync", PolicyName="freehold")["PolicyDocument"]
    allowed = {action for entry in document["Statement"] for action in entry["Action"]}
    asked = {
        f"{request['service']}:{request['operation']}".replace("s3:ListBuckets", "s3:ListAllMyBuckets")
        for request in api.logged()
        if (request["access_key"] or "").startswith("ASIA") and request["status"] < 400
    }
    # Tags of what this environment lacks, and what ssh asks for once it connects.
    assert allowed - asked == {
        "acm:ListTagsForCertificate",
        "ec2-instance-connect:OpenTunnel",
        "ec2:DescribeInstanceConnectEndpoints",
        "ecr:ListTagsForResource",
        "elasticache:ListTagsForResource",
        "elasticloadbalancing:DescribeTags",
        "s3:GetBucketTagging",
    }


TUNNEL = {
    "aws:ResourceTag/freehold:environment": "lab",
    "ec2-instance-connect:remotePort": "22",
    "ec2-instance-connect:privateIpAddress": "10.20.128.6",
    "ec2-instance-connect:maxTunnelDuration": "3600",
}


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ({}, Verdict.ALLOWED),
        ({"aws:ResourceTag/freehold:environment": "other"}, Verdict.NOT_MENTIONED),
        ({"ec2-instance-connect:remotePort": "3389"}, Verdict.NOT_MENTIONED),
        ({"ec2-instance-connect:privateIpAddress": "10.21.0.6"}, Verdict.NOT_MENTIONED),
        ({"ec2-instance-connect:maxTunnelDuration": "3601"}, Verdict.NOT_MENTIONED),
    ],
)
def test_a_tunnel_leads_to_ssh_on_the_environments_own_hosts_alone(
    api: Api, other: dict[str, str], verdict: Verdict
) -> None:
    """Judged by the keys that AWS documents for this action, as the lab's tunnel service does."""
    document = api.client("iam").get_role_policy(RoleName="lab-dag-sync", PolicyName="freehold")["PolicyDocument"]
    endpoint = f"arn:aws:ec2:{REGION}:123456789012:instance-connect-endpoint/eice-0123456789abcdef0"
    question = Question("ec2-instance-connect:OpenTunnel", endpoint, {**TUNNEL, **other})
    assert judge([document], question) is verdict


def test_without_repositories_the_role_goes_again(api: Api) -> None:
    run = provision(api, repositories=[])
    assert run.writes == ["iam:DeleteRolePolicy", "iam:DeleteRole"]
    with pytest.raises(ClientError, match="Not authorized"):
        assume(api)


def test_the_environments_removal_finds_the_role(api: Api) -> None:
    provision(api)
    role = api.client("iam").get_role(RoleName="lab-dag-sync")["Role"]
    assert role["Path"] == "/freehold/lab/"
    assert {"Key": "freehold:environment", "Value": "lab"} in role["Tags"]
    assert role["MaxSessionDuration"] == 3600
    assert json.dumps(role["AssumeRolePolicyDocument"]).count("*") == 0


def test_what_stays_in_the_account_says_what_it_is(api: Api) -> None:
    provision(api)
    key = api.client("secretsmanager").describe_secret(SecretId="freehold/lab/ci_ssh_key")
    assert key["Description"] == "Logs the DAG workflow in to the hosts"
    iam = api.client("iam")
    [provider] = [each["Arn"] for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
    tags = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=provider)["Tags"]
    assert tags == [{"Key": "purpose", "Value": "github"}]
