# SPDX-License-Identifier: GPL-3.0-or-later
"""Further addresses of a container: docker gives it one per network, a load balancer has one per zone."""

from __future__ import annotations

import ipaddress
import threading

from lab.reconciler.containers import NotReady, execute, started_at


class Addresses:
    """Adds addresses to running containers, once per start of each: a restarted container has only its first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: dict[str, tuple[str, frozenset[str]]] = {}

    def ensure(self, container: str, cidr: str, addresses: list[str], fresh: bool) -> None:
        """Give the container exactly `addresses`; the first is the one it has from docker. It needs NET_ADMIN."""
        wanted = frozenset(addresses)
        with self._lock:
            known = self._given.get(container)
        if known and known[1] == wanted and not fresh:
            return
        start = started_at(container)
        if known == (start, wanted):
            return
        prefix = ipaddress.ip_network(cidr).prefixlen
        lines = ["set -e"]
        if known and known[0] == start:
            lines += [f"ip address del {address}/{prefix} dev eth0 || true" for address in sorted(known[1] - wanted)]
        lines += [f"ip address replace {address}/{prefix} dev eth0" for address in addresses[1:]]
        code, output = execute(container, ["sh", "-c", "\n".join(lines)])
        if code != 0:
            raise NotReady(f"it cannot take its addresses: {output}")
        with self._lock:
            self._given[container] = (start, wanted)
