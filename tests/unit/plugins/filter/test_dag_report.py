# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a release, as data and as a table."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.filter.dag_report import (
    dag_releases_named,
    dag_report,
    dag_table,
)

RELEASE = "3d3c42e5aac5ba805825da76410c181273ba90b1"
WANTED = {"release": RELEASE, "tree": "t"}


def row(component: str, **changes: Any) -> dict[str, Any]:
    return {
        "component": component,
        "release": RELEASE,
        "tree": "t",
        "files": 12,
        "exact": True,
        "error": "",
        "differs": {},
        **changes,
    }


def parsed(**changes: Any) -> dict[str, Any]:
    return {"parsed": True, "seconds": 4.2, "missing": [], "gone": [], "import_errors": [], "overtaken": "", **changes}


def test_everything_exact() -> None:
    proofs = [{"proofs": [row("scheduler"), row("triggerer")]}, {"proofs": [row("worker")]}]
    report = dag_report(WANTED, ["host-a", "host-b"], proofs, parsed=parsed())
    assert report["exact"]
    assert report["problems"] == []
    assert [(one["host"], one["component"]) for one in report["containers"]] == [
        ("host-a", "scheduler"),
        ("host-a", "triggerer"),
        ("host-b", "worker"),
    ]
    assert dag_table(report) == [
        "HOST    COMPONENT  RELEASE       FILES  PROOF",
        "host-a  scheduler  3d3c42e5aac5  12     exact",
        "host-a  triggerer  3d3c42e5aac5  12     exact",
        "host-b  worker     3d3c42e5aac5  12     exact",
        "Release 3d3c42e5aac5 is exact in 3 of 3 containers, parsed by Airflow in 4 s.",
    ]


def test_a_silent_host_and_a_differing_container_are_named() -> None:
    proofs = [{"proofs": [row("worker", exact=False, error="changed: a.py")]}, {}]
    report = dag_report(WANTED, ["host-a", "host-b"], proofs)
    assert not report["exact"]
    assert report["problems"] == [
        "host-a worker: changed: a.py",
        "host-b: the host did not answer; it catches up when it returns",
    ]
    assert dag_table(report)[-1] == "Release 3d3c42e5aac5 is exact in 0 of 2 containers."


def test_a_proof_that_could_not_be_made_is_not_taken_for_silence() -> None:
    failed: list[dict[str, Any]] = [
        {"failed": True, "msg": "docker is not there"},
        {"failed": True},
        {"unreachable": True, "msg": "no way"},
    ]
    assert dag_report(WANTED, ["host-a", "host-b", "host-c"], failed)["problems"] == [
        "host-a: docker is not there",
        "host-b: it could not be asked",
        "host-c: the host did not answer; it catches up when it returns",
    ]


def test_what_a_publication_and_going_back_have_changed_is_told() -> None:
    changes = {"added": ["a", "b"], "changed": [], "removed": ["c"]}
    published = dag_report({**WANTED, "before": f"{'0' * 40}-dirty-1", "changes": changes}, [], [])
    assert dag_table(published)[-1] == "It follows 000000000000-dirty-1: 2 added, 0 changed, 1 removed."
    assert dag_table(dag_report({**WANTED, "before": "0" * 40}, [], []))[-1] == "It follows 000000000000."


@pytest.mark.parametrize("before", ["", RELEASE])
def test_the_first_release_and_the_same_again_follow_none(before: str) -> None:
    wanted = {**WANTED, "before": before, "changes": {"added": [], "changed": [], "removed": []}}
    assert len(dag_table(dag_report(wanted, [], []))) == 2


def test_a_repair_is_told() -> None:
    proofs = [{"proofs": [row("worker", repaired="changed: a.py")]}]
    report = dag_report(WANTED, ["host-a"], proofs)
    assert report["exact"]
    assert dag_table(report)[1].endswith("12     exact, after a repair of this host's copy (changed: a.py)")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        (RELEASE, [RELEASE]),
        ("3d3c", [RELEASE]),
        ("3d3", []),
        ("aaaabbbbcccc", ["aaaabbbbcccc" + "d" * 28, "aaaabbbbcccc" + "e" * 28]),
        ("aaaabbbbcccc-dirty-12", ["aaaabbbbcccc" + "d" * 28 + "-dirty-12"]),
        ("aaaabbbbcccc" + "d" * 28, ["aaaabbbbcccc" + "d" * 28]),
        ("ffff", []),
        ("", []),
    ],
)
def test_people_name_releases_as_reports_do_or_by_their_first_digits(name: str, meant: list[str]) -> None:
    twin = "aaaabbbbcccc" + "d" * 28
    releases = [RELEASE, twin, "aaaabbbbcccc" + "e" * 28]
    if "dirty" in name or name == twin:
        releases.append(f"{twin}-dirty-12")
    assert dag_releases_named(releases, name) == meant


