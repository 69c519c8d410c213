# SPDX-License-Identifier: GPL-3.0-or-later
"""The module dag_store runs one command on a host, and in check mode only what looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.freehold.airflow.plugins.modules import dag_store

Run = Callable[..., dict[str, Any]]


def test_looking_is_no_change_and_its_answer_is_returned(run_module: Run) -> None:
    result = run_module(dag_store, action="look", command=["echo", '{"release": "aaa"}'])
    assert (result["changed"], result["answer"]) == (False, {"release": "aaa"})


def test_what_writes_is_a_change(run_module: Run) -> None:
    result = run_module(dag_store, action="rollback", command=["echo", "{}"], writes=True)
    assert (result["changed"], result["answer"]) == (True, {})


def test_a_check_run_looks_and_does_not_write(run_module: Run, tmp_path: Path) -> None:
    assert run_module(dag_store, True, action="look", command=["echo", '{"a": 1}'])["answer"] == {"a": 1}
    written = tmp_path / "written"
    result = run_module(dag_store, True, action="rollback", command=["touch", str(written)], writes=True)
    assert (result["changed"], result["answer"]) == (False, {})
    assert not written.exists()


def test_a_command_that_fails_is_one_sentence_with_what_it_said(run_module: Run) -> None:
    result = run_module(dag_store, action="look", command=["sh", "-c", "echo 'no pointer' >&2; exit 3"])
    assert result["msg"] == "The command 'look' ended with status 3: no pointer"
    assert (result["rc"], result["stderr"]) == (3, "no pointer\n")
