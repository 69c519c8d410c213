# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles on hosts say where a host, its system or its database can't be used: a sentence that names a variable."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import playbooks
from tests.playbooks import HERE


class Plays:
    """Plays of one task on hosts that need no inventory file."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.programs = tmp_path / "bin"
        self.programs.mkdir()

    def run(self, role: str, entry: str, hosts: dict[str, dict[str, Any]], **variables: Any) -> tuple[int, list[str]]:
        """Run an entry point of a role; return the exit status and what each refusal said."""
        inventory = self.path / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
        include = {"name": f"freehold.airflow.{role}", "tasks_from": entry}
        after = {"name": "Go on", "ansible.builtin.debug": {"msg": "went on"}}
        tasks = [{"name": "Include the role", "ansible.builtin.include_role": include}, after]
        play = {"hosts": "all", "vars": variables, "tasks": tasks}
        programs = f"{self.programs}:{os.environ['PATH']}"
        done = playbooks.run(self.path, play, inventory=inventory, PATH=programs, HOME=str(self.path))
        refusals = [line for line in done.stdout.splitlines() if "Action failed: " in line]
        assert "went on" not in done.stdout or done.returncode == 0
        return done.returncode, [line.partition("Action failed: ")[2] for line in refusals]


@pytest.fixture
def plays(tmp_path: Path) -> Plays:
    return Plays(tmp_path)


DIGEST = "registry/airflow@sha256:" + "0" * 64
# What Ansible sets where a role is included by another one.
PARENT = {"ansible_parent_role_names": ["worker"]}

# ---- hosts that can't pull ----------------------------------------------------------------------------------


def test_a_host_that_can_not_pull_the_image_ends_the_run(plays: Plays) -> None:
    docker = plays.programs / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    code, said = plays.run("component", "image", {"host": HERE}, component_image="registry/airflow@sha256:0")
    assert code != 0
    docker.write_text("#!/bin/sh\nexec test $2 = pull\n")
    code, said = plays.run("component", "image", {"host": HERE}, component_image="registry/airflow@sha256:0")
    assert (code, said) == (0, [])


# ---- settings that can't work ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "variables", "words"),
    [
        ("valkey", {"valkey_password_sha256": "secret"}, "valkey_password_sha256 must be the SHA-256"),
        ("component", {"component_image": DIGEST}, "component is an internal role and cannot be invoked directly."),
        (
            "component",
            {"component_image": "registry/airflow:3", **PARENT},
            "component_image (registry/airflow:3) is not pinned",
        ),
    ],
)
def test_settings_that_can_not_work_are_refused(plays: Plays, role: str, variables: dict[str, Any], words: str) -> None:
    code, [said] = plays.run(role, "preflight", {"host": HERE}, **variables)
    assert code != 0
    assert said.startswith(words)


@pytest.mark.parametrize(
    "variables",
    [
        {"component_image": DIGEST},
        # As `-e` gives a switch.
        {"component_image": "registry/airflow:3", "component_allow_image_tag": "true"},
    ],
)
def test_an_image_that_nobody_can_move_is_taken(plays: Plays, variables: dict[str, Any]) -> None:
    code, said = plays.run("component", "preflight", {"host": HERE}, **variables, **PARENT)
    assert (code, said) == (0, [])


# ---- hosts that can't be reached ------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """A port at which connections are taken and nothing is ever said."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port at which nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_a_host_that_never_answers_ends_the_run_for_all(plays: Plays, silent: int, closed: int) -> None:
    patience = {"ansible_ssh_timeout": 2, "ansible_ssh_retries": 1}
    code, said = plays.run(
        "access",
        "look",
        {
            "good": HERE,
            "paused": {"ansible_host": "127.0.0.1", "ansible_port": silent, **patience},
            "deaf": {"ansible_host": "127.0.0.1", "ansible_port": closed, **patience},
        },
    )
    assert code != 0
    paused, deaf = sorted(said, key=lambda line: line.startswith("deaf"))
    assert paused.startswith("paused (127.0.0.1) can't be reached: Connection timed out")
    assert deaf.startswith("deaf (127.0.0.1) can't be reached: ssh: connect to host 127.0.0.1")
    for words in ("2 x 2 seconds", "ansible_ssh_timeout"):
        assert words in paused
        assert words in deaf


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("admin@10.20.0.9: Permission denied (publickey).", "access_private_key"),
        ("Host key verification failed.", "playbooks/provision.yml"),
        (
            "freehold: There is no usable EC2 Instance Connect Endpoint.",
            "no usable EC2 Instance Connect Endpoint. It was given",
        ),
    ],
)
def test_what_ssh_says_decides_the_advice(plays: Plays, words: str, advice: str) -> None:
    ssh = plays.programs / "ssh"
    ssh.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 255\n")
    ssh.chmod(0o755)
    code, [said] = plays.run("access", "look", {"host": {"ansible_host": "10.20.0.9"}})
    assert code != 0
    assert said.startswith("host (10.20.0.9) can't be reached: ")
    assert words in said
    assert advice in said


