# SPDX-License-Identifier: GPL-3.0-or-later
"""On a finished environment check mode has nothing to announce."""

from __future__ import annotations

from typing import Any

from .conftest import Run, Site, run


def test_check_mode_predicts_no_change(second_run: tuple[Run, list[dict[str, Any]]], site: Site) -> None:
    done = run("ansible-playbook", "site.yml", "--check", "--diff")
    assert {host: figures["changed"] for host, figures in done.recap().items() if figures["changed"]} == {}
