# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules airflow_dag_run and airflow_health against an api-server whose answers are written here."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from email.message import Message
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._airflow import api
from ansible_collections.freehold.airflow.plugins.modules import airflow_dag_run, airflow_health

HEALTHY = {part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")}


class Airflow:
    """An api-server: the answers by method and path; a list is used up from its front, its last answer stays."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.queries: list[str] = []
        self.bodies: list[dict[str, Any] | None] = []
        self.settings: list[dict[str, Any]] = []
        self.answers: dict[str, list[Any]] = {
            "POST /auth/token": [{"access_token": "t0ken"}],
            "GET /api/v2/dags/smoke": [{"is_paused": True}],
            "PATCH /api/v2/dags/smoke": [{}],
            "POST /api/v2/dags/smoke/dagRuns": [{"dag_run_id": "run+1"}],
            "GET /api/v2/dags/smoke/dagRuns/run%2B1": [{"state": "queued"}, {"state": "running"}, {"state": "success"}],
            "GET /api/v2/dags/smoke/dagRuns/run%2B1/taskInstances": [{"task_instances": [self.task("a", "success")]}],
            "GET /api/v2/dags/smoke/dagRuns/run%2B1/taskInstances/a/logs/1": [
                {"content": [{"event": "Answered on h"}]}
            ],
            "GET /api/v2/importErrors": [{"import_errors": []}],
        }

    @staticmethod
    def task(name: str, state: str | None, queue: str = "h") -> dict[str, Any]:
        return {"task_id": name, "state": state, "queue": queue, "hostname": "h.x", "try_number": 1, "map_index": -1}

    def open(self, url: str, method: str, headers: dict[str, str], data: str | None, **settings: Any) -> io.BytesIO:
        path, _, query = url.removeprefix("https://airflow").partition("?")
        key = f"{method} {path}"
        self.asked.append(key)
        self.headers.append(headers)
        self.queries.append(query)
        self.bodies.append(json.loads(data) if data else None)
        self.settings.append(settings)
        answers = self.answers.get(key, [404])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, int):
            raise HTTPError(url, answer, "", Message(), io.BytesIO(b'{"detail": "no"}'))
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer if isinstance(answer, bytes) else json.dumps(answer).encode())


@pytest.fixture(name="airflow")
def fixture_airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    airflow = Airflow()
    monkeypatch.setattr(api.Client.__init__, "__kwdefaults__", {"ca_path": None, "opener": airflow.open})
    monkeypatch.setattr(api.wait_for, "__kwdefaults__", Clock().keywords())
    return airflow


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0

    def keywords(self) -> dict[str, Callable[..., Any]]:
        return {"clock": lambda: self.now, "pause": self.pause}

    def pause(self, seconds: float) -> None:
        self.now += seconds


Run = Callable[..., dict[str, Any]]


@pytest.fixture(name="run_dag")
def fixture_run_dag(run_module: Run) -> Run:
    """Run the DAG that this api-server has."""
    given: dict[str, Any] = {"url": "https://airflow/", "username": "admin", "password": "pw", "dag_id": "smoke"}
    given |= {"queues": ["h"], "parse_timeout": 5, "timeout": 10, "log_timeout": 5}
    return lambda **changes: run_module(airflow_dag_run, **{**given, **changes})


@pytest.fixture(name="health")
def fixture_health(run_module: Run) -> Run:
    """Wait for this api-server's health."""
    return lambda **changes: run_module(airflow_health, **{"url": "https://airflow/", "timeout": 10, **changes})


def test_a_run_is_followed_to_its_end_and_a_log_is_read(airflow: Airflow, run_dag: Run) -> None:
    result = run_dag()
    assert result["changed"]
    assert result["run_id"] == "run+1"
    assert result["log"] == ["Answered on h"]
    assert result["tasks"][0]["queue"] == "h"
    assert "PATCH /api/v2/dags/smoke" in airflow.asked
    assert airflow.headers[1]["Authorization"] == "Bearer t0ken"


def test_each_request_says_what_airflow_needs_to_know(airflow: Airflow, run_dag: Run) -> None:
    run_dag(conf={"day": "today"}, ca_path="/etc/ca.pem")
    asked = dict(zip(airflow.asked, zip(airflow.bodies, airflow.queries, strict=True), strict=True))
    assert asked["POST /auth/token"] == ({"username": "admin", "password": "pw"}, "")
    # Without the mask Airflow would take what is not said for what is to be emptied.
    assert asked["PATCH /api/v2/dags/smoke"] == ({"is_paused": False}, "update_mask=is_paused")
    # Airflow 3 wants the date, and null means a run of its own, beside the schedule.
    assert asked["POST /api/v2/dags/smoke/dagRuns"] == ({"logical_date": None, "conf": {"day": "today"}}, "")
    assert asked[TASKS] == (None, "limit=1000")
    assert asked[f"{TASKS}/a/logs/1"] == (None, "map_index=-1&full_content=true")
    assert all("Authorization" in headers for headers in airflow.headers[1:])
    with_body = [headers for headers, body in zip(airflow.headers, airflow.bodies, strict=True) if body is not None]
    assert {headers["Content-Type"] for headers in with_body} == {"application/json"}
    # TLS is verified against the authority that was named, past any proxy, and no request waits without end.
    assert {tuple(sorted(settings.items())) for settings in airflow.settings} == {
        (("ca_path", "/etc/ca.pem"), ("timeout", 30), ("use_proxy", False))
    }


def test_a_dag_that_runs_already_is_not_unpaused(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers["GET /api/v2/dags/smoke"] = [{"is_paused": False}]
    run_dag()
    assert "PATCH /api/v2/dags/smoke" not in airflow.asked


def test_a_check_run_starts_nothing(airflow: Airflow, run_dag: Run) -> None:
    assert run_dag(check=True)["changed"]
    assert airflow.asked == ["POST /auth/token", "GET /api/v2/dags/smoke"]


def test_a_dag_is_waited_for_until_it_is_parsed(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers["GET /api/v2/dags/smoke"] = [404, 404, {"is_paused": False}]
    assert run_dag()["changed"]


def test_an_unknown_dag_is_reported_with_the_files_that_can_not_be_parsed(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers["GET /api/v2/dags/smoke"] = [404]
    airflow.answers["GET /api/v2/importErrors"] = [
        {"import_errors": [{"filename": "smoke.py", "stack_trace": "Traceback\n  ...\nModuleNotFoundError: pandas\n"}]}
    ]
    result = run_dag()
    assert result["failed"]
    assert "does not know the DAG smoke after 5 s (verification_parse_seconds)." in result["msg"]
    assert "smoke.py can't be parsed: ModuleNotFoundError: pandas" in result["msg"]


def test_a_file_of_which_airflow_does_not_say_why_is_named_all_the_same(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers["GET /api/v2/dags/smoke"] = [404]
    airflow.answers["GET /api/v2/importErrors"] = [{"import_errors": [{"filename": "smoke.py", "stack_trace": ""}]}]
    assert "smoke.py can't be parsed: Airflow does not say why" in run_dag()["msg"]


def test_a_wrong_password_is_one_sentence_without_the_password(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers["POST /auth/token"] = [401]
    result = run_dag()
    assert result["msg"] == "Can't log in to Airflow: the password of the user admin is refused"


def test_a_failed_task_is_reported_with_the_end_of_its_log(airflow: Airflow, run_dag: Run) -> None:
    base = "GET /api/v2/dags/smoke/dagRuns/run%2B1"
    airflow.answers[base] = [{"state": "failed"}]
    airflow.answers[f"{base}/taskInstances"] = [
        {"task_instances": [Airflow.task("a", "failed"), Airflow.task("b", "upstream_failed")]}
    ]
    airflow.answers[f"{base}/taskInstances/a/logs/1"] = [{"content": [{"event": "ValueError: no"}]}]
    result = run_dag()
    assert "The run run+1 of smoke failed." in result["msg"]
    assert "task a is failed (queue h, host h.x)" in result["msg"]
    assert "| ValueError: no" in result["msg"]
    assert "task b is upstream_failed" in result["msg"]


def test_a_task_that_nobody_takes_names_its_queue(airflow: Airflow, run_dag: Run) -> None:
    base = "GET /api/v2/dags/smoke/dagRuns/run%2B1"
    airflow.answers[base] = [{"state": "running"}]
    airflow.answers[f"{base}/taskInstances"] = [{"task_instances": [Airflow.task("a", "queued")]}]
    result = run_dag()
    assert "is still running after 10 s (verification_run_seconds)" in result["msg"]
    assert "no worker has taken it from the queue h" in result["msg"]


def test_a_queue_without_a_task_fails_although_the_run_succeeded(airflow: Airflow, run_dag: Run) -> None:
    assert airflow.asked == []
    result = run_dag(queues=["h", "other"])
    assert result["failed"]
    assert "had no task in the queue other" in result["msg"]


def test_a_log_that_can_not_be_shown_fails_although_the_run_succeeded(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers["GET /api/v2/dags/smoke/dagRuns/run%2B1/taskInstances/a/logs/1"] = [500]
    result = run_dag()
    assert "Airflow can't show the log" in result["msg"]


def test_a_log_is_waited_for_until_it_is_uploaded(airflow: Airflow, run_dag: Run) -> None:
    log = "GET /api/v2/dags/smoke/dagRuns/run%2B1/taskInstances/a/logs/1"
    airflow.answers[log] = [{"content": []}, {"content": [{"event": "not found"}]}, {"content": "Answered on h\nend"}]
    result = run_dag(log_text="Answered on")
    assert result["log"] == ["Answered on h", "end"]
    assert airflow.asked.count(log) == 3


def test_a_log_without_the_text_fails_and_is_shown(airflow: Airflow, run_dag: Run) -> None:
    result = run_dag(log_text="Farewell")
    assert result["failed"]
    assert "with 'Farewell' within 5 s; it shows: ['Answered on h']" in result["msg"]


def test_a_log_that_is_refused_is_not_asked_for_again(airflow: Airflow, run_dag: Run) -> None:
    log = "GET /api/v2/dags/smoke/dagRuns/run%2B1/taskInstances/a/logs/1"
    airflow.answers[log] = [403]
    assert "answered 403" in run_dag()["msg"]
    assert airflow.asked.count(log) == 1


def test_an_api_server_that_is_being_replaced_is_asked_again(airflow: Airflow, run_dag: Run) -> None:
    path = "GET /api/v2/dags/smoke/dagRuns/run%2B1"
    airflow.answers[path] = [502, URLError("refused"), {"state": "success"}]
    assert run_dag()["changed"]


def test_health_is_read_from_the_answer_and_not_from_its_status(airflow: Airflow, health: Run) -> None:
    sick = {**HEALTHY, "scheduler": {"status": "unhealthy", "latest_scheduler_heartbeat": "04:00"}}
    airflow.answers["GET /api/v2/monitor/health"] = [sick, HEALTHY]
    result = health()
    assert not result["changed"]
    assert airflow.asked == ["GET /api/v2/monitor/health"] * 2


def test_a_part_that_stays_unhealthy_is_named_with_its_last_heartbeat(airflow: Airflow, health: Run) -> None:
    sick = {**HEALTHY, "scheduler": {"status": "unhealthy", "latest_scheduler_heartbeat": "04:00"}}
    del sick["triggerer"]
    airflow.answers["GET /api/v2/monitor/health"] = [sick]
    result = health()
    assert result["failed"]
    assert "(verification_health_seconds): scheduler is unhealthy (last heartbeat 04:00); triggerer" in result["msg"]


def test_an_address_that_does_not_answer_is_named(airflow: Airflow, health: Run) -> None:
    airflow.answers["GET /api/v2/monitor/health"] = [URLError("Name or service not known")]
    result = health()
    assert "https://airflow/api/v2/monitor/health got no answer: Name or service not known" in result["msg"]


TASKS = "GET /api/v2/dags/smoke/dagRuns/run%2B1/taskInstances"


def test_tasks_that_succeeded_are_not_among_the_reasons_of_a_failure(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers[TASKS.removesuffix("/taskInstances")] = [{"state": "failed"}]
    airflow.answers[TASKS] = [{"task_instances": [Airflow.task("a", "success"), Airflow.task("b", None)]}]
    message = run_dag()["msg"]
    assert "task b is not scheduled" in message
    assert "task a" not in message


def test_what_can_not_be_read_about_a_failure_does_not_hide_it(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers[TASKS.removesuffix("/taskInstances")] = [{"state": "failed"}]
    airflow.answers[TASKS] = [{"task_instances": [Airflow.task("a", "failed")]}]
    airflow.answers[f"{TASKS}/a/logs/1"] = [500]
    airflow.answers["GET /api/v2/importErrors"] = [500]
    message = run_dag()["msg"]
    assert "task a is failed" in message
    assert "its log can't be read" in message
    assert "import errors can't be read" in message


def test_an_api_server_that_is_lost_during_a_run_is_named_with_the_run(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers[TASKS.removesuffix("/taskInstances")] = [{"state": "running"}, URLError("refused")]
    result = run_dag()
    assert "The run run+1 of smoke was started, then Airflow was lost" in result["msg"]
    assert result["run_id"] == "run+1"


def test_a_run_in_which_no_task_had_to_succeed_has_no_log(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers[TASKS] = [{"task_instances": [Airflow.task("a", "skipped")]}]
    assert run_dag(queues=[])["log"] == []


def test_an_answer_that_is_not_json_is_shown(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers["POST /auth/token"] = [b"<html>Log in</html>"]
    assert "is not JSON: <html>Log in</html>" in run_dag()["msg"]


def test_a_refusal_of_the_dag_is_not_taken_for_a_dag_that_is_not_parsed_yet(airflow: Airflow, run_dag: Run) -> None:
    airflow.answers["GET /api/v2/dags/smoke"] = [403]
    assert "answered 403" in run_dag()["msg"]
    assert airflow.asked.count("GET /api/v2/dags/smoke") == 1


def test_health_that_is_refused_is_said_at_once(airflow: Airflow, health: Run) -> None:
    airflow.answers["GET /api/v2/monitor/health"] = [403]
    assert "answered 403" in health()["msg"]
    assert len(airflow.asked) == 1
