# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that looks at a pull request: in the image, without a network, and red beside the line that is wrong."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Notes how it was called, and answers a `run` as the check in the image does.
DOCKER = """#!/bin/bash
printf '%s\\n' "$*" >> "$NOTES"
[ "$1" = run ] || exit 0
cat "$ANSWER"
exit "$ENDS"
"""
FINE = {"files": ["a.py"], "dags": [{"dag_id": "a"}], "errors": [], "seconds": 1.0}
WRONG = {
    "file": "team a/b.py",
    "line": 3,
    "message": "SyntaxError: 100% wrong\n::warning::not a command",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repository" / "dags").mkdir(parents=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    return tmp_path / "repository"


def check(
    repository: Path, answer: str, ends: int = 0, folder: str = "dags", **more: str
) -> subprocess.CompletedProcess[str]:
    (repository.parent / "answer").write_text(answer)
    return subprocess.run(
        [ROOT / ".ci" / "dag-check"],
        cwd=repository,
        env={
            "PATH": f"{repository.parent / 'bin'}:{os.environ['PATH']}",
            "NOTES": str(repository.parent / "notes"),
            "ANSWER": str(repository.parent / "answer"),
            "ENDS": str(ends),
            "DAGS_REPOSITORY": str(repository),
            "DAGS_FOLDER": folder,
            **more,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def notes(repository: Path) -> list[str]:
    return (repository.parent / "notes").read_text().splitlines()


def test_the_image_is_built_and_gets_the_folder_read_only_and_no_network(repository: Path) -> None:
    done = check(repository, json.dumps(FINE))
    assert (done.returncode, done.stdout) == (0, "1 files, 1 DAGs, 0 errors\n")
    build, run = notes(repository)
    assert build.startswith("build ") and "--file image/Dockerfile" in build
    for word in ("--network none", "--cap-drop ALL", f"--volume {repository}/dags:/dags:ro", "freehold_airflow.check"):
        assert word in run


def test_a_given_image_is_not_built(repository: Path) -> None:
    check(repository, json.dumps(FINE), IMAGE="mine")
    (run,) = notes(repository)
    assert " mine -m freehold_airflow.check" in run


def test_what_is_wrong_stands_beside_its_line_and_is_no_command_of_its_own(repository: Path) -> None:
    answer: dict[str, Any] = {**FINE, "errors": [WRONG, {"file": "", "line": None, "message": "cycle"}]}
    done = check(repository, json.dumps(answer), ends=1)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "::error file=dags/team a/b.py,line=3::SyntaxError: 100%25 wrong%0A::warning::not a command",
        "::error ::cycle",
        "1 files, 1 DAGs, 2 errors",
    ]


@pytest.mark.parametrize(("answer", "ends"), [("", 125), ("Traceback", 1), ("", 0), ("{}", 0)])
def test_a_check_that_did_not_answer_is_red(repository: Path, answer: str, ends: int) -> None:
    done = check(repository, answer, ends)
    assert done.returncode != 0
    assert "ended without an answer" in done.stderr


def test_a_failed_check_is_red_whatever_it_answered(repository: Path) -> None:
    assert check(repository, json.dumps(FINE), ends=137).returncode == 137


def test_a_folder_that_is_not_there_is_refused(repository: Path) -> None:
    done = check(repository, json.dumps(FINE), folder="none")
    assert (done.returncode, done.stderr) == (
        1,
        "dag-check: the repository has no folder 'none': correct 'dags_folder'\n",
    )
