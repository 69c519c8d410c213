# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance metadata service, version 2: an instance is known by the address it asks from.

The answer to a token request travels no further than the instance's hop limit, because its IP packets have that time to
live.
"""

from __future__ import annotations

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab.api.metadata import Metadata, NotFound
from lab.api.state import Lab

_TOKEN_PATH = "/latest/api/token"  # noqa: S105  (a path)
_TOKEN_LIMIT = 21600
_VERSIONS = ("1.0", "2007-01-19", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "2024-04-11", "latest")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Read metadata with a session token, or without one where the instance allows version 1."""
        metadata = self.server.metadata
        with metadata.lab.lock:
            instance = self._instance()
            if instance is None:
                return
            token = self.headers.get("X-aws-ec2-metadata-token")
            required = instance.metadata_options.http_tokens == "required"
            if (token is None and required) or (token is not None and not metadata.valid(instance, token)):
                self._send(HTTPStatus.UNAUTHORIZED, b"")
                return
            body = self._read(instance)
        if body is None:
            self._send(HTTPStatus.NOT_FOUND, b"")
        else:
            self._send(HTTPStatus.OK, body)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        """Open a session."""
        metadata = self.server.metadata
        with metadata.lab.lock:
            instance = self._instance()
            if instance is None:
                return
            if self.path.partition("?")[0] != _TOKEN_PATH:
                self._send(HTTPStatus.NOT_FOUND, b"")
                return
            if self.headers.get("X-Forwarded-For") is not None:
                # Proxies must not get tokens for others.
                self._send(HTTPStatus.FORBIDDEN, b"")
                return
            seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if not seconds.isdigit() or not 1 <= int(seconds) <= _TOKEN_LIMIT:
                self._send(HTTPStatus.BAD_REQUEST, b"")
                return
            token = metadata.new_token(instance, int(seconds))
            hops = int(instance.metadata_options.http_put_response_hop_limit)
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        # The time to live belongs to the connection: another request needs another one.
        self.close_connection = True
        self._send(HTTPStatus.OK, token.encode(), {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": seconds})

    def _instance(self) -> Any | None:
        instance = self.server.metadata.instance_at(self.client_address[0])
        if instance is None:
            self._send(HTTPStatus.NOT_FOUND, b"")
            return None
        if instance.metadata_options.http_endpoint == "disabled":
            self._send(HTTPStatus.FORBIDDEN, b"")
            return None
        return instance

    def _read(self, instance: Any) -> bytes | None:
        path = self.path.partition("?")[0]
        parts = path.strip("/").split("/", 1)
        if parts == [""]:
            return "\n".join(_VERSIONS).encode()
        if parts[0] not in _VERSIONS:
            return None
        try:
            content = self.server.metadata.read(instance, parts[1] if len(parts) > 1 else "")
        except NotFound:
            return None
        return content if isinstance(content, bytes) else content.encode()

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    metadata: Metadata


def serve(lab: Lab, bind: str, port: int) -> int:
    """Answer in the background; returns the port."""
    server = _Server((bind, port), _Handler)
    server.metadata = Metadata(lab)
    threading.Thread(target=server.serve_forever, name="imds", daemon=True).start()
    return int(server.server_address[1])
