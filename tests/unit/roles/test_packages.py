# SPDX-License-Identifier: GPL-3.0-or-later
"""What no host of the lab shows: a role waits for a host that upgrades itself, as one does that was just launched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
INSTALLING = sorted(ROOT.glob("roles/*/tasks/install.yml"))


@pytest.mark.parametrize("file", INSTALLING, ids=lambda file: file.parent.parent.name)
def test_packages_are_installed_alike_everywhere(file: Path) -> None:
    (task,) = yaml.safe_load(file.read_text())
    asked: dict[str, Any] = task["ansible.builtin.apt"]
    assert asked.pop("name")
    assert asked.pop("state") == "present"
    # The module's own patience with another program's lock is a minute.
    assert asked == {
        "install_recommends": False, "update_cache": True, "cache_valid_time": 86400, "lock_timeout": 300,
    }  # fmt: skip
    role = file.parent.parent.name
    assert task["register"] == f"__{role}_installed"
    unknown = f"'No package matching' in __{role}_installed.msg | default('', true)"
    assert task["failed_when"] == f"__{role}_installed is failed and not (ansible_check_mode and {unknown})"
    assert task["changed_when"] == f"__{role}_installed is changed or __{role}_installed is failed"


def test_no_role_installs_in_another_place() -> None:
    assert {file.parent.parent.name for file in INSTALLING} == {"docker", "efs", "time", "valkey"}
    for file in ROOT.glob("roles/*/tasks/*.yml"):
        assert file in INSTALLING or "ansible.builtin.apt" not in file.read_text(), file
