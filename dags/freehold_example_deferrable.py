# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait without holding a worker: a deferrable sensor hands the waiting to the triggerer.

Learn from it: while ``wait`` waits, its state is *deferred* and no worker slot is taken; thousands of such waits fit
into one triggerer. Sensors and operators of S3, Athena, EMR and many others do the same when they are given
``deferrable=True``. Trigger it with another ``seconds`` to see it wait longer.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import Param, dag, task

log = logging.getLogger(__name__)


@task
def set_alarm(params: dict[str, int]) -> str:
    """Return the moment to wait for. In real life: when a partner's export will be ready."""
    return (datetime.now(UTC) + timedelta(seconds=params["seconds"])).isoformat()


@task
def wake_up(alarm: str) -> None:
    """Go on after the wait, possibly on another host than the one that began it."""
    log.info("It is past %s", datetime.fromisoformat(alarm))


@dag(
    schedule=None,
    params={"seconds": Param(10, type="integer", minimum=1, maximum=3600, description="How long to wait, in seconds")},
    tags=["freehold", "example"],
    doc_md=__doc__,
)
def freehold_example_deferrable() -> None:
    """Choose a moment, wait for it in the triggerer, go on."""
    alarm = set_alarm()
    wait = DateTimeSensorAsync(task_id="wait", target_time="{{ ti.xcom_pull(task_ids='set_alarm') }}")
    alarm >> wait >> wake_up(alarm)


freehold_example_deferrable()
