# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ordinary SSH to hosts without a public address: the two ProxyCommands that an environment's ssh_config names.

C(tunnel) carries one TCP connection through an EC2 Instance Connect Endpoint, as does C(aws ec2-instance-connect
open-tunnel). It exists because that command needs AWS CLI version 2, which neither PyPI nor Debian ships; this needs
nothing that a controller does not have anyway (botocore and websockets).

C(jump) carries a connection to any host through one SSH connection to a jump host, which it opens through a tunnel when
none is there. All hosts share that connection: an endpoint allows 20 tunnels at a time, of one hour each
(U(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/eice-quotas.html)), and every tunnel costs a signed request.

What is slow to import is imported where it is used: once the shared connection stands, C(jump) runs for every host and
must cost as little as possible.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

ENVIRONMENT_TAG = "freehold:environment"
DUTIES_TAG = "freehold:duties"

# An endpoint under modification keeps serving with its former settings.
_USABLE_STATES = ["create-complete", "update-in-progress", "update-failed", "update-complete"]
# The AWS client never sends a larger frame, so nobody knows whether the service would take one.
_FRAME_BYTES = 65_000
# Seconds in which a signed URL must be used.
_SIGNATURE_SECONDS = 60
# AWS's own limit for one tunnel.
_TUNNEL_SECONDS = 3600

# How a websocket ends when a side has said all it had to (RFC 6455 7.4.1).
_NORMAL_CLOSURE = 1000
# What AWS closes a tunnel with when it gets no TCP connection to the host.
_NO_ANSWER = "Unable to connect to target"
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN_KEY = {"AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}

# The name under which an environment's ssh_config keeps the settings of the shared connection.
JUMP_HOST = "jump"
# A host that could not be used as jump host stands at the end of the line for so many seconds: whoever waits for us has
# a shorter patience than a host that does not answer.
_DISTRUST_SECONDS = 120
# Longest path of a Unix socket (104 on macOS), less the suffix that ssh adds while it creates one.
_SOCKET_PATH_BYTES = 104 - 18


class TunnelError(Exception):
    """Why there is no connection, in one sentence for the person who wanted it."""


@dataclass(frozen=True)
class Connection:
    """How to reach the AWS API; everything may be left to botocore's own configuration."""

    region: str | None = None
    profile: str | None = None
    credentials_file: str | None = None
    endpoint_url: str | None = None

    def session(self) -> Any:
        """A botocore session."""
        from botocore.session import Session

        session = Session(profile=self.profile)
        if self.credentials_file:
            session.set_config_variable("credentials_file", self.credentials_file)
        if self.region:
            session.set_config_variable("region", self.region)
        return session

    def ec2(self, session: Any) -> Any:
        """An EC2 client that gives up long before a person would."""
        from botocore.config import Config

        patience = Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 3, "mode": "standard"})
        return session.create_client("ec2", endpoint_url=self.endpoint_url, config=patience)


@dataclass(frozen=True)
class Endpoint:
    """An EC2 Instance Connect Endpoint: its id and where its service listens, as C(wss://name)."""

    id: str
    url: str


# ---- what AWS answers, in sentences ---------------------------------------------------------------------------------


