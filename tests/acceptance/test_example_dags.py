# SPDX-License-Identifier: GPL-3.0-or-later
"""DAGs that nobody here wrote: Airflow's own examples are published as a folder, and run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import pytest

from .conftest import Site, run, until
from .example_dags import RUNNABLE, collect


@pytest.fixture(scope="module")
def published(
    site: Site, engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ...]]:
    """A repository of Airflow's examples, published in place of ours for the length of this module."""
    repository: Path = tmp_path_factory.mktemp("examples")
    image = next(image for image in engine.images.list("freehold-lab/airflow-base"))
    collect(str(image.tags[0]), repository / "dags")

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=repository, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "Airflow's examples")
    run("ansible-playbook", "playbooks/dag-sync.yml", "-e", f"dags_repository={repository}")
    yield RUNNABLE
    run("ansible-playbook", "playbooks/dag-sync.yml")


def test_at_least_ten_of_them_succeed(published: tuple[str, ...], site: Site) -> None:
    assert len(published) >= 10
    started: dict[str, str] = {}
    for dag in published:
        site.api("PATCH", f"dags/{dag}", {"is_paused": False})
        body = {"logical_date": datetime.now(UTC).isoformat()}
        started[dag] = site.api("POST", f"dags/{dag}/dagRuns", body)["dag_run_id"]

    def states() -> dict[str, str]:
        return {dag: site.api("GET", f"dags/{dag}/dagRuns/{name}")["state"] for dag, name in started.items()}

    def ended() -> Any:
        found = states()
        return found if set(found.values()) <= {"success", "failed"} else None

    assert until("every run has ended", ended, 600, every=3) == dict.fromkeys(published, "success")
