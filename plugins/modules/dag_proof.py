#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask each container of a host which DAGs it sees."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: dag_proof
version_added: 0.1.0
short_description: Ask each container of a host which DAGs it sees
description:
  - Runs C(freehold_airflow.proof) in all containers at the same time. It hashes every file of the release as the
    container sees it, and compares it with the manifest.
  - Says what was found and does not fail for it, so that one report can tell of all hosts.
author:
  - The Freehold authors (@freehold)
options:
  components:
    description:
      - The components whose containers, named C(airflow-<component>), must prove their DAGs.
    type: list
    elements: str
    required: true
  release:
    description:
      - The release that must be current and exact; empty takes whatever is current.
    type: str
    default: ""
  tree:
    description:
      - The tree hash that it must have; empty takes whatever the manifest says.
    type: str
    default: ""
  moves:
    description:
      - How often the pointer had moved when it came to O(release). A container that sees a greater number was reached
        by a later publication and is not waited for. 0 waits for all.
    type: int
    default: 0
  fetch:
    description:
      - Have the host's copy made or repaired first. Otherwise nothing is written.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that a container may take, also to see a pointer that was just moved.
    type: int
    default: 60
attributes:
  check_mode:
    description: Without O(fetch) it only reads, in either mode; with it, a check run reads only.
    support: full
  diff_mode:
    description: Changes nothing of its own.
    support: none
"""

EXAMPLES = r"""
- name: Ask each container which DAGs it sees
  freehold.airflow.dag_proof:
    components: [scheduler, dag-processor, triggerer]
    release: 3d3c42e5aac5ba805825da76410c181273ba90b1
"""

RETURN = r"""
proofs:
  description: What each container said, in the order of O(components).
  returned: always
  type: list
  elements: dict
  contains:
    component:
      description: The component.
      type: str
    release:
      description: The release it sees, empty when it sees none.
      type: str
    tree:
      description: Tree hash of its files, empty when it has none.
      type: str
    files:
      description: Number of files and links that were compared.
      type: int
    exact:
      description: Whether the release is the wanted one and every file of it is right.
      type: bool
    error:
      description: Why not, in one sentence; empty when exact.
      type: str
    differs:
      description: Paths that are C(changed), C(missing), C(extra) and C(unreadable).
      type: dict
    repaired:
      description: What was wrong with this host's copy, in words, where O(fetch) put it right; empty where nothing was.
      type: str
"""

import json
import math
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

SHOWN = 3
# What a proof that hangs gets to end inside its container, where the end of the docker client would not reach it.
KILL_SECONDS = 5


def ask(component: str, fetch: bool, seconds: float) -> dict[str, Any]:
    """Return what a container says of its DAGs, or C({"error": ...})."""
    command = ["docker", "container", "exec", f"airflow-{component}"]
    command += ["timeout", f"--kill-after={KILL_SECONDS}", str(math.ceil(seconds))]
    command += ["python", "-m", "freehold_airflow.proof", *(["--fetch"] if fetch else [])]
    silent = {"error": f"it did not answer within {seconds:.0f} s"}
    limit = math.ceil(seconds) + 2 * KILL_SECONDS
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)  # noqa: S603
    except subprocess.TimeoutExpired:
        return silent
    if done.returncode == 124:
        return silent
    try:
        [found] = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode} and no word"]
        return {"error": said[-1]}
    return dict(found)


def differing(found: dict[str, Any]) -> str:
    """Return what is wrong with the files, in words; empty when nothing is."""
    return listed(found.get("differs"))


def listed(difference: dict[str, list[str]] | None) -> str:
    """Return a difference in words."""
    parts = []
    for kind, paths in sorted((difference or {}).items()):
        if paths:
            more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
            parts.append(f"{kind}: {', '.join(paths[:SHOWN])}{more}")
    return "; ".join(parts)


def overtaken(found: dict[str, Any], params: dict[str, Any]) -> bool:
    """Whether a container sees a pointer that has moved on since the release was published."""
    return 0 < int(params["moves"]) < int(found.get("moves") or 0)


def judge(component: str, found: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return the proof of one container as the module shows it."""
    release, tree = params["release"], params["tree"]
    error = str(found.get("error") or differing(found))
    if not error and release and found.get("current") != release:
        error = f"it sees release {found.get('current')}"
        if overtaken(found, params):
            error += ", which was published after this one"
    if not error and tree and found.get("tree") != tree:
        error = f"its files have the tree hash {found.get('tree')}"
    return {
        "component": component,
        "release": str(found.get("current") or ""),
        "tree": str(found.get("tree") or ""),
        "files": int(found.get("files") or 0),
        "exact": bool(found.get("exact")) and not error,
        "error": error,
        "differs": found.get("differs") or {},
        "repaired": listed(found.get("repaired")),
    }


def prove(component: str, params: dict[str, Any], fetch: bool) -> dict[str, Any]:
    """Ask one container, again and again while it still sees an earlier pointer, until the time is over."""
    deadline = time.monotonic() + params["timeout"]
    while True:
        found = ask(component, fetch, max(1.0, deadline - time.monotonic()))
        late = (
            params["release"] and found.get("current") not in (None, params["release"]) and not overtaken(found, params)
        )
        if not late or not fetch or time.monotonic() + 1 > deadline:
            return judge(component, found, params)
        time.sleep(1)


def main() -> None:
    """Ask all containers."""
    module = AnsibleModule(
        argument_spec={
            "components": {"type": "list", "elements": "str", "required": True},
            "release": {"type": "str", "default": ""},
            "tree": {"type": "str", "default": ""},
            "moves": {"type": "int", "default": 0},
            "fetch": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    fetch = module.params["fetch"] and not module.check_mode
    components: list[str] = module.params["components"]
    with ThreadPoolExecutor(max(1, len(components))) as pool:
        proofs = list(pool.map(lambda component: prove(component, module.params, fetch), components))
    module.exit_json(changed=any(proof["repaired"] for proof in proofs), proofs=proofs)


if __name__ == "__main__":
    main()
