# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one environment in the lab, told in fixtures; the tests look at what each step left behind.

``site`` brings a whole environment up (from nothing, or from what an earlier run left) and everything after it looks
at that same environment: the lab is one per machine. ``pytest --keep`` looks at the environment that stands, instead of
beginning with an empty lab.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import docker
import pytest
import urllib3
from docker.models.containers import Container
from playwright.sync_api import Browser, sync_playwright

if TYPE_CHECKING:
    from .releases import Dags

ROOT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "freehold-lab"
HOST = "airflow.freehold.localhost"
URL = f"https://{HOST}"
ENDPOINT = "http://127.0.0.1:4566"
ARTIFACTS = ROOT / "build" / "acceptance"

# Life goes on in this order; the steps that take things away come last.
ORDER = [
    "test_empty_environment",
    "test_site",
    "test_second_run",
    "test_check_mode",
    "test_entrance",
    "test_access",
    "test_plan",
    "test_browser",
    "test_example_dags",
    "test_workflow",
    "test_dag_releases",
    "test_dag_faults",
    "test_security",
    "test_bad_input",
    "test_reservations",
    "test_refusals_on_hosts",
    "test_reboot",
    "test_destroy",
    "test_lab_down",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the modules in the order of an environment's life."""
    rank = {name: number for number, name in enumerate(ORDER)}
    for item in items:
        item.path.stem in rank or pytest.exit(f"{item.path.name} has no place in ORDER of {__file__}", returncode=2)
    items.sort(key=lambda item: rank[item.path.stem])


@dataclass(frozen=True)
class Run:
    """What a command did: its exit status, everything it printed, and its wall time in seconds."""

    command: str
    returncode: int
    output: str
    seconds: float

    def recap(self) -> dict[str, dict[str, int]]:
        """Return Ansible's closing figures per host, e.g. ``{"localhost": {"changed": 0, ...}}``."""
        lines = re.findall(r"^(\S+)\s+: (ok=.*)$", self.output, flags=re.MULTILINE)
        assert lines, f"{self.command} printed no recap:\n{self.output[-3000:]}"
        return {
            host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", figures)} for host, figures in lines
        }

    def why(self) -> str:
        """Return what failed, in Ansible's words, with the few lines before it; else the end of the output."""
        lines = self.output.splitlines()
        failed = [number for number, line in enumerate(lines) if re.match(r"(fatal|failed): |\[ERROR\]", line)]
        return "\n".join(lines[max(0, failed[0] - 8) : failed[0] + 40] if failed else lines[-60:])


@contextlib.contextmanager
def standard_input(typed: str | None) -> Iterator[int]:
    """What a command reads from: a terminal at which somebody typed a line, or nothing at all."""
    if typed is None:
        yield subprocess.DEVNULL
        return
    keyboard, terminal = os.openpty()
    os.write(keyboard, f"{typed}\n".encode())
    try:
        yield terminal
    finally:
        os.close(keyboard)
        os.close(terminal)


def run(
    *command: str, timeout: int = 1500, ok: bool = True, env: dict[str, str] | None = None, typed: str | None = None
) -> Run:
    """Run ``command`` in the repository's root; unless ``ok`` is False it must end 0.

    What is ``typed`` comes from a terminal; without it there is none.
    """
    begin = time.monotonic()
    with standard_input(typed) as stdin:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", **(env or {})},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
    result = Run(" ".join(command), done.returncode, done.stdout, time.monotonic() - begin)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    with (ARTIFACTS / "commands.log").open("a", encoding="utf-8") as log:
        log.write(f"$ {result.command}\n{result.output}\n=> {result.returncode} in {result.seconds:.1f} s\n\n")
    if ok:
        assert result.returncode == 0, f"{result.command} ended {result.returncode}:\n{result.why()}"
    return result


class Interruptible:
    """A command of the repository that begins at once, and can be ended with all that it started.

    A group of processes is not enough: Ansible's workers lead sessions of their own, and would go on with the work of a
    controller that is said to have died.
    """

    def __init__(self, *command: str) -> None:
        self.mark = f"FREEHOLD_INTERRUPTIBLE={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        path = f"{ROOT}/.venv/bin:{os.environ['PATH']}"
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, name: value, "PATH": path, "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def reach(self, task: str) -> None:
        """Read what it prints until an Ansible task has begun whose name has ``task`` in it."""
        lines: list[str] = []
        for line in self.process.stdout or ():
            lines.append(line)
            if line.startswith("TASK [") and task in line:
                return
        raise AssertionError(f"it never came to '{task}':\n{''.join(lines[-60:])}")

    def end(self, how: signal.Signals) -> None:
        """Send a signal to all of it, and end what has not ended five seconds later."""
        self._send(how)
        if how != signal.SIGKILL:
            time.sleep(5)
            self._send(signal.SIGKILL)
        self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _send(self, how: signal.Signals) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), how)


