#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at the folder of releases, or change it, in a container that ends in time."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: dag_store
version_added: 0.1.0
short_description: Look at the folder of releases, or change it
description:
  - Runs a command that answers with JSON as C(python -m freehold_airflow.publish) does.
  - Ends in time even when the shared file system hangs, and then leaves no container behind that could go on when it is
    back.
author:
  - The Freehold authors (@freehold)
options:
  action:
    description:
      - What the command does, for messages.
    type: str
    required: true
  command:
    description:
      - The command; C({container}) in its words becomes the name that its container must have.
    type: list
    elements: str
    required: true
  writes:
    description:
      - Whether the command changes anything. Then it is not run in check mode, and the answer is empty.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that the command may take.
    type: int
    default: 120
  timeout_variable:
    description:
      - The variable that O(timeout) comes from, for messages.
    type: str
    default: dags_proof_seconds
attributes:
  check_mode:
    description: Runs what only looks.
    support: full
  diff_mode:
    description: Shows no difference.
    support: none
"""

EXAMPLES = r"""
- name: Look at what is published
  freehold.airflow.dag_store:
    action: look
    command: [python, -m, freehold_airflow.publish, look, --root=/srv/dags]
"""

RETURN = r"""
answer:
  description: What the command says; empty when it was not run.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.freehold.airflow.plugins.module_utils._dags.limited import CommandError, Limit, answer


def main() -> None:
    """Run the command."""
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "required": True},
            "command": {"type": "list", "elements": "str", "required": True},
            "writes": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 120},
            "timeout_variable": {"type": "str", "default": "dags_proof_seconds"},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["writes"] and module.check_mode:
        module.exit_json(changed=False, answer={})
    try:
        said = answer(params["action"], params["command"], Limit(params["timeout"], params["timeout_variable"]))
    except CommandError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(changed=params["writes"], answer=said)


if __name__ == "__main__":
    main()
