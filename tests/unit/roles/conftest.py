# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays on this machine, for tests that look at what roles make of their variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def play() -> Callable[..., None]:
    """Give a function that runs the tasks of a play with files of variables and others, in a folder of its own."""

    def run(folder: Path, tasks: list[dict[str, Any]], files: list[Path], **variables: Any) -> None:
        playbook = folder / "playbook.yml"
        one = {"name": "Look", "hosts": "localhost", "gather_facts": False, "tasks": tasks}
        playbook.write_text(yaml.safe_dump([{**one, "vars_files": [str(file) for file in files]}]))
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        done = subprocess.run(
            [
                *(Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", playbook),
                *("-e", json.dumps({**variables, **here})),
            ],
            cwd=ROOT,
            env={**os.environ, "HOME": str(folder)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run
