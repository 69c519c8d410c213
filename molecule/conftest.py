# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of all scenarios reach the host under test, and what they ask it."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any

import boto3
import pytest
import testinfra

WAY = (
    Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "freehold" / "molecule" / "ssh_config"
)
SECONDS = 120.0


class Machine:
    """The host under test: testinfra's, and what systemd and docker say about it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.way = WAY
        # The way that Ansible goes, by the same file: through the connect endpoint, host keys checked.
        self.host: Any = testinfra.get_host(f"ssh://{name}", ssh_config=str(WAY), sudo=True, timeout=30)

    def run(self, command: str, *arguments: str) -> str:
        """Return what a command that must succeed prints, without the white space around it."""
        done = self.host.run(command, *arguments)
        assert done.rc == 0, f"{done.command.decode()} ended {done.rc}: {done.stderr}{done.stdout}"
        return str(done.stdout).strip()

    def fails(self, command: str, *arguments: str) -> str:
        """Return what a command that must fail says."""
        done = self.host.run(command, *arguments)
        assert done.rc != 0, f"{done.command.decode()} succeeded: {done.stdout}"
        return str(done.stderr + done.stdout)

    @contextlib.contextmanager
    def spoken(self, script: str) -> Iterator[IO[str]]:
        """Give what a shell script prints, line by line, while it runs; it ends with the context."""
        command = ["ssh", "-F", str(WAY), self.name, "sudo", "timeout", "900", "sh", "-c", shlex.quote(script)]
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

    def until(self, what: str, condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Return the first true value of a condition; fail naming ``what`` if there is none in time."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
            time.sleep(1)

    def reboot(self) -> None:
        """Reboot, and come back when all that starts at boot has started or has failed."""
        before = self.run("cat /proc/sys/kernel/random/boot_id")
        self.host.run("systemctl reboot")
        self.until("the host is back after its reboot", lambda: self._booted_since(before))

    def _booted_since(self, before: str) -> bool:
        self.hang_up()
        try:
            now = self.host.run("cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait")
        except RuntimeError:  # ssh's own failure: there is nobody yet
            return False
        return before not in now.stdout and now.stdout.count("\n") > 1

    def hang_up(self) -> None:
        """End the connections: the next command makes new ones."""
        for name in (self.name, "jump"):
            subprocess.run(["ssh", "-F", WAY, "-O", "exit", name], capture_output=True, check=False)

    def journal(self, unit: str) -> str:
        """Return the last lines of a unit's journal."""
        return str(self.host.run("journalctl --no-pager --lines=60 --unit=%s", unit).stdout)


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The host that this scenario's `create` launched."""
    scenario = os.environ["MOLECULE_SCENARIO_NAME"]
    made = Machine(f"molecule-{scenario}-1")
    yield made
    made.hang_up()


@pytest.fixture
def host(machine: Machine) -> Any:
    """The host under test, as testinfra's own modules see it."""
    return machine.host


@pytest.fixture(scope="session")
def aws() -> Callable[[str], Any]:
    """Give clients of the lab's API, with the keys of its operator."""

    def client(service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name="eu-west-1",
            endpoint_url="http://127.0.0.1:4566",
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",  # noqa: S106
        )

    return client


@pytest.fixture(scope="session")
def closed(aws: Callable[[str], Any]) -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """Give a context in which nobody reaches what carries a security group: its rules are taken away, and put back."""

    @contextlib.contextmanager
    def context(name: str) -> Iterator[None]:
        ec2 = aws("ec2")
        environment = {"Name": "tag:freehold:environment", "Values": ["molecule"]}
        groups = ec2.describe_security_groups(Filters=[environment])["SecurityGroups"]
        group = next(group for group in groups if group["GroupName"].endswith(f"-{name}"))
        rules = {"GroupId": group["GroupId"], "IpPermissions": group["IpPermissions"]}
        ec2.revoke_security_group_ingress(**rules)
        try:
            yield
        finally:
            ec2.authorize_security_group_ingress(**rules)

    return context


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the journal of the units that a failed test is about: those in ``UNITS`` of its module."""
    report = yield
    machine = getattr(item, "funcargs", {}).get("machine")
    if report.failed and machine is not None:
        for unit in getattr(getattr(item, "module", None), "UNITS", ()):
            try:
                report.sections.append((f"journal of {unit}", machine.journal(unit)))
            except RuntimeError as error:
                report.sections.append((f"journal of {unit}", f"can't be read: {error}"))
    return report
