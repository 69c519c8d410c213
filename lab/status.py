# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab status` and `lab logs`: what the lab runs, for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import docker
import requests
from docker.errors import NotFound

from lab import engine, names
from lab.refusal import Refusal
from lab.up import ask_api


def status() -> int:
    """Print tables; the exit code is 0 when the API and the reconciler run."""
    client = engine.connect()
    if client is None:
        _print("The lab is down: no docker engine answers.")
        return 1
    containers = client.api.containers(all=True, filters={"label": names.KIND_LABEL})
    if not containers:
        _print("The lab is down.")
        return 1
    try:
        snapshot: dict[str, Any] | None = ask_api(names.state_directory(), "/_lab/snapshot")
        summary: dict[str, Any] = ask_api(names.state_directory(), "/_lab/status")
    except (requests.RequestException, OSError, ValueError) as error:
        _print(f"The API does not answer: {error}")
        snapshot, summary = None, {}
    if snapshot is not None:
        _table(("RESOURCE", "ID", "STATE", "ADDRESS", "NAME"), _resources(snapshot, summary))
    _table(("CONTAINER", "STATE", "SINCE"), sorted(_container(item) for item in containers))
    running = {item["Names"][0].lstrip("/") for item in containers if item["State"] == "running"}
    return 0 if {names.API_CONTAINER, names.RECONCILER_CONTAINER} <= running and snapshot is not None else 1


def _container(item: dict[str, Any]) -> tuple[str, str, str]:
    return item["Names"][0].lstrip("/"), item["State"], item["Status"]


def _resources(snapshot: dict[str, Any], summary: dict[str, Any]) -> list[tuple[str, ...]]:
    states = {item["id"]: item["state"] for item in summary.get("instances", [])}
    rows: list[tuple[str, ...]] = [("vpc", vpc["id"], "", vpc["cidr"], "") for vpc in snapshot["vpcs"]]
    for item in snapshot["instances"]:
        name = (item.get("tags") or {}).get("Name", "")
        rows.append(("instance", item["id"], states.get(item["id"], item["state"]), item["private_ip"] or "", name))
    for item in snapshot["databases"]:
        rows.append(("database", item["id"], item["status"], item["private_ip"] or "", item["endpoint"] or ""))
    for item in snapshot["caches"]:
        rows.append(("cache", item["id"], item["status"], item["private_ip"] or "", item["endpoint"] or ""))
    for item in snapshot["file_systems"]:
        addresses = ", ".join(target["ip"] for target in item["mount_targets"])
        rows.append(("file system", item["id"], item.get("state", ""), addresses, item["dns_name"]))
    for item in snapshot["load_balancers"]:
        rows.append(("load balancer", item["name"], item.get("state", ""), ", ".join(item["ips"]), item["dns_name"]))
    rows += [("repository", item["name"], "", "", "") for item in snapshot["repositories"]]
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    widths = [max(len(str(row[column])) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        _print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    _print("")


def logs(what: str, *, follow: bool) -> int:
    """Print a container's log: `what` is a part of its name, an instance id, or nothing for the reconciler."""
    client = engine.connect()
    if client is None:
        raise Refusal("No docker engine answers, so there are no logs.")
    container = _find(client, what or names.RECONCILER_CONTAINER)
    try:
        if follow:
            for part in client.api.logs(container, stream=True, follow=True, tail=100):
                sys.stdout.write(part.decode(errors="replace"))
                sys.stdout.flush()
        else:
            sys.stdout.write(client.api.logs(container).decode(errors="replace"))
    except NotFound as error:
        raise Refusal(f"{what} is gone.") from error
    return 0


def _find(client: docker.DockerClient, what: str) -> str:
    containers = client.api.containers(all=True, filters={"label": names.KIND_LABEL})
    found: list[str] = sorted(item["Names"][0].lstrip("/") for item in containers)
    exact = [name for name in found if name in (what, f"{names.PREFIX}-{what}")]
    matching = exact or [name for name in found if what in name]
    if len(matching) != 1:
        known = ", ".join(name.removeprefix(f"{names.PREFIX}-") for name in found) or "none"
        raise Refusal(f"{'No' if not matching else 'More than one'} container matches '{what}'; there are: {known}.")
    return matching[0]


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
