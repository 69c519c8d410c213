# SPDX-License-Identifier: GPL-3.0-or-later
"""The service behind EC2 Instance Connect Endpoints: websockets from the machine become TCP connections inside a VPC.

It asks for what AWS asks for (a signature by a known key, ports 22 and 3389 only, at most 20 tunnels per endpoint and
one hour for each) and refuses in AWS's words. The connection comes from the endpoint's own address, so that security
groups that name the endpoint's group let it in, and only those.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qsl, quote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

_SERVICE = "ec2-instance-connect"
_PORTS = (22, 3389)
_MAX_TUNNELS = 20
_MAX_SECONDS = 3600
_USABLE_STATES = ("create-complete", "update-in-progress", "update-failed", "update-complete")
# How long a host may take to accept a connection.
_CONNECT_SECONDS = 8.0
# How far clocks may differ.
_SKEW = timedelta(minutes=5)
_CHUNK = 65_536
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
# The close code of a tunnel that the service ends; AWS's own is not documented, only that it is not 1000.
_ENDED = 1008


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as the tunnel service needs to know it."""

    id: str
    region: str
    state: str
    # Its address inside its subnet, and whether an address is that of a running host in the endpoint's VPC.
    address: str
    reaches: Callable[[str], bool]


@dataclass(frozen=True)
class Credentials:
    """What proves a caller: a secret, and for a session its token and its end."""

    secret_key: str
    session_token: str | None = None
    expires: datetime | None = None


@dataclass(frozen=True)
class Tunnel:
    """What a request asks for."""

    endpoint: Endpoint
    address: str
    port: int
    seconds: int


