# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that stays until the test lets it go, or for some seconds, and says every second that it is still there."""

from __future__ import annotations

import logging
import platform
import time
from pathlib import Path

from airflow.sdk import Param, dag, task

log = logging.getLogger(__name__)
# The test makes it on the host, which has this directory in common with the container.
LET_GO = Path("/var/lib/airflow/molecule-let-go")


@task
def stay(params: dict[str, int]) -> str:
    """Stay for some seconds at most, and say where."""
    for second in range(params["seconds"]):
        if LET_GO.exists():
            break
        log.info("Second %d", second)
        time.sleep(1)
    log.info("Stayed on %s", platform.node())
    return platform.node()


@dag(schedule=None, params={"seconds": Param(0, type="integer", minimum=0, maximum=600)}, doc_md=__doc__)
def molecule_sleeper() -> None:
    """One task."""
    stay()


molecule_sleeper()
