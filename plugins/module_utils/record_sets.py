# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the record sets of a hosted zone. Pure: no AWS call, no Ansible module.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# What belongs to the zone itself.
KEPT = ("NS", "SOA")

Key = tuple[str, str]


def full_name(name: str) -> str:
    """Return a name the way Route 53 keeps it: lower case, with the last dot."""
    return name.lower().rstrip(".").replace("*", "\\052") + "."


def key_of(record: Mapping[str, Any]) -> Key:
    """Return what identifies a simple record set in its zone."""
    return full_name(record["Name"]), record["Type"]


def wanted_records(records: Iterable[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Turn the records people write into Route 53's form.

    Each has C(name), C(type), and either C(ttl) and C(values) or C(alias) with C(zone_id) and C(dns_name).
    """
    wanted = {}
    for record in records:
        entry: dict[str, Any] = {"Name": full_name(record["name"]), "Type": record["type"]}
        alias = record.get("alias")
        if alias:
            entry["AliasTarget"] = {
                "HostedZoneId": alias["zone_id"],
                "DNSName": full_name(alias["dns_name"]),
                "EvaluateTargetHealth": bool(alias.get("evaluate_target_health", False)),
            }
        else:
            entry["TTL"] = int(record["ttl"])
            entry["ResourceRecords"] = [{"Value": str(value)} for value in sorted(map(str, record["values"]))]
        wanted[key_of(entry)] = entry
    return wanted


def comparable(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record set without what does not matter: the order of values, capital letters, last dots."""
    result: dict[str, Any] = {"Name": full_name(record["Name"]), "Type": record["Type"]}
    if alias := record.get("AliasTarget"):
        result["AliasTarget"] = {**alias, "DNSName": full_name(alias["DNSName"])}
    else:
        result["TTL"] = record.get("TTL")
        result["ResourceRecords"] = sorted(entry["Value"] for entry in record.get("ResourceRecords", []))
    return result


def changes(
    current: Iterable[Mapping[str, Any]], wanted: Mapping[Key, Mapping[str, Any]], purge: bool
) -> list[dict[str, Any]]:
    """Return the batch that makes the zone hold the wanted record sets, and with I(purge) no others but its own."""
    found = {key_of(record): record for record in current}
    batch: list[dict[str, Any]] = []
    for key, record in found.items():
        if purge and key not in wanted and record["Type"] not in KEPT:
            batch.append({"Action": "DELETE", "ResourceRecordSet": dict(record)})
    for key, record in wanted.items():
        if key not in found or comparable(found[key]) != comparable(record):
            batch.append({"Action": "UPSERT", "ResourceRecordSet": dict(record)})
    return batch


def shown(record: Mapping[str, Any] | None) -> str:
    """Say a record set in one line."""
    if record is None:
        return ""
    alias = record.get("AliasTarget")
    values = f"alias {alias['DNSName']}" if alias else " ".join(entry["Value"] for entry in record["ResourceRecords"])
    return f"{record['Name']} {record['Type']} {record.get('TTL', '')} {values}".replace("  ", " ")
