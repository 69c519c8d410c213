# SPDX-License-Identifier: GPL-3.0-or-later
"""ElastiCache for Valkey: a valkey-server each, at its private address, with TLS and a password."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from lab import names
from lab.reconciler import networks
from lab.reconciler.containers import (
    ContainerSpec,
    File,
    NotReady,
    ensure,
    execute,
    fingerprint,
    remove_container,
)
from lab.reconciler.kind import Kind, Outcome, Round
from lab.reconciler.log import log
from lab.reconciler.snapshot import Cache, Snapshot, vpc_cidrs

_GONE = ("deleting", "deleted")


def container_name(identifier: str) -> str:
    """The container of a cache."""
    return f"{names.PREFIX}-cache-{identifier}"


def server_configuration(cache: Cache) -> str:
    """valkey.conf of one cache."""
    lines = ["bind 0.0.0.0", "protected-mode no", "dir /var/lib/freehold", 'save ""', "appendonly no"]
    if cache["tls"]:
        lines += [
            "port 0",
            f"tls-port {cache['port']}",
            "tls-cert-file /etc/freehold/server.crt",
            "tls-key-file /etc/freehold/server.key",
            "tls-auth-clients no",
        ]
    else:
        lines.append(f"port {cache['port']}")
    if cache["auth_token"]:
        quoted = cache["auth_token"].replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'requirepass "{quoted}"')
    return "\n".join(lines) + "\n"


class Caches(Kind):
    """The caches. They keep nothing on disk, as a node without snapshots."""

    name = "cache"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._proved: set[str] = set()

    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        return {
            cache["id"]: cache
            for cache in snapshot["caches"]
            if cache["status"] not in _GONE and cache["vpc_id"] in vpc_cidrs(snapshot) and cache["private_ip"]
        }

    def ensure(self, identifier: str, item: Cache, world: Round) -> Outcome:
        network = networks.require(item["vpc_id"] or "", world)
        listed = world.containers.get((self.name, identifier))
        container, fresh = ensure(_spec(item, network, world), world.epoch, listed)
        with self._lock:
            proved = container in self._proved and not fresh
        if not proved:
            _prove(container, item)
            with self._lock:
                self._proved.add(container)
            log(f"{container_name(identifier)}: answers")
        return Outcome({"caches": {identifier: {"status": "available"}}})

    def remove(self, identifier: str) -> None:
        removed = remove_container(container_name(identifier))
        if removed:
            log(f"{container_name(identifier)}: removed")


def _prove(container: str, item: Cache) -> None:
    tls = ["--tls", "--cacert", "/etc/freehold/ca.pem", "--sni", item["endpoint"]] if item["tls"] else []
    environment = {"REDISCLI_AUTH": item["auth_token"]} if item["auth_token"] else {}
    command = ["valkey-cli", *tls, "-h", item["private_ip"] or "", "-p", str(item["port"]), "PING"]
    code, output = execute(container, command, environment)
    if code != 0 or "PONG" not in output:
        raise NotReady(f"the server does not answer yet: {output[-200:]}")


def _spec(item: Cache, network: str, world: Round) -> ContainerSpec:

    certificate = world.authority.issue(item["endpoints"])
    configuration = server_configuration(item)
    return ContainerSpec(
        kind=Caches.name,
        id=item["id"],
        name=container_name(item["id"]),
        image=world.settings.services_image,
        command=("/opt/freehold/cache",),
        network=network,
        ip=item["private_ip"],
        files={
            "/etc/freehold/cache.conf": File(configuration.encode(), 0o600),
            "/etc/freehold/server.crt": File(certificate.chain_pem),
            "/etc/freehold/server.key": File(certificate.key_pem, 0o600),
            "/etc/freehold/ca.pem": File(world.authority.certificate_pem),
        },
        made_from=fingerprint([configuration, item["endpoints"]]),
    )
