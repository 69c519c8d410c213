# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody with an empty directory and the collection's archive, who sees nothing of this checkout.

The collections that ours stands on come from the Python environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def build(folder: Path) -> Path:
    """Build the archive from the working tree, into ``folder``, and return its path."""
    built = subprocess.run(
        [ROOT / "tools" / "collection", folder],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"},
    )
    return Path(built.stdout.strip())


def examples(readme: Path, section: str = "Example") -> list[str]:
    """Return the playbooks of a section of a role's README, in their order."""
    found = re.search(rf"^## {section}$(.*?)(?=^## |\Z)", readme.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{readme} has no section {section}"
    playbooks = re.findall(r"^```yaml$\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)
    assert playbooks, f"{readme} has no playbook in its section {section}"
    return playbooks


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a process that sees no settings of Ansible, and the collections below ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return kept | {"ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "ANSIBLE_LOCALHOST_WARNING": "false"}


def run(folder: Path, program: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs in ``folder``, with ``more`` in its environment."""
    return subprocess.run(
        [str(BIN / program), *arguments],
        cwd=folder,
        env=environment(folder) | more,
        capture_output=True,
        text=True,
        timeout=900,
    )


def install(archive: Path, folder: Path) -> Path:
    """Install the archive below ``folder``, and return where the collection lies."""
    options = ["--no-deps", "--offline", "-p", "collections"]
    done = run(folder, "ansible-galaxy", "collection", "install", str(archive), *options)
    assert done.returncode == 0, done.stderr
    return folder / "collections" / "ansible_collections" / "freehold" / "airflow"
