# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Airflow's REST API, by Ansible's own HTTP client.

https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError

from ansible.module_utils.urls import open_url

Answer = TypeVar("Answer")

# Seconds for one request; the api-server answers in milliseconds, and waits for its database when that fails over.
REQUEST_SECONDS = 30
# Seconds between two looks.
POLL_SECONDS = 1.0


class ApiError(Exception):
    """The API refused, or did not answer; the text says what was asked and what came back."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """One api-server, as one user."""

    def __init__(self, url: str, *, ca_path: str | None = None, opener: Callable[..., Any] = open_url) -> None:
        self.url = url.rstrip("/")
        self.ca_path = ca_path
        self.opener = opener
        self.token: str | None = None

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request; return the decoded answer.

        :raises ApiError: for any answer but 2xx, and where none comes.
        """
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        what = f"{method} {self.url}{path}"
        try:
            answer = self.opener(
                self.url + path,
                method=method,
                headers=headers,
                data=None if body is None else json.dumps(body),
                timeout=REQUEST_SECONDS,
                ca_path=self.ca_path,
                use_proxy=False,
            )
            text = answer.read().decode("utf-8")
        except HTTPError as error:
            detail = error.read().decode("utf-8", "replace")[:500]
            raise ApiError(f"{what} answered {error.code}: {detail}", error.code) from error
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ApiError(f"{what} got no answer: {reason}") from error
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise ApiError(f"{what} answered with something that is not JSON: {text[:200]}") from error

    def log_in(self, username: str, password: str) -> None:
        """Get a token for the user; every later request carries it."""
        answer = self.request("POST", "/auth/token", {"username": username, "password": password})
        self.token = answer["access_token"]

    def health(self) -> dict[str, dict[str, Any]]:
        """Return what Airflow says about its parts. HTTP 200 means nothing here: the answer has to be read."""
        answer: dict[str, dict[str, Any]] = self.request("GET", "/api/v2/monitor/health")
        return answer

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Return the DAG; None while no dag-processor has found it."""
        try:
            answer: dict[str, Any] = self.request("GET", f"/api/v2/dags/{quote(dag_id)}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return answer

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self.request("PATCH", f"/api/v2/dags/{quote(dag_id)}?update_mask=is_paused", {"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run; return its id."""
        answer = self.request("POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", {"logical_date": None, "conf": conf})
        run_id: str = answer["dag_run_id"]
        return run_id

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return a run."""
        answer: dict[str, Any] = self.request("GET", f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}")
        return answer

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, a thousand at most."""
        path = f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances?limit=1000"
        answer: list[dict[str, Any]] = self.request("GET", path)["task_instances"]
        return answer

    def log(self, dag_id: str, run_id: str, task: dict[str, Any]) -> list[str]:
        """Return the lines of a task's last try, as the browser would show them."""
        path = (
            f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{quote(task['task_id'])}"
            f"/logs/{task['try_number']}?map_index={task.get('map_index', -1)}&full_content=true"
        )
        content = self.request("GET", path)["content"]
        if isinstance(content, str):
            return content.splitlines()
        return [line if isinstance(line, str) else str(line.get("event", line)) for line in content]

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the files that can't be parsed, with the reason."""
        answer: list[dict[str, Any]] = self.request("GET", "/api/v2/importErrors?limit=100")["import_errors"]
        return answer


def quote(part: str) -> str:
    """Return ``part`` as one piece of a path."""
    return urllib.parse.quote(part, safe="")


def wait_for(
    look: Callable[[], Answer],
    satisfied: Callable[[Answer], bool],
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[bool, Answer | None, ApiError | None]:
    """Look until the answer satisfies, ``seconds`` at most; return whether it did, the last answer and the last error.

    An api-server that is just being replaced answers nothing, or 502 through the load balancer: that is a reason to
    look again, too.
    """
    deadline = clock() + seconds
    answer: Answer | None = None
    while True:
        last_error = None
        try:
            answer = look()
            if satisfied(answer):
                return True, answer, None
        except ApiError as error:
            if error.status is not None and error.status < 500:
                raise
            last_error = error
        if clock() >= deadline:
            return False, answer, last_error
        pause(POLL_SECONDS)
