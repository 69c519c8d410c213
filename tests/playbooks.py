# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays that a test writes, run with the roles and plugins of this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
# A host that is this machine.
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def run(
    folder: Path,
    play: dict[str, Any],
    *options: str,
    inventory: str | Path = "localhost,",
    directory: Path = ROOT,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Write a play into ``folder`` and run it from ``directory``, with ``environment`` besides; return how it ended."""
    book = folder / "play.yml"
    book.write_text(yaml.safe_dump([{"name": "Try", "gather_facts": False, **play}]))
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, book, *options],
        cwd=directory,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
