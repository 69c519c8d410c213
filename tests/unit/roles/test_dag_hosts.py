# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks about DAGs do with the report of an earlier run, and where no scheduler answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import playbooks
from tests.playbooks import HERE, ROOT


def run(folder: Path, number: int, inventory: str, **given: Any) -> tuple[int, str]:
    """Run one play of dag_hosts.yml; return the exit status and what was printed."""
    play = yaml.safe_load((ROOT / "playbooks" / "dag_hosts.yml").read_text())[number]
    books = folder / "books"
    books.mkdir()
    done = playbooks.run(books, play, "-e", json.dumps({**HERE, **given}), inventory=inventory, directory=folder)
    return done.returncode, done.stdout + done.stderr


def begin(folder: Path, **given: Any) -> None:
    """Run the first play of dag_hosts.yml."""
    code, said = run(folder, 0, "localhost,", **given)
    assert code == 0, said


def test_the_report_of_an_earlier_run_goes(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("{}")
    begin(tmp_path, dags_report=str(report))
    assert not report.exists()


def test_a_report_is_named_from_where_the_command_is_given(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    begin(tmp_path, dags_report="report.json")
    assert not (tmp_path / "report.json").exists()


def test_a_folder_that_is_named_by_mistake_stays(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "mine.txt").touch()
    begin(tmp_path, dags_report=str(folder))
    assert (folder / "mine.txt").exists()


@pytest.mark.parametrize("given", [{}, {"dags_report": ""}, {"dags_report": "/nowhere/report.json"}])
def test_where_there_is_none_nothing_is_removed(tmp_path: Path, given: dict[str, str]) -> None:
    begin(tmp_path, **given)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"scheduler": {"hosts": {"one": {}, "two": {}}}}, "No host with the duty scheduler answers (one, two), so"),
        ({}, "No host with the duty scheduler answers (none is running), so"),
        ({"dags_publisher": {"hosts": {"one": {}}}}, ""),
    ],
)
def test_without_a_scheduler_nothing_is_done(tmp_path: Path, groups: dict[str, Any], words: str) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": {}}, "children": groups}}))
    code, said = run(tmp_path, -1, str(inventory))
    assert (code != 0) == bool(words)
    assert words in said
