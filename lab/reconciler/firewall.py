# SPDX-License-Identifier: GPL-3.0-or-later
"""Security groups: a packet filter in the network namespace of everything that has a private address."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from lab.reconciler.containers import NotReady, engine, find, fingerprint
from lab.reconciler.kind import Kind, Outcome, Round
from lab.reconciler.log import log
from lab.reconciler.packet_filter import Guarded, Interface, members, render
from lab.reconciler.snapshot import Snapshot, home_of, vpc_cidrs

_NFT_SECONDS = 20
# A machine that was restarted has a new network namespace, for so long without a filter (it boots longer).
_LOOK_SECONDS = 2.0


class Firewall(Kind):
    """One filter for each container with a private address."""

    name = "firewall"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Container -> what was applied to it: (its start, fingerprint of the rules).
        self._applied: dict[str, tuple[str, str]] = {}

    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        groups = {group["id"]: group for group in snapshot["security_groups"]}
        in_group = members(snapshot)
        return {
            f"{kind} {identifier}": {
                "kind": kind,
                "id": identifier,
                "rules": render(guarded, groups, in_group),
            }
            for kind, identifier, guarded in _guarded(snapshot)
        }

    def ensure(self, identifier: str, item: Mapping[str, Any], world: Round) -> Outcome:
        found = world.containers.get((item["kind"], item["id"]))
        if found is None or found.state != "running":
            found = find(item["kind"], item["id"])
        if found is None or found.state != "running":
            return Outcome(again=0.5)
        state = engine().inspect_container(found.id)["State"]
        applied = (str(state["StartedAt"]), fingerprint(item["rules"]))
        with self._lock:
            before = self._applied.get(found.id)
        if before != applied:
            _apply(int(state["Pid"]), item["rules"])
            with self._lock:
                self._applied[found.id] = applied
            if before is None or before[0] != applied[0]:
                log(f"{found.name}: filters packets by its security groups")
            else:
                log(f"{found.name}: filters packets by changed security groups")
        return Outcome(again=_LOOK_SECONDS)

    def remove(self, identifier: str) -> None:
        """The filter went with its container."""


def _apply(pid: int, rules: str) -> None:
    """Load the rules into the network namespace of a process. Needs the machine's process ids."""
    done = subprocess.run(  # noqa: S603
        ["nsenter", f"--net=/proc/{pid}/ns/net", "nft", "--file", "-"],  # noqa: S607
        input=rules,
        text=True,
        capture_output=True,
        check=False,
        timeout=_NFT_SECONDS,
    )
    if done.returncode != 0:
        raise NotReady(f"the packet filter is refused: {done.stderr.strip()[:300]}")


def _guarded(snapshot: Snapshot) -> Iterator[tuple[str, str, Guarded]]:
    cidrs = vpc_cidrs(snapshot)
    ways_out = {subnet["id"]: subnet["egress"] for subnet in snapshot["subnets"]}
    for instance in snapshot["instances"]:
        if instance["state"] != "running" or not instance["private_ip"] or instance["vpc_id"] not in cidrs:
            continue
        way = ways_out.get(instance["subnet_id"], "none")
        # An internet gateway serves only those who have a public address.
        leaves = way == "nat" or (way == "internet" and bool(instance.get("public_ip")))
        interface = Interface(instance["private_ip"], tuple(instance["security_groups"]))
        yield "instance", instance["id"], Guarded((interface,), cidrs[instance["vpc_id"]], leaves)
    for kind, things in (("database", snapshot["databases"]), ("cache", snapshot["caches"])):
        for thing in things:
            if thing["private_ip"] and thing["vpc_id"] in cidrs:
                interface = Interface(thing["private_ip"], tuple(thing["security_groups"]))
                yield kind, thing["id"], Guarded((interface,), cidrs[thing["vpc_id"]], False)
    for file_system in snapshot["file_systems"]:
        targets, home = file_system["mount_targets"], home_of(file_system, snapshot)
        if targets and home in cidrs:
            interfaces = tuple(Interface(target["ip"], tuple(target["security_groups"])) for target in targets)
            yield "file_system", file_system["id"], Guarded(interfaces, cidrs[home], False)
    for balancer in snapshot["load_balancers"]:
        if balancer["ips"] and balancer["vpc_id"] in cidrs:
            interfaces = tuple(Interface(address, tuple(balancer["security_groups"])) for address in balancer["ips"])
            yield "load_balancer", balancer["arn"], Guarded(interfaces, cidrs[balancer["vpc_id"]], True)
