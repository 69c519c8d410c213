# SPDX-License-Identifier: GPL-3.0-or-later
"""Only lines that do something are deleted, what is deleted comes back, and the page remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import mutate

MODULE = '''# A comment.
"""A docstring."""
DOCUMENTATION = r"""
module: x
"""

def main():
    """Another one."""
    return 1
'''
TASKS = """---
# A comment.
- name: Do it
  ansible.builtin.assert:
    that: true
    quiet: true
  loop_control:
    label: x
"""


def texts(file: str, source: str) -> list[str]:
    return [line.text for line in mutate.candidates(file, source)]


def test_only_lines_that_do_something_are_candidates() -> None:
    assert texts("plugins/modules/x.py", MODULE) == ["def main():", "return 1"]
    assert texts("roles/x/tasks/main.yml", TASKS) == ["ansible.builtin.assert:", "that: true"]
    remarks = "{# A comment. #}\n; {{ ansible_managed }}\n; One of stunnel's.\n# Another.\n\n"
    assert texts("roles/x/templates/x.j2", f"{remarks}key = 1\n") == ["key = 1"]
    assert texts("plugins/filter/x.yml", "DOCUMENTATION:\n  name: x\n") == []


def test_a_seed_draws_the_same_lines_of_each_stratum() -> None:
    drawn = mutate.sample(1, 7)
    assert drawn == mutate.sample(1, 7)
    assert drawn != mutate.sample(2, 7)
    kinds = ["plugins" if line.file.startswith("plugins/") else line.file.split("/")[2] for line in drawn]
    assert sorted(kinds) == ["plugins"] * 2 + ["tasks"] * 2 + ["templates"] * 3


def test_every_line_of_some_files_can_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutate, "prepare", lambda: None)
    monkeypatch.setattr(mutate, "judged", lambda line, *_: mutate.Verdict(line, "unit tests", 7))
    page = tmp_path / "page.md"
    assert mutate.main(["--every", r"/efs[.]mount", str(page)]) == 0
    assert "/efs.mount.j2` " in capsys.readouterr().out
    text = page.read_text()
    unit = mutate.git("show", "HEAD:roles/efs/templates/efs.mount.j2").splitlines()
    numbers = [number for number, line in enumerate(unit, 1) if line and line[0] not in "#{"]
    assert [f"| `roles/efs/templates/efs.mount.j2` {number} | unit tests | 7 |" for number in numbers] == [
        row for row in text.splitlines() if row.startswith("| `")
    ]
    assert "Every line of `/efs[.]mount`, commit " in text
    with pytest.raises(SystemExit, match="2"):
        mutate.main(["--every", "no/such/file", str(page)])
    # What the page tells is not asked again.
    mutate.main(["--every", r"/efs[.]mount", str(page)])
    assert "/efs.mount.j2` " not in capsys.readouterr().out


def test_another_line_changes_nothing_about_those_that_are_drawn() -> None:
    lines = [mutate.Line("plugins/a.py", number, f"x = {number % 7}") for number in range(1, 40)]
    moved = [mutate.Line("plugins/a.py", number + 1, f"x = {number % 7}") for number in range(1, 40)]
    more = mutate.drawn([mutate.Line("plugins/a.py", 1, "y = 1"), *moved], 5)
    texts = [line.text for line in more]
    assert len(texts) == 40
    texts.remove("y = 1")
    assert texts == [line.text for line in mutate.drawn(lines, 5)]


def test_a_line_goes_for_its_judges_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "roles" / "docker" / "tasks" / "main.yml"
    file.parent.mkdir(parents=True)
    file.write_text(TASKS)
    monkeypatch.setattr(mutate, "TREE", tmp_path)
    line = mutate.Line("roles/docker/tasks/main.yml", 5, "that: true")
    asked: list[str] = []
    sound: set[tuple[str, ...]] = set()

    def notices(judge: mutate.Judge) -> bool:
        deleted = "that: true" not in file.read_text()
        asked.append(f"{judge.name}{'' if deleted else ', whole'}")
        return deleted and judge.name == "molecule"

    assert mutate.judged(line, notices, sound).judge == "molecule"
    cheap = ["yamllint", "ansible-lint", "the roles' variables", "unit tests"]
    assert asked == [*cheap, "molecule", "molecule, whole"]
    assert file.read_text() == TASKS
    # Once found sound, it is believed.
    asked.clear()
    assert mutate.judged(line, notices, sound).judge == "molecule"
    assert asked == [*cheap, "molecule"]
    assert mutate.judged(line, lambda _judge: False, sound).judge == ""

    def breaks(_judge: mutate.Judge) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mutate.judged(line, breaks, sound)
    assert file.read_text() == TASKS
    # What fails whatever is deleted is no judge.
    with pytest.raises(SystemExit, match="fails with nothing deleted"):
        mutate.judged(line, lambda _judge: True, sound)


def test_a_judge_notices_by_failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutate, "TREE", tmp_path / "tree")
    mutate.TREE.mkdir()
    assert mutate.fails(mutate.Judge("no", ["false"]))
    assert not mutate.fails(mutate.Judge("yes", ["true"]))
    assert mutate.fails_quickly(mutate.Judge("no", ["false"]))
    assert not mutate.fails_quickly(mutate.Judge("no, in the lab", ["false"], quick=False))
    monkeypatch.setattr(mutate, "SECONDS", 0.2)
    assert mutate.fails(mutate.Judge("hangs", ["sleep", "60"]))


def test_what_no_quick_judge_notices_is_left_out_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [mutate.Line("plugins/a.py", 3, "x = 1"), mutate.Line("roles/a/tasks/b.yml", 4, "when: y")]
    monkeypatch.setattr(mutate, "sample", lambda _seed, _count: lines)
    monkeypatch.setattr(mutate, "prepare", lambda: None)
    noticing = {lines[0]: "unit tests"}
    monkeypatch.setattr(mutate, "judged", lambda line, *_: mutate.Verdict(line, noticing.get(line, ""), 7))
    page = tmp_path / "page.md"
    assert mutate.main(["--quick", str(page)]) == 1
    assert "left for the lab after 7 s" in capsys.readouterr().out
    text = page.read_text()
    assert "| `plugins/a.py` 3 | unit tests | 7 |" in text
    assert "b.yml" not in text
    assert "**1 of 1 deletions were noticed, 100 %.** The run is not finished: 1 of its 2 lines have no verdict" in text
    # A run with all judges goes on with what is left.
    assert mutate.main([str(page)]) == 1
    assert "| `roles/a/tasks/b.yml` 4 | nobody | 7 |" in page.read_text()


def test_the_page_remembers_verdicts_while_they_hold_and_reasons_for_longer() -> None:
    lines = [mutate.Line("plugins/a.py", 3, "x = 1"), mutate.Line("roles/a/tasks/b.yml", 4, "when: `y`")]
    verdicts = [mutate.Verdict(lines[0], "unit tests", 7), mutate.Verdict(lines[1], "", 90)]
    text = mutate.page(verdicts, {("roles/a/tasks/b.yml", "when: `y`"): "it is so"}, "Seed 5", "abc123", 3)
    assert "**1 of 2 deletions were noticed, 50 %.** The run is not finished: 1 of its 3 lines have no verdict" in text
    assert "* `roles/a/tasks/b.yml` 4, `` when: `y` ``: it is so" in text
    reasons = {("roles/a/tasks/b.yml", "when: `y`"): "it is so"}

    def after(*files: str, origin: str = "Seed 5") -> tuple[list[mutate.Verdict], dict[tuple[str, str], str]]:
        return mutate.known(text, lines, origin, {"abc123": list(files)}.get)

    assert after() == (verdicts, reasons)
    assert after("docs/mutation.md", "README.md", "roles/a/README.md") == (verdicts, reasons)
    # More tests may notice more.
    assert after("docs/mutation.md", "tests/unit/test_a.py") == (verdicts[:1], reasons)
    assert mutate.known(text, lines, "Seed 5", lambda _commit: None) == ([], reasons)
    assert after(origin="Seed 6") == ([], reasons)
    # A role stands for itself, and a file of plugins.
    assert [verdict.line for verdict in after("plugins/a.py")[0]] == []
    assert [verdict.line for verdict in after("plugins/b.py")[0]] == lines[:1]
    text = mutate.page([verdicts[0], mutate.Verdict(lines[1], "molecule", 90)], {}, "Seed 5", "abc123", 3)
    assert [verdict.line for verdict in after("roles/b/handlers/main.yml")[0]] == lines
    assert [verdict.line for verdict in after("roles/a/handlers/main.yml")[0]] == lines[:1]


def test_nothing_is_the_same_since_a_commit_that_is_not_there() -> None:
    assert mutate.changed_since("HEAD") == []
    assert mutate.changed_since("0" * 40) is None


def test_the_tests_that_name_a_file_of_the_plugins_judge_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutate, "TREE", mutate.ROOT)

    def names(file: str) -> list[str]:
        return [path.name for path in mutate.tests_of(Path(file))]

    assert names("modules/reserved_offerings_info.py") == ["test_info_modules.py", "test_reservations_info.py"]
    assert names("module_utils/_airflow/api.py") == ["test_airflow_dag_run.py"]
    assert names("modules/not_there.py") == []


def test_what_takes_a_role_away_is_judged_where_roles_are_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutate, "TREE", tmp_path)

    def scenarios(file: str) -> list[str]:
        return [judge.command[-1] for judge in mutate.judges(file) if judge.name == "molecule"]

    assert scenarios("roles/efs/tasks/main.yml") == ["efs", "readmes"]
    assert scenarios("roles/migrate/tasks/main.yml") == ["component", "readmes"]
    for file in ("efs/tasks/uninstall.yml", "worker/tasks/uninstall.yml", "component/tasks/forget.yml"):
        assert scenarios(f"roles/{file}") == ["uninstall"]


def test_make_runs_every_scenario_and_each_role_is_judged_by_one() -> None:
    makefile = (mutate.ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    run = next(line for line in makefile.splitlines() if line.startswith("MOLECULE :=")).split()[2:]
    assert set(mutate.SCENARIOS.values()) | {"uninstall"} <= set(run)
    assert {path.parent.name for path in mutate.ROOT.glob("molecule/*/molecule.yml")} == set(run)
