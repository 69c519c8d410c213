# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's requirements.txt is honoured, or the build stops with a sentence and nothing of Airflow is changed.

Runs the image's installing step in a container of the lab's base image, without building anything.
"""

from __future__ import annotations

import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def base_image() -> str:
    """The lab's stand-in for the official image, as ``make lab-up`` built it."""
    command = ["docker", "image", "ls", "--quiet", "freehold-lab/airflow-base"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    assert found, "there is no image freehold-lab/airflow-base: `make lab-up` builds it"
    return found[0]


Install = Callable[[str, str], subprocess.CompletedProcess[str]]


@pytest.fixture
def install(base_image: str) -> Install:
    """Install a text of requirements, then run one more shell command in the same container."""

    def run(requirements: str, afterwards: str) -> subprocess.CompletedProcess[str]:
        script = (
            "mkdir /tmp/given && cd /tmp/given && base64 --decode <<<$INSTALL >install"
            " && base64 --decode <<<$CONSTRAINTS >constraints.txt && base64 --decode <<<$REQUIREMENTS >requirements.txt"
            f" && bash install requirements && {afterwards}"
        )
        given = {
            "INSTALL": (ROOT / "image" / "install").read_bytes(),
            "CONSTRAINTS": (ROOT / "image" / "constraints.txt").read_bytes(),
            "REQUIREMENTS": requirements.encode(),
        }
        settings = [f"--env={name}={b64encode(content).decode()}" for name, content in given.items()]
        command = ["docker", "run", "--rm", "--entrypoint", "bash", *settings, base_image, "-c", script]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_a_requirement_is_installed_and_airflow_stays_as_it_is(install: Install) -> None:
    done = install("# a comment\ncowsay==6.1\n", "python -c 'import cowsay' && pip list --format freeze")
    assert done.returncode == 0, done.stderr
    assert "apache-airflow==3.3.2" in done.stdout
    assert "celery==5.6.3" in done.stdout


@pytest.mark.parametrize(
    ("requirement", "named"),
    [
        ("apache-airflow==3.2.0", "apache-airflow==3.2.0"),
        ("apache-airflow-core==3.3.1", "apache-airflow-core==3.3.1"),
        ("celery==5.7.0", "celery==5.6.3"),
        ("freehold-no-such-package==1", "freehold-no-such-package==1"),
        ("this is no requirement", "this is no requirement"),
    ],
)
def test_a_requirement_that_cannot_live_with_airflow_stops_the_build(
    install: Install, requirement: str, named: str
) -> None:
    done = install(f"{requirement}\n", "true")
    assert done.returncode != 0
    assert named in done.stdout + done.stderr
    assert "ERROR: image/requirements.txt can't be installed beside Airflow 3.3.2" in done.stderr
