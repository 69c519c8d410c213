# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays on this machine, for tests that look at what roles make of their variables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.playbooks import HERE, run


@pytest.fixture(scope="session")
def play() -> Callable[..., None]:
    """Give a function that runs the tasks of a play with files of variables and others, in a folder of its own."""

    def play(folder: Path, tasks: list[dict[str, Any]], files: list[Path], **variables: Any) -> None:
        one = {"hosts": "localhost", "tasks": tasks, "vars_files": [str(file) for file in files]}
        done = run(folder, one, "-e", json.dumps({**variables, **HERE}), HOME=str(folder))
        assert done.returncode == 0, done.stdout + done.stderr

    return play
