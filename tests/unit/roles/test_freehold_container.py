# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that units call, with a docker that writes down what it is asked."""

from __future__ import annotations

import http.server
import os
import socketserver
import subprocess
import threading
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "roles" / "component" / "files" / "freehold-container"
LABEL = 'freehold.spec={"image":"a"}'
DOCKER = """#!/bin/sh
echo "$*" >> "$FAKE/asked"
case $* in
    *inspect*Config.Labels*) cat "$FAKE/running" 2>/dev/null ;;
    *inspect*State.Status*) cat "$FAKE/status" 2>/dev/null ;;
    *exec*) [ -e "$FAKE/ready" ] || { echo "connection refused"; exit 1; } ;;
esac
"""


class Docker:
    """A docker client in a directory."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path
        client = tmp_path / "docker"
        client.write_text(DOCKER)
        client.chmod(0o755)
        (tmp_path / "label").write_text(LABEL + "\n")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.path}:{os.environ['PATH']}", "FAKE": str(self.path)}
        return subprocess.run(
            ["sh", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=20, check=False
        )

    def asked(self) -> list[str]:
        return (self.path / "asked").read_text().splitlines()

    def create(self) -> subprocess.CompletedProcess[str]:
        return self.run("create", "x", str(self.path / "label"), "--network=host", "image", "scheduler")


@pytest.fixture(name="docker")
def fixture_docker(tmp_path: Path) -> Docker:
    return Docker(tmp_path)


def test_a_container_is_made_with_the_label_and_the_arguments(docker: Docker) -> None:
    assert docker.create().returncode == 0
    assert docker.asked()[-2] == "container rm --force --volumes x"
    assert docker.asked()[-1] == (
        f"container create --name x --label-file {docker.path}/label --network=host image scheduler"
    )


def test_the_wanted_container_is_kept_when_it_runs(docker: Docker) -> None:
    (docker.path / "running").write_text(f"true {LABEL}\n")
    answer = docker.create()
    assert "attaching" in answer.stdout
    assert len(docker.asked()) == 1


@pytest.mark.parametrize("state", [f"false {LABEL}", 'true freehold.spec={"image":"b"}', "true freehold.spec="])
def test_a_stopped_or_different_container_is_replaced(docker: Docker, state: str) -> None:
    (docker.path / "running").write_text(state + "\n")
    assert docker.create().returncode == 0
    assert docker.asked()[-1].startswith("container create")


def test_waiting_ends_when_the_check_succeeds(docker: Docker) -> None:
    (docker.path / "ready").touch()
    assert docker.run("await", "x", "5", "true").returncode == 0


def test_waiting_ends_at_once_when_the_container_has_ended(docker: Docker) -> None:
    (docker.path / "status").write_text("exited\n")
    answer = docker.run("await", "x", "60", "true")
    assert answer.returncode == 1
    assert "x ended before it was ready" in answer.stderr


def test_an_address_is_asked_from_the_host(docker: Docker) -> None:
    (docker.path / "status").write_text("running\n")
    with socketserver.TCPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        assert docker.run("await", "x", "5", f"{address}/").returncode == 0
        answer = docker.run("await", "x", "0", f"{address}/no-such-page")
        server.shutdown()
    assert answer.returncode == 1
    assert "Its check says: urllib.error.HTTPError: HTTP Error 404" in answer.stderr


def test_a_check_that_the_image_can_not_run_ends_the_waiting_at_once(docker: Docker) -> None:
    (docker.path / "status").write_text("running\n")
    (docker.path / "docker").write_text(
        DOCKER.replace("connection refused", 'exec: \\"curl\\": executable file not found')
    )
    answer = docker.run("await", "x", "60", "curl")
    assert answer.returncode == 1
    assert "the check of x can't run in its image" in answer.stderr


def test_waiting_has_a_limit_and_says_what_the_check_said(docker: Docker) -> None:
    (docker.path / "status").write_text("running\n")
    answer = docker.run("await", "x", "1", "true")
    assert answer.returncode == 1
    assert "x is not ready after 1 s" in answer.stderr
    assert "connection refused" in answer.stderr
