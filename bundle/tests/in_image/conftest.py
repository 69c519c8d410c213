# SPDX-License-Identifier: GPL-3.0-or-later
"""Airflow as it runs in the image: its bundle manager, its database and its dag-processor."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.manager import DagFileProcessorManager
from airflow.models.base import Base
from airflow.utils.db import initdb

# For each part of a story, on a busy machine.
SECONDS = 90


class Stop(Exception):
    """The story has come to its end."""


# What happens beside the dag-processor: each part ends by yielding what must be so before it goes on.
Story = Iterator[Callable[[], bool]]


@pytest.fixture
def storage(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's storage of bundles, and a configuration as in production."""
    config = [
        {
            "name": "dags",
            "classpath": "freehold_airflow.bundle.ReleaseBundle",
            "kwargs": {
                "source": str(root),
                "refresh_interval": 0,
                "subdir": "dags",
                "view_url_template": "https://example.com/tree/{version}/{subdir}",
            },
        }
    ]
    storage = tmp_path / "storage"
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(config))
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(storage))
    # Airflow computes this one path when the module is imported.
    monkeypatch.setattr("airflow.dag_processing.bundles.base.STALE_BUNDLE_TRACKING_FOLDER", storage / "_tracking")
    return storage


@pytest.fixture
def get(storage: Path) -> Callable[..., Any]:
    """Get the bundle from Airflow's own manager."""
    return lambda version=None: DagBundlesManager().get_bundle("dags", version)


@pytest.fixture(scope="session")
def schema() -> None:
    """Airflow's tables, made once."""
    initdb()


@pytest.fixture
def database(schema: None) -> Iterator[None]:
    """Airflow's database without DAGs."""
    yield
    with settings.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name not in ("log_template", "slot_pool"):
                connection.execute(table.delete())


@pytest.fixture
def play(database: None, storage: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Story], None]]:
    """Run a real dag-processor, which parses in children and writes to the database, beside a story."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL", "0")
    monkeypatch.setenv("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "0")
    monkeypatch.setenv("AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY", str(storage / "_logs"))
    # The signals of this process are pytest's.
    monkeypatch.setattr(DagFileProcessorManager, "register_exit_signals", lambda manager: None)
    manager = DagFileProcessorManager(max_runs=-1)

    def run(story: Story) -> None:
        met = next(story)
        limit = time.monotonic() + SECONDS

        def beat() -> None:
            nonlocal met, limit
            while met():
                try:
                    met = next(story)
                except StopIteration:
                    raise Stop from None
                limit = time.monotonic() + SECONDS
            assert time.monotonic() < limit, "the dag-processor did not get there"

        manager.heartbeat = beat
        with pytest.raises(Stop):
            manager.run()

    yield run
    manager.terminate()
    manager.end()
