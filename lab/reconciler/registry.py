# SPDX-License-Identifier: GPL-3.0-or-later
"""ECR: one docker registry for the account, plain for the machine's own docker, with TLS in every VPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker.errors import APIError

from lab import names
from lab.reconciler import networks
from lab.reconciler.containers import (
    ContainerSpec,
    File,
    engine,
    ensure,
    ensure_volume,
    find,
    fingerprint,
    remove_container,
    remove_volume,
)
from lab.reconciler.kind import Kind, Outcome, Round
from lab.reconciler.log import log
from lab.reconciler.snapshot import Snapshot, reserved_address

_INNER_PORT = 5001
_PLAIN_PORT = 5000

_REGISTRY = """
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: /var/lib/freehold}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
  # The same registry answers under several names.
  relativeurls: true
auth:
  htpasswd: {{realm: ECR, path: /etc/freehold/htpasswd}}
"""

_HAPROXY = """
global
    user haproxy
    group haproxy
    log stdout format raw local0 warning
    maxconn 1000
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
frontend registry
    bind 0.0.0.0:{plain}
    bind 0.0.0.0:443 ssl crt /etc/freehold/server.pem alpn h2,http/1.1
    default_backend registry
backend registry
    server registry 127.0.0.1:{inner}
"""


def endpoint(snapshot: Snapshot) -> str:
    """The registry's name on AWS."""
    return f"{snapshot['account']}.dkr.ecr.{snapshot['region']}.amazonaws.com"


class Registry(Kind):
    """The registry; there is always one, as in every account."""

    name = "registry"

    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        used = networks.vpcs_in_use(snapshot)
        return {
            "registry": {
                "endpoint": endpoint(snapshot),
                "vpcs": {vpc["id"]: vpc["cidr"] for vpc in snapshot["vpcs"] if vpc["id"] in used},
            }
        }

    def ensure(self, identifier: str, item: Mapping[str, Any], world: Round) -> Outcome:
        listed = world.containers.get((self.name, identifier))
        if listed is None:
            ensure_volume(names.REGISTRY_CONTAINER, self.name, identifier, world.epoch)
        container, fresh = ensure(_spec(item["endpoint"], world), world.epoch, listed)
        found = listed if listed and not fresh else find(self.name, identifier)
        for vpc_id, cidr in item["vpcs"].items():
            network = networks.network_name(vpc_id)
            if network in world.networks and found and network not in found.addresses:
                self._connect(container, network, reserved_address(cidr, 3))
        return Outcome(again=1.0 if set(item["vpcs"]) - _connected(found) else 10.0)

    def _connect(self, container: str, network: str, address: str) -> None:
        try:
            engine().connect_container_to_network(container, network, ipv4_address=address)
        except APIError as error:
            # The list was older than the connection.
            if "already exists" not in str(error.explanation):
                raise
        else:
            log(f"{names.REGISTRY_CONTAINER}: connected to {network} as {address}")

    def remove(self, identifier: str) -> None:
        if remove_container(names.REGISTRY_CONTAINER):
            log(f"{names.REGISTRY_CONTAINER}: removed with its images")
        remove_volume(names.REGISTRY_CONTAINER)


def _connected(found: Any) -> set[str]:
    prefix = f"{names.PREFIX}-"
    return {name.removeprefix(prefix) for name in found.addresses} if found else set()


def _spec(name: str, world: Round) -> ContainerSpec:
    certificate = world.authority.issue([name])
    password = (world.settings.state / "registry-password").read_text().strip()
    registry = _REGISTRY.format(port=_INNER_PORT)
    proxy = _HAPROXY.format(plain=_PLAIN_PORT, inner=_INNER_PORT)
    return ContainerSpec(
        kind=Registry.name,
        id="registry",
        name=names.REGISTRY_CONTAINER,
        image=world.settings.services_image,
        command=("/opt/freehold/registry",),
        network=names.NETWORK,
        ip=None,
        volumes={names.REGISTRY_CONTAINER: ("/var/lib/freehold", "rw")},
        files={
            "/etc/freehold/registry.yml": File(registry.encode()),
            "/etc/freehold/haproxy.cfg": File(proxy.encode()),
            "/etc/freehold/server.pem": File(certificate.chain_pem + certificate.key_pem, 0o600),
            "/etc/freehold/password": File(f"{password}\n".encode(), 0o600),
        },
        ports={_PLAIN_PORT: names.REGISTRY_PORT},
        made_from=[registry, proxy, name, fingerprint(password)],
    )
