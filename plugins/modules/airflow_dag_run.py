#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a DAG to its end through Airflow's REST API."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: airflow_dag_run
version_added: 0.1.0
short_description: Run a DAG and wait for its end
description:
  - Waits until Airflow knows the DAG, unpauses it, starts a run, waits for its end and reads the log of one task.
  - A failure names the state of each task, the last lines of the logs of failed ones, and files that can't be parsed.
author:
  - The Freehold authors (@freehold)
options:
  url:
    description:
      - Address of Airflow, C(https://airflow.example.com).
    type: str
    required: true
  username:
    description:
      - A user of Airflow that may run the DAG.
    type: str
    required: true
  password:
    description:
      - The user's password.
    type: str
    required: true
  dag_id:
    description:
      - The DAG.
    type: str
    required: true
  conf:
    description:
      - Configuration of the run.
    type: dict
    default: {}
  queues:
    description:
      - Queues of which each must have had at least one successful task of the run.
    type: list
    elements: str
    default: []
  parse_timeout:
    description:
      - Seconds until Airflow must know the DAG.
    type: int
    default: 120
  timeout:
    description:
      - Seconds the run may take.
    type: int
    default: 300
  log_text:
    description:
      - Text that a line of the log must have. A worker uploads a log after it has reported the task's success, so what
        Airflow shows may be incomplete for a moment.
      - Empty takes whatever Airflow shows.
    type: str
    default: ""
  log_timeout:
    description:
      - Seconds after the run within which the log must be there.
    type: int
    default: 60
  ca_path:
    description:
      - File with the certificates of the authorities to trust, instead of the system's.
    type: path
attributes:
  check_mode:
    description: Reports that a run would be made, and makes none.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Run the smoke DAG on two worker hosts
  freehold.airflow.airflow_dag_run:
    url: https://airflow.example.com
    username: admin
    password: "{{ password }}"
    dag_id: freehold_smoke
    queues: [prod-worker-1, prod-worker-2]
"""

RETURN = r"""
run_id:
  description: Id of the run.
  returned: when a run was made
  type: str
tasks:
  description: The task instances, with state, queue and host.
  returned: when a run was made
  type: list
  elements: dict
  sample: [{"task_id": "answer", "state": "success", "queue": "prod-worker-1", "hostname": "10.0.0.5"}]
log:
  description: Lines of the log of the last successful task, as Airflow's API returned them.
  returned: when the run succeeded
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.freehold.airflow.plugins.module_utils._airflow.api import ApiError, Client, wait_for

FINAL_STATES = ("success", "failed")
LOG_LINES = 20


def summary(task: dict[str, Any]) -> dict[str, Any]:
    """Return what a person wants to know of a task instance."""
    return {key: task.get(key) for key in ("task_id", "map_index", "state", "queue", "hostname", "try_number")}


def is_final(run: Any) -> bool:
    """Return whether nothing more will happen to the run."""
    return bool(run["state"] in FINAL_STATES)


def missing_queues(tasks: list[dict[str, Any]], queues: list[str]) -> list[str]:
    """Return the queues without a successful task."""
    served = {task.get("queue") for task in tasks if task.get("state") == "success"}
    return [queue for queue in queues if queue not in served]


def explain(client: Client, dag_id: str, run_id: str, tasks: list[dict[str, Any]]) -> str:
    """Return what stands in the way of a run: one paragraph per task that did not succeed, then broken files."""
    lines: list[str] = []
    for task in tasks:
        state = task.get("state")
        if state == "success":
            continue
        where = f"queue {task.get('queue')}, host {task.get('hostname') or 'none'}"
        lines.append(f"task {task['task_id']} is {state or 'not scheduled'} ({where})")
        if state == "queued":
            lines.append(f"  no worker has taken it from the queue {task.get('queue')}")
        if state in ("failed", "up_for_retry", "running"):
            try:
                lines.extend(f"  | {line}" for line in client.log(dag_id, run_id, task)[-LOG_LINES:])
            except ApiError as error:
                lines.append(f"  its log can't be read: {error}")
    lines.extend(broken_files(client))
    return "\n".join(lines)


def broken_files(client: Client) -> list[str]:
    """Return a line per file that Airflow can't parse."""
    try:
        errors = client.import_errors()
    except ApiError as error:
        return [f"import errors can't be read: {error}"]
    lines = [(error["filename"], (error["stack_trace"] or "").strip().splitlines()) for error in errors]
    return [f"{file} can't be parsed: {trace[-1] if trace else 'Airflow does not say why'}" for file, trace in lines]


def run_to_its_end(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Run the DAG; return the module's result, or end the module with the reason."""
    dag_id: str = module.params["dag_id"]
    seconds: int = module.params["parse_timeout"]
    found, dag, error = wait_for(lambda: client.dag(dag_id), lambda answer: answer is not None, seconds)
    if dag is None or not found:
        reasons = [str(error)] if error else broken_files(client)
        raise ApiError(
            "\n".join(
                [f"Airflow does not know the DAG {dag_id} after {seconds} s (verification_parse_seconds).", *reasons]
            )
        )
    if module.check_mode:
        return {"changed": True}
    if dag["is_paused"]:
        client.unpause(dag_id)
    run_id = client.trigger(dag_id, module.params["conf"])
    ended, run, error = wait_for(lambda: client.run(dag_id, run_id), is_final, module.params["timeout"])
    if error:
        module.fail_json(msg=f"The run {run_id} of {dag_id} was started, then Airflow was lost: {error}", run_id=run_id)
    tasks = client.tasks(dag_id, run_id)
    result = {"run_id": run_id, "tasks": [summary(task) for task in tasks]}
    if not ended or run is None or run["state"] != "success":
        state = run["state"] if run else "unknown"
        outcome = (
            "failed" if ended else f"is still {state} after {module.params['timeout']} s (verification_run_seconds)"
        )
        why = explain(client, dag_id, run_id, tasks)
        module.fail_json(msg=f"The run {run_id} of {dag_id} {outcome}.\n{why}", **result)
    missing = missing_queues(tasks, module.params["queues"])
    if missing:
        module.fail_json(
            msg=f"The run {run_id} of {dag_id} succeeded, but had no task in the queue {', '.join(missing)}: "
            "does its file know these hosts (FREEHOLD_WORKER_HOSTS of the dag-processor)?",
            **result,
        )
    return {"changed": True, "log": read_log(module, client, dag_id, run_id, tasks, result), **result}


def read_log(
    module: AnsibleModule, client: Client, dag_id: str, run_id: str, tasks: list[dict[str, Any]], result: dict[str, Any]
) -> list[str]:
    """Return the log of the last successful task once it has the text asked for, or end the module."""
    text, seconds = module.params["log_text"], module.params["log_timeout"]
    succeeded = [task for task in tasks if task["state"] == "success"]
    if not succeeded:
        return []
    try:
        found, lines, error = wait_for(
            lambda: client.log(dag_id, run_id, succeeded[-1]),
            lambda shown: any(text in line for line in shown or []) or not text,
            seconds,
        )
    except ApiError as refused:
        found, lines, error = False, None, refused
    if not found:
        what = f": {error}." if error else f" with '{text}' within {seconds} s; it shows: {(lines or [])[-LOG_LINES:]}."
        module.fail_json(
            msg=f"The run {run_id} of {dag_id} succeeded, but Airflow can't show the log of its task{what} "
            "Can workers write to the log bucket, and the api-server read it?",
            **result,
        )
    return lines or []


def main() -> None:
    """Run one DAG."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "username": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "dag_id": {"type": "str", "required": True},
            "conf": {"type": "dict", "default": {}},
            "queues": {"type": "list", "elements": "str", "default": []},
            "parse_timeout": {"type": "int", "default": 120},
            "timeout": {"type": "int", "default": 300},
            "log_text": {"type": "str", "default": ""},
            "log_timeout": {"type": "int", "default": 60},
            "ca_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    client = Client(module.params["url"], ca_path=module.params["ca_path"])
    try:
        client.log_in(module.params["username"], module.params["password"])
    except ApiError as error:
        what = f"the password of the user {module.params['username']} is refused" if error.status == 401 else str(error)
        module.fail_json(msg=f"Can't log in to Airflow: {what}")
    try:
        module.exit_json(**run_to_its_end(module, client))
    except ApiError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
