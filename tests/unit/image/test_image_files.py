# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said about the image without building it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STAND_IN = ROOT / "lab" / "image_files" / "airflow-base"
DOCKERFILES = [ROOT / "image" / "Dockerfile", STAND_IN / "Dockerfile"]


def pins() -> dict[str, str]:
    lines = (ROOT / "image" / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_stand_in_uses_the_very_same_constraints() -> None:
    assert (STAND_IN / "constraints.txt").read_bytes() == (ROOT / "image" / "constraints.txt").read_bytes()


def test_every_constraint_is_one_exact_version_and_names_no_index() -> None:
    for name, version in pins().items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name)
        assert re.fullmatch(r"[0-9][0-9a-z.+]*", version)


def test_the_versions_that_break_airflow_are_kept_out() -> None:
    assert pins()["apache-airflow"] == "3.3.2"
    assert tuple(map(int, pins()["celery"].split("."))) < (5, 7), "the celery provider 3.26.0 can't import it"
    assert tuple(map(int, pins()["sqlalchemy"].split("."))) < (2, 1), "not tried"


def test_the_users_requirements_are_empty_by_default() -> None:
    lines = (ROOT / "image" / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_both_builders_understand_the_dockerfile(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"^RUN\s+--|<<|^# *syntax=", text, re.MULTILINE), "BuildKit only"
    assert "ENTRYPOINT" in text or path.parent.name == "image"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_the_image_ends_as_the_airflow_user(path: Path) -> None:
    assert re.findall(r"^USER (\S+)$", path.read_text(), re.MULTILINE)[-1] == "50000"