def test_hosts_that_answer_are_left_alone(plays: Plays) -> None:
    assert plays.run("access", "look", {"good": HERE, "too": HERE}) == (0, [])


# ---- another operating system ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "version"), [("Ubuntu", "24.04"), ("Debian", "12.11"), ("Amazon", "2023"), ("RedHat", "10.0")]
)
def test_another_operating_system_is_refused(plays: Plays, distribution: str, version: str) -> None:
    facts = {"distribution": distribution, "distribution_version": version}
    facts["distribution_major_version"] = version.partition(".")[0]
    code, [said] = plays.run("docker", "preflight", {"host": HERE}, ansible_facts=facts)
    assert code != 0
    for words in (f"host runs {distribution} {version}", "Debian 13", "hosts_image_name"):
        assert words in said


# ---- a database that refuses ----------------------------------------------------------------------------

SERVER = 'connection to server at "freehold-lab.eu-west-1.rds.amazonaws.com" (10.20.130.4), port 5432 failed: '
REFUSALS = {
    # what PostgreSQL or libpq says: what the advice names
    f'{SERVER}FATAL:  password authentication failed for user "airflow"': "database_password_secret",
    f'{SERVER}FATAL:  permission denied for database "airflow"': "secrets_database_user",
    f'{SERVER}FATAL:  database "airflow" does not exist': "secrets_database_name",
    f"{SERVER}SSL error: certificate verify failed": "component_database_environment",
    f"{SERVER}timeout expired": "database_security_group_ids",
    f"{SERVER}Connection refused": "database_security_group_ids",
    'could not translate host name "gone.invalid" to address: Name or service not known': "secrets_database_host",
}
COMPONENT = {
    "ansible_facts": {},
    "component_image": "airflow@sha256:" + "0" * 64,
    "component_region": "eu-west-1",
    "component_secrets_prefix": "freehold/lab",
    "component_base_url": "https://airflow.example.com",
    "component_execution_api_url": "http://api-server.lab.internal:8080/execution/",
    "migrate_admin_secret": "freehold/lab/admin_password",
    "migrate_verification_secret": "freehold/lab/verification_password",
}


def docker_that_says(plays: Plays, words: str, code: int) -> None:
    """Put a docker on the path whose containers print ``words`` and end with ``code``, and note that they ran."""
    (plays.path / "words").write_text(words)
    docker = plays.programs / "docker"
    docker.write_text(f'#!/bin/sh\necho run >>"{plays.path}/runs"\ncat "{plays.path}/words" >&2\nexit {code}\n')
    docker.chmod(0o755)


@pytest.mark.parametrize(("words", "variable"), REFUSALS.items(), ids=REFUSALS.values())
def test_a_database_that_refuses_is_one_sentence_and_nothing_is_migrated(
    plays: Plays, words: str, variable: str
) -> None:
    traceback = (
        f"Traceback (most recent call last):\npsycopg2.OperationalError: {words}\n\nThe above exception was the direct"
        f" cause of the following exception:\n\nsqlalchemy.exc.OperationalError: (psycopg2.OperationalError) {words}\n"
        "\tIs the server running on that host?\n\n(Background on this error at: https://sqlalche.me/e/20/e3q8)\n"
    )
    docker_that_says(plays, traceback, 1)
    code, [said] = plays.run("migrate", "main", {"host": HERE}, **COMPONENT)
    assert code != 0
    assert said.startswith("Airflow's database does not let host in: ")
    assert " ".join(words.split()) in said
    assert variable in said
    assert (plays.path / "runs").read_text().splitlines() == ["run"]


def test_what_else_goes_wrong_is_told_in_its_own_words(plays: Plays) -> None:
    docker_that_says(plays, "freehold_airflow.users: the secret x has no string value\n", 1)
    code, [said] = plays.run("migrate", "main", {"host": HERE}, **COMPONENT)
    assert code != 0
    assert said == "freehold_airflow.users: the secret x has no string value"


def test_another_schema_is_not_a_refusal(plays: Plays) -> None:
    docker_that_says(plays, "There are still unapplied migrations after 1 seconds.\n", 3)
    code, said = plays.run("migrate", "main", {"host": HERE}, **COMPONENT)
    # The migration itself fails with this docker, in Ansible's own words.
    assert (code, said) == (2, [])
    assert len((plays.path / "runs").read_text().splitlines()) == 2
