# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a release: what each container proved, what the shared file system holds, what Airflow has parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]

# What a host without an answer has instead of its components.
UNKNOWN: Row = {"component": "", "exact": False}


def dag_report(
    wanted: Mapping[str, Any],
    hosts: Sequence[str],
    proofs: Sequence[Mapping[str, Any]],
    store: Mapping[str, Any] | None = None,
    parsed: Mapping[str, Any] | None = None,
    stopped: Sequence[str] = (),
    retained: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the report as one dictionary.

    ``wanted`` tells the release; ``proofs`` has an answer of dag_proof for each of ``hosts``, an empty one for one that
    didn't answer. ``store`` is what ``look`` says of the shared file system, ``parsed`` what Airflow's database says.
    ``stopped`` are hosts that run no container, which is no problem: they catch up by themselves when they start.
    ``retained`` tells what was removed: releases (``removed``; ``left``, with the reason, could not be read), DAGs
    (``deleted``; ``kept`` have unfinished runs), and ``errors``.
    ``problems`` lists, one sentence each, all that is not as it should be.
    """
    containers: list[Row] = []
    for host, proof in zip(hosts, proofs, strict=True):
        silent = "the host did not answer; it catches up when it returns"
        error = proof.get("msg") or "it could not be asked" if proof.get("failed") else silent
        containers += [{"host": host, **row} for row in proof.get("proofs") or [{**UNKNOWN, "error": error}]]
    problems = [
        " ".join(filter(None, [row["host"], row["component"]])) + f": {row['error']}"
        for row in containers
        if not row["exact"]
    ]
    for release, error in sorted((store or {}).get("damaged", {}).items()):
        problems.append(f"the shared file system, release {release}: {error}")
    for path in (store or {}).get("foreign", []):
        problems.append(f"the shared file system: {path} belongs to no release")
    if parsed and not parsed["parsed"]:
        problems += [f"Airflow: {error}" for error in unparsed(parsed)]
    problems += (retained or {}).get("errors", [])
    return {
        **wanted,
        "exact": not problems,
        "problems": problems,
        "containers": containers,
        "stopped": sorted(stopped),
        "store": dict(store or {}),
        "parsed": dict(parsed or {}),
        "retained": dict(retained or {}),
    }


def unparsed(parsed: Mapping[str, Any]) -> list[str]:
    """Return, one sentence each, why Airflow doesn't count as having parsed a release."""
    if parsed.get("error"):
        return [f"whether it has parsed this release is not known: {parsed['error']}"]
    if parsed["overtaken"]:
        return [f"release {parsed['overtaken']} was published after this one"]
    reasons = [f"{error['file']} can't be imported: {error['message']}" for error in parsed["import_errors"]]
    reasons += [f"the DAG {dag_id} was not parsed from this release" for dag_id in parsed["missing"]]
    reasons += [f"the DAG {dag_id} is active and not in this release" for dag_id in parsed["gone"]]
    return reasons or [f"it has not looked at this release within {parsed['seconds']:.0f} s"]


def dag_table(report: Mapping[str, Any]) -> list[str]:
    """Return the report for people, as lines of one table and a last line that sums it up."""
    head = ("HOST", "COMPONENT", "RELEASE", "FILES", "PROOF")
    rows = [
        (
            str(row["host"]),
            str(row["component"] or "-"),
            short(str(row.get("release") or "-")),
            str(row.get("files") or "-"),
            proof_of(row),
        )
        for row in report["containers"]
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(4)]
    lines = ["  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]).rstrip() for row in [head, *rows]]
    proved = sum(bool(row["exact"]) for row in report["containers"])
    summary = f"Release {short(str(report['release']))} is exact in {proved} of {len(rows)} containers"
    if report["parsed"].get("parsed"):
        summary += f", parsed by Airflow in {report['parsed']['seconds']:.0f} s"
    away = [f"{host} is stopped and was not asked; it catches up when it starts." for host in report["stopped"]]
    return [*lines, f"{summary}.", *since(report), *away, *told(report["retained"])]


def proof_of(row: Row) -> str:
    """Return the last column of a container's line."""
    if not row["exact"]:
        return str(row["error"])
    return f"exact, after a repair of this host's copy ({row['repaired']})" if row.get("repaired") else "exact"


def since(report: Mapping[str, Any]) -> list[str]:
    """Return what a publication, or going back, has changed."""
    before, changes = str(report.get("before") or ""), report.get("changes")
    if before in ("", str(report["release"])):
        return []
    line = f"It follows {short(before)}"
    if changes:
        line += ": " + ", ".join(f"{len(changes[kind])} {kind}" for kind in ("added", "changed", "removed"))
    return [f"{line}."]


def told(retained: Mapping[str, Any]) -> list[str]:
    """Return what people should know of what was removed, or was not."""
    lines = []
    if removed := retained.get("removed"):
        lines.append(f"Removed releases that nobody needs ({', '.join(map(short, removed))}).")
    if deleted := retained.get("deleted"):
        lines.append(f"Deleted DAGs that are gone, with their history ({', '.join(deleted)}).")
    if kept := retained.get("kept"):
        lines.append(f"Kept DAGs that are gone, but have unfinished runs ({', '.join(kept)}).")
    lines += [
        f"Release {short(release)} can't be read ({reason}), and nobody knows which files it needs, so none "
        "was removed; docs/deploy-dags.md says what to do."
        for release, reason in sorted(retained.get("left", {}).items())
    ]
    return lines


def dag_releases_named(releases: Sequence[str], name: str) -> list[str]:
    """Return those of ``releases`` that people may mean: by the whole name, the one in reports, or its beginning.

    A name that is there as it stands means nothing else; a beginning has four digits at least, as Git has it.
    """
    if name in releases:
        return [name]
    return [release for release in releases if name == short(release) or (len(name) >= 4 and release.startswith(name))]


def short(release: str) -> str:
    """Return a release's name as people read it: 12 digits of the commit, and whether it was dirty."""
    commit, dash, rest = release.partition("-")
    return commit[:12] + dash + rest


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {"dag_report": dag_report, "dag_table": dag_table, "dag_releases_named": dag_releases_named}