class Refused(Exception):
    """A tunnel that AWS would not open, with AWS's error code."""

    def __init__(self, code: str, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class Directory(Protocol):
    """What the tunnel service asks the API."""

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """The endpoint with this id."""

    def credentials(self, access_key: str) -> Credentials | None:
        """What belongs to an access key, or nothing where there is no such key."""

    def authorize(self, access_key: str, tunnel: Tunnel) -> None:
        """Raise Refused unless the key's owner may open this tunnel."""


# ---- judging a request ----------------------------------------------------------------------------------------------


def verify_signature(path: str, host: str, directory: Directory, now: datetime) -> str:
    """Check a SigV4 signature in the query string of a GET request, and return the access key.

    Raises Refused unless the signature is good and not too old.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
    """
    url = urlsplit(path)
    fields = dict(parse_qsl(url.query, keep_blank_values=True))
    try:
        scope = fields["X-Amz-Credential"].split("/")
        access_key, date, region, service, terminator = scope
        signed_at = datetime.strptime(fields["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lifetime = timedelta(seconds=int(fields["X-Amz-Expires"]))
        signature = fields["X-Amz-Signature"]
        algorithm, signed_headers = fields["X-Amz-Algorithm"], fields["X-Amz-SignedHeaders"]
    except (KeyError, ValueError) as error:
        raise Refused("MissingAuthenticationToken", "Missing Authentication Token", HTTPStatus.FORBIDDEN) from error
    proper_scope = (date, service, terminator) == (fields["X-Amz-Date"][:8], _SERVICE, "aws4_request")
    if algorithm != "AWS4-HMAC-SHA256" or signed_headers != "host" or not proper_scope:
        raise Refused(
            "InvalidSignatureException",
            "Credential should be scoped to a valid region and service.",
            HTTPStatus.FORBIDDEN,
        )
    credentials = directory.credentials(access_key)
    if credentials is None or credentials.session_token != fields.get("X-Amz-Security-Token"):
        raise Refused(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            HTTPStatus.FORBIDDEN,
        )
    query = sorted((_encode(key), _encode(value)) for key, value in fields.items() if key != "X-Amz-Signature")
    canonical = "\n".join(
        ["GET", url.path, "&".join(f"{key}={value}" for key, value in query), f"host:{host}", "", "host", _EMPTY_SHA256]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join([algorithm, fields["X-Amz-Date"], "/".join(scope[1:]), digest])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (date, region, service, terminator):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.new(key, to_sign.encode(), "sha256").hexdigest(), signature):
        raise Refused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
            HTTPStatus.FORBIDDEN,
        )
    if now > signed_at + lifetime or signed_at > now + _SKEW:
        age = f"{signed_at:%Y%m%dT%H%M%SZ} is now earlier than {now - lifetime:%Y%m%dT%H%M%SZ}"
        raise Refused("InvalidSignatureException", f"Signature expired: {age}", HTTPStatus.FORBIDDEN)
    if credentials.expires is not None and credentials.expires < now:
        raise Refused(
            "ExpiredTokenException", "The security token included in the request is expired", HTTPStatus.FORBIDDEN
        )
    return access_key


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def judge(path: str, host: str, directory: Directory, now: datetime, open_tunnels: Mapping[str, int]) -> Tunnel:
    """The tunnel that a request asks for; raise Refused where AWS would."""
    url = urlsplit(path)
    if url.path != "/openTunnel":
        raise Refused("UnknownOperationException", f"Unknown operation {url.path}", HTTPStatus.NOT_FOUND)
    access_key = verify_signature(path, host, directory, now)
    fields = dict(parse_qsl(url.query))
    endpoint_id = fields.get("instanceConnectEndpointId", "")
    endpoint = directory.endpoint(endpoint_id)
    if endpoint is None or endpoint.state not in _USABLE_STATES:
        raise Refused("ResourceNotFoundException", f"The instance connect endpoint '{endpoint_id}' was not found.")
    port = _number(fields, "remotePort", 22)
    if port not in _PORTS:
        raise Refused(
            "InvalidParameter",
            "The specified RemotePort is not valid. Specify either 22 or 3389 as the RemotePort and retry your"
            " request.",
        )
    seconds = _number(fields, "maxTunnelDuration", _MAX_SECONDS)
    if not 1 <= seconds <= _MAX_SECONDS:
        raise Refused("InvalidParameter", "The specified MaxTunnelDuration is not valid. Specify 1 to 3600 seconds.")
    tunnel = Tunnel(endpoint, fields.get("privateIpAddress", ""), port, seconds)
    directory.authorize(access_key, tunnel)
    if open_tunnels.get(endpoint.id, 0) >= _MAX_TUNNELS:
        raise Refused(
            "ServiceQuotaExceededException",
            f"The endpoint {endpoint.id} has reached its limit of {_MAX_TUNNELS} concurrent connections.",
        )
    return tunnel


def _number(fields: Mapping[str, str], name: str, default: int) -> int:
    text = fields.get(name, str(default))
    if not text.isdecimal():
        raise Refused("InvalidParameter", f"The specified {name[0].upper()}{name[1:]} is not valid.")
    return int(text)


# ---- carrying it ----------------------------------------------------------------------------------------------------


class TunnelServer:
    """Listens for websockets in a thread of its own."""

    def __init__(
        self,
        directory: Directory,
        source: Callable[[Endpoint], AbstractContextManager[str | None]],
        log: Callable[[str], None] = lambda line: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take `source(endpoint)`, the local address to connect from for as long as a tunnel is open."""
        self._directory = directory
        self._source = source
        self._log = log
        self._clock = clock
        self._tunnels: dict[ServerConnection, Tunnel] = {}
        self._loop = asyncio.new_event_loop()
        self._server: Server | None = None

    def start(self, address: str, port: int) -> int:
        """Listen, and return the port; raises OSError when that is not possible."""
        thread = threading.Thread(target=self._loop.run_forever, name="tunnel", daemon=True)
        thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(address, port), self._loop).result()
        return int(next(iter(self._server.sockets)).getsockname()[1])

    def stop(self) -> None:
        """Close every tunnel and stop listening; nothing happens the second time."""
        server, self._server = self._server, None
        if server is None:
            return

        async def close() -> None:
            server.close()
            await server.wait_closed()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def open_tunnels(self) -> dict[str, int]:
        """How many tunnels are open, by endpoint id."""
        return Counter(tunnel.endpoint.id for tunnel in self._tunnels.values())

    async def _listen(self, address: str, port: int) -> Server:
        return await serve(
            self._carry,
            address,
            port,
            process_request=self._admit,
            compression=None,
            max_size=None,
            # Finds a client that vanished without a word, within a minute.
            ping_interval=20,
            ping_timeout=20,
            close_timeout=2,
        )

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        try:
            tunnel = judge(
                request.path, request.headers.get("Host", ""), self._directory, self._clock(), self.open_tunnels()
            )
        except Refused as refused:
            self._log(f"tunnel refused: {refused}")
            return _refusal(refused)
        except Exception:  # the caller gets AWS's word for it, and `lab logs` the rest
            self._log(traceback.format_exc())
            broken = Refused("InternalFailure", "The lab's tunnel service failed.", HTTPStatus.INTERNAL_SERVER_ERROR)
            return _refusal(broken)
        # Counted here and not when data flows: twenty-one that ask at the same moment are one too many.
        self._tunnels[connection] = tunnel
        # Whatever becomes of the connection, even if its handshake never ends.
        connection.connection_lost_waiter.add_done_callback(lambda _: self._tunnels.pop(connection, None))
        return None

    async def _carry(self, connection: ServerConnection) -> None:
        tunnel = self._tunnels.get(connection)
        if tunnel is None:  # lost in the moment between handshake and here
            return
        try:
            async with asyncio.timeout(tunnel.seconds):
                await self._relay(connection, tunnel)
        except TimeoutError:
            await connection.close(_ENDED, f"The tunnel reached its maximum duration of {tunnel.seconds} s")

    async def _relay(self, connection: ServerConnection, tunnel: Tunnel) -> None:
        async with contextlib.AsyncExitStack() as stack:
            try:
                reader, writer = await self._connect(tunnel, stack)
            except OSError as error:
                self._log(f"tunnel {tunnel.endpoint.id} to {tunnel.address}:{tunnel.port}: {error or 'no answer'}")
                await connection.close(_ENDED, "Unable to connect to target")
                return

            async def outwards() -> None:
                while data := await reader.read(_CHUNK):
                    await connection.send(data)

            async def inwards() -> None:
                async for frame in connection:
                    writer.write(frame.encode() if isinstance(frame, str) else frame)
                    await writer.drain()

            with contextlib.suppress(ConnectionClosed, OSError):
                await _first_to_end(outwards(), inwards())
            await connection.close()

    async def _connect(
        self, tunnel: Tunnel, stack: contextlib.AsyncExitStack
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the host; `stack` undoes it. Raises OSError (of which TimeoutError is one)."""
        endpoint = tunnel.endpoint
        loop = asyncio.get_running_loop()
        # Whatever asks the API or runs a program would hold up all other tunnels.
        if not await loop.run_in_executor(None, endpoint.reaches, tunnel.address):
            raise OSError("no running host of the endpoint's VPC has this address")
        source = self._source(endpoint)
        address = await loop.run_in_executor(None, source.__enter__)
        stack.push_async_callback(loop.run_in_executor, None, source.__exit__, None, None, None)
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                tunnel.address, tunnel.port, local_addr=(address, 0) if address else None, limit=4 * _CHUNK
            )
        stack.callback(writer.transport.abort)
        return reader, writer


def _refusal(refused: Refused) -> Response:
    body = json.dumps({"ErrorCode": refused.code, "Message": refused.message}).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
    return Response(refused.status, refused.status.phrase, headers, body)


async def _first_to_end(*coroutines: Coroutine[None, None, None]) -> None:
    """Run until one of these ends, and end the others; raise what it raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