def test_a_stopped_host_is_told_and_no_problem() -> None:
    report = dag_report(WANTED, ["host-a"], [{"proofs": [row("worker")]}], stopped=["host-c", "host-b"])
    assert report["exact"]
    assert dag_table(report)[-2:] == [
        f"{host} is stopped and was not asked; it catches up when it starts." for host in ("host-b", "host-c")
    ]


def test_a_release_that_was_overtaken_is_said_to_be() -> None:
    late = parsed(parsed=False, missing=["sleeper"], overtaken="bbb")
    report = dag_report(WANTED, ["host-a"], [{"proofs": [row("worker")]}], {}, late)
    assert report["problems"] == ["Airflow: release bbb was published after this one"]


def test_what_is_wrong_on_the_shared_file_system_and_in_airflow_is_named() -> None:
    store = {"damaged": {"old": "the pack p is damaged"}, "foreign": ["packs/x"]}
    late = parsed(
        parsed=False, missing=["sleeper"], gone=["old"], import_errors=[{"file": "a.py", "message": "no module b"}]
    )
    report = dag_report(WANTED, ["host-a"], [{"proofs": [row("worker")]}], store, late)
    assert report["problems"] == [
        "the shared file system, release old: the pack p is damaged",
        "the shared file system: packs/x belongs to no release",
        "Airflow: a.py can't be imported: no module b",
        "Airflow: the DAG sleeper was not parsed from this release",
        "Airflow: the DAG old is active and not in this release",
    ]
    assert "parsed" not in dag_table(report)[-1]


def test_what_was_removed_is_told_and_what_could_not_be_is_a_problem() -> None:
    retained = {
        "removed": [RELEASE, "old"],
        "left": {"torn": "cut short"},
        "deleted": ["gone", "lost"],
        "kept": ["busy"],
        "errors": [],
    }
    report = dag_report(WANTED, [], [], parsed=parsed(), retained=retained)
    assert report["exact"]
    assert report["retained"] == retained
    assert dag_table(report)[-4:] == [
        "Removed releases that nobody needs (3d3c42e5aac5, old).",
        "Deleted DAGs that are gone, with their history (gone, lost).",
        "Kept DAGs that are gone, but have unfinished runs (busy).",
        "Release torn can't be read (cut short), and nobody knows which files it needs, so none was removed; "
        "docs/deploy-dags.md says what to do.",
    ]
    failed = dag_report(WANTED, [], [], retained={"errors": ["not all old releases were removed: full"]})
    assert failed["problems"] == ["not all old releases were removed: full"]
    assert len(dag_table(failed)) == 2


def test_a_dag_processor_that_does_not_look_is_named() -> None:
    report = dag_report(WANTED, [], [], parsed=parsed(parsed=False))
    assert report["problems"] == ["Airflow: it has not looked at this release within 4 s"]


def test_a_database_that_could_not_be_asked_is_named_and_nothing_else_is_guessed() -> None:
    away = parsed(parsed=False, missing=["sleeper"], error="its database can't be asked: refused")
    assert dag_report(WANTED, [], [], parsed=away)["problems"] == [
        "Airflow: whether it has parsed this release is not known: its database can't be asked: refused"
    ]
    lost = dag_report(WANTED, [], [], parsed={"parsed": False, "error": "the host that asks it did not answer"})
    assert not lost["exact"]
    assert "parsed" not in dag_table(lost)[-1]


def test_a_dirty_release_is_shown_as_such() -> None:
    report = dag_report({"release": f"{RELEASE}-dirty-0123456789ab"}, [], [])
    assert "3d3c42e5aac5-dirty-0123456789ab" in dag_table(report)[-1]
