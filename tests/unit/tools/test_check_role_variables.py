# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of roles' variables finds what nobody reads, what comes from nowhere and what the README leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_role_variables import main, read_by

FILES = {
    "defaults/main.yml": "thing_size: 3\nthing_network: '{{ other_network }}'\n",
    "vars/main.yml": "__thing_path: /srv/{{ thing_owner }}\n",
    "meta/argument_specs.yml": """
argument_specs:
  main:
    options:
      thing_size: {type: int, default: 3}
      thing_network: {type: str}
      thing_owner: {type: str, required: true}
""",
    "tasks/main.yml": """
- name: Look
  ansible.builtin.stat:
    path: "{{ __thing_path }}/{{ thing_size }}"
  register: __thing_looked

- name: Act
  when: __thing_looked.stat.exists
  block:
    - name: Publish
      ansible.builtin.set_fact:
        thing_found: "{{ thing_network }}"
""",
    "templates/thing.j2": "{% macro line(word) %}{{ word }}{% endmacro %}{{ line(thing_size) }}{{ ansible_managed }}\n",
    "README.md": "Needs `thing_owner`, leaves `thing_found`. See `thing_module`.\n",
}
OTHER = {
    "README.md": "Needs `other_network`.\n",
    "meta/argument_specs.yml": "argument_specs: {main: {options: {other_network: {type: str, required: true}}}}\n",
    "tasks/main.yml": "- ansible.builtin.debug:\n    var: other_network\n",
}


def make(root: Path, changes: dict[str, str]) -> Path:
    """Write a sound role, another one that it takes a default from, and a module, with some files changed."""
    for name, files in (("thing", {**FILES, **changes}), ("other", OTHER)):
        for path, content in files.items():
            file = root / "roles" / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    (root / "plugins" / "modules").mkdir(parents=True)
    (root / "plugins" / "modules" / "thing_module.py").touch()
    return root


def test_a_sound_role_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(make(tmp_path, {})) == 0
    assert capsys.readouterr().err == ""


TASKS = FILES["tasks/main.yml"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"defaults/main.yml": FILES["defaults/main.yml"] + "thing_spare: 1\n"}, "thing_spare has a default and is"),
        ({"vars/main.yml": FILES["vars/main.yml"] + "__thing_spare: 1\n"}, "__thing_spare is set and read by nothing"),
        (
            {"vars/main.yml": FILES["vars/main.yml"] + "__thing_spare: 1  # __thing_spare\n"},
            "__thing_spare is set and read by nothing",
        ),
        (
            {"tasks/main.yml": TASKS.replace("when: __thing_looked.stat.exists", "when: true")},
            "__thing_looked is set and read by nothing",
        ),
        (
            {"tasks/main.yml": TASKS.replace("thing_found:", "__thing_found:")},
            "__thing_found is set and read by nothing",
        ),
        ({"tasks/main.yml": TASKS.replace("{{ thing_size }}", "{{ thing_sise }}")}, "thing_sise is read, but"),
        ({"tasks/main.yml": TASKS.replace("thing_looked.stat", "thing_loked.stat")}, "__thing_loked is read, but"),
        ({"templates/thing.j2": "{{ other_network }}\n"}, "other_network is read, but"),
        ({"defaults/main.yml": "thing_network: '{{ nobodys_network }}'\n"}, "nobodys_network is read, but"),
        ({"README.md": "Leaves `thing_found`.\n"}, "thing_owner is an argument without a default that README.md"),
        ({"README.md": "Needs `thing_owner`.\n"}, "thing_found is a result that README.md doesn't name"),
        ({"README.md": FILES["README.md"] + "`thing_colour`\n"}, "thing_colour is named in README.md, but"),
    ],
)
def test_each_problem_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], sentence: str
) -> None:
    assert main(make(tmp_path, changes)) == 1
    assert f"thing: {sentence}" in capsys.readouterr().err


def test_results_of_an_included_role_count(tmp_path: Path) -> None:
    include = "- ansible.builtin.include_role: {name: freehold.airflow.other}\n"
    use = "- ansible.builtin.debug: {var: other_network}\n"
    assert main(make(tmp_path / "with", {"tasks/main.yml": TASKS + include + use})) == 0
    assert main(make(tmp_path / "without", {"tasks/main.yml": TASKS + use})) == 1


def test_words_in_texts_and_names_of_attributes_are_no_variables() -> None:
    assert read_by("{{ one.two['three'] | four(five='six') is seven }} eight") == {"one"}
    assert read_by("{% for item in items %}{{ item }}{% endfor %}{% set x = y %}{{ x }}") == {"items", "y"}
