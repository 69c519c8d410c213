# SPDX-License-Identifier: GPL-3.0-or-later
"""The module file_set, on real files."""

from __future__ import annotations

import grp
import json
import os
import pwd
from datetime import UTC, datetime
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
    assert not run(capsys, files[0], {**files[1], **changes})["changed"]


def test_a_check_run_shows_the_difference_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "a"
    result = run(capsys, {"path": path, "content": "x"}, check_mode=True)
    assert result["changed"]
    assert result["diff"][0]["after"] == "x"
    assert not path.parent.exists()


def test_a_check_run_leaves_a_file_that_differs_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o600)
    inode = path.stat().st_ino
    result = run(capsys, {"path": path, "content": "new", "mode": "0644"}, check_mode=True)
    assert (result["written"], result["created"]) == ([str(path)], [])
    assert (result["diff"][0]["before"], result["diff"][0]["after"]) == ("old", "new")
    assert (path.read_text(), path.stat().st_mode & 0o777, path.stat().st_ino) == ("old", 0o600, inode)
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_replaced_when_one_file_of_the_set_is_invalid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("old")
    inode = good.stat().st_ino
    result = run(
        capsys,
        {"path": good, "content": "new"},
        {"path": bad, "content": "no", "validate": ["grep", "-q", "yes", "%s"]},
    )
    assert result["failed"]
    assert "grep refuses the new" in result["msg"]
    assert (good.read_text(), good.stat().st_ino) == ("old", inode)
    assert list(tmp_path.iterdir()) == [good]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"owner": "no-such-user"}, "This host has no user 'no-such-user', the owner of {path}"),
        ({"group": "no-such-group"}, "This host has no group 'no-such-group', the group of {path}"),
        ({"mode": "u=rw"}, "The mode 'u=rw' of {path} is not octal digits"),
    ],
    ids=["owner", "group", "mode"],
)
@pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
def test_what_a_file_can_not_have_is_said_and_nothing_is_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], reason: str, there: bool
) -> None:
    path = tmp_path / "b"
    if there:
        path.write_text("x")
    result = run(capsys, {"path": tmp_path / "a", "content": "x"}, {"path": path, "content": "x", **changes})
    assert result["failed"]
    assert result["msg"] == reason.format(path=path)
    assert list(tmp_path.iterdir()) == ([path] if there else [])


def test_a_directory_s_mode_that_is_not_octal_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new"
    result = run(capsys, directories=[{"path": path, "mode": "u=rwx"}])
    assert result["msg"] == f"The mode 'u=rwx' of {path} is not octal digits"
    assert not path.exists()


def test_what_a_killed_run_left_beside_the_file_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a"
    (tmp_path / ".a.new").write_text("half")
    run(capsys, {"path": path, "content": "x"})
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "x"


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
    assert [one.name for one in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_a_link_to_a_directory_is_refused_and_its_target_keeps_its_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keep: bool, check_mode: bool
) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir(mode=0o755)
    link.symlink_to(target)
    result = run(capsys, directories=[{"path": link, "mode": "0700", "keep": keep}], check_mode=check_mode)
    assert result["failed"]
    assert result["msg"] == f"{link} is a link; give the path of the directory itself"
    assert target.stat().st_mode & 0o777 == 0o755


def test_a_directory_gets_its_mode_unless_it_is_to_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, set_right = tmp_path / "kept", tmp_path / "set"
    kept.mkdir(mode=0o755)
    set_right.mkdir(mode=0o755)
    directories = [
        {"path": kept, "mode": "0700", "keep": True},
        {"path": set_right, "mode": "0700"},
        {"path": tmp_path / "new", "mode": "0700", "keep": True},
    ]
    result = run(capsys, directories=directories)
    assert result["written"] == [str(set_right), str(tmp_path / "new")]
    assert result["created"] == [str(tmp_path / "new")]
    modes = [one.stat().st_mode & 0o777 for one in (kept, set_right, tmp_path / "new")]
    assert modes == [0o755, 0o700, 0o700]
    assert not run(capsys, directories=directories)["changed"]


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


# Seconds after the file was written at which its unit began to start, was started, and last changed its state.
@pytest.mark.parametrize(
    ("state", "began", "started", "changed", "reload", "unread"),
    [
        ("active", -2, -1, -1, "success", True),
        ("active", -1, 1, 1, "success", True),
        ("active", 1, 2, 2, "success", False),
        ("active", -3, -2, 1, "success", False),
        ("active", -3, -2, -1, "success", True),
        ("active", -3, -2, 1, "exit-code", True),
        ("inactive", -2, -1, -1, "success", False),
    ],
    ids=[
        *("runs since before", "was starting", "runs since after", "was reloaded since", "was reloaded before"),
        *("was reloaded in vain", "will read it when it starts"),
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_file_that_its_unit_has_not_read_counts_as_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    began: int,
    started: int,
    changed: int,
    reload: str,
    unread: bool,
    check_mode: bool,
) -> None:
    path = tmp_path / "a.conf"
    run(capsys, {"path": path, "content": "x"})
    moments = {"InactiveExit": began, "ActiveEnter": started, "StateChange": changed}
    shown = [f"ActiveState={state}", f"ReloadResult={reload}"] + [
        f"{name}Timestamp={datetime.fromtimestamp(path.stat().st_mtime + seconds, UTC):%a %Y-%m-%d %H:%M:%S.%f UTC}"
        for name, seconds in moments.items()
    ]
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text('#!/bin/sh\n[ "$4" = a.service ] || exit 1\n' + "".join(f"echo {line}\n" for line in shown))
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{systemctl.parent}:{os.environ['PATH']}")
    before = path.stat()
    result = run(capsys, {"path": path, "content": "x", "unit": "a.service"}, check_mode=check_mode)
    assert result["changed"] is unread
    assert result["written"] == result["unread"] == ([str(path)] if unread else [])
    assert [one["prepared"] for one in result["diff"]] == [f"{path} is newer than what a.service runs with\n"] * unread
    assert result["created"] == []
    assert path.stat() == before


def test_a_file_is_as_old_as_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    slow = ["sh", "-c", "sleep 0.1; touch %s.validated"]
    run(capsys, {"path": first, "content": "x"}, {"path": second, "content": "x", "validate": slow})
    validated = tmp_path / ".second.new.validated"
    assert first.stat().st_mtime_ns >= validated.stat().st_mtime_ns
