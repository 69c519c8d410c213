#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Publish the DAGs of a commit: the half that runs on the host. plugins/action/dag_publish.py is the other."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: dag_publish
version_added: 0.1.0
short_description: Publish the DAGs of a commit as a release
description:
  - Reads a folder of one commit out of a Git work tree on the controller, exactly as it is stored, every type of file.
    Changes nothing in the repository, and needs C(git) there. Git's C(archive) isn't used, because it leaves out and
    rewrites files as C(.gitattributes) says.
  - Asks the host which release is current, and sends the difference to it as one compressed file; or everything, where
    there is none, where it is damaged, or where its commit is not in this clone.
  - Has the host import the DAGs and, only when all is well, write the release and move the pointer.
  - What is to be run on the host is given as commands, which answer with JSON as C(python -m freehold_airflow.publish)
    does. C({container}) in their words becomes a name for the container, by which it is removed when it does not end in
    time.
author:
  - The Freehold authors (@freehold)
options:
  repository:
    description:
      - A Git work tree on the controller.
    type: path
    required: true
  folder:
    description:
      - The folder of DAGs in it; C(.) is all of it.
    type: str
    default: dags
  revision:
    description:
      - What to publish, a commit, a tag or a branch.
    type: str
    default: HEAD
  allow_dirty:
    description:
      - Publish the work tree with what is not committed yet. Without this, uncommitted changes are refused.
      - What Git ignores is left out nevertheless.
    type: bool
    default: false
  file_mib_max:
    description:
      - Size in MiB above which a file is refused.
    type: int
    default: 50
  first_only:
    description:
      - Publish only where nothing is published yet. Where there are releases and nothing tells which one is current, it
        fails.
    type: bool
    default: false
  look:
    description:
      - The command that says what is published.
    type: list
    elements: str
    required: true
  check:
    description:
      - The command that imports the DAGs of a stream; C({stream}) in its words is the path of the stream. It ends with
        0, or with 3 when something is wrong with the DAGs.
    type: list
    elements: str
    required: true
  write:
    description:
      - The command that publishes a stream; C({stream}) in its words is the path of the stream.
    type: list
    elements: str
    required: true
  timeout:
    description:
      - Seconds that looking and writing may take, each; C(dags_proof_seconds) of the role.
    type: int
    default: 120
  check_timeout:
    description:
      - Seconds that the check may take; C(dags_check_seconds) of the role.
    type: int
    default: 900
  stream:
    description:
      - Set by the controller's half.
    type: path
attributes:
  action:
    description: Has a corresponding action plugin, which reads Git.
    support: full
  check_mode:
    description: Sends and checks the DAGs, and publishes nothing.
    support: full
  diff_mode:
    description: Shows the paths that the release adds, changes and removes.
    support: full
"""

EXAMPLES = r"""
- name: Publish the DAGs of the commit
  freehold.airflow.dag_publish:
    repository: /home/me/dags
    look: [python, -m, freehold_airflow.publish, look, --root=/srv/dags]
    check: [python, -m, freehold_airflow.publish, check, --root=/srv/dags, "--stream={stream}", ...]
    write: [python, -m, freehold_airflow.publish, write, --root=/srv/dags, "--stream={stream}"]
"""

RETURN = r"""
found:
  description: What was published before, as the command O(look) says.
  returned: always
  type: dict
wanted:
  description: The release of the commit, with C(release), C(tree), C(commit), C(repository), C(files), C(sent_bytes),
    C(changes), C(before) and C(moves), how often the pointer had moved when it came to it (not in check mode).
  returned: unless O(first_only) left everything as it was
  type: dict
published:
  description: What the command O(write) says.
  returned: when something was published
  type: dict
errors:
  description: What is wrong with the DAGs, each with C(file), C(line), C(kind) and C(message).
  returned: when something is
  type: list
  elements: dict
"""

import os
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.freehold.airflow.plugins.module_utils._dags.limited import CommandError, Limit, answer

REFUSED = 3
SHOWN = 20


def refusal(errors: list[dict[str, Any]]) -> str:
    """Return what is wrong with the DAGs, one line for each error after the first."""
    count = "1 thing is" if len(errors) == 1 else f"{len(errors)} things are"
    lines = [f"Nothing was published: {count} wrong with the DAGs."]
    for error in errors[:SHOWN]:
        place = f"{error['file']}:{error['line']}" if error["line"] else error["file"]
        lines.append(f"{place}: {error['message']}")
    if len(errors) > SHOWN:
        lines.append(f"... and {len(errors) - SHOWN} more.")
    return "\n".join(lines)


class Host:
    """The commands on this host."""

    def __init__(self, module: AnsibleModule) -> None:
        """Take the commands from the module's parameters."""
        self.module = module

    def run(self, which: str, good: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """Run one of the commands and return its answer; end the module when it has none."""
        params = self.module.params
        limit = Limit(params["timeout"], "dags_proof_seconds")
        if which == "check":
            limit = Limit(params["check_timeout"], "dags_check_seconds", "the import of the DAGs, or the file system,")
        try:
            return answer(which, params[which], limit, {"stream": params["stream"] or ""}, good)
        except CommandError as error:
            if error.reason and which != "write":
                self.fail(f"Nothing was published: {error.reason}.")
            self.fail(str(error), **error.details)

    def fail(self, message: str, **more: Any) -> NoReturn:
        """End the module."""
        self.module.fail_json(msg=message, **more)
        raise AssertionError("not reached")

    def publish(self) -> dict[str, Any]:
        """Check the stream and, unless this is a check run, publish it; return the answer of the command ``write``."""
        stream = Path(self.module.params["stream"])
        # The check runs as another user, in the group of the one who runs this: root's.
        os.chown(stream, os.geteuid(), os.getegid())
        stream.chmod(0o640)
        checked = self.run("check", (0, REFUSED))
        if checked["errors"]:
            self.fail(refusal(checked["errors"]), errors=checked["errors"])
        return {} if self.module.check_mode else self.run("write")


def main() -> None:
    """Look, or publish a stream that is here."""
    module = AnsibleModule(
        argument_spec={
            "repository": {"type": "path", "required": True},
            "folder": {"type": "str", "default": "dags"},
            "revision": {"type": "str", "default": "HEAD"},
            "allow_dirty": {"type": "bool", "default": False},
            "file_mib_max": {"type": "int", "default": 50},
            "first_only": {"type": "bool", "default": False},
            "look": {"type": "list", "elements": "str", "required": True},
            "check": {"type": "list", "elements": "str", "required": True},
            "write": {"type": "list", "elements": "str", "required": True},
            "timeout": {"type": "int", "default": 120},
            "check_timeout": {"type": "int", "default": 900},
            "stream": {"type": "path"},
        },
        supports_check_mode=True,
    )
    host = Host(module)
    if module.params["stream"] is None:
        module.exit_json(changed=False, found=host.run("look"))
    module.exit_json(changed=True, published=host.publish())


if __name__ == "__main__":
    main()
