# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of argument specs finds each kind of difference and accepts a role that has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_argument_specs import differences, main

DEFAULTS = "thing_size: 3\n"
SPECS = "argument_specs:\n  main:\n    options:\n      thing_size: {type: int, default: 3, description: Size.}\n"
TASKS = "- ansible.builtin.debug:\n    msg: '{{ thing_size }}'\n"


def make_role(root: Path, defaults: str = DEFAULTS, specs: str | None = SPECS, tasks: str = TASKS) -> Path:
    role = root / "roles" / "thing"
    for folder in ("defaults", "meta", "tasks"):
        (role / folder).mkdir(parents=True)
    (role / "defaults" / "main.yml").write_text(defaults)
    (role / "tasks" / "main.yml").write_text(tasks)
    if specs is not None:
        (role / "meta" / "argument_specs.yml").write_text(specs)
    return role


def test_a_role_without_differences_passes(tmp_path: Path) -> None:
    make_role(tmp_path)
    assert main(tmp_path) == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"specs": None}, "argument_specs.yml is missing"),
        (
            {"defaults": DEFAULTS + "thing_other: 1\n", "tasks": TASKS + "# thing_other\n"},
            "thing_other has a default",
        ),
        ({"defaults": "thing_size: 4\n"}, "thing_size has the default 4, but its spec says 3"),
        (
            {"specs": SPECS.replace("default: 3", "required: true")},
            "thing_size is required",
        ),
        ({"defaults": "", "tasks": "[]\n"}, "thing_size is not required, but defaults/main.yml does not give it"),
        ({"specs": SPECS.replace("default: 3, ", "")}, "thing_size has the default 3, which its spec does not say"),
        (
            {"specs": SPECS + SPECS.partition("\n")[2].replace("main", "other").replace("3", "4")},
            "thing_size has the default 3, but its spec says 4",
        ),
        ({"defaults": DEFAULTS + "__thing_secret: 1\n"}, "__thing_secret is internal"),
    ],
)
def test_each_difference_is_named(tmp_path: Path, changes: dict[str, str], sentence: str) -> None:
    role = make_role(tmp_path, **changes)
    assert any(sentence in line for line in differences(role))
    assert main(tmp_path) == 1


def test_an_entry_point_that_the_readme_uses_is_described(tmp_path: Path) -> None:
    role = make_role(tmp_path)
    used = "    - ansible.builtin.include_role:\n        name: freehold.airflow.{}\n        tasks_from: {}\n"
    (role / "README.md").write_text(used.format("thing", "main") + used.format("other", "remove"))
    assert differences(role) == []
    (role / "README.md").write_text(used.format("thing", "remove"))
    assert differences(role) == ["thing: README.md uses remove, which meta/argument_specs.yml does not describe"]
