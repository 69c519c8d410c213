# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that takes as long as the test that runs it wants, and says every second that it is still there."""

from __future__ import annotations

import logging
import platform
import time

from airflow.sdk import Param, dag, task

log = logging.getLogger(__name__)


@task
def stay(params: dict[str, int]) -> str:
    """Stay for some seconds, and say where."""
    for second in range(params["seconds"]):
        log.info("Second %d", second)
        time.sleep(1)
    log.info("Stayed on %s", platform.node())
    return platform.node()


@dag(schedule=None, params={"seconds": Param(0, type="integer", minimum=0, maximum=600)}, doc_md=__doc__)
def molecule_sleeper() -> None:
    """One task."""
    stay()


molecule_sleeper()
