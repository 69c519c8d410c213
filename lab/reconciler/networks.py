# SPDX-License-Identifier: GPL-3.0-or-later
"""A docker network for each VPC, with the API in it: resolver, AWS endpoints and instance metadata."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import APIError, NotFound

from lab import names
from lab.reconciler.containers import NotReady, engine, execute, find, labels, started_at
from lab.reconciler.kind import Kind, Outcome, Round
from lab.reconciler.log import log
from lab.reconciler.snapshot import Snapshot, home_of, reserved_address

METADATA_ADDRESS = "169.254.169.254"


def network_name(vpc_id: str) -> str:
    """The docker network of a VPC."""
    return f"{names.PREFIX}-{vpc_id}"


def require(vpc_id: str, world: Round) -> str:
    """The network of a VPC, once it is there. Raises NotReady before."""
    name = network_name(vpc_id)
    if name not in world.networks:
        raise NotReady(f"network of {vpc_id} is not there yet")
    return name


def vpcs_in_use(snapshot: Snapshot) -> set[str]:
    """The VPCs in which something lives; an empty one needs no network."""
    used = {instance["vpc_id"] for instance in snapshot["instances"] if instance["state"] != "terminated"}
    for thing in [*snapshot["databases"], *snapshot["caches"], *snapshot["load_balancers"]]:
        used.add(thing["vpc_id"] or "")
    used.update(home_of(file_system, snapshot) or "" for file_system in snapshot["file_systems"])
    return used


class Networks(Kind):
    """The networks."""

    name = "network"

    def __init__(self) -> None:
        # Where this process has already added the metadata address: (start of the API's container, network).
        self._metadata_at: set[tuple[str, str]] = set()

    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        used = vpcs_in_use(snapshot)
        return {vpc["id"]: vpc["cidr"] for vpc in snapshot["vpcs"] if vpc["id"] in used}

    def ensure(self, identifier: str, item: str, world: Round) -> Outcome:
        name = network_name(identifier)
        if name not in world.networks:
            _create(name, identifier, item, world.epoch)
        api = world.containers.get((names.CONTROL_KIND, "api"))
        if api is None:
            raise NotReady("the API's container is not there")
        resolver = reserved_address(item, 2)
        if api.addresses.get(name) != resolver:
            api = find(names.CONTROL_KIND, "api") or api
        if api.addresses.get(name) != resolver:
            # A connection left by an interrupted try may hold another address.
            _disconnect(name, api.id)
            engine().connect_container_to_network(api.id, name, ipv4_address=resolver)
            log(f"{name}: connected the API as {resolver}")
        here = (started_at(api.id), world.networks.get(name, name))
        if here not in self._metadata_at:
            _add_metadata_address(api.id, resolver)
            self._metadata_at.add(here)
        return Outcome()

    def remove(self, identifier: str) -> None:
        remove_network(network_name(identifier))


def _create(name: str, vpc_id: str, cidr: str, epoch: str) -> None:
    if engine().networks(names=[f"^{name}$"]):
        return
    pool = docker.types.IPAMPool(subnet=cidr, gateway=reserved_address(cidr, 1))
    try:
        engine().create_network(
            name,
            driver="bridge",
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
            labels=labels("network", vpc_id, epoch),
        )
    except APIError as error:
        if "overlap" in str(error.explanation):
            raise NotReady(
                f"{cidr} overlaps {_overlapping(cidr)}; remove that, or choose another address block for the VPC"
            ) from error
        raise
    log(f"{name}: made with {cidr}")


def _overlapping(cidr: str) -> str:
    """The network in the way, as far as docker knows it."""
    wanted = ipaddress.IPv4Network(cidr)
    for network in engine().networks():
        for pool in (network.get("IPAM") or {}).get("Config") or []:
            subnet = pool.get("Subnet") or ""
            block = ipaddress.IPv4Network(subnet) if "." in subnet else None
            if block is not None and block.overlaps(wanted):
                return f"the docker network {network['Name']} ({block})"
    return "a network of this machine"


def _add_metadata_address(container: str, resolver: str) -> None:
    script = (
        f"device=$(ip -o -4 address show to {resolver}/32 | sed -E 's/^[0-9]+: ([^ ]+) .*/\\1/') && "
        f'[ -n "$device" ] && ip address replace {METADATA_ADDRESS}/32 dev "$device"'
    )
    code, output = execute(container, ["sh", "-c", script])
    if code != 0:
        raise NotReady(f"the API has no metadata address yet: {output}")


def _disconnect(network: str, container: str) -> None:
    try:
        engine().disconnect_container_from_network(container, network, force=True)
    except APIError:
        return


def remove_network(name: str) -> None:
    """Remove a network; the lab's own containers leave it first."""
    try:
        for container in engine().inspect_network(name).get("Containers") or {}:
            _disconnect(name, container)
        engine().remove_network(name)
    except NotFound:
        return
    except APIError as error:
        raise NotReady(f"the network is still in use: {error.explanation}") from error
    log(f"{name}: removed")


def list_networks() -> dict[str, tuple[str, dict[str, str]]]:
    """The lab's networks: name -> (id, labels)."""
    answer = engine().networks(filters={"label": names.LABEL})
    return {item["Name"]: (item["Id"], item.get("Labels") or {}) for item in answer}
