# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for GitHub's runner does what the runner does, and guesses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.runner import Runner, UnknownExpression


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    def put(runner: Runner, inputs: dict[str, str]) -> None:
        (runner.workspace / inputs["path"]).mkdir()
        runner.export(TOKEN=inputs["token"])

    return Runner(
        root=tmp_path / "runner",
        contexts={
            "inputs": {"environment": "lab"},
            "secrets": {},
            "github": {"token": "t", "workspace": str(tmp_path / "runner" / "work")},
        },
        actions={"actions/put": put},
        environment={"PATH": "/usr/bin:/bin"},
    )


def job(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"env": {"NAME": "${{ inputs.environment }}"}, "steps": list(steps)}


PUT = {"uses": "actions/put@0123 # v1", "with": {"path": "here", "token": "${{ secrets.token || github.token }}"}}


def test_steps_share_variables_files_and_the_workspace(runner: Runner) -> None:
    assert runner.run_job(
        job(
            PUT,
            {"run": 'echo "LATER=$TOKEN-$NAME" >> "$GITHUB_ENV"\n'},
            {
                "run": 'pwd; echo "$LATER $OWN" >> "$GITHUB_STEP_SUMMARY"',
                "env": {"OWN": "1"},
                "working-directory": "here",
            },
        )
    )
    assert runner.summary == "t-lab 1\n"
    assert runner.ended[-1].output == f"{runner.workspace}/here\n"


def test_a_script_ends_with_its_first_failure_and_later_steps_are_left_out_but_for_always(runner: Runner) -> None:
    good = runner.run_job(
        job(
            {"name": "bad", "run": "false\necho not reached"},
            {"name": "skipped", "run": "true"},
            {"name": "last", "if": "always()", "run": "echo said"},
        )
    )
    assert not good
    assert [(step.name, step.returncode) for step in runner.ended] == [("bad", 1), ("skipped", None), ("last", 0)]
    assert runner.ended[0].output == ""


def test_nothing_of_the_callers_environment_leaks_in(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    runner.run_job(job({"run": 'echo "${AWS_ACCESS_KEY_ID-none}"'}))
    assert runner.ended[0].output == "none\n"


@pytest.mark.parametrize(
    "step",
    [
        {"run": "echo ${{ github.token }}"},
        {"run": "true", "env": {"A": "${{ toJSON(github) }}"}},
        {"run": "true", "env": {"A": "${{ matrix.a }}"}},
        {"run": "true", "if": "failure()"},
    ],
)
def test_what_it_does_not_know_is_an_error(runner: Runner, step: dict[str, Any]) -> None:
    with pytest.raises(UnknownExpression):
        runner.run_job(job(step))
