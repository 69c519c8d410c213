# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts a fleet wants, and how they differ from the instances there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ALIVE = ("pending", "running", "stopping", "stopped")


def fleet_hosts(
    fleet: Iterable[Mapping[str, Any]],
    environment: str,
    subnets: Iterable[Mapping[str, str]] = (),
    duty_groups: Mapping[str, Iterable[str]] | None = None,
    group_ids: Mapping[str, str] | None = None,
    profiles: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return one entry for every wanted host.

    Host number n of an entry lives in the n-th zone, counted round, so that no host moves when a count changes.
    I(subnets) are I(id) and I(zone), one for each zone, in order; without them (nothing is made yet) hosts have none.
    I(duty_groups) names the security groups of every duty, with C(all) for those of every host; I(group_ids) says their
    ids. I(profiles) are the instance profiles by entry.
    """
    zones, ids = list(subnets), group_ids or {}
    hosts = []
    for entry in fleet:
        names = [name for duty in ("all", *entry["duties"]) for name in (duty_groups or {}).get(duty, [])]
        for number in range(1, int(entry["count"]) + 1):
            home = zones[(number - 1) % len(zones)] if zones else {"id": "", "zone": ""}
            hosts.append(
                {
                    "name": f"{environment}-{entry['name']}-{number}",
                    "entry": entry["name"],
                    "duties": ",".join(entry["duties"]),
                    "instance_type": entry["instance_type"],
                    "volume_gib": int(entry["volume_gib"]),
                    "subnet_id": home["id"],
                    "zone": home["zone"],
                    "security_group_ids": sorted({ids[name] for name in names if name in ids}),
                    "profile": (profiles or {}).get(entry["name"], ""),
                }
            )
    return hosts


def _differences(
    host: Mapping[str, Any], instance: Mapping[str, Any], wanted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return what of a living instance can be set right without stopping it."""
    options = instance.get("metadata_options") or {}
    profile = (instance.get("iam_instance_profile") or {}).get("arn", "")
    tags = {**wanted["tags"], "freehold:duties": host["duties"]}
    pairs = [
        (
            "security groups",
            sorted(group["group_id"] for group in instance.get("security_groups") or []),
            host["security_group_ids"],
        ),
        ("instance profile", profile.split("/")[-1], host["profile"]),
        ("IMDS tokens", options.get("http_tokens"), "required"),
        ("IMDS hop limit", options.get("http_put_response_hop_limit"), wanted["hop_limit"]),
        (
            "termination protection",
            ((instance.get("attributes") or {}).get("disable_api_termination") or {}).get("value", False),
            wanted["termination_protection"],
        ),
        ("tags", {key: instance["tags"].get(key) for key in tags}, tags),
    ]
    return [{"name": name, "current": now, "desired": then} for name, now, then in pairs if now != then]


def fleet_state(
    hosts: Iterable[Mapping[str, Any]], instances: Iterable[Mapping[str, Any]], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare the wanted hosts with the environment's instances, as ec2_instance_info answers them.

    I(wanted) holds what is the same for all: C(tags), C(hop_limit), C(termination_protection).
    Returns C(missing) hosts; C(stopped), C(extra) and C(doubled) instances; C(differing), the hosts to set right with
    their C(instance_id) and C(differences); and C(resize), where only stopping or replacing the host would help.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for instance in instances:
        if instance["state"]["name"] in ALIVE:
            by_name.setdefault(instance["tags"].get("Name", instance["instance_id"]), []).append(instance)
    state: dict[str, Any] = {
        "missing": [],
        "stopped": [],
        "differing": [],
        "resize": [],
        "extra": [],
        "doubled": sorted(name for name, living in by_name.items() if len(living) > 1),
    }
    wanted_names = set()
    for host in hosts:
        wanted_names.add(host["name"])
        if host["name"] not in by_name:
            state["missing"].append(host)
            continue
        instance = by_name[host["name"]][0]
        if instance["state"]["name"] in ("stopping", "stopped"):
            state["stopped"].append(instance["instance_id"])
        if differences := _differences(host, instance, wanted):
            state["differing"].append({**host, "instance_id": instance["instance_id"], "differences": differences})
        if instance["instance_type"] != host["instance_type"]:
            state["resize"].append(f"{host['name']} is {instance['instance_type']}, not {host['instance_type']}")
    state["extra"] = sorted(set(by_name) - wanted_names)
    return state


def fleet_instances(instances: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Reduce what ec2_instance_info answers to what other roles need, ordered by name."""
    short = [
        {
            "id": instance["instance_id"],
            "name": instance["tags"].get("Name", ""),
            "duties": [duty for duty in instance["tags"].get("freehold:duties", "").split(",") if duty],
            "private_ip": instance.get("private_ip_address", ""),
            "zone": (instance.get("placement") or {}).get("availability_zone", ""),
            "instance_type": instance["instance_type"],
        }
        for instance in instances
    ]
    return sorted(short, key=lambda instance: str(instance["name"]))


def fleet_targets(instances: Iterable[Mapping[str, Any]], duty: str) -> list[dict[str, str]]:
    """Return the hosts of one duty, of what fleet_instances answers, as targets of a target group."""
    return [{"Id": instance["id"]} for instance in instances if duty in instance["duties"]]


def fleet_records(
    instances: Iterable[Mapping[str, Any]], zone: str, names: Mapping[str, str], ttl: int
) -> list[dict[str, Any]]:
    """Return the A records of a private zone: every host's own name, and I(names), each with the hosts of its duty."""
    hosts = [host for host in instances if host["private_ip"]]
    addresses = {host["name"]: [host["private_ip"]] for host in hosts}
    for name, duty in names.items():
        addresses[name] = sorted(host["private_ip"] for host in hosts if duty in host["duties"])
    return [
        {"name": f"{name}.{zone}", "type": "A", "ttl": int(ttl), "values": values}
        for name, values in sorted(addresses.items())
        if values
    ]


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "fleet_hosts": fleet_hosts,
            "fleet_instances": fleet_instances,
            "fleet_records": fleet_records,
            "fleet_state": fleet_state,
            "fleet_targets": fleet_targets,
        }
