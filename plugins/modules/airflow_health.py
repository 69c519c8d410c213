#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wait until Airflow says that all its parts are healthy."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: airflow_health
version_added: 0.1.0
short_description: Wait until Airflow's parts are healthy
description:
  - Reads C(/api/v2/monitor/health) until every part asked for is healthy.
  - Airflow answers HTTP 200 there whatever the state of its parts, so the answer is read, not only received.
  - Airflow reports the most recent scheduler, triggerer and dag-processor, not each of them.
author:
  - The Freehold authors (@freehold)
options:
  url:
    description:
      - Address of Airflow, C(https://airflow.example.com).
    type: str
    required: true
  parts:
    description:
      - Parts that must be healthy.
    type: list
    elements: str
    default: [metadatabase, scheduler, triggerer, dag_processor]
  timeout:
    description:
      - Seconds to wait.
    type: int
    default: 180
  ca_path:
    description:
      - File with the certificates of the authorities to trust, instead of the system's.
    type: path
attributes:
  check_mode:
    description: Only reads, in either mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Wait for Airflow
  freehold.airflow.airflow_health:
    url: https://airflow.example.com
"""

RETURN = r"""
health:
  description: What Airflow said last.
  returned: always
  type: dict
  sample: {"metadatabase": {"status": "healthy"}}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.freehold.airflow.plugins.module_utils._airflow.api import ApiError, Client, wait_for


def unhealthy(health: dict[str, dict[str, Any]] | None, parts: list[str]) -> list[str]:
    """Return those of ``parts`` that are not healthy, each with what Airflow says of it."""
    found = []
    for part in parts:
        state = (health or {}).get(part) or {}
        if state.get("status") != "healthy":
            since = next((value for key, value in state.items() if key.startswith("latest_") and value), None)
            status = state.get("status") or "not reported"
            found.append(f"{part} is {status}" + (f" (last heartbeat {since})" if since else ""))
    return found


def main() -> None:
    """Wait for the parts asked for."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "parts": {
                "type": "list",
                "elements": "str",
                "default": ["metadatabase", "scheduler", "triggerer", "dag_processor"],
            },
            "timeout": {"type": "int", "default": 180},
            "ca_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    parts: list[str] = module.params["parts"]
    client = Client(module.params["url"], ca_path=module.params["ca_path"])
    try:
        done, health, error = wait_for(
            client.health, lambda answer: not unhealthy(answer, parts), module.params["timeout"]
        )
    except ApiError as refused:
        module.fail_json(msg=str(refused), health={})
    if not done:
        why = str(error) if error else "; ".join(unhealthy(health, parts))
        after = f"{module.params['timeout']} s (verification_health_seconds)"
        module.fail_json(msg=f"Airflow is not healthy after {after}: {why}", health=health or {})
    module.exit_json(changed=False, health=health)


if __name__ == "__main__":
    main()
