# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may reach and read what: the SSH configuration as ssh reads it, a host's first settings, the hosts' IAM roles."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
HOSTS = [
    {"name": "prod-worker-1", "private_ip": "10.20.0.7", "ssh_host_key": "ssh-ed25519 AAAAworker"},
    {"name": "prod-scheduler-1", "private_ip": "10.20.0.6", "ssh_host_key": "ssh-ed25519 AAAAscheduler"},
    {"name": "prod-new-1", "private_ip": "10.20.0.8", "ssh_host_key": ""},
]
FLEET = [
    {"name": "webserver", "duties": ["webserver"]},
    {"name": "rest", "duties": ["worker", "scheduler"]},
]
GIVEN = {
    "environment_name": "prod",
    "freehold_aws_connection": {"region": "eu-west-1", "profile": "the team's"},
    "access_hosts": HOSTS,
    "access_tunnel_seconds": 1800,
    "__access_program": "/opt/free hold/100%/instance_connect.py",
    "hosts_fleet": FLEET,
    "item": {"name": "prod-worker-1"},
    "__identity_caller": {"account": "111122223333", "arn": "arn:aws:iam::111122223333:user/me"},
    "network_vpc_id": "vpc-1",
    "network_host_subnets": [],
    "network_security_group_ids": {},
    "network_host_public": False,
    "identity_instance_profiles": {},
}
ROLES = ("access", "hosts", "identity")
TEMPLATES = [
    ("access", "ssh_config"),
    ("access", "known_hosts"),
    ("hosts", "user_data.yml"),
    ("identity", "roles.yml"),
]
Render = Callable[..., Path]


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory, play: Callable[..., None]) -> Render:
    """Give a function that writes the files with some variables and returns their folder."""

    def write(**variables: Any) -> Path:
        folder = tmp_path_factory.mktemp("rendered")
        tasks = []
        for role, name in TEMPLATES:
            template = f"{ROOT}/roles/{role}/templates/{name}.j2"
            content = f"{{{{ lookup('ansible.builtin.template', '{template}') }}}}"
            tasks.append(
                {"name": name, "ansible.builtin.copy": {"dest": f"{folder}/{name}", "content": content, "mode": "0600"}}
            )
        files = [ROOT / "roles" / role / part / "main.yml" for role in ROLES for part in ("defaults", "vars")]
        play(folder, tasks, files, **{**GIVEN, "access_directory": str(folder), **variables})
        return folder

    return write


@pytest.fixture(scope="module")
def rendered(render: Render) -> Path:
    """The files with the roles' own settings."""
    return render()


def ssh(folder: Path, host: str) -> dict[str, str]:
    """Return what ssh makes of the configuration for a host."""
    command = ["ssh", "-F", str(folder / "ssh_config"), "-G", host]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)


# ---- ssh ----------------------------------------------------------------------------------------------------


def test_a_host_is_reached_through_the_jump_program_and_only_with_its_own_key(rendered: Path) -> None:
    found = ssh(rendered, "prod-worker-1")
    assert found["hostname"] == "10.20.0.7"
    assert found["user"] == "admin"
    assert found["userknownhostsfile"] == f"{rendered}/known_hosts"
    assert found["stricthostkeychecking"] == "true"
    assert found["updatehostkeys"] == "false"
    words = found["proxycommand"]
    assert " -P '/opt/free hold/100%%/instance_connect.py' jump " in words
    assert f" --config {rendered}/ssh_config %h %p" in words
    assert (found["serveraliveinterval"], found["serveralivecountmax"]) == ("15", "4")


def test_every_host_has_its_address(rendered: Path) -> None:
    assert {host["name"]: ssh(rendered, host["name"])["hostname"] for host in HOSTS} == {
        host["name"]: host["private_ip"] for host in HOSTS
    }


def test_the_jump_goes_through_a_tunnel_of_limited_life_and_notices_a_host_that_is_gone(rendered: Path) -> None:
    found = ssh(rendered, "jump")
    words = found["proxycommand"]
    assert " tunnel --environment prod --region eu-west-1 --profile " in words
    # A quote within quotes, as a shell reads it.
    assert """ 'the team'"'"'s' """ in words
    assert " --max-seconds 1800 " in words
    assert words.endswith(f"--host %h --port %p 2>> {rendered}/jump.log")
    assert "--url" not in words and "--endpoint-url" not in words and "--credentials-file" not in words
    assert (found["serveraliveinterval"], found["serveralivecountmax"]) == ("5", "3")
    assert (found["controlpersist"], found["connecttimeout"]) == ("120", "15")


