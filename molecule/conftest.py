# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of all scenarios reach the host under test, and what they ask it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any

import boto3
import pytest
import testinfra

# What scenarios share of their tests: its assertions are to explain themselves like theirs.
pytest.register_assert_rewrite("components")

WAY = (
    Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "freehold" / "molecule" / "ssh_config"
)
SECONDS = 120.0
# What the task of molecule_sleeper waits for.
LET_GO = "/var/lib/airflow/molecule-let-go"


class Secret(str):
    """A value that the report of a failed test does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


class Machine:
    """The host under test: testinfra's, and what systemd and docker say about it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        # The way that Ansible goes, by the same file: through the connect endpoint, host keys checked.
        self.way = WAY
        # Commands share one connection: to make one takes longer than most of them.
        self.shared = folder / "shared"
        self.host: Any = testinfra.get_host(
            f"ssh://{name}", ssh_config=str(self.way), sudo=True, timeout=30, controlpath=str(self.shared)
        )

    def _ssh(self, *words: str, connection: Path | None = None) -> list[str]:
        """Return the command line of ssh with some words over a shared connection, this host's if none is named."""
        return ["ssh", "-F", str(self.way), "-o", f"ControlPath={connection or self.shared}", *words]

    def run(self, command: str, *arguments: str) -> str:
        """Return what a command that must succeed prints, without the white space around it."""
        done = self.host.run(command, *arguments)
        assert done.rc == 0, f"{done.command.decode()} ended {done.rc}: {done.stderr}{done.stdout}"
        return str(done.stdout).strip()

    @property
    def private(self) -> str:
        """The host's private address: the one from which it would reach others."""
        return self.run("ip -4 route get 192.0.2.1 | sed -n 's/.* src \\([^ ]*\\) .*/\\1/p'")

    def fails(self, command: str, *arguments: str) -> str:
        """Return what a command that must fail says."""
        done = self.host.run(command, *arguments)
        assert done.rc != 0, f"{done.command.decode()} succeeded: {done.stdout}"
        return str(done.stderr + done.stdout)

    def told(self, text: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command with a text at its standard input, which no list of processes shows; return how it ended."""
        # Where it fails, the report shows the caller, and not the text.
        __tracebackhide__ = True
        way = self._ssh(self.name, f"sudo {command}")
        done = subprocess.run(way, input=text, capture_output=True, text=True, check=False)
        assert done.returncode != 255, f"ssh: {done.stderr}"
        return done

    @contextlib.contextmanager
    def spoken(self, script: str) -> Iterator[IO[str]]:
        """Give what a shell script prints, line by line, while it runs; it ends with the context."""
        command = self._ssh(self.name, "sudo", "timeout", "900", "sh", "-c", shlex.quote(script))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            try:
                yield running.stdout
            finally:
                running.terminate()

    def unit(self, name: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit as systemd sees them, all of them if none is named."""
        asked = [f"--property={','.join(properties)}"] if properties else []
        shown = self.run(" ".join(["systemctl show"] + ["%s"] * (1 + len(asked))), name, *asked)
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def is_active(self, name: str) -> bool:
        """Return whether a unit is up."""
        return self.unit(name, "ActiveState")["ActiveState"] == "active"

    def listening(self, *protocols: str) -> set[str]:
        """Return the addresses on which something listens, as ``address:port``."""
        options = " ".join(f"--{protocol}" for protocol in protocols or ("tcp",))
        return {line.split()[-2] for line in self.run(f"ss --no-header --listening --numeric {options}").splitlines()}

    def exposed(self) -> set[str]:
        """Return those on which more than this host itself may be answered."""
        return {address for address in self.listening("tcp", "udp") if not address.startswith(("127.", "[::1]"))}

    def reaches(self, address: str, port: int) -> bool:
        """Return whether a new connection from the host to an address comes about."""
        return bool(self.host.run(f"timeout 3 bash -c '</dev/tcp/{address}/{port}'").rc == 0)

    def until(self, what: str, condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Return the first true value of a condition; fail naming ``what`` if there is none in time."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
            time.sleep(0.25)

    def reboot(self) -> None:
        """Reboot, and come back when all that starts at boot has started or has failed."""
        before = self.run("cat /proc/sys/kernel/random/boot_id")
        # The host may be gone before it has said that it goes.
        with contextlib.suppress(RuntimeError):
            self.host.run("systemctl reboot")
        self.until("the host is back after its reboot", lambda: self._booted_since(before))

    def _booted_since(self, before: str) -> bool:
        self.hang_up()
        try:
            now = self.host.run("cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait")
        except RuntimeError:  # ssh's own failure: there is nobody yet, and sshd shuts out who knocks too often
            time.sleep(1)
            return False
        return before not in now.stdout and now.stdout.count("\n") > 1

    def hang_up(self) -> None:
        """End the connection to the host, and the one that all go through: the next command makes new ones."""
        for connection in (self.shared, *self.way.parent.glob("jump-*")):
            subprocess.run(self._ssh("-O", "exit", "jump", connection=connection), capture_output=True, check=False)

    def journal(self, unit: str) -> str:
        """Return the last lines of a unit's journal."""
        return str(self.host.run("journalctl --no-pager --lines=60 --unit=%s", unit).stdout)

    def now(self) -> float:
        """Return the time by the host's clock, in seconds since the epoch."""
        return float(self.run("date +%s.%N"))

    def said(self, unit: str, since: float) -> str:
        """Return what a unit's journal has since a moment."""
        return self.run(f"journalctl --quiet --no-pager --output=cat --since=@{since:.6f} --unit=%s", unit)


# Where the report of a failed test finds it: of a test whose other fixtures fail, it is no argument yet.
MACHINE = pytest.StashKey[Machine]()


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The host that this scenario's `create` launched."""
    scenario = os.environ["MOLECULE_SCENARIO_NAME"].replace("_", "-")
    made = pytestconfig.stash[MACHINE] = Machine(f"molecule-{scenario}-1", tmp_path_factory.mktemp("ssh"))
    yield made
    made.hang_up()


@pytest.fixture
def rebooted(machine: Machine) -> None:
    """See that the journal tells of a boot before this one; a host that was only converged has none."""
    boots = machine.run("journalctl --list-boots --no-pager --quiet").splitlines()
    scenario = os.environ["MOLECULE_SCENARIO_NAME"]
    assert len(boots) > 1, f"no boot before this one: `molecule side-effect -s {scenario}` reboots {machine.name}"


@pytest.fixture
def host(machine: Machine) -> Any:
    """The host under test, as testinfra's own modules see it."""
    return machine.host


@pytest.fixture(scope="session")
def account() -> dict[str, str]:
    """The lab's API and the keys of its operator, in the environment's variables in which tools of AWS find them."""
    return {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    }


@pytest.fixture(scope="session")
def aws(account: dict[str, str]) -> Callable[[str], Any]:
    """Give clients of the lab's API, with the keys of its operator."""

    def client(service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=account["AWS_ENDPOINT_URL"],
            region_name=account["AWS_DEFAULT_REGION"],
            aws_access_key_id=account["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=account["AWS_SECRET_ACCESS_KEY"],
        )

    return client


@pytest.fixture(scope="session")
def closed(machine: Machine, aws: Callable[[str], Any]) -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """Give a context in which nobody reaches what carries a security group: its rules are taken away, and put back.

    What is connected already stays so.
    """

    @contextlib.contextmanager
    def context(name: str) -> Iterator[None]:
        group = security_group(aws, name)
        rules = {"GroupId": group["GroupId"], "IpPermissions": group["IpPermissions"]}
        assert group["IpPermissions"], f"{name} is closed: an interrupted verify left it so, which `make lab-down` ends"
        carries = [{"Name": "group-id", "Values": [group["GroupId"]]}]
        doors = {
            (carrier["PrivateIpAddress"], rule["FromPort"])
            for carrier in aws("ec2").describe_network_interfaces(Filters=carries)["NetworkInterfaces"]
            for rule in group["IpPermissions"]
        }
        assert doors, f"nothing carries the security group {name}"
        machine.until(f"the host reaches {name}", lambda: all(machine.reaches(*door) for door in doors))
        aws("ec2").revoke_security_group_ingress(**rules)
        try:
            # The lab's packet filters follow a moment later.
            machine.until(f"{name} is closed", lambda: not any(machine.reaches(*door) for door in doors))
            yield
        finally:
            aws("ec2").authorize_security_group_ingress(**rules)

    return context


@pytest.fixture(scope="session")
def opened(aws: Callable[[str], Any]) -> Callable[[str, int], contextlib.AbstractContextManager[None]]:
    """Give a context in which a port of what carries a security group is open to everybody, this machine included."""

    @contextlib.contextmanager
    def context(name: str, port: int) -> Iterator[None]:
        anybody = [{"CidrIp": "0.0.0.0/0"}]
        permissions = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": anybody}]
        rules = {"GroupId": security_group(aws, name)["GroupId"], "IpPermissions": permissions}
        aws("ec2").authorize_security_group_ingress(**rules)
        try:
            yield
        finally:
            aws("ec2").revoke_security_group_ingress(**rules)

    return context


def security_group(aws: Callable[[str], Any], name: str) -> dict[str, Any]:
    """Return a security group of the scenarios' environment."""
    environment = {"Name": "tag:freehold:environment", "Values": ["molecule"]}
    groups = aws("ec2").describe_security_groups(Filters=[environment])["SecurityGroups"]
    found: list[dict[str, Any]] = [group for group in groups if group["GroupName"] == f"molecule-{name}"]
    assert found, f"no security group molecule-{name}"
    return found[0]


@pytest.fixture(scope="session")
def reachable(machine: Machine) -> Callable[[int], bool]:
    """Tell whether this machine, which carries no security group of the environment, reaches a port of the host."""
    private = machine.private

    def ask(port: int) -> bool:
        try:
            with socket.create_connection((private, port), timeout=1):
                return True
        except OSError:
            return False

    return ask


@pytest.fixture(scope="session")
def kept_out(
    machine: Machine,
    reachable: Callable[[int], bool],
    opened: Callable[[str, int], contextlib.AbstractContextManager[None]],
) -> Callable[[str, int], None]:
    """See that a security group, and nothing else, keeps this machine from a port of the host."""

    def see(group: str, port: int) -> None:
        assert not reachable(port)
        with opened(group, port):
            machine.until("the port is open to everybody", lambda: reachable(port))
        machine.until("the port is closed again", lambda: not reachable(port))

    return see


@pytest.fixture(scope="session")
def secret_values(aws: Callable[[str], Any]) -> dict[str, Secret]:
    """All secrets of the environment by name."""
    client = aws("secretsmanager")
    names = [
        secret["Name"]
        for page in client.get_paginator("list_secrets").paginate()
        for secret in page["SecretList"]
        if secret["Name"].startswith("freehold/molecule/")
    ]
    assert names
    return {name: Secret(client.get_secret_value(SecretId=name)["SecretString"]) for name in names}


class Airflow:
    """Airflow's API, asked from the host under test, where it is near."""

    URL = "http://api-server.molecule.internal:8080"

    def __init__(self, machine: Machine, password: Secret) -> None:
        self.machine, self.password = machine, password
        self.token = Secret()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the decoded answer to a request that must succeed."""
        done = self._asked(method, path, body)
        assert done.returncode == 0, f"{method} {path} ended {done.returncode}: {done.stderr}{done.stdout}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def _asked(self, method: str, path: str, body: Any = None) -> subprocess.CompletedProcess[str]:
        options = [
            ("request", method),
            ("header", f"Authorization: Bearer {self.token}"),
            ("header", "Content-Type: application/json"),
            ("data", json.dumps(body) if body is not None else ""),
            ("url", f"{self.URL}{path}"),
        ]
        # A string of curl's files of options is quoted like one of JSON.
        told = "".join(f"{name} = {json.dumps(value)}\n" for name, value in options)
        return self.machine.told(told, "curl --silent --show-error --fail-with-body --max-time 60 --config -")

    def log_in(self) -> None:
        """Get a token."""
        answer = self.ask("POST", "/auth/token", {"username": "admin", "password": self.password})
        self.token = Secret(answer["access_token"])

    def lets_in(self) -> bool:
        """Return whether a token is to be had."""
        with contextlib.suppress(AssertionError):
            self.log_in()
            return True
        return False

    def begin(self, dag: str, **conf: Any) -> str:
        """Begin a run of a DAG, once Airflow knows it; return its path."""
        path = f"/api/v2/dags/{dag}"
        self.machine.until(f"Airflow knows {dag}", lambda: self._asked("GET", path).returncode == 0)
        self.ask("PATCH", path, {"is_paused": False})
        begun = self.ask("POST", f"{path}/dagRuns", {"logical_date": None, "conf": conf})
        return f"{path}/dagRuns/{urllib.parse.quote(begun['dag_run_id'])}"

    def tasks(self, run: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        found: list[dict[str, Any]] = self.ask("GET", f"{run}/taskInstances")["task_instances"]
        return found

    def is_running(self, run: str) -> bool:
        """Return whether a worker works on every task of a run."""
        tasks = self.tasks(run)
        return bool(tasks) and all(task["state"] == "running" for task in tasks)

    def state(self, run: str) -> str:
        """Return the state of a run."""
        return str(self.ask("GET", run)["state"])

    def ended(self, run: str, seconds: float = SECONDS) -> str:
        """Return the state in which a run ends."""
        return str(
            self.machine.until(
                f"{run} ends",
                lambda: (lambda state: state if state in ("success", "failed") else "")(self.state(run)),
                seconds,
            )
        )

    def busy(self) -> str:
        """Begin a run of a task that stays until it is let go; return its path once a worker works on it."""
        self.machine.run("rm --force %s", LET_GO)
        run = self.begin("molecule_sleeper", seconds=600)
        self.machine.until("the task runs", lambda: self.is_running(run))
        return run

    def let_go(self, run: str) -> None:
        """See that the task still runs; let it go."""
        assert self.is_running(run), "nothing was there to be outlived"
        self.machine.run("touch %s", LET_GO)

    def see_outlived(self, run: str) -> None:
        """See that the tasks of a run succeed at their first try."""
        assert self.ended(run) == "success"
        assert {task["try_number"] for task in self.tasks(run)} == {1}

    def log(self, run: str, task: dict[str, Any]) -> str:
        """Return what Airflow shows of a task's log."""
        path = f"{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        return json.dumps(self.ask("GET", path)["content"])


@pytest.fixture(scope="session")
def airflow(machine: Machine, secret_values: dict[str, Secret]) -> Airflow:
    """Airflow, where the scenario runs one, with its administrator logged in."""
    made = Airflow(machine, secret_values["freehold/molecule/admin_password"])
    # Nobody gets a token while what stands behind the API still starts; the last try says why not.
    with contextlib.suppress(AssertionError):
        machine.until("Airflow lets its administrator in", made.lets_in)
    made.log_in()
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the journal of the units a failed test is about: its component's, or those in ``UNITS`` of its module."""
    report = yield
    machine = item.config.stash.get(MACHINE, None)
    if report.failed and machine is not None:
        component = getattr(getattr(item, "instance", None), "unit", None)
        for unit in [component] if component else getattr(getattr(item, "module", None), "UNITS", ()):
            try:
                report.sections.append((f"journal of {unit}", machine.journal(unit)))
            except RuntimeError as error:
                report.sections.append((f"journal of {unit}", f"can't be read: {error}"))
    return report
