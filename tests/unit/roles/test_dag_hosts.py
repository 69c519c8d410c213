# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks about DAGs do with the report of an earlier run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


def begin(folder: Path, **given: Any) -> None:
    """Run the first play of dag_hosts.yml."""
    book = folder / "books" / "play.yml"
    book.parent.mkdir()
    book.write_text(yaml.safe_dump(yaml.safe_load((ROOT / "playbooks" / "dag_hosts.yml").read_text())[:1]))
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    command = [program, "-i", "localhost,", "-e", json.dumps({**local, **given}), str(book)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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
