# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's DNS server, one address in every VPC (base + 2), as Amazon's."""

from __future__ import annotations

import socketserver
import threading
from pathlib import Path
from typing import Any

from dnslib import DNSRecord
from dnslib.dns import DNSError

from lab.api.resolver import FORWARD_SECONDS, Resolver
from lab.api.state import Lab

# What fits into one packet on every way, https://www.dnsflagday.net/2020/
_UDP_LIMIT = 1232


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, channel = self.request
        reply = _safe_answer(self.server, wire, self.client_address[0], None)
        if reply is None:
            return
        if len(reply) > _UDP_LIMIT:
            short = DNSRecord.parse(reply).truncate()
            reply = bytes(short.pack())
        channel.sendto(reply, self.client_address)


class _Tcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(FORWARD_SECONDS)
        try:
            length = int.from_bytes(self._exactly(2), "big")
            wire = self._exactly(length)
        except OSError:
            return
        reply = _safe_answer(self.server, wire, self.client_address[0], self.request.getsockname()[0])
        if reply is not None:
            self.request.sendall(len(reply).to_bytes(2, "big") + reply)

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.request.recv(length - len(data))
            if not more:
                raise ConnectionError("the asker hung up")
            data += more
        return data


class _UdpServer(socketserver.ThreadingUDPServer):
    allow_reuse_address = True
    daemon_threads = True
    max_packet_size = 65535
    resolver: Resolver


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    resolver: Resolver


def _safe_answer(server: Any, wire: bytes, source: str, own_address: str | None) -> bytes | None:
    resolver: Resolver = server.resolver
    try:
        return resolver.answer(wire, source, own_address)
    except DNSError:
        return None


def system_resolvers(resolv_conf: Path = Path("/etc/resolv.conf")) -> list[str]:
    """The name servers that this container was given."""
    try:
        lines = resolv_conf.read_text().splitlines()
    except FileNotFoundError:
        return []
    words = [line.split() for line in lines]
    return [entry[1] for entry in words if len(entry) > 1 and entry[0] == "nameserver" and ":" not in entry[1]]


def serve(lab: Lab, bind: str, port: int, upstreams: list[str] | None = None) -> int:
    """Answer over UDP and TCP in the background; returns the port. Port 0 is not for use outside tests."""
    resolver = Resolver(lab, system_resolvers() if upstreams is None else upstreams)
    udp = _UdpServer((bind, port), _Udp)
    tcp = _TcpServer((bind, udp.server_address[1]), _Tcp)
    for server in (udp, tcp):
        server.resolver = resolver
        threading.Thread(target=server.serve_forever, name=type(server).__name__, daemon=True).start()
    return int(udp.server_address[1])
