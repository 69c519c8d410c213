# SPDX-License-Identifier: GPL-3.0-or-later
"""A tunnel service on this machine's loopback, an EC2 API that knows one endpoint, and hosts that are echo servers."""

from __future__ import annotations

import http.server
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from lab import tunnel

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ENDPOINT = "eice-0123456789abcdef0"
PROGRAM = Path(__file__).parents[3] / "plugins" / "module_utils" / "instance_connect.py"


@dataclass
class Account(tunnel.Directory):
    """What the tunnel service may know; tests change it."""

    state: str = "create-complete"
    denied: str = ""
    token: str | None = None
    expires: datetime | None = None
    hosts: set[str] = field(default_factory=lambda: {"127.0.0.1"})

    def endpoint(self, endpoint_id: str) -> tunnel.Endpoint | None:
        if endpoint_id != ENDPOINT:
            return None
        return tunnel.Endpoint(ENDPOINT, "eu-west-1", self.state, "127.0.0.1", lambda address: address in self.hosts)

    def credentials(self, access_key: str) -> tunnel.Credentials | None:
        return tunnel.Credentials(SECRET_KEY, self.token, self.expires) if access_key == ACCESS_KEY else None

    def authorize(self, access_key: str, tunnel_: tunnel.Tunnel) -> None:
        if self.denied:
            raise tunnel.Refused("AccessDeniedException", self.denied)


@dataclass
class Service:
    """A running tunnel service."""

    account: Account
    server: tunnel.TunnelServer
    url: str
    now: datetime | None = None


@pytest.fixture
def service() -> Iterator[Service]:
    account = Account()
    running: Service
    server = tunnel.TunnelServer(account, lambda _: nullcontext(None), clock=lambda: running.now or datetime.now(UTC))
    port = server.start("127.0.0.1", 0)
    running = Service(account, server, f"ws://127.0.0.1:{port}")
    yield running
    server.stop()


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with EchoServer.counting(self.server):
            while data := self.request.recv(65_536):
                self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    """A host that answers with what it hears; `connections` are those open now."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.port = self.server_address[1]
        self.sockets: list[socket.socket] = []
        self.connections = 0

    class counting:
        def __init__(self, server: socketserver.BaseServer) -> None:
            assert isinstance(server, EchoServer)
            self.server = server

        def __enter__(self) -> None:
            self.server.connections += 1

        def __exit__(self, *_: object) -> None:
            self.server.connections -= 1

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.sockets.append(connection)
        return connection, address

    def die(self) -> None:
        """Close every connection, as a host that goes down."""
        for connection in self.sockets:
            connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[EchoServer]:
    """An echo server whose port passes for an SSH port."""
    with EchoServer() as server:
        monkeypatch.setattr(tunnel, "_PORTS", (22, 3389, server.port))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The keys of the account, and nothing of the machine's own AWS configuration."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def command(service: Service, port: int, *more: str, host: str = "127.0.0.1", endpoint: str = ENDPOINT) -> list[str]:
    """The ProxyCommand for a tunnel."""
    return [
        *(sys.executable, "-P", str(PROGRAM), "tunnel", "--region", "eu-west-1", "--url", service.url),
        *("--endpoint-id", endpoint, "--host", host, "--port", str(port), *more),
    ]


class FakeEc2(http.server.ThreadingHTTPServer):
    """The two EC2 calls that the client makes; counts them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _FakeEc2Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        # Address and name of running hosts.
        self.hosts: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self.failure: tuple[str, str] | None = None


class _FakeEc2Handler(http.server.BaseHTTPRequestHandler):
    server: FakeEc2

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        action = form["Action"][0]
        self.server.calls.append(action)
        if self.server.failure:
            code, message = self.server.failure
            return self._answer(
                403,
                f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>",
            )
        if action == "DescribeInstances":
            items = "".join(
                f"<item><instancesSet><item><instanceId>i-{index:017x}</instanceId>"
                f"<privateIpAddress>{address}</privateIpAddress><tagSet><item><key>Name</key><value>{name}</value></item>"
                f"<item><key>freehold:duties</key><value>{name.split('-')[1]}</value></item></tagSet></item>"
                "</instancesSet></item>"
                for index, (address, name) in enumerate(self.server.hosts)
            )
            return self._answer(
                200, f"<DescribeInstancesResponse><reservationSet>{items}</reservationSet></DescribeInstancesResponse>"
            )
        known = "eice" if form.get("Filter.2.Value.1", ["eice"])[0] in ("eice", "test") else ""
        item = (
            f"<item><instanceConnectEndpointId>{ENDPOINT}</instanceConnectEndpointId><dnsName>eice.example.invalid</dnsName></item>"
            if known
            else ""
        )
        return self._answer(
            200,
            "<DescribeInstanceConnectEndpointsResponse><instanceConnectEndpointSet>"
            f"{item}</instanceConnectEndpointSet></DescribeInstanceConnectEndpointsResponse>",
        )

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def ec2() -> Iterator[FakeEc2]:
    with FakeEc2() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