def test_the_keys_of_the_person_are_used_unless_one_is_named(rendered: Path, render: Render) -> None:
    assert ssh(rendered, "prod-worker-1")["identitiesonly"] == "no"
    named = render(access_private_key="/keys/100% mine", access_tunnel_url="ws://127.0.0.1:1", access_user="me")
    found = ssh(named, "prod-worker-1")
    assert (found["identitiesonly"], found["identityfile"], found["user"]) == ("yes", "/keys/100%% mine", "me")
    assert " --url ws://127.0.0.1:1 " in ssh(named, "jump")["proxycommand"]


def test_only_keys_that_aws_vouches_for_are_known(rendered: Path) -> None:
    lines = (rendered / "known_hosts").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "prod-scheduler-1,10.20.0.6 ssh-ed25519 AAAAscheduler",
        "prod-worker-1,10.20.0.7 ssh-ed25519 AAAAworker",
    ]


# ---- the first boot -----------------------------------------------------------------------------------------


def test_a_new_host_knows_its_name_and_lets_nobody_in_by_password(rendered: Path) -> None:
    text = (rendered / "user_data.yml").read_text()
    assert text.startswith("#cloud-config\n")
    assert yaml.safe_load(text) == {
        "hostname": "prod-worker-1",
        "fqdn": "prod-worker-1.prod.internal",
        "ssh_deletekeys": True,
        "ssh_genkeytypes": ["ed25519"],
        "ssh_pwauth": False,
        "disable_root": True,
    }


# ---- the hosts' IAM roles -----------------------------------------------------------------------------------


def policies(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the statements by role and name."""
    roles = yaml.safe_load((folder / "roles.yml").read_text())
    return {
        name: {statement.pop("Sid"): statement for statement in role["policy"]["Statement"]}
        for name, role in roles.items()
    }


def test_a_role_for_each_combination_of_duties_says_what_it_is_for(rendered: Path) -> None:
    roles = yaml.safe_load((rendered / "roles.yml").read_text())
    assert {name: role["description"] for name, role in roles.items()} == {
        "freehold-prod-webserver": "Hosts of the environment prod with the duty webserver",
        "freehold-prod-scheduler-worker": "Hosts of the environment prod with the duty scheduler, worker",
    }
    assert {(role["policy"]["Version"], str(role["managed_policies"])) for role in roles.values()} == {
        ("2012-10-17", "[]")
    }


def test_a_host_reads_the_secrets_of_its_duties_alone(rendered: Path) -> None:
    found = policies(rendered)
    secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:freehold/prod/"
    web = ("config/api_secret_key", "config/fernet_key", "config/jwt_secret", "config/sql_alchemy_conn")
    reads = found["freehold-prod-webserver"]["ReadSecrets"]
    assert (reads["Effect"], reads["Action"]) == ("Allow", ["secretsmanager:GetSecretValue"])
    assert reads["Resource"] == [f"{secret}{name}-??????" for name in (*web, "connections/*", "variables/*")]
    others = found["freehold-prod-scheduler-worker"]["ReadSecrets"]["Resource"]
    assert f"{secret}broker_password-??????" in others
    assert f"{secret}config/result_backend-??????" in others


@pytest.mark.parametrize("role", ["freehold-prod-webserver", "freehold-prod-scheduler-worker"])
def test_a_host_keeps_logs_below_their_prefix_and_pulls_one_image(rendered: Path, role: str) -> None:
    found = policies(rendered)[role]
    del found["ReadSecrets"]
    bucket = "arn:aws:s3:::freehold-prod-111122223333-logs"
    layers = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    repository = "arn:aws:ecr:eu-west-1:111122223333:repository/freehold-prod/airflow"
    assert found == {
        # Without a condition: Airflow asks for a log by its name, and only so is "not there" an answer.
        "FindTaskLogs": {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [bucket]},
        "KeepTaskLogs": {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [f"{bucket}/logs/*"],
        },
        "PullImage": {"Effect": "Allow", "Action": layers, "Resource": [repository]},
        "LogInToRegistry": {"Effect": "Allow", "Action": ["ecr:GetAuthorizationToken"], "Resource": ["*"]},
    }


def test_what_an_organisation_demands_is_on_every_role(render: Render) -> None:
    arn = "arn:aws-us-gov:iam::aws:policy/Seen"
    caller = {"account": "111122223333", "arn": "arn:aws-us-gov:iam::111122223333:user/me"}
    roles = yaml.safe_load(
        (render(identity_managed_policies=[arn], __identity_caller=caller) / "roles.yml").read_text()
    )
    assert [role["managed_policies"] for role in roles.values()] == [[arn], [arn]]
    resources = {one for role in roles.values() for part in role["policy"]["Statement"] for one in part["Resource"]}
    assert all(one == "*" or one.startswith("arn:aws-us-gov:") for one in resources)
