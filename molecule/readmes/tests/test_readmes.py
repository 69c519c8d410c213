# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of each host role's README, from the installed collection: it works as it stands there, and again.

Only what names somebody else's own things is given other names. The roles of the controller have the same test without
hosts, in tests/integration/provisioning/test_readmes.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

UNITS = ("airflow-api-server.service", "airflow-scheduler.service", "airflow-worker.service", "valkey-server.service")
ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
# In this order, because each stands on some before it. The examples of one entry are one playbook: what the broker
# makes is known to that run alone.
STEPS = [
    *(("time",), ("docker",), ("valkey", "trust"), ("efs",), ("authorized_keys",), ("migrate",), ("webserver",)),
    *(("scheduler",), ("worker",), ("dags",), ("verification",)),
]


class User:
    """Somebody with an empty directory, the archive of the collection, and an inventory of their own."""

    def __init__(self, folder: Path, machine: Any, aws: Callable[[str], Any]) -> None:
        self.folder = folder
        self.names = self._names(aws)
        keys = aws("sts")._request_signer._credentials
        # Nothing of this checkout, and the account as tools of AWS find it.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | {
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": aws("sts").meta.endpoint_url,
        }
        self._install()
        (folder / "hosts.yml").write_text(f"""
all:
  vars:
    ansible_user: admin
    ansible_ssh_common_args: -F {machine.way}
    # As group_vars/env_lab: the lab's authority is on the hosts and in no list that Python brings along.
    component_extra_environment: {{AWS_CA_BUNDLE: /etc/ssl/certs/ca-certificates.crt}}
    component_extra_mounts: ["type=bind,source=/etc/ssl/certs,target=/etc/ssl/certs,readonly"]
    component_host_memory_mib: 4096
  hosts:
    {machine.name}:
  children:
    webserver: {{hosts: {{{machine.name}: }}}}
    scheduler: {{hosts: {{{machine.name}: }}}}
    worker: {{hosts: {{{machine.name}: }}}}
""")
        dags = folder / "dags"
        dags.mkdir()
        (dags / "hello.py").write_text(
            "from airflow.sdk import dag, task\n\n\n"
            "@dag(schedule=None)\ndef hello():\n    task(lambda: None, task_id='nothing')()\n\n\nhello()\n"
        )
        git = ["git", "-c", "user.name=User", "-c", "user.email=user@example.com", "-C", str(folder)]
        for command in (["init", "--quiet"], ["add", "dags"], ["commit", "--quiet", "--message", "One DAG"]):
            subprocess.run([*git, *command], check=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "ci")], check=True)

    @staticmethod
    def _names(aws: Callable[[str], Any]) -> dict[str, str]:
        """What is somebody else's in the READMEs, and what stands for it here."""
        [repository] = [
            one for one in aws("ecr").describe_repositories()["repositories"] if "molecule" in one["repositoryName"]
        ]
        images = aws("ecr").describe_images(repositoryName=repository["repositoryName"])["imageDetails"]
        image = max(images, key=lambda one: one["imagePushedAt"])
        [files] = [
            one["FileSystemId"]
            for one in aws("efs").describe_file_systems()["FileSystems"]
            if {"Key": "freehold:environment", "Value": "molecule"} in one["Tags"]
        ]
        uri = repository["repositoryUri"]
        return {
            rf"111122223333\.dkr\S+@sha256:{'0123456789abcdef' * 4}": f"{uri}@{image['imageDigest']}",
            r"111122223333\.dkr\.ecr\.eu-west-1\.amazonaws\.com": uri.partition("/")[0],
            r"fs-0123\.": f"{files}.",
            r"freehold/prod\b": "freehold/molecule",
            r"prod\.internal": "molecule.internal",
        }

    def _install(self) -> None:
        found = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
        build = [ROOT / "tools" / "collection", self.folder / "archive"]
        archive = subprocess.run(build, check=True, capture_output=True, text=True, env=found).stdout.strip()
        command = ["collection", "install", archive, "--no-deps", "--offline", "-p", "collections"]
        done = self._run("ansible-galaxy", *command)
        assert done.returncode == 0, done.stderr

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / program), *arguments],
            cwd=self.folder,
            env={**self.environment, "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections")},
            capture_output=True,
            text=True,
            timeout=900,
        )

    def example(self, role: str) -> str:
        """Return the playbook of an installed role's README, with this account's names in it."""
        readme = self.folder / "collections/ansible_collections/freehold/airflow/roles" / role / "README.md"
        found = re.search(r"^## Example$.*?^```yaml$\n(.*?)^```$", readme.read_text(), re.M | re.S)
        assert found, f"the README of {role} has no example"
        text = found[1].replace("/home/you/dags", str(self.folder))
        for theirs, ours in self.names.items():
            text = re.sub(theirs, ours, text)
        assert "prod" not in text and "111122223333" not in text
        return text

    def play(self, roles: tuple[str, ...]) -> str:
        """Run the examples of some roles and return what is said; fail when that ends badly."""
        book = self.folder / f"{roles[0]}.yml"
        book.write_text("".join(self.example(role) for role in roles))
        done = self._run("ansible-playbook", "-i", "hosts.yml", book.name)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def user(machine: Any, aws: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> User:
    """The user, whose work goes on from test to test."""
    return User(tmp_path_factory.mktemp("user"), machine, aws)


@pytest.mark.parametrize("roles", STEPS, ids="+".join)
def test_the_example_of_a_readme_works_and_changes_nothing_the_second_time(user: User, roles: tuple[str, ...]) -> None:
    user.play(roles)
    again = user.play(roles)
    if roles != ("verification",):  # which runs a DAG each time
        assert re.findall(r"changed=(\d+)", again) == ["0"]


def test_no_role_of_the_hosts_is_left_out() -> None:
    ours = {role for step in STEPS for role in step}
    controllers = {
        *("access", "broker", "certificate", "ci_access", "database", "dns", "environment", "filesystem", "hosts"),
        *("identity", "image", "load_balancer", "log_bucket", "network", "registry", "secrets", "teardown"),
    }
    # The one refuses direct use, the other is a playbook: make plan.
    internal = {"component", "reservations"}
    assert {path.name for path in (ROOT / "roles").iterdir()} == ours | controllers | internal