class Requests:
    """The lab's log of AWS requests, read from where the API keeps it."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client

    def all(self) -> list[dict[str, Any]]:
        """Return every request since the lab came up, oldest first."""
        code, output = self._client.containers.get("freehold-lab-api").exec_run(["cat", "/state/requests.jsonl"])
        assert code == 0 and isinstance(output, bytes), output
        return [json.loads(line) for line in output.decode().splitlines()]

    def since(self, mark: int) -> list[dict[str, Any]]:
        """Return what came after the first ``mark`` requests."""
        return self.all()[mark:]

    def mark(self) -> int:
        """Return how many requests there have been."""
        return len(self.all())


@dataclass(frozen=True)
class Site:
    """A running environment: how to speak with it as its users do."""

    first_run: Run
    password: str
    ca: Path

    def http(self) -> urllib3.HTTPSConnectionPool:
        """Return a connection pool to the entrance that trusts nobody but the lab's authority."""
        return urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            443,
            server_hostname=HOST,
            assert_hostname=HOST,
            ssl_context=ssl.create_default_context(cafile=str(self.ca)),
            headers={"Host": HOST},
            timeout=30,
        )

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call Airflow's REST API as the administrator; return the decoded JSON of a 2xx answer."""
        pool = self.http()
        token = pool.request("POST", "/auth/token", json={"username": "admin", "password": self.password})
        assert token.status in (200, 201), token.data
        answer = pool.request(
            method,
            f"/api/v2/{path}",
            json=body,
            headers={"Host": HOST, "Authorization": f"Bearer {token.json()['access_token']}"},
        )
        assert 200 <= answer.status < 300, f"{method} {path}: {answer.status} {answer.data[:2000]!r}"
        return answer.json()


def until(what: str, condition: Callable[[], Any], seconds: float = 120, every: float = 1) -> Any:
    """Return the first true value of ``condition``; fail naming ``what`` when there is none within ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(every)


def lab_session() -> boto3.Session:
    """Return a session of the lab's operator; clients want ``endpoint_url=ENDPOINT``."""
    return boto3.Session(
        region_name="eu-west-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )


def machines(engine: docker.DockerClient) -> dict[str, Container]:
    """Return the machine behind each host of the environment, by the host's name."""
    described = (
        lab_session()
        .client("ec2", endpoint_url=ENDPOINT)
        .describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    )
    names = {
        str(instance["InstanceId"]): next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == "Name")
        for reservation in described["Reservations"]
        for instance in reservation["Instances"]
    }
    found = engine.containers.list(filters={"label": "freehold.lab.kind=instance"})
    return {names[machine.labels["freehold.lab.id"]]: machine for machine in found}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser that has never seen the lab."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    assert executable, "no Chromium on this machine: tools/bootstrap test installs it"
    with sync_playwright() as playwright:
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=executable, args=args)
        yield started
        started.close()


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The Docker engine the lab runs on."""
    client = docker.from_env()
    yield client
    client.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the daily work on one module."""
    parser.addoption("--keep", action="store_true", help="look at the environment that stands in the lab")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Run:
    """A lab without an environment in it, unless ``--keep`` was given."""
    if not request.config.getoption("--keep"):
        run("make", "lab-down")
    return run("make", "lab-up")


@pytest.fixture(scope="session")
def requests_log(lab: Run, engine: docker.DockerClient) -> Requests:
    """The log of AWS requests of this session's lab."""
    return Requests(engine)


@pytest.fixture(scope="session")
def empty_check(lab: Run, requests_log: Requests) -> tuple[Run, list[dict[str, Any]]]:
    """``site.yml --check --diff`` where nothing exists, and the AWS requests it made."""
    mark = requests_log.mark()
    done = run("ansible-playbook", "site.yml", "--check", "--diff", ok=False)
    return done, requests_log.since(mark)


@pytest.fixture(scope="session")
def site(lab: Run, request: pytest.FixtureRequest) -> Site:
    """The environment, brought up by the command its users type; with ``--keep`` it is only verified."""
    keep = request.config.getoption("--keep")
    first = run(*(["ansible-playbook", "playbooks/verify.yml"] if keep else ["make", "site"]))
    password = run("make", "--silent", "password").output.strip().splitlines()[-1]
    return Site(first, password, STATE / "ca.pem")


@pytest.fixture(scope="session")
def second_run(site: Site, requests_log: Requests) -> tuple[Run, list[dict[str, Any]]]:
    """The same command again, and the AWS requests it made."""
    mark = requests_log.mark()
    done = run("make", "site")
    return done, requests_log.since(mark)


@pytest.fixture(scope="session")
def hosts(site: Site, engine: docker.DockerClient) -> dict[str, Container]:
    """The machines of the environment by their names."""
    return machines(engine)


@pytest.fixture(scope="module")
def dags(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dags]:
    """A repository whose first version is published, for the length of this module; then this repository's own DAGs."""
    from .releases import Dags  # which itself needs what stands above

    made = Dags(tmp_path_factory.mktemp("dags") / "clone", site)
    made.version("one")
    made.sync()
    yield made
    run("make", "dag-sync")
    run("make", "dag-verify")
