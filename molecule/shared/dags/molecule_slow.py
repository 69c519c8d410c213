# SPDX-License-Identifier: GPL-3.0-or-later
"""One task that runs as long as it is told, and leaves a trace of its begin and of its end on its host."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, get_current_context, task

TRACES = Path("/var/lib/airflow/molecule")


@task(retries=0, execution_timeout=timedelta(minutes=5))
def work() -> None:
    """Run for ``seconds`` of the run's configuration."""
    run = get_current_context()["dag_run"]
    TRACES.mkdir(exist_ok=True)
    (TRACES / f"{run.run_id}.begun").touch()
    time.sleep(float((run.conf or {}).get("seconds", 1)))
    (TRACES / f"{run.run_id}.ended").touch()


@dag(schedule=None, tags=["molecule"])
def molecule_slow() -> None:
    """Work once."""
    work()


molecule_slow()
