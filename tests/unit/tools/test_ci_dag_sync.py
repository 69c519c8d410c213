# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that the workflow runs: the key is in an agent while Ansible runs, and nowhere afterwards."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from ansible_collections.freehold.airflow.plugins.filter.ssh_public_key import ssh_public_key
from ansible_collections.freehold.airflow.plugins.module_utils._secretsmanager.values import generate
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).resolve().parents[3]
# Notes what it was called with, which keys the agent has, and where that agent listens.
ANSIBLE = """#!/bin/bash
printf '%s\\n' "$@" > "$OLDPWD/arguments"
ssh-add -L > "$OLDPWD/keys"
printf '%s' "$SSH_AUTH_SOCK" > "$OLDPWD/socket"
exit "${ANSIBLE_ENDS:-0}"
"""


@dataclass
class Clone:
    """A clone with the script, whose ansible-playbook only takes notes, and an AWS with the key."""

    path: Path
    environment: dict[str, str]
    private_key: str

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.path / ".ci" / "dag-sync"],
            cwd=self.path.parent,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def note(self, name: str) -> str:
        return (self.path.parent / name).read_text()


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    aws = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    private_key = generate("ssh_key", 0)
    secrets = boto3.client(
        "secretsmanager",
        region_name="eu-west-1",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    name = f"freehold/{tmp_path.name.replace('_', '-')}/ci_ssh_key"
    secrets.create_secret(Name=name, SecretString=private_key)
    path = tmp_path / "freehold"
    shutil.copytree(ROOT / ".ci", path / ".ci")
    (path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "ci_ssh_key.py", path / "tools")
    (path / "inventories" / name.split("/")[1]).mkdir(parents=True)
    programs = path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "ansible-playbook").write_text(ANSIBLE)
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "FREEHOLD_ENVIRONMENT": name.split("/")[1],
        "DAGS_REPOSITORY": "/work/dag repository",
        "DAGS_FOLDER": 'folder with "quotes"',
        "DAGS_REPORT": "/work/report.json",
        **aws,
    }
    try:
        yield Clone(path, environment, private_key)
    finally:
        server.stop()


def test_the_playbook_is_run_with_the_clone_and_the_key(clone: Clone) -> None:
    done = clone.run()
    assert done.returncode == 0, done.stderr
    playbook, option, inventory, extra, variables = clone.note("arguments").splitlines()
    assert (playbook, option, extra) == ("playbooks/dag-sync.yml", "-i", "--extra-vars")
    assert inventory == f"inventories/{clone.environment['FREEHOLD_ENVIRONMENT']}"
    assert json.loads(variables) == {
        "dags_repository": "/work/dag repository",
        "dags_folder": 'folder with "quotes"',
        "dags_report": "/work/report.json",
        "access_private_key": "",
    }
    assert clone.note("keys").split()[:2] == ssh_public_key(clone.private_key).split()


@pytest.mark.parametrize("ends", [0, 4])
def test_the_agent_ends_with_the_playbook_and_the_key_is_in_no_file(clone: Clone, ends: int) -> None:
    done = clone.run(ANSIBLE_ENDS=str(ends))
    assert done.returncode == ends
    assert not Path(clone.note("socket")).exists()
    files = [path for path in clone.path.parent.rglob("*") if path.is_file()]
    assert [path for path in files if clone.private_key.encode() in path.read_bytes()] == []
    assert "PRIVATE KEY" not in done.stdout + done.stderr


def test_an_inventory_that_is_not_there_is_refused(clone: Clone) -> None:
    done = clone.run(FREEHOLD_ENVIRONMENT="other")
    assert done.returncode == 1
    assert done.stderr == (
        "dag-sync: there is no inventories/other in the repository 'freehold': commit the inventory, or correct"
        " 'environment'\n"
    )


def test_a_key_that_can_not_be_read_ends_it_before_ansible(clone: Clone) -> None:
    (clone.path / "inventories" / "keyless").mkdir()
    done = clone.run(FREEHOLD_ENVIRONMENT="keyless")
    assert done.returncode != 0
    assert "ci_ssh_key: the secret freehold/keyless/ci_ssh_key can't be read:" in done.stderr
    assert not (clone.path.parent / "arguments").exists()


def test_a_variable_that_is_missing_is_named(clone: Clone) -> None:
    done = clone.run(DAGS_REPOSITORY="")
    assert done.returncode != 0
    assert "DAGS_REPOSITORY: names the clone with the DAGs" in done.stderr


def test_the_key_is_not_printed_on_a_screen() -> None:
    main, screen = pty.openpty()
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "ci_ssh_key.py", "lab"],
        stdout=screen,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(screen)
    os.close(main)
    assert (done.returncode, "nothing for a screen" in done.stderr) == (2, True)
