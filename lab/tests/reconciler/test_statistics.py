# SPDX-License-Identifier: GPL-3.0-or-later
"""Target health as AWS words it, from HAProxy's statistics."""

from __future__ import annotations

import pytest

from lab.reconciler import statistics

HEAD = "# pxname,svname,status,check_status,chkdown,\n"


def row(status: str, check: str, down: int = 0) -> str:
    return f"{HEAD}web,FRONTEND,OPEN,,,\nweb,i-1:8080,{status},{check},{down},\nweb,BACKEND,UP,,,\n"


@pytest.mark.parametrize(
    ("status", "check", "state", "reason"),
    [
        ("UP", "L7OK", "healthy", ""),
        ("UP 1/2", "L7STS", "healthy", ""),
        ("DOWN", "INI", "initial", "Elb.InitialHealthChecking"),
        ("DOWN", "L7STS", "unhealthy", "Target.ResponseCodeMismatch"),
        ("DOWN", "L7TOUT", "unhealthy", "Target.Timeout"),
        ("DOWN", "* L4CON", "unhealthy", "Target.FailedHealthChecks"),
        ("DOWN 1/3", "L7OK", "unhealthy", "Target.FailedHealthChecks"),
    ],
)
def test_health_is_told_in_the_words_of_aws(status: str, check: str, state: str, reason: str) -> None:
    assert statistics.target_health(row(status, check)) == {"web": {"i-1:8080": {"state": state, "reason": reason}}}


def test_a_new_target_is_healthy_after_its_first_passed_check() -> None:
    assert statistics.passed_first_check(row("DOWN 1/3", "L7OK")) == [("web", "i-1:8080")]


def test_a_target_that_failed_before_needs_the_whole_threshold() -> None:
    assert statistics.passed_first_check(row("DOWN 1/3", "L7OK", down=1)) == []


def test_a_new_server_begins_as_down_and_a_known_one_keeps_its_state() -> None:
    running = "1\n# be_id\n7 web 9 i-1:8080 10.0.0.4 2 0 1 1 33 6 3 4 6 0 0 0 - 8080 - 0 0 - - 0\n"
    text = statistics.state_file(
        [("web", "i-1:8080", "10.0.0.4", 8080), ("web", "i-2:8080", "10.0.0.5", 8080)], running
    )
    known, new = text.splitlines()[2:]
    assert known.split()[:6] == ["7", "web", "9", "i-1:8080", "10.0.0.4", "2"]
    assert new.split()[1:6] == ["web", "1", "i-2:8080", "10.0.0.5", "0"]
    assert len(new.split()) == len(known.split())
