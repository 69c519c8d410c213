# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP servers of the API: plain for the controller, and TLS with a certificate made for each name asked."""

from __future__ import annotations

import ssl
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from lab.ca import CertificateAuthority

_DEFAULT_NAME = "amazonaws.com"


class QuietHandler(MotoRequestHandler):  # type: ignore[misc]  # moto comes without types here
    """moto's handler without a line on stderr for every request; the request log has them."""

    def log_request(self, *_: object) -> None:
        """Say nothing."""

    def connection_dropped(self, error: BaseException, environ: object = None) -> None:
        """Hang up after a request that gets no answer, instead of waiting for the next one."""
        self.close_connection = True


class TlsNames:
    """TLS contexts by server name, made when first asked."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self._authority = authority
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self.context = self._make(_DEFAULT_NAME)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name:
            with self._lock:
                if name not in self._contexts:
                    self._contexts[name] = self._make(name)
            connection.context = self._contexts[name]

    def _make(self, name: str) -> ssl.SSLContext:
        issued = self._authority.issue([name])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # The ssl module reads certificates from files only.
        with tempfile.TemporaryDirectory() as directory:
            pem = Path(directory) / "server.pem"
            pem.touch(mode=0o600)
            pem.write_bytes(issued.key_pem + issued.chain_pem)
            context.load_cert_chain(pem)
        return context


def serve(
    app: Callable[..., Any], bind: str, port: int, authority: CertificateAuthority | None = None
) -> BaseWSGIServer:
    """Start a threaded server in the background; with an authority it speaks TLS. Port 0 takes a free one."""
    server = make_server(bind, port, app, threaded=True, request_handler=QuietHandler)
    if authority is not None:
        context = TlsNames(authority).context
        # The handshake belongs to the connection's own thread, or one silent client holds up all.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.ssl_context = context
    threading.Thread(target=server.serve_forever, name=f"http-{server.port}", daemon=True).start()
    return server