@contextlib.contextmanager
def aws_errors_in_words(connection: Connection, action: str) -> Iterator[None]:
    """Turn what botocore raises while doing C(action) into a TunnelError."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise TunnelError(refusal(error.response.get("Error", {}), action, connection)) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise TunnelError(
            "No AWS credentials were found: log in, or name a profile in freehold_aws_connection."
        ) from error
    except (exceptions.SSOError, exceptions.TokenRetrievalError, exceptions.CredentialRetrievalError) as error:
        raise TunnelError(f"{_session_expired(connection)} ({_one_line(error)})") from error
    except exceptions.NoRegionError as error:
        raise TunnelError("No AWS region is set: name it in environment_region.") from error
    except exceptions.BotoCoreError as error:
        raise TunnelError(f"Could not {action}: {_one_line(error)}") from error


def refusal(error: Mapping[str, Any], action: str, connection: Connection) -> str:
    """The sentence for an AWS error with the keys C(Code) and C(Message)."""
    code = str(error.get("Code", "unknown error"))
    message = _one_line(error.get("Message", ""))
    if code in _EXPIRED:
        return _session_expired(connection)
    if code in _UNKNOWN_KEY:
        return f"AWS does not know the access key used to {action} ({code}: {message})"
    if code in _DENIED:
        return f"AWS denies you to {action} ({message})"
    return f"Could not {action} ({code}: {message})"


def _session_expired(connection: Connection) -> str:
    profile = f" --profile {connection.profile}" if connection.profile else ""
    return f"Your AWS session has expired: log in again, for example with `aws sso login{profile}`."


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


# ---- tunnel ---------------------------------------------------------------------------------------------------------


def find_endpoint(
    connection: Connection, session: Any, *, environment: str | None = None, endpoint_id: str | None = None
) -> Endpoint:
    """The usable endpoint with this id, or else the one tagged with this environment's name."""
    wanted = f"with the id {endpoint_id}" if endpoint_id else f"of the environment '{environment}'"
    query: dict[str, Any] = {"Filters": [{"Name": "state", "Values": _USABLE_STATES}]}
    if endpoint_id:
        query["InstanceConnectEndpointIds"] = [endpoint_id]
    else:
        query["Filters"].append({"Name": f"tag:{ENVIRONMENT_TAG}", "Values": [environment]})
    with aws_errors_in_words(connection, f"look up the EC2 Instance Connect Endpoint {wanted}"):
        found = connection.ec2(session).describe_instance_connect_endpoints(**query)["InstanceConnectEndpoints"]
    if not found:
        raise TunnelError(f"There is no usable EC2 Instance Connect Endpoint {wanted}: run playbooks/provision.yml.")
    endpoint = min(found, key=lambda item: str(item["InstanceConnectEndpointId"]))
    fips = session.get_config_variable("use_fips_endpoint") and endpoint.get("FipsDnsName")
    return Endpoint(endpoint["InstanceConnectEndpointId"], f"wss://{fips or endpoint['DnsName']}")


def signed_url(
    connection: Connection, session: Any, endpoint: Endpoint, host: str, port: int, max_seconds: int = _TUNNEL_SECONDS
) -> str:
    """The URL that opens a tunnel to this private address, good for one minute.

    Signed in the query (SigV4, service C(ec2-instance-connect)); its permission is C(ec2-instance-connect:OpenTunnel).
    """
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import NoCredentialsError, NoRegionError

    query = {
        "instanceConnectEndpointId": endpoint.id,
        "remotePort": port,
        "privateIpAddress": host,
        "maxTunnelDuration": max_seconds,
    }
    with aws_errors_in_words(connection, "sign the request for a tunnel"):
        credentials = session.get_credentials()
        region = session.get_config_variable("region")
        if credentials is None:
            raise NoCredentialsError
        if not region:
            raise NoRegionError
        request = AWSRequest(method="GET", url=f"{endpoint.url}/openTunnel?{urlencode(query)}")
        SigV4QueryAuth(
            credentials.get_frozen_credentials(), "ec2-instance-connect", region, expires=_SIGNATURE_SECONDS
        ).add_auth(request)
    return str(request.url)


