# SPDX-License-Identifier: GPL-3.0-or-later
"""Before anything exists, and before the hosts have anything, check mode says what would come and writes nothing."""

from __future__ import annotations

from typing import Any

import docker

from .conftest import Run, machines


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


def test_check_mode_says_what_would_come_to_bare_hosts(bare_check: tuple[Run, list[dict[str, Any]]]) -> None:
    done, _ = bare_check
    assert done.returncode == 0, done.why()
    figures = done.recap()
    del figures["localhost"]
    assert all(host["changed"] >= 10 for host in figures.values()), figures


def test_check_mode_leaves_bare_hosts_as_they_are(
    bare_check: tuple[Run, list[dict[str, Any]]], engine: docker.DockerClient
) -> None:
    _, requests = bare_check
    assert [request for request in requests if request["write"]] == []
    for name, host in machines(engine).items():
        look = "ls -d /etc/docker /etc/airflow /etc/stunnel/efs.conf /etc/valkey /srv/freehold 2>/dev/null"
        assert host.exec_run(["sh", "-c", look]).output == b"", name
