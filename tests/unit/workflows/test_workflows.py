# SPDX-License-Identifier: GPL-3.0-or-later
"""What no linter knows of our workflows: who gets the cloud role, when, and what is never cut off."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.runner import load

WORKFLOWS = Path(__file__).resolve().parents[3] / ".github" / "workflows"
REUSABLE = load(WORKFLOWS / "dag-sync-reusable.yml")
OURS = load(WORKFLOWS / "dag-sync.yml")
JOBS: dict[str, dict[str, Any]] = REUSABLE["jobs"]


def test_a_pull_request_is_only_checked_and_gets_no_token() -> None:
    assert JOBS["check"]["permissions"] == {"contents": "read"}
    assert "environment" not in JOBS["check"]
    assert "configure-aws-credentials" not in str(JOBS["check"])
    assert "secrets" not in str([step.get("run", "") for step in JOBS["check"]["steps"]])
    assert JOBS["sync"]["if"].startswith("github.event_name != 'pull_request' && ")


def test_the_sync_runs_in_an_environment_and_is_never_cut_off() -> None:
    sync = JOBS["sync"]
    assert sync["environment"] == "${{ inputs.environment }}"
    assert sync["permissions"] == {"contents": "read", "id-token": "write"}
    assert sync["concurrency"] == {"group": "dag-sync-${{ inputs.environment }}", "cancel-in-progress": False}


def test_credentials_come_after_everything_is_installed() -> None:
    steps = [str(step.get("uses") or step.get("run")).partition("@")[0] for step in JOBS["sync"]["steps"]]
    assert (
        steps.index("make setup") < steps.index("aws-actions/configure-aws-credentials") < steps.index(".ci/dag-sync")
    )


def test_ours_is_published_from_main_and_by_hand_and_calls_what_others_call() -> None:
    assert OURS["on"]["push"] == {"branches": ["main"], "paths": ["dags/**"]}
    assert set(OURS["on"]) == {"pull_request", "push", "workflow_dispatch"}
    assert set(OURS["jobs"]["dags"]["with"]) <= set(REUSABLE["on"]["workflow_call"]["inputs"])


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_scripts_call_what_a_person_can_call_too(path: Path) -> None:
    for job in load(path)["jobs"].values():
        for step in job.get("steps", []):
            if "run" in step:
                assert re.fullmatch(r"make [a-z-]+|\.ci/[a-z-]+", step["run"].strip())
                program = step["run"].split()[0]
                assert program == "make" or (WORKFLOWS.parents[1] / program).stat().st_mode & 0o111


def test_the_five_lines_of_the_documentation_are_what_the_workflow_takes() -> None:
    text = (WORKFLOWS.parents[1] / "docs" / "connect-your-dag-repository.md").read_text()
    (example,) = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "jobs:" in block]
    (called,) = yaml.safe_load(example)["jobs"].values()
    assert set(called["with"]) <= set(REUSABLE["on"]["workflow_call"]["inputs"])
    required = {name for name, spec in REUSABLE["on"]["workflow_call"]["inputs"].items() if spec.get("required")}
    assert required <= set(called["with"])
    assert called["permissions"] == OURS["jobs"]["dags"]["permissions"]
    assert called["uses"].partition("@")[0].endswith("/.github/workflows/dag-sync-reusable.yml")
