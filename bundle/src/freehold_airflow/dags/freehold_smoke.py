# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that every worker host runs tasks, from these very files.

One task for each host named in ``FREEHOLD_WORKER_HOSTS`` (comma-separated), sent to the queue that only this host
serves: the queue is named like the host. One more in the default queue, where the tasks of other DAGs go. Each task
logs and returns the host it ran on and the SHA-256 of this file as the host sees it, so that whoever triggered the run
can compare both with what they expect.

The tasks are independent on purpose. A worker parses this file again before it runs a task and needs to know only its
own name, so one more host doesn't change the settings of the others.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, task

log = logging.getLogger(__name__)

HOSTS = [host.strip() for host in os.environ.get("FREEHOLD_WORKER_HOSTS", "").split(",") if host.strip()]


@task(execution_timeout=timedelta(minutes=2))
def answer() -> dict[str, str]:
    """Say where this ran and what the file is made of."""
    found = {"host": platform.node(), "sha256": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}
    log.info("Answered on %(host)s, from a file with SHA-256 %(sha256)s", found)
    return found


@dag(schedule=None, tags=["freehold"], doc_md=__doc__)
def freehold_smoke() -> None:
    """One answer from each worker host that is named, and one from any of them."""
    for host in HOSTS:
        answer.override(task_id=f"answer_on_{host}", queue=host)()
    # Whatever is named: workers know of themselves alone, and must find the tasks that the dag-processor has found.
    answer.override(task_id="answer_on_any_host")()


freehold_smoke()
