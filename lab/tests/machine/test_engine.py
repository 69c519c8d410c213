# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and stopping the docker engine, and the remains that it would stumble over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lab import engine
from lab.progress import Progress
from lab.refusal import Refusal

_ended: list[int] = []


@pytest.fixture
def remains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A /var/run of its own; and should any path escape it, nothing of this machine is ended."""
    monkeypatch.setattr(engine, "_PID_FILES", {tmp_path / "docker.pid": "dockerd"})
    monkeypatch.setattr(engine, "_CONTAINERD_SOCKETS", {tmp_path / "containerd.sock": tmp_path / "containerd.pid"})
    monkeypatch.setattr(engine, "_ENGINE_SOCKET", tmp_path / "docker.sock")
    monkeypatch.setattr(engine, "end_process", lambda pid, seconds: _ended.append(pid))
    _ended.clear()
    return tmp_path


def test_a_pid_file_that_names_another_program_is_removed(remains: Path) -> None:
    (remains / "docker.pid").write_text(f"{os.getpid()}\n")
    engine.clear_remains(Progress())
    assert not (remains / "docker.pid").exists()


def test_a_pid_file_that_names_nobody_is_removed(remains: Path) -> None:
    (remains / "docker.pid").write_text("999999999\n")
    engine.clear_remains(Progress())
    assert not (remains / "docker.pid").exists()


def test_a_socket_on_which_nobody_listens_is_removed(remains: Path) -> None:
    path = remains / "containerd.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    engine.clear_remains(Progress())
    assert not path.exists()


def test_a_containerd_that_no_longer_answers_is_ended(remains: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = remains / "containerd.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (remains / "containerd.pid").write_text("4321\n")
    monkeypatch.setattr(engine, "_program", {4321: "containerd"}.get)
    engine.clear_remains(Progress())
    assert _ended == [4321]


def test_a_socket_that_answers_stays(remains: Path) -> None:
    path = remains / "containerd.sock"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        engine.clear_remains(Progress())
        assert path.exists()


def test_a_process_that_ignores_the_request_is_ended_all_the_same() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    engine.end_process(process.pid, seconds=0.3)
    assert not Path(f"/proc/{process.pid}").exists()


def test_only_the_engine_that_the_lab_started_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    pid_file = tmp_path / "freehold-lab" / "dockerd.pid"
    pid_file.parent.mkdir()
    # The pid was given to another program after a reboot: this one.
    pid_file.write_text(f"{os.getpid()}\n")
    engine.stop_ours(Progress())
    assert not pid_file.exists()


def test_without_root_and_engine_the_user_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "connect", lambda: None)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Refusal, match="systemctl start docker"):
        engine.connect_or_start(Progress())


def test_an_engine_of_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    with pytest.raises(Refusal, match="must be on this machine"):
        engine.socket_path()
