# SPDX-License-Identifier: GPL-3.0-or-later
"""The module file_set, on real files."""

import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.freehold.airflow.plugins.modules import file_set

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def run(
    capsys: pytest.CaptureFixture[str],
    *files: dict[str, Any],
    directories: list[dict[str, Any]] | None = None,
    check_mode: bool = False,
) -> dict[str, Any]:
    """Run the module; return its result."""
    arguments = {
        "files": [
            {**ME, **{key: str(value) if key == "path" else value for key, value in one.items()}} for one in files
        ],
        "directories": [{**one, "path": str(one["path"])} for one in directories or []],
        "_ansible_check_mode": check_mode,
    }
    with patch_module_args(arguments), pytest.raises(SystemExit):
        file_set.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_a_file_and_its_directories_are_made_with_the_wanted_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a" / "b" / "c.conf"
    result = run(capsys, {"path": path, "content": "x\n", "mode": "0640"})
    assert result["changed"]
    assert result["written"] == result["created"] == [str(path)]
    assert path.read_text() == "x\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in path.parent.iterdir()] == ["c.conf"]


def test_a_second_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a"
    run(capsys, {"path": path, "content": "x"})
    inode = path.stat().st_ino
    assert not run(capsys, {"path": path, "content": "x"})["changed"]
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("changes", [{"content": "y"}, {"mode": "0600"}])
def test_another_content_or_mode_is_a_change_of_that_file_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str]
) -> None:
    files = [{"path": tmp_path / name, "content": "x"} for name in ("a", "b")]
    run(capsys, *files)
    result = run(capsys, files[0], {**files[1], **changes})
    assert (result["written"], result["created"]) == ([str(tmp_path / "b")], [])


def test_a_check_run_shows_the_difference_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "a"
    result = run(capsys, {"path": path, "content": "x"}, check_mode=True)
    assert result["changed"]
    assert result["diff"][0]["after"] == "x"
    assert not path.parent.exists()


def test_nothing_is_replaced_when_one_file_of_the_set_is_invalid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("old")
    result = run(
        capsys,
        {"path": good, "content": "new"},
        {"path": bad, "content": "no", "validate": ["grep", "-q", "yes", "%s"]},
    )
    assert result["failed"]
    assert "grep refuses the new" in result["msg"]
    assert good.read_text() == "old"
    assert not bad.exists()


def test_a_validator_that_is_not_installed_yet_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a"
    run(capsys, {"path": path, "content": "x", "validate": ["no-such-program", "%s"]})
    assert path.read_text() == "x"


def test_a_link_is_refused_because_it_would_be_replaced_by_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    result = run(capsys, {"path": tmp_path / "link", "content": "x"})
    assert result["failed"]
    assert "is not a plain file" in result["msg"]


def test_a_directory_gets_its_mode_unless_it_is_to_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, set_right = tmp_path / "kept", tmp_path / "set"
    kept.mkdir(mode=0o755)
    set_right.mkdir(mode=0o755)
    result = run(
        capsys,
        directories=[
            {"path": kept, "mode": "0700", "keep": True},
            {"path": set_right, "mode": "0700"},
            {"path": tmp_path / "new", "mode": "0700", "keep": True},
        ],
    )
    assert result["written"] == [str(set_right), str(tmp_path / "new")]
    assert result["created"] == [str(tmp_path / "new")]
    modes = [one.stat().st_mode & 0o777 for one in (kept, set_right, tmp_path / "new")]
    assert modes == [0o755, 0o700, 0o700]


def test_a_file_where_a_directory_is_to_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").write_text("mine")
    result = run(capsys, directories=[{"path": tmp_path / "there", "mode": "0700"}])
    assert "is not a directory" in result["msg"]
    assert (tmp_path / "there").read_text() == "mine"


def test_a_check_run_makes_no_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, directories=[{"path": tmp_path / "new", "mode": "0700"}], check_mode=True)
    assert result["written"] == result["created"] == [str(tmp_path / "new")]
    assert not (tmp_path / "new").exists()


def test_what_the_validator_accepts_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a"
    assert run(capsys, {"path": path, "content": "yes", "validate": ["grep", "-q", "yes", "%s"]})["changed"]
    assert path.read_text() == "yes"
