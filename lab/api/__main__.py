# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m lab.api`: the lab's AWS API until SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading

from lab import dns, imds
from lab.api import operator, services, state, tunnels
from lab.api.gateway import Gateway
from lab.api.servers import serve
from lab.api.settings import Settings


def main() -> int:
    """Start every server that has a port, and wait."""
    settings = Settings.from_environment()
    lab = state.start(settings)
    assert services.__all__  # noqa: S101  (imported for what it puts in place)
    operator.create(lab)
    gateway = Gateway(lab)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if settings.dns_port:
        dns.serve(lab, settings.bind, settings.dns_port)
    if settings.metadata_port:
        imds.serve(lab, settings.bind, settings.metadata_port)
    if settings.tunnel_port:
        tunnels.serve(lab, settings.bind, settings.tunnel_port)
    if settings.https_port:
        serve(gateway, settings.bind, settings.https_port, lab.authority)
    # Last: who sees this port may count on the others.
    serve(gateway, settings.bind, settings.http_port)
    lab.log(f"lab API ready on port {settings.http_port}, epoch {lab.epoch}")
    ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
