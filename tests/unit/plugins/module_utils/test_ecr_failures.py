# SPDX-License-Identifier: GPL-3.0-or-later
"""What pip and uv say about requirements that can't be installed, in their own words."""

from __future__ import annotations

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._ecr.engine import build_failure
from ansible_collections.freehold.airflow.plugins.module_utils._ecr.failures import failing_requirement

CASES = {
    "pip: unknown package": (
        [
            "\x1b[31mERROR: Could not find a version that satisfies the requirement nosuchpkg==1.0 (from versions:"
            " none)",
            "ERROR: No matching distribution found for nosuchpkg==1.0",
        ],
        "'nosuchpkg==1.0' does not exist",
    ),
    "pip: not a requirement": (
        ["ERROR: Invalid requirement: 'pandas=>2': Expected end or semicolon (after name and no valid version)"],
        "'pandas=>2' is not a valid requirement",
    ),
    "pip: conflict": (
        [
            "ERROR: Cannot install flask==1.0 and apache-airflow==3.3.2 because these package versions have"
            " conflicting dependencies."
        ],
        "'flask==1.0 and apache-airflow==3.3.2' conflict",
    ),
    "pip: constraint": (
        ["The conflict is caused by:", "    The user requested pendulum==2.0", "    The user requested (constraint) x"],
        "'pendulum==2.0' conflicts",
    ),
    "pip: no wheel": (
        ["ERROR: Failed to build installable wheels for some pyproject.toml based projects (broken)"],
        "'broken' can't be built",
    ),
    "uv: unknown package": (
        [
            "  \u00d7 No solution found when resolving dependencies:",
            "  ╰─▶ Because nosuchpkg was not found in the package registry and you require nosuchpkg, we can",
            "      conclude that your requirements are unsatisfiable.",
        ],
        "'nosuchpkg' does not exist",
    ),
}


@pytest.mark.parametrize(("log", "said"), CASES.values(), ids=CASES)
def test_the_culprit_is_named(log: list[str], said: str) -> None:
    assert said in str(failing_requirement(["Step 3/9 : RUN pip install", *log]))


def test_other_failures_name_no_requirement() -> None:
    assert failing_requirement(["E: Unable to locate package libfoo"]) is None


def test_an_engine_of_another_architecture_is_told_what_it_lacks() -> None:
    log = ["Step 2/9 : RUN id", "exec /bin/sh: exec format error"]
    sentence = build_failure(log, "The command '/bin/sh -c id' returned a non-zero code: 1", "r.txt").splitlines()[0]
    assert "QEMU" in sentence
    assert "hosts_fleet" in sentence


def test_the_sentence_names_the_variable_and_the_log_follows() -> None:
    log = ["ERROR: No matching distribution found for nosuchpkg==1.0"]
    message = build_failure(log, "exit code 1", "/etc/requirements.txt")
    assert message.splitlines()[0] == (
        "The image does not build: 'nosuchpkg==1.0' does not exist in the package index;"
        " correct image_requirements_file (/etc/requirements.txt)."
    )
    assert message.endswith(log[0])


def test_a_failure_of_another_kind_says_what_docker_said() -> None:
    assert build_failure([], "no space left on device", "r.txt") == "The image does not build: no space left on device"
