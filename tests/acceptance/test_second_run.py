# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing changes when nothing is to change."""

from __future__ import annotations

from typing import Any

from .conftest import Run


def test_nothing_changes_on_any_host(second_run: tuple[Run, list[dict[str, Any]]]) -> None:
    done, _ = second_run
    changed = {host: figures["changed"] for host, figures in done.recap().items()}
    assert len(changed) == 5
    assert set(changed.values()) == {0}, [line for line in done.output.splitlines() if line.startswith("changed")]


def test_no_write_call_reaches_the_api(second_run: tuple[Run, list[dict[str, Any]]]) -> None:
    _, requests = second_run
    assert len(requests) > 20, "the log shows too few requests to be believed"
    # What Airflow's own tasks store (logs on S3) is their work, not the playbook's.
    writes = [
        request
        for request in requests
        if request["write"] and not (request["service"] == "s3" and "PutObject" in request["operation"])
    ]
    assert writes == []
