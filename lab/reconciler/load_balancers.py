# SPDX-License-Identifier: GPL-3.0-or-later
"""Application Load Balancers: an HAProxy each, at all its addresses, reloaded without dropping a connection."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError

from lab import names
from lab.reconciler import haproxy, networks, statistics
from lab.reconciler.addresses import Addresses
from lab.reconciler.containers import (
    ContainerSpec,
    NotReady,
    engine,
    ensure,
    execute,
    fingerprint,
    last_words,
    remove_container,
)
from lab.reconciler.kind import Kind, Outcome, Round
from lab.reconciler.log import log
from lab.reconciler.snapshot import Certificate, LoadBalancer, Snapshot, TargetGroup, vpc_cidrs

_RELOAD_SECONDS = 10.0
# Targets change their health within seconds; a look at the socket costs a millisecond.
_LOOK_SECONDS = 1.0


def container_name(arn: str) -> str:
    """The container of a load balancer."""
    return f"{names.PREFIX}-lb-{haproxy.name_of(arn)}"


class LoadBalancers(Kind):
    """The load balancers."""

    name = "load_balancer"

    def __init__(self, root: Path, addresses: Addresses) -> None:
        self._root = root
        self._addresses = addresses

    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        known = {certificate["arn"]: certificate for certificate in snapshot["certificates"]}
        cidrs = vpc_cidrs(snapshot)
        balancers = [
            item for item in snapshot["load_balancers"] if item["type"] == "application" and item["vpc_id"] in cidrs
        ]
        facing = [item["arn"] for item in balancers if item["scheme"] == "internet-facing"]
        wanted: dict[str, Any] = {}
        for balancer in balancers:
            arns = [arn for listener in balancer["listeners"] for arn in listener["certificate_arns"]]
            wanted[balancer["arn"]] = {
                "load_balancer": balancer,
                "target_groups": haproxy.used_target_groups(balancer, snapshot["target_groups"]),
                "cidr": cidrs[balancer["vpc_id"]],
                "certificates": {arn: known[arn] for arn in arns if arn in known},
                # The machine has one port 443: it leads to the oldest load balancer that faces the internet.
                "published": balancer["arn"] == (facing[0] if facing else None),
            }
        return wanted

    def ensure(self, identifier: str, item: Mapping[str, Any], world: Round) -> Outcome:
        balancer: LoadBalancer = item["load_balancer"]
        groups: list[TargetGroup] = item["target_groups"]
        if not balancer["ips"]:
            raise NotReady("the API gave it no addresses yet")
        network = networks.require(balancer["vpc_id"], world)
        directory = self._root / haproxy.name_of(identifier)
        changed = _write(directory, balancer, groups, item["certificates"], world)
        listed = world.containers.get((self.name, identifier))
        spec = _spec(balancer, network, item["published"], world)
        container, fresh = ensure(spec, world.epoch, listed)
        self._addresses.ensure(container, item["cidr"], balancer["ips"], fresh)
        if changed and not fresh:
            self._reload(container, directory, groups, spec.name)
        elif changed or fresh:
            _wait_for(directory, groups, container)
        (directory / "applied").write_text(fingerprint((directory / "haproxy.cfg").read_text()))
        health = _health(directory, groups)
        observed = {"load_balancers": {identifier: {"state": "active"}}, "targets": health}
        return Outcome(observed, again=_LOOK_SECONDS)

    def _reload(self, container: str, directory: Path, groups: list[TargetGroup], name: str) -> None:
        check = ["sh", "-c", f"cd /lb/{directory.name} && exec haproxy -c -f haproxy.cfg"]
        code, output = execute(container, check)
        if code != 0:
            raise NotReady(f"HAProxy refuses its configuration: {output[-500:]}")
        engine().kill(container, signal="SIGUSR2")
        _wait_for(directory, groups, container)
        log(f"{name}: took its new configuration")

    def remove(self, identifier: str) -> None:
        removed = remove_container(container_name(identifier))
        shutil.rmtree(self._root / haproxy.name_of(identifier), ignore_errors=True)
        if removed:
            log(f"{container_name(identifier)}: removed")


def _write(
    directory: Path,
    balancer: LoadBalancer,
    groups: list[TargetGroup],
    certificates: Mapping[str, Certificate],
    world: Round,
) -> bool:
    """Write the configuration; say whether HAProxy has yet to take it."""
    (directory / "certs").mkdir(parents=True, exist_ok=True)
    changed = False
    for certificate in certificates.values():
        changed = _write_certificate(directory, certificate, world) or changed
    ready = [
        listener
        for listener in balancer["listeners"]
        if listener["protocol"] != "HTTPS" or set(listener["certificate_arns"]) <= set(certificates)
    ]
    text = haproxy.render({**balancer, "listeners": ready}, groups)
    applied = directory / "applied"
    if not changed and applied.exists() and applied.read_text() == fingerprint(text):
        return False
    admin = directory / "admin.sock"
    try:
        running = statistics.ask(admin, "show servers state")
    except OSError:
        running = ""
    applied.unlink(missing_ok=True)
    (directory / "states").write_text(statistics.state_file(haproxy.servers(groups), running))
    _replace(directory / "haproxy.cfg", text)
    return True


def _write_certificate(directory: Path, certificate: Certificate, world: Round) -> bool:
    path = directory / haproxy.certificate_file(certificate["arn"])
    # What the file was made from stands beside it; another CA, another certificate.
    made_from = path.with_suffix(".made-from")
    wanted = fingerprint([certificate, world.authority.certificate_pem.decode()])
    if path.exists() and made_from.exists() and made_from.read_text() == wanted:
        return False
    if "key_pem" in certificate:
        _replace(path, f"{certificate['certificate_pem'].strip()}\n{certificate['key_pem']}")
    else:
        issued = world.authority.issue(certificate["domains"])
        _replace(path, (issued.chain_pem + issued.key_pem).decode())
    made_from.write_text(wanted)
    return True


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def _wait_for(directory: Path, groups: list[TargetGroup], container: str) -> None:
    """Wait until HAProxy knows exactly the wanted servers."""
    wanted = {(backend, server) for backend, server, _, _ in haproxy.servers(groups)}
    deadline = time.monotonic() + _RELOAD_SECONDS
    while True:
        try:
            known = statistics.target_health(statistics.ask(directory / "admin.sock", "show stat"))
            if {(backend, server) for backend, servers in known.items() for server in servers} == wanted:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise NotReady(f"HAProxy has not taken its configuration: {_last_words(container)}")
        time.sleep(0.1)


def _last_words(container: str) -> str:
    try:
        return last_words(container)
    except APIError:
        return "its container is gone"


def _health(directory: Path, groups: list[TargetGroup]) -> dict[str, Any]:
    admin = directory / "admin.sock"
    try:
        answer = statistics.ask(admin, "show stat")
        new = statistics.passed_first_check(answer)
        for backend, server in new:
            statistics.ask(admin, f"set server {backend}/{server} health up")
        known = statistics.target_health(statistics.ask(admin, "show stat") if new else answer)
    except OSError as error:
        raise NotReady(f"HAProxy does not answer: {error}") from error
    return {group["arn"]: known.get(haproxy.name_of(group["arn"]), {}) for group in groups}


def _spec(balancer: LoadBalancer, network: str, published: bool, world: Round) -> ContainerSpec:
    arn = balancer["arn"]
    ports = {names.HTTP_PORT: names.HTTP_PORT, names.HTTPS_PORT: names.HTTPS_PORT} if published else {}
    return ContainerSpec(
        kind=LoadBalancers.name,
        id=arn,
        name=container_name(arn),
        image=world.settings.services_image,
        command=("/opt/freehold/load-balancer",),
        network=network,
        ip=balancer["ips"][0],
        environment={"FREEHOLD_DIRECTORY": haproxy.name_of(arn)},
        volumes={names.LOAD_BALANCERS_VOLUME: ("/lb", "rw")},
        ports=ports,
        capabilities=("NET_ADMIN",),
        # HAProxy's soft stop: connections under way end first.
        stop_signal="SIGUSR1",
        made_from=[arn, sorted(ports)],
    )
