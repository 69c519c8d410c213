# SPDX-License-Identifier: GPL-3.0-or-later
"""A report becomes Markdown that shows all that matters, whatever files are called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.filter.dag_report import dag_report as reported

from tools import dag_report

RELEASE = "5d1af35ea72c" + "0" * 28
WANTED = {
    "release": RELEASE,
    "tree": "ab",
    "commit": RELEASE,
    "repository": "https://github.com/acme/dags",
    "files": 5,
    "sent_bytes": 1234,
    "changes": {"added": ["a|b.py", "<img src=x>.py"], "changed": [], "removed": ["old.py"]},
    "before": "",
}
PARSED = {"parsed": True, "seconds": 6.2, "import_errors": [], "missing": [], "gone": [], "overtaken": ""}
PROOF = {"proofs": [{"component": "worker", "release": RELEASE, "files": 5, "exact": True, "error": ""}]}


def report(*proofs: dict[str, Any], parsed: dict[str, Any] = PARSED) -> dict[str, Any]:
    """What the playbook writes, made by what makes it there."""
    hosts = [f"lab-worker-{number}" for number, _ in enumerate(proofs, 1)]
    return reported(WANTED, hosts, proofs, parsed=parsed)


def test_an_exact_release_is_said_in_the_heading_and_proved_in_a_table() -> None:
    assert dag_report.markdown(report(PROOF)) == (
        "## DAG sync: exact in 1 of 1 containers\n\n"
        "|  |  |\n|---|---|\n"
        f"| Release | {RELEASE} |\n| Repository | https://github.com/acme/dags |\n| Files | 5 |\n"
        "| Bytes sent | 1234 |\n| Parsed by Airflow after | 6 s |\n\n"
        "### Containers\n\n"
        "| Host | Component | Release | Files | Proof |\n|---|---|---|---|---|\n"
        f"| lab-worker-1 | worker | {RELEASE} | 5 | exact |\n\n"
        "<details><summary>2 added, 1 removed</summary>\n\n"
        "|  | Path |\n|---|---|\n"
        "| added | a\\|b.py |\n| added | &lt;img src=x&gt;.py |\n| removed | old.py |\n\n"
        "</details>\n"
    )


def test_what_was_removed_is_told() -> None:
    retained = {"removed": ["aaa", "bbb"], "deleted": ["old"], "kept": ["busy"], "left": {"torn": "why"}, "errors": []}
    text = dag_report.markdown(reported(WANTED, [], [], retained=retained))
    assert "| Releases removed | aaa, bbb |\n" in text
    assert "because of which no old file was removed | torn |\n| DAGs deleted | old |\n" in text
    assert "| DAGs not deleted, because they have unfinished runs | busy |" in text


def test_a_host_that_did_not_answer_is_a_problem() -> None:
    text = dag_report.markdown(report(PROOF, {}))
    assert text.startswith("## DAG sync: **failed**, exact in 1 of 2 containers\n")
    assert "### Problems\n\n- lab-worker-2: the host did not answer" in text
    assert "| lab-worker-2 |  |  |  | the host did not answer" in text


def test_a_release_that_airflow_has_not_parsed_is_a_problem() -> None:
    text = dag_report.markdown(report(PROOF, parsed={**PARSED, "parsed": False, "missing": ["a_dag"]}))
    assert "- Airflow: the DAG a\\_dag was not parsed from this release" in text
    assert "Parsed by Airflow" not in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [("two\nlines", "two<br>lines"), ("`x`", "\\`x\\`"), ("[a](b)", "\\[a\\](b)"), ("a_b*", "a\\_b\\*"), (3, "3")],
)
def test_a_value_is_shown_and_does_nothing(value: object, shown: str) -> None:
    assert dag_report.plain(value) == shown


def test_a_great_change_is_cut() -> None:
    lines = dag_report.changes({"added": [f"{number}.py" for number in range(1000)]})
    assert "and 800 more" in lines
    assert len(lines) < 220


def run(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", dag_report.__file__, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_needs_nothing_installed(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report(PROOF)))
    assert run(path).stdout == dag_report.markdown(report(PROOF))


def test_a_sync_that_ended_before_its_report_is_said_so(tmp_path: Path) -> None:
    said = run(tmp_path / "none")
    assert (said.returncode, "There is no report" in said.stdout) == (0, True)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_what_is_no_report_fails_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    said = run(path)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith(f"dag_report: {path} is no report of a sync")
