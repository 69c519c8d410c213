# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed DAGs import cleanly, have the shape that their texts promise, and their functions do what they say.

Needs Airflow, so it runs inside the image: see image/README.md, section "Tests".
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "dags"
SMOKE = ROOT / "bundle" / "src" / "freehold_airflow" / "dags" / "freehold_smoke.py"
DAG_IDS = {
    "freehold_example_taskflow",
    "freehold_example_deferrable",
    "freehold_example_asset_producer",
    "freehold_example_asset_consumer",
}


@pytest.fixture
def bag() -> DagBag:
    """All committed DAGs, parsed as the dag-processor parses them."""
    return DagBag(dag_folder=DAGS)


@pytest.fixture
def load() -> Callable[[Path], ModuleType]:
    """Import one DAG file as a module, for its functions."""

    def imported(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"tested_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return imported


def test_every_file_imports_and_nothing_else_is_there(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == DAG_IDS


def test_no_dag_starts_by_itself_and_each_explains_itself(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert dag.doc_md, dag.dag_id
        assert "freehold" in dag.tags
        assert not dag.catchup
        assert type(dag.timetable).__name__ in {"NullTimetable", "AssetTriggeredTimetable"}


def test_importing_a_dag_costs_next_to_nothing(load: Callable[[Path], ModuleType], bag: DagBag) -> None:
    for path in [*DAGS.glob("*.py"), SMOKE]:
        started = time.process_time()
        load(path)
        assert time.process_time() - started < 1.0, path


def test_the_smoke_dag_has_one_task_for_each_worker_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_WORKER_HOSTS", "lab-worker-1, lab-worker-2,")
    tasks = DagBag(dag_folder=SMOKE).dags["freehold_smoke"].tasks
    assert {task.task_id: task.queue for task in tasks} == {
        "answer_on_lab-worker-1": "lab-worker-1",
        "answer_on_lab-worker-2": "lab-worker-2",
        "answer_on_any_host": "default",
    }
    assert all(not task.upstream_list for task in tasks)


def test_the_smoke_dag_without_hosts_asks_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FREEHOLD_WORKER_HOSTS", raising=False)
    (task,) = DagBag(dag_folder=SMOKE).dags["freehold_smoke"].tasks
    assert (task.task_id, task.queue) == ("answer_on_any_host", "default")


def test_a_worker_that_knows_of_itself_alone_finds_every_task_it_may_get(monkeypatch: pytest.MonkeyPatch) -> None:
    def tasks(hosts: str) -> set[str]:
        monkeypatch.setenv("FREEHOLD_WORKER_HOSTS", hosts)
        return {
            task.task_id
            for task in DagBag(dag_folder=SMOKE).dags["freehold_smoke"].tasks
            if task.queue in ("default", "w1")
        }

    assert tasks("w1") == tasks("w1,w2")
    assert tasks("w1") >= tasks("")


def test_the_smoke_task_answers_with_host_and_file(load: Callable[[Path], ModuleType]) -> None:
    wanted = hashlib.sha256(SMOKE.read_bytes()).hexdigest()
    assert load(SMOKE).answer.function() == {"host": platform.node(), "sha256": wanted}


def test_the_taskflow_example_adds_up(bag: DagBag, load: Callable[[Path], ModuleType]) -> None:
    dag = bag.dags["freehold_example_taskflow"]
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "orders_by_customer": {"total"},
        "total": {"report"},
        "report": set(),
    }
    assert dag.get_task("total").is_mapped
    module = load(DAGS / "freehold_example_taskflow.py")
    totals = [module.total.function(orders) for orders in module.orders_by_customer.function()]
    assert {total["customer"]: total["cents"] for total in totals} == {"Ada": 1550, "Edsger": 4200, "Grace": 990}
    assert module.report.function(totals) == 6740


def test_the_deferrable_example_waits_in_the_triggerer(bag: DagBag, load: Callable[[Path], ModuleType]) -> None:
    dag = bag.dags["freehold_example_deferrable"]
    assert dag.get_task("set_alarm").downstream_task_ids == {"wait", "wake_up"}
    assert dag.get_task("wait").downstream_task_ids == {"wake_up"}
    alarm = datetime.fromisoformat(load(DAGS / "freehold_example_deferrable.py").set_alarm.function({"seconds": 60}))
    assert timedelta(seconds=50) < alarm - datetime.now(UTC) <= timedelta(seconds=60)


def test_the_asset_example_starts_the_consumer_by_the_producers_asset(
    bag: DagBag, load: Callable[[Path], ModuleType]
) -> None:
    producer, consumer = (bag.dags[f"freehold_example_asset_{name}"] for name in ("producer", "consumer"))
    (outlet,) = producer.get_task("write_prices").outlets
    assert list(consumer.timetable.asset_condition.objects) == [outlet]
    module = load(DAGS / "freehold_example_assets.py")
    (event,) = module.write_prices.function()
    assert event.extra == {"rows": 3}

    class Event:
        source_dag_id = producer.dag_id
        extra = event.extra

    events: dict[Any, Any] = {outlet: [Event]}
    assert module.read_prices.function(events) == 3