@contextlib.asynccontextmanager
async def open_tunnel(
    connection: Connection, session: Any, url: str, endpoint: Endpoint, host: str
) -> AsyncIterator[ClientConnection]:
    """Open the websocket behind a signed URL, for the time of a C(with) block."""
    import ssl

    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus

    address = urlsplit(url)
    context = None
    if address.scheme == "wss":
        context = ssl.create_default_context()
        # botocore's setting for whoever sits behind a proxy that opens TLS.
        authorities = session.get_config_variable("ca_bundle")
        if authorities:
            context.load_verify_locations(cafile=authorities)
    action = f"open a tunnel to {host} through {endpoint.id}"
    opening = connect(
        url,
        ssl=context,
        # A proxy of this machine's surroundings leads to AWS, never back to this machine.
        proxy=None if address.hostname in ("127.0.0.1", "::1", "localhost") else True,
        # SSH compresses by itself where asked to, encrypts in any case, and watches over its connection.
        compression=None,
        ping_interval=None,
        open_timeout=15,
        close_timeout=2,
        max_size=None,
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            websocket = await stack.enter_async_context(opening)
        except InvalidStatus as error:
            raise TunnelError(refusal(_error_document(error.response.body), action, connection)) from error
        except (OSError, InvalidHandshake) as error:
            service = f"{address.hostname}:{address.port or 443}"
            raise TunnelError(f"Could not {action}: {service} does not answer ({_one_line(error)}).") from error
        yield websocket


def _error_document(body: bytes | bytearray) -> dict[str, str]:
    """The error in the answer to a refused upgrade, C({"ErrorCode": ..., "Message": ...}), in EC2's own words."""
    text = body.decode(errors="replace")
    try:
        document = json.loads(text)
        return {"Code": document["ErrorCode"], "Message": document["Message"]}
    except (ValueError, LookupError, TypeError):  # somebody between us and AWS speaks
        return {"Code": "unexpected answer", "Message": text[:200]}


async def relay(websocket: ClientConnection, source: int, sink: int, host: str, port: int) -> None:
    """Copy between the file descriptors and the tunnel until either side closes.

    One thread that never waits for one direction while it could serve the other: the threads of websockets' own
    synchronous client lock each other out for good when both directions are full.
    """
    import asyncio

    from websockets.exceptions import ConnectionClosed

    said_all = False

    async def send() -> None:
        nonlocal said_all
        with contextlib.suppress(ConnectionClosed, OSError):
            while data := await _read(source):
                await websocket.send(data)
            said_all = True
        await websocket.close()

    os.set_blocking(source, False)
    os.set_blocking(sink, False)
    sending = asyncio.ensure_future(send())
    try:
        while True:
            await _write(sink, await websocket.recv(decode=False))
    except BrokenPipeError:
        await websocket.close()
    except ConnectionClosed as error:
        reason = error.rcvd.reason if error.rcvd else ""
        # Either we had nothing more to say, or the host.
        if said_all or (error.rcvd and error.rcvd.code == _NORMAL_CLOSURE):
            return
        if reason == _NO_ANSWER:
            raise TunnelError(
                f"{host} does not answer on port {port}: it is not up yet, or its security group does not let the"
                " endpoint in."
            ) from error
        raise TunnelError(f"The tunnel to {host} was cut: {reason or 'the connection was lost'}.") from error
    finally:
        sending.cancel()


async def _read(descriptor: int) -> bytes:
    """Read what is there, at least a byte unless the other side has closed."""
    import asyncio

    loop = asyncio.get_running_loop()
    # Let the other direction have its turn, however much there is to read here.
    await asyncio.sleep(0)
    while True:
        try:
            return os.read(descriptor, _FRAME_BYTES)
        except BlockingIOError:
            await _readiness(descriptor, loop.add_reader, loop.remove_reader)


async def _write(descriptor: int, data: bytes) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await _readiness(descriptor, loop.add_writer, loop.remove_writer)


async def _readiness(descriptor: int, watch: Callable[..., Any], forget: Callable[[int], Any]) -> None:
    import asyncio

    ready = asyncio.Event()
    watch(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        forget(descriptor)


def run_tunnel(options: argparse.Namespace) -> None:
    """C(tunnel): standard input and output become one TCP connection to a private address."""
    import asyncio

    connection = _connection(options)
    with aws_errors_in_words(connection, "read the AWS configuration"):
        session = connection.session()
    if options.endpoint_id and options.url:
        endpoint = Endpoint(options.endpoint_id, options.url)
    else:
        endpoint = find_endpoint(connection, session, environment=options.environment, endpoint_id=options.endpoint_id)
        if options.url:
            endpoint = Endpoint(endpoint.id, options.url)
    url = signed_url(connection, session, endpoint, options.host, options.port, options.max_seconds)

    async def carry() -> None:
        async with open_tunnel(connection, session, url, endpoint, options.host) as websocket:
            await relay(websocket, sys.stdin.fileno(), sys.stdout.fileno(), options.host, options.port)

    asyncio.run(carry())


# ---- jump -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """A running host that could be the jump host."""

    name: str
    address: str
    duties: frozenset[str]


def running_hosts(connection: Connection, environment: str) -> list[Candidate]:
    """The environment's running hosts, asked from the API: a list kept in a file would name hosts long replaced."""
    query = {
        "Filters": [
            {"Name": f"tag:{ENVIRONMENT_TAG}", "Values": [environment]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    }
    with aws_errors_in_words(connection, f"look up the hosts of the environment '{environment}'"):
        pages = connection.ec2(connection.session()).get_paginator("describe_instances").paginate(**query)
        found = []
        for page in pages:
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
                    found.append(
                        Candidate(
                            name=tags.get("Name", instance["InstanceId"]),
                            address=instance["PrivateIpAddress"],
                            duties=frozenset(tags.get(DUTIES_TAG, "").split(",")),
                        )
                    )
    if not found:
        raise TunnelError(f"The environment '{environment}' has no running host to jump through.")
    return found


def in_order(candidates: Sequence[Candidate], distrusted: Mapping[str, float], now: float) -> list[Candidate]:
    """Who is tried first: hosts that did not fail lately, then schedulers (one is in every fleet), then by name."""

    def rank(candidate: Candidate) -> tuple[bool, bool, str]:
        failed = now - distrusted.get(candidate.address, 0.0) < _DISTRUST_SECONDS
        return failed, "scheduler" not in candidate.duties, candidate.name

    return sorted(candidates, key=rank)


class SharedConnection:
    """The one SSH connection to a jump host that all connections of this person to an environment go through.

    It is an ordinary ControlMaster. A tunnel ends after C(max_seconds), so from half that age on the next connection
    makes a new one; those that came before stay on the old, which ends when nobody has used it for its ControlPersist
    time.
    """

    def __init__(self, config: Path, max_seconds: int) -> None:
        self.config = config
        self.max_age = max_seconds / 2
        self.directory = _socket_directory(config.parent)
        self._lock = config.parent / "jump.lock"
        self._log = config.parent / "jump.log"
        self._distrusted = config.parent / "jump.distrusted"
        self._failure = config.parent / "jump.failure"

    def acquire(self, candidates: Callable[[], Sequence[Candidate]]) -> Path:
        """The control socket of a live connection, made through the first candidate that works."""
        began = time.time()
        with self._lock.open("w") as lock:
            # Ansible starts many connections at once; the first makes the shared one, the others wait here for it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            living = self._living()
            if living:
                return living
            # What the first could not do, the others need not try, one after the other.
            failure = self._failure_since(began)
            if failure:
                raise TunnelError(failure)
            try:
                return self._make(candidates())
            except TunnelError as error:
                self._failure.write_text(str(error))
                raise

    def _living(self) -> Path | None:
        for socket in sorted(self.directory.glob("jump-*"), reverse=True):
            # What ssh is still making has a suffix: ".", and something random.
            match = re.fullmatch(r"jump-(\d+)-\d+", socket.name)
            if match is None:
                continue
            age = time.time() - int(match.group(1))
            if not self._answers(socket):
                socket.unlink(missing_ok=True)
            elif age < self.max_age:
                return socket
        return None

    def _answers(self, socket: Path) -> bool:
        check = ["ssh", "-F", str(self.config), "-o", f"ControlPath={socket}", "-O", "check", JUMP_HOST]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0  # noqa: S603

    def _make(self, candidates: Sequence[Candidate]) -> Path:
        failures = []
        for candidate in in_order(candidates, self._read_distrusted(), time.time()):
            # Written down before the attempt: who waits for us may lose patience and end us in the middle of it.
            self._write_distrusted({**self._read_distrusted(), candidate.address: time.time()})
            socket = self.directory / f"jump-{int(time.time())}-{candidate.address.rpartition('.')[2]}"
            if self._start(candidate, socket):
                distrusted = self._read_distrusted()
                del distrusted[candidate.address]
                self._write_distrusted(distrusted)
                return socket
            failures.append(f"{candidate.name}: {self._last_words()}")
        raise TunnelError(f"No host of the environment can be used as jump host. {' | '.join(failures)}")

    def _failure_since(self, moment: float) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            if self._failure.stat().st_mtime >= moment:
                return self._failure.read_text()
        return None

    def _start(self, candidate: Candidate, socket: Path) -> bool:
        command = ["ssh", "-F", str(self.config), "-f", "-N", "-o", f"HostName={candidate.address}"]
        command += ["-o", "ControlMaster=yes", "-o", f"ControlPath={socket}", "-o", "BatchMode=yes", JUMP_HOST]
        self._log.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            # A session of its own, and no file of ours: it outlives the command that needed it first, whose
            # interruption must not reach it and who would wait for the end of the pipes that it inherits.
            started = subprocess.run(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=False
            )
        return started.returncode == 0 and self._answers(socket)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n")
        words = [_one_line(line) for line in lines if line.strip()]
        # Ours come before ssh's own remark that the connection was closed, and say more.
        ours = [word.removeprefix("freehold: ") for word in words if word.startswith("freehold: ")]
        return (ours or words or ["ssh gave no reason"])[-1]

    def _read_distrusted(self) -> dict[str, float]:
        try:
            return {str(address): float(at) for address, at in json.loads(self._distrusted.read_text()).items()}
        except (OSError, ValueError):
            return {}

    def _write_distrusted(self, distrusted: Mapping[str, float]) -> None:
        self._distrusted.write_text(json.dumps(distrusted))


def _socket_directory(state: Path) -> Path:
    """Where control sockets go: beside the ssh_config, unless that path is too long for a socket."""
    if len(os.fsencode(state / "jump-1234567890-255")) <= _SOCKET_PATH_BYTES:
        return state
    import hashlib

    name = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"freehold-{os.getuid()}-{name}"
    directory.mkdir(mode=0o700, exist_ok=True)
    owner = directory.lstat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o077 or directory.is_symlink():
        raise TunnelError(f"{directory} belongs to somebody else, or others may enter it: remove it.")
    return directory


def run_jump(options: argparse.Namespace) -> NoReturn:
    """C(jump): become C(ssh -W) through the shared connection."""
    connection = _connection(options)
    shared = SharedConnection(options.config, options.max_seconds)
    socket = shared.acquire(lambda: running_hosts(connection, options.environment))
    os.execvp(  # noqa: S606
        "ssh",  # noqa: S607
        [
            "ssh",
            *("-F", str(options.config)),
            *("-o", f"ControlPath={socket}", "-o", "ControlMaster=no"),
            # Should the shared connection end between the check and now, fail instead of opening a tunnel of one's own.
            *("-o", "ProxyCommand=false"),
            *("-W", f"[{options.host}]:{options.port}", JUMP_HOST),
        ],
    )


# ---- the command line -----------------------------------------------------------------------------------------------


def _connection(options: argparse.Namespace) -> Connection:
    return Connection(options.region, options.profile, options.credentials_file, options.endpoint_url)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    aws = argparse.ArgumentParser(add_help=False)
    aws.add_argument("--region", help="AWS region")
    aws.add_argument("--profile", help="profile of the AWS configuration")
    aws.add_argument("--credentials-file", help="AWS credentials file, instead of ~/.aws/credentials")
    aws.add_argument("--endpoint-url", help="URL of the EC2 API, instead of the region's")
    aws.add_argument("--environment", help="name of the environment; what is needed is found by its tag")
    aws.add_argument(
        "--max-seconds", type=int, default=_TUNNEL_SECONDS, help="longest life of a tunnel (default: 3600)"
    )

    parser = argparse.ArgumentParser(description="Reach hosts without a public address; meant as ssh's ProxyCommand.")
    commands = parser.add_subparsers(required=True, metavar="tunnel|jump")
    tunnel = commands.add_parser("tunnel", parents=[aws], help="one connection through the endpoint")
    tunnel.add_argument("--endpoint-id", help="id of the EC2 Instance Connect Endpoint, instead of the environment's")
    tunnel.add_argument("--url", help="where the endpoint's service listens, instead of the endpoint's own name")
    tunnel.add_argument("--host", required=True, help="private address of the host")
    tunnel.add_argument("--port", type=int, default=22)
    tunnel.set_defaults(run=run_tunnel)

    jump = commands.add_parser("jump", parents=[aws], help="one connection through the shared jump host")
    jump.add_argument("--config", type=Path, required=True, help="the environment's ssh_config")
    jump.add_argument("host", help="private address or name of the host")
    jump.add_argument("port", type=int, nargs="?", default=22)
    jump.set_defaults(run=run_jump)

    options = parser.parse_args(arguments)
    if options.run is run_tunnel and not (options.endpoint_id or options.environment):
        parser.error("tunnel needs --environment or --endpoint-id")
    if options.run is run_jump and not options.environment:
        parser.error("jump needs --environment")
    if not 1 <= options.max_seconds <= _TUNNEL_SECONDS:
        parser.error("--max-seconds must be 1 to 3600, AWS's own limit")
    return options


def main() -> None:
    """Run one ProxyCommand; what goes wrong is one sentence on standard error."""
    options = parse()
    try:
        options.run(options)
    except TunnelError as error:
        raise SystemExit(f"freehold: {error}") from None
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"freehold: {sys.executable} lacks the Python package {error.name}; install it there."
        ) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
