# SPDX-License-Identifier: GPL-3.0-or-later
"""Before anything exists, check mode says what would come and writes nothing."""

from __future__ import annotations

from typing import Any

from .conftest import Run


def test_check_mode_ends_well_where_nothing_exists(empty_check: tuple[Run, list[dict[str, Any]]]) -> None:
    done, _ = empty_check
    assert done.returncode == 0, done.output[-4000:]


def test_check_mode_says_that_things_would_be_made(empty_check: tuple[Run, list[dict[str, Any]]]) -> None:
    done, _ = empty_check
    assert done.recap()["localhost"]["changed"] >= 10


def test_check_mode_writes_nothing(empty_check: tuple[Run, list[dict[str, Any]]]) -> None:
    _, requests = empty_check
    assert requests, "no request was logged at all"
    assert [request for request in requests if request["write"]] == []
