# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about all tests says what happened."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import test_all


def test_counts_of_several_runs_are_added() -> None:
    step = test_all.Step("unit")
    for line in (
        "711 passed in 341.20s (0:05:41)\n",
        "collected 20 items\n",
        "=================== 2 failed, 295 passed, 1 skipped in 61.00s (0:01:01) ===================\n",
        "said: 5 passed in 3 tries\n",
    ):
        step.add(line)
    assert step.counts == {"passed": 1006, "failed": 2, "skipped": 1}


def test_every_step_is_run_and_the_page_tells_which_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rules = "bad:\n\t@echo 1 failed in 0.10s; exit 3\ngood:\n\t@echo 4 passed in 0.10s\n"
    (tmp_path / "Makefile").write_text(rules)
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "x"]):
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *command], check=True)
    monkeypatch.setattr(test_all, "ROOT", tmp_path)
    page = tmp_path / "tests.md"
    assert test_all.main([str(page), "bad", "good"]) == 1
    assert test_all.main([str(page), "good"]) == 0
    assert "| `make good` | ended well | 4 passed | 0.0 |" in page.read_text()
    shown = capfd.readouterr().out
    assert "| `make bad` | **ended with 2** | 1 failed | 0.0 |" in shown
