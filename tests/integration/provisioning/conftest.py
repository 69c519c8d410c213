# SPDX-License-Identifier: GPL-3.0-or-later
"""The provisioning roles against the lab's API alone: no containers, so all is ready as soon as it is asked for."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "eu-west-1"
RECAP = re.compile(r"localhost\s+: ok=\d+\s+changed=(\d+)\s+unreachable=\d+\s+failed=(\d+)")


@dataclass
class Run:
    """One run of ansible-playbook."""

    code: int
    output: str
    changed: int
    requests: list[dict[str, Any]]

    @property
    def writes(self) -> list[str]:
        return [f"{request['service']}:{request['operation']}" for request in self.requests if request["write"]]


class Api:
    """The lab's API in a process of its own, and plays that talk to it."""

    def __init__(self, home: Path, **more: str) -> None:
        self.home = home
        self.state = home / "state"
        self.state.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / "key"], check=True)
        off = dict.fromkeys(("LAB_HTTPS_PORT", "LAB_DNS_PORT", "LAB_IMDS_PORT", "LAB_TUNNEL_PORT"), "0")
        settings = {"LAB_STATE": str(self.state), "LAB_BIND": "127.0.0.1", "LAB_HTTP_PORT": str(self.port)}
        with (home / "api.log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lab.api"],
                cwd=ROOT,
                env={**os.environ, **off, **settings, "LAB_UNATTENDED": "1", **more},
                stdout=log,
                stderr=log,
            )
        # Where Ansible runs, and in which environment: here, unless a test is somebody with an installed collection.
        self.folder, self.environment = ROOT, dict(os.environ)
        self.ended = threading.Event()
        self.printer = threading.Thread(target=self.print_host_keys)

    def start(self) -> None:
        """Wait until the API answers, and let hosts print their keys from then on."""
        for _try in range(120):
            if (self.home / "api.log").read_text().count("lab API ready"):
                break
            assert self.process.poll() is None, (self.home / "api.log").read_text()
            self.ended.wait(0.5)
        self.printer.start()

    def stop(self) -> None:
        self.ended.set()
        self.process.terminate()
        self.process.wait(30)
        self.printer.join(30)

    def admin(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the admin API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/_lab/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={
                "X-Freehold-Lab-Token": (self.state / "admin-token").read_text().strip(),
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.load(answer)

    def print_host_keys(self) -> None:
        """Be the hosts: say on the console what cloud-init says."""
        known: set[str] = set()
        while not self.ended.wait(0.5):
            new = [host for host in self.admin("snapshot")["instances"] if host["id"] not in known]
            if not new:
                continue
            block = "-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 {0} root@{1}\n-----END SSH HOST KEY KEYS-----\n"
            consoles = {host["id"]: block.format(f"AAAAC3Nz{host['id'][2:]}", host["hostname"]) for host in new}
            self.admin(
                "observed",
                {"instances": {host: {"state": "running", "console": text} for host, text in consoles.items()}},
            )
            known.update(consoles)

    def client(self, service: str) -> Any:
        """A client with the lab operator's keys."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def variables(self, **more: Any) -> dict[str, Any]:
        """What every play needs; I(more) wins."""
        connection = {
            "region": REGION,
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
        }
        entry = {"instance_type": "t3.medium", "volume_gib": 20}
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "environment_name": "lab",
            "freehold_aws_connection": connection,
            "network_client_cidrs": ["198.51.100.0/24"],
            "hosts_fleet": [
                {**entry, "name": "webserver", "duties": ["webserver"], "count": 1},
                {**entry, "name": "scheduler", "duties": ["scheduler"], "count": 1},
                {**entry, "name": "worker", "duties": ["worker"], "count": 2},
            ],
            "hosts_public_key_file": str(self.home / "key.pub"),
            "hosts_known_hosts_file": str(self.home / "known_hosts"),
            "hosts_wait_timeout": 60,
            "dns_zone": "freehold.localhost",
            "dns_name": "airflow.freehold.localhost",
            "dns_create_zone": True,
            "certificate_domain_name": "{{ dns_name }}",
            "certificate_zone": "{{ dns_zone }}",
            "network_wait": False,
            "hosts_wait": False,
            "load_balancer_wait": False,
            **more,
        }

    def logged(self) -> list[dict[str, Any]]:
        """All requests so far."""
        lines = (self.state / "requests.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def run(self, plays: list[dict[str, Any]], *arguments: str) -> Run:
        """Run plays on localhost and return what happened."""
        playbook = self.home / "playbook.yml"
        playbook.write_text(yaml.safe_dump(plays, sort_keys=False))
        return self._run(playbook, *arguments)

    def playbook(self, name: str, *arguments: str, **more: Any) -> Run:
        """Run one of the project's playbooks on localhost and return what happened."""
        return self._run(ROOT / "playbooks" / f"{name}.yml", "-e", json.dumps(self.variables(**more)), *arguments)

    def _run(self, playbook: Path, *arguments: str) -> Run:
        before = len(self.logged())
        inventory = [] if "-i" in arguments else ["-i", "localhost,"]
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", *inventory, playbook, *arguments],
            cwd=self.folder,
            env={**self.environment, "ANSIBLE_DEPRECATION_WARNINGS": "False", "ANSIBLE_LOCALHOST_WARNING": "False"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        recap = RECAP.search(done.stdout)
        return Run(done.returncode, done.stdout + done.stderr, int(recap[1]) if recap else -1, self.logged()[before:])

    def play(self, steps: list[str], files: tuple[Path, ...] = (), **more: Any) -> dict[str, Any]:
        """Return a play of C(role) and C(role/entry point) steps; variables of I(files) win over all others."""
        names = [step.partition("/") for step in steps]
        return {
            "name": "Provision",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": self.variables(**more),
            "vars_files": [str(file) for file in files],
            "module_defaults": {"group/freehold.airflow.aws": "{{ freehold_aws_connection }}"},
            "tasks": [
                {
                    "name": f"Include {role}",
                    "ansible.builtin.include_role": {
                        "name": f"freehold.airflow.{role}",
                        **({"tasks_from": entry} if entry else {}),
                    },
                }
                for role, _slash, entry in names
            ],
        }


@contextlib.contextmanager
def running(home: Path, **more: str) -> Iterator[Api]:
    """An API of an account of its own, for as long as it is needed, with I(more) in its environment."""
    found = Api(home, **more)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give an API of an account in which nothing exists."""
    with running(tmp_path_factory.mktemp("api")) as found:
        yield found
