# SPDX-License-Identifier: GPL-3.0-or-later
"""One command brings a whole Airflow up and says how to get in."""

from __future__ import annotations

from .conftest import URL, Site


def test_it_ends_by_saying_where_and_how_to_log_in(site: Site) -> None:
    ending = "\n".join(site.first_run.output.strip().splitlines()[-6:])
    assert URL in ending
    assert "admin" in ending
    assert "make password" in ending


def test_it_does_not_show_the_password(site: Site) -> None:
    assert len(site.password) >= 20
    assert site.password not in site.first_run.output


def test_every_component_is_healthy(site: Site) -> None:
    health = site.http().request("GET", "/api/v2/monitor/health").json()
    assert {part: state["status"] for part, state in health.items()} == {
        "metadatabase": "healthy",
        "scheduler": "healthy",
        "triggerer": "healthy",
        "dag_processor": "healthy",
    }


def test_the_smoke_run_reached_both_worker_hosts(site: Site) -> None:
    runs = site.api("GET", "dags/freehold_smoke/dagRuns?order_by=-logical_date")["dag_runs"]
    assert runs and runs[0]["state"] == "success"
    tasks = site.api("GET", f"dags/freehold_smoke/dagRuns/{runs[0]['dag_run_id']}/taskInstances")["task_instances"]
    assert len({task["hostname"] for task in tasks if task["state"] == "success"}) == 2
