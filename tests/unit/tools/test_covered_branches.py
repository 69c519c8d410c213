# SPDX-License-Identifier: GPL-3.0-or-later
"""Branches that no test takes are not outweighed by lines, nor one tree's by another's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import covered_branches

SETTINGS = '[tool.coverage.run]\nsource = ["plugins", "bundle/src/x"]\n[tool.coverage.report]\nfail_under = 95\n'


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    monkeypatch.setattr(covered_branches, "ROOT", tmp_path)
    return tmp_path / "coverage.json"


def judge(report: Path, **branches: tuple[int, int]) -> int:
    trees = {
        "plugins": "plugins/modules/a.py",
        "other_plugins": "plugins_of_others/a.py",
        "bundle": "bundle/src/x/b.py",
    }
    files = {
        trees[tree]: {"summary": {"covered_branches": covered, "num_branches": total}}
        for tree, (covered, total) in branches.items()
    }
    report.write_text(json.dumps({"files": files}))
    return covered_branches.main([str(report)])


def test_trees_with_enough_branches_pass_and_are_shown(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(report, plugins=(95, 100), bundle=(40, 40)) == 0
    assert capsys.readouterr().out == (
        "plugins: 95 of 100 branches, 95.0 %\nbundle/src/x: 40 of 40 branches, 100.0 %\n"
    )


def test_a_tree_with_fewer_is_named_whatever_the_others_have(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(report, plugins=(10_000, 10_000), bundle=(94, 100)) == 1
    assert "bundle/src/x: 94 of 100 branches, 94.0 %; 95 % are demanded" in capsys.readouterr().out


def test_nothing_is_rounded_in_favour_of_a_tree(report: Path) -> None:
    assert judge(report, plugins=(94_999, 100_000), bundle=(1, 1)) == 1


def test_a_tree_that_was_not_measured_fails(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(report, plugins=(1, 1), other_plugins=(1, 1)) == 1
    assert "bundle/src/x: 0 of 0 branches, nothing measured; 95 % are demanded" in capsys.readouterr().out


def test_files_outside_of_a_tree_do_not_count_for_it(report: Path) -> None:
    assert judge(report, plugins=(0, 10), other_plugins=(1_000, 1_000), bundle=(1, 1)) == 1
