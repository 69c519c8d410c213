# SPDX-License-Identifier: GPL-3.0-or-later
"""The docker engine: the one that answers, or one started for the lab."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import docker
from docker.errors import DockerException

from lab.names import state_directory
from lab.progress import Progress
from lab.refusal import Refusal

# Starting takes 2 to 12 s; with many containers to restore longer.
_START_SECONDS = 90.0
_STOP_SECONDS = 60.0
_ANSWER_SECONDS = 15
_PID_FILES = {
    Path("/var/run/docker.pid"): "dockerd",
    Path("/var/run/docker/containerd/containerd.pid"): "containerd",
    Path("/var/run/docker/containerd/docker-containerd.pid"): "containerd",
}
# Sockets of a containerd, and the pid file of the one that dockerd itself started; the system's own has none.
_CONTAINERD_SOCKETS: dict[Path, Path | None] = {
    Path("/run/containerd/containerd.sock"): None,
    Path("/var/run/docker/containerd/containerd.sock"): Path("/var/run/docker/containerd/containerd.pid"),
}
_ENGINE_SOCKET = Path("/var/run/docker.sock")


def pid_file() -> Path:
    """Names the dockerd that the lab started; absent when the engine is the machine's own."""
    return state_directory() / "dockerd.pid"


def log_file() -> Path:
    """What that dockerd wrote."""
    return state_directory() / "dockerd.log"


def connect() -> docker.DockerClient | None:
    """The engine that answers, by DOCKER_HOST or at its usual socket; None when none does."""
    try:
        client = docker.from_env(timeout=_ANSWER_SECONDS)
        client.ping()
    except (DockerException, OSError):
        return None
    # Work takes longer than a greeting.
    return docker.from_env(timeout=600)


def connect_or_start(progress: Progress) -> docker.DockerClient:
    """The engine, started when none answers. Raises Refusal when that is not possible."""
    client = connect()
    if client is not None:
        return client
    if os.environ.get("DOCKER_HOST"):
        raise Refusal(f"No docker engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}: start it or unset that.")
    if os.geteuid() != 0:
        raise Refusal(
            "No docker engine answers: start it (sudo systemctl start docker) and make sure that your user may use it "
            "(sudo usermod -aG docker $USER, then log in again)."
        )
    if Path("/run/systemd/system").is_dir() and _systemd_starts_it(progress):
        client = _wait(None)
        if client is not None:
            return client
    return _start(progress)


def _systemd_starts_it(progress: Progress) -> bool:
    progress.say("No docker engine answers: asking systemd to start it")
    command = ["systemctl", "start", "docker.service"]
    return subprocess.run(command, check=False, capture_output=True, timeout=120).returncode == 0  # noqa: S603


def _start(progress: Progress) -> docker.DockerClient:
    program = shutil.which("dockerd")
    if program is None:
        raise Refusal("No docker engine is installed: run `make setup`, or install the package docker.io.")
    clear_remains(progress)
    state_directory().mkdir(parents=True, exist_ok=True)
    progress.say("No docker engine answers: starting dockerd")
    with log_file().open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            [program], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    pid_file().write_text(f"{process.pid}\n")
    client = _wait(process)
    if client is None:
        raise Refusal(f"dockerd does not start: {_last_error()} The whole story is in {log_file()}.")
    progress.say("dockerd answers")
    return client


def _wait(process: subprocess.Popen[bytes] | None) -> docker.DockerClient | None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        client = connect()
        if client is not None:
            return client
        if process is not None and process.poll() is not None:
            return None
        time.sleep(0.2)
    return None


def _last_error() -> str:
    lines = log_file().read_text(errors="replace").splitlines()
    told = [line for line in lines[-30:] if "level=error" in line or "level=fatal" in line or "failed" in line]
    return (told or lines or ["it wrote nothing."])[-1][:400]


def clear_remains(progress: Progress) -> None:
    """Remove what a killed dockerd leaves behind and stumbles over.

    A pid file that names nobody, or somebody else by now, makes it refuse to start; a containerd that no longer
    answers makes it wait for ever.
    """
    for path, program in _PID_FILES.items():
        pid = _read_pid(path)
        if pid is not None and _program(pid) != program:
            progress.say(f"Removing the stale {path}")
            path.unlink(missing_ok=True)
    for path, owner in _CONTAINERD_SOCKETS.items():
        if path.exists() and not _answers(path):
            if owner is not None:
                _end_containerd(owner, progress)
            path.unlink(missing_ok=True)
    if _ENGINE_SOCKET.is_socket() and not _answers(_ENGINE_SOCKET):
        _ENGINE_SOCKET.unlink(missing_ok=True)


def _end_containerd(pid_file: Path, progress: Progress) -> None:
    pid = _read_pid(pid_file)
    if pid is not None and _program(pid) == "containerd":
        progress.say("Ending a containerd that no longer answers")
        end_process(pid, seconds=5)
        pid_file.unlink(missing_ok=True)


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text().strip())
    except (OSError, ValueError):
        return None


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


def end_process(pid: int, seconds: float) -> None:
    """SIGTERM, and SIGKILL when that is not enough."""
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            # A child of this very process stays a zombie until it is waited for.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.1)


def stop_ours(progress: Progress) -> None:
    """Stop the dockerd that the lab started, if it did."""
    pid = _read_pid(pid_file())
    if pid is not None and _program(pid) == "dockerd":
        progress.say("Stopping the dockerd that the lab started")
        end_process(pid, seconds=_STOP_SECONDS)
    pid_file().unlink(missing_ok=True)


def socket_path() -> str:
    """The engine's socket on this machine, for the reconciler's container. Raises Refusal for an engine elsewhere."""
    host = os.environ.get("DOCKER_HOST", "")
    if not host:
        return "/var/run/docker.sock"
    if host.startswith("unix://"):
        return host.removeprefix("unix://")
    raise Refusal(f"The docker engine must be on this machine, but DOCKER_HOST is {host}: unset it.")
