# SPDX-License-Identifier: GPL-3.0-or-later
"""The ProxyCommand `tunnel` and the tunnel service, one against the other."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from lab import tunnel
from lab.tests.tunnel.conftest import EchoServer, FakeEc2, Service, command

pytestmark = [pytest.mark.usefixtures("aws_environment"), pytest.mark.timeout(60)]

Process = subprocess.Popen[bytes]


@contextmanager
def opened(arguments: list[str]) -> Iterator[Process]:
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]


def exchange(process: Process, text: bytes) -> bytes:
    assert process.stdin and process.stdout
    process.stdin.write(text)
    process.stdin.flush()
    return process.stdout.read(len(text))


def refusal_of(arguments: list[str]) -> str:
    """Standard error of a tunnel that does not come to be."""
    with opened(arguments) as process:
        assert process.stderr
        assert process.wait(30) == 1
        return process.stderr.read().decode()


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_what_goes_in_comes_back(service: Service, host: EchoServer) -> None:
    with opened(command(service, host.port)) as process:
        assert exchange(process, b"SSH-2.0-test\r\n") == b"SSH-2.0-test\r\n"
        assert exchange(process, bytes(range(256))) == bytes(range(256))
        assert list(service.server.open_tunnels().values()) == [1]


def test_both_directions_may_be_full_at_once(service: Service, host: EchoServer) -> None:
    sent = os.urandom(1 << 20) * 64
    with opened(command(service, host.port)) as process:
        assert process.stdin and process.stdout
        writer = threading.Thread(target=lambda: process.stdin.write(sent))  # type: ignore[union-attr]
        writer.start()
        # The reader is late: everything between must fill up without losing or locking anything.
        time.sleep(0.5)
        assert process.stdout.read(len(sent)) == sent
        writer.join()


def test_closing_our_side_ends_the_program_and_the_connection_to_the_host(service: Service, host: EchoServer) -> None:
    with opened(command(service, host.port)) as process:
        exchange(process, b"x")
        assert process.stdin
        process.stdin.close()
        assert process.wait(5) == 0
    assert eventually(lambda: host.connections == 0 and not service.server.open_tunnels())


def test_killing_the_program_ends_the_connection_to_the_host(service: Service, host: EchoServer) -> None:
    with opened(command(service, host.port)) as process:
        exchange(process, b"x")
        process.kill()
        assert eventually(lambda: host.connections == 0 and not service.server.open_tunnels())


def test_a_host_that_closes_ends_the_program(service: Service, host: EchoServer) -> None:
    with opened(command(service, host.port)) as process:
        exchange(process, b"x")
        host.die()
        assert process.wait(5) == 0


def test_a_tunnel_service_that_goes_away_ends_the_program(service: Service, host: EchoServer) -> None:
    with opened(command(service, host.port)) as process:
        exchange(process, b"x")
        service.server.stop()
        assert process.wait(5) == 1
        assert process.stderr
        assert b"freehold: The tunnel to 127.0.0.1 was cut: " in process.stderr.read()


def test_a_tunnel_ends_at_its_maximum_duration(service: Service, host: EchoServer) -> None:
    with opened(command(service, host.port, "--max-seconds", "1")) as process:
        exchange(process, b"x")
        assert process.wait(5) == 1
        assert process.stderr
        assert process.stderr.read() == (
            b"freehold: The tunnel to 127.0.0.1 was cut: The tunnel reached its maximum duration of 1 s.\n"
        )
    assert eventually(lambda: host.connections == 0)


def test_a_host_without_ssh_gets_one_sentence(service: Service, host: EchoServer) -> None:
    host.shutdown()
    host.server_close()
    assert refusal_of(command(service, host.port)) == (
        f"freehold: 127.0.0.1 does not answer on port {host.port}: it is not up yet, or its security group does not let"
        " the endpoint in.\n"
    )


def test_an_address_of_no_host_is_not_connected_to(service: Service, host: EchoServer) -> None:
    service.account.hosts.clear()
    assert "127.0.0.1 does not answer" in refusal_of(command(service, host.port))
    assert not host.sockets


@pytest.mark.parametrize("port", [25, 5432])
def test_only_ssh_and_rdp_ports_are_allowed(service: Service, port: int) -> None:
    assert "The specified RemotePort is not valid. Specify either 22 or 3389" in refusal_of(command(service, port))


def test_an_unknown_endpoint_is_named(service: Service) -> None:
    said = refusal_of(command(service, 22, endpoint="eice-0000000000000000f"))
    assert "eice-0000000000000000f" in said
    assert "was not found" in said


def test_an_endpoint_that_is_not_ready_yet_is_refused(service: Service) -> None:
    service.account.state = "create-in-progress"
    assert "was not found" in refusal_of(command(service, 22))


def test_missing_permission_is_called_by_its_name(service: Service, host: EchoServer) -> None:
    service.account.denied = "User: x is not authorized to perform: ec2-instance-connect:OpenTunnel"
    said = refusal_of(command(service, host.port))
    assert said.startswith("freehold: AWS denies you to open a tunnel to 127.0.0.1 through eice-")
    assert "ec2-instance-connect:OpenTunnel" in said


def test_a_failure_of_the_lab_itself_is_called_one(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.account, "endpoint", lambda _: 1 // 0)
    assert "(InternalFailure: The lab's tunnel service failed.)" in refusal_of(command(service, 22))


def test_a_wrong_secret_is_refused(service: Service, host: EchoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "signature we calculated does not match" in refusal_of(command(service, host.port))


def test_an_unknown_access_key_is_refused(service: Service, host: EchoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    assert "AWS does not know the access key" in refusal_of(command(service, host.port))


def test_the_token_of_a_session_goes_with_its_key(
    service: Service, host: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.account.token = "the/token+of=it"
    assert "security token included in the request is invalid" in refusal_of(command(service, host.port))
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the/token+of=it")
    with opened(command(service, host.port)) as process:
        assert exchange(process, b"x") == b"x"
    service.account.expires = datetime.now(UTC) - timedelta(seconds=1)
    assert "Your AWS session has expired: log in again" in refusal_of(command(service, host.port))


def test_a_signature_is_good_for_a_minute(service: Service, host: EchoServer) -> None:
    service.now = datetime.now(UTC) + timedelta(seconds=90)
    assert "Signature expired" in refusal_of(command(service, host.port))


def test_credentials_that_are_missing_are_asked_for(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "No AWS credentials were found" in refusal_of(command(service, 22))


def test_a_tunnel_service_that_is_not_there_is_named(service: Service) -> None:
    service.server.stop()
    assert "127.0.0.1:" in refusal_of(command(service, 22))


def test_the_twenty_first_tunnel_is_refused_until_another_closes(
    service: Service, host: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "_MAX_TUNNELS", 2)
    with opened(command(service, host.port)) as first, opened(command(service, host.port)) as second:
        exchange(first, b"x")
        exchange(second, b"x")
        assert "limit of 2 concurrent connections" in refusal_of(command(service, host.port))
        first.kill()
        assert eventually(lambda: sum(service.server.open_tunnels().values()) == 1)
        with opened(command(service, host.port)) as third:
            assert exchange(third, b"x") == b"x"


def test_the_endpoint_is_found_by_the_environments_tag(service: Service, host: EchoServer, ec2: FakeEc2) -> None:
    arguments = command(service, host.port, "--environment", "test", "--endpoint-url", ec2.url)
    index = arguments.index("--endpoint-id")
    del arguments[index : index + 2]
    with opened(arguments) as process:
        assert exchange(process, b"x") == b"x"
    assert ec2.calls == ["DescribeInstanceConnectEndpoints"]


def test_an_environment_without_an_endpoint_is_told_what_to_run(service: Service, ec2: FakeEc2) -> None:
    arguments = command(service, 22, "--environment", "other", "--endpoint-url", ec2.url)
    index = arguments.index("--endpoint-id")
    del arguments[index : index + 2]
    assert refusal_of(arguments) == (
        "freehold: There is no usable EC2 Instance Connect Endpoint of the environment 'other': run"
        " playbooks/provision.yml.\n"
    )


def test_an_expired_session_is_told_to_log_in(service: Service, ec2: FakeEc2) -> None:
    ec2.failure = ("RequestExpired", "Request has expired.")
    arguments = command(service, 22, "--environment", "test", "--endpoint-url", ec2.url)
    index = arguments.index("--endpoint-id")
    del arguments[index : index + 2]
    assert "Your AWS session has expired: log in again" in refusal_of(arguments)
