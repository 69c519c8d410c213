#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the DAGs of a commit and write what a host needs to publish them."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: dag_stream
version_added: 0.1.0
short_description: Read the DAGs of a commit and write what a host needs to publish them
description:
  - Reads a folder of one commit out of a Git work tree exactly as it is stored, every type of file, and computes its
    tree hash.
  - Writes the difference to the release that is current, or the whole folder where there is none or where its commit is
    not in this clone, into one compressed file.
  - Runs on the controller and needs C(git) there. Changes nothing in the repository.
  - Git's C(archive), which M(ansible.builtin.git) uses too, leaves out and rewrites files as C(.gitattributes) says.
author:
  - The Freehold authors
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
  base:
    description:
      - The release that is current on the shared file system, empty when there is none or when it is damaged.
    type: str
    default: ""
  base_tree:
    description:
      - Its tree hash. Unless this clone has the same tree for it, the whole folder is written.
    type: str
    default: ""
  dest:
    description:
      - The file to write.
    type: path
    required: true
attributes:
  check_mode:
    description: Writes O(dest) in either mode; it is of no use but for the next task.
    support: full
  diff_mode:
    description: Shows the paths that the release adds, changes and removes.
    support: full
"""

EXAMPLES = r"""
- name: Read the DAGs of the commit
  freehold.airflow.dag_stream:
    repository: /home/me/dags
    folder: dags
    dest: /tmp/dags.stream
  delegate_to: localhost
"""

RETURN = r"""
release:
  description: Name of the release, the full hash of the commit; where uncommitted changes are in it, followed by
    C(-dirty-) and the beginning of the tree hash.
  returned: success
  type: str
commit:
  description: Full hash of the commit.
  returned: success
  type: str
repository:
  description: Where the work tree was cloned from, or its path.
  returned: success
  type: str
tree:
  description: Tree hash of what is to be published.
  returned: success
  type: str
files:
  description: Number of files and links in it.
  returned: success
  type: int
difference:
  description: Whether only the difference to O(base) was written.
  returned: success
  type: bool
sent:
  description: Size of the stream in bytes.
  returned: success
  type: int
changes:
  description: Paths that are added, changed and removed against O(base); all are added where all is written.
  returned: success
  type: dict
  sample: {"added": ["new.py"], "changed": [], "removed": []}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.freehold.airflow.plugins.module_utils._dags.git_tree import (
    MIB,
    Repository,
    Tree,
    TreeError,
    changes,
    write_stream,
)


def base_tree(repository: Repository, release: str, tree_hash: str) -> Tree | None:
    """Return the tree of the current release as this clone has it, or None where the two can't be the same."""
    if not release or not repository.has_commit(release):
        return None
    try:
        # What is published already was small enough for whoever published it.
        found = repository.read(repository.committed_tree(release), 1 << 62)
    except TreeError:
        return None
    return found if found.tree_hash == tree_hash else None


def build(params: dict[str, Any]) -> dict[str, Any]:
    """Write the stream; return what the module says.

    :raises TreeError: The folder can't be published.
    """
    repository = Repository(params["repository"], params["folder"])
    commit = repository.commit(params["revision"])
    limit = params["file_mib_max"] * MIB
    # A revision that is not checked out can't have uncommitted changes.
    changed = repository.uncommitted() if commit == repository.commit("HEAD") else []
    if changed and not params["allow_dirty"]:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise TreeError(
            f"{', '.join(changed[:3])}{more} in {params['repository']} differ from the commit: commit or remove what "
            "differs, or set dags_allow_dirty to true to publish it as it is"
        )
    old = base_tree(repository, params["base"], params["base_tree"])

    def write(tree: str) -> dict[str, Any]:
        new = repository.read(tree, limit, old)
        release = f"{commit}-dirty-{new.tree_hash[:12]}" if changed else commit
        origin = repository.origin() or str(Path(params["repository"]).resolve())
        base = params["base"] if old else None
        header = {"release": release, "commit": commit, "repository": origin, "base": base}
        write_stream(repository, header, old, new, params["dest"])
        return {
            "release": release,
            "commit": commit,
            "repository": origin,
            "tree": new.tree_hash,
            "files": len(new.blobs),
            "difference": old is not None,
            "sent": Path(params["dest"]).stat().st_size,
            "changes": changes(old, new),
        }

    if not changed:
        return write(repository.committed_tree(commit))
    with repository.working_tree() as tree:
        return write(tree)


def main() -> None:
    """Write the stream."""
    module = AnsibleModule(
        argument_spec={
            "repository": {"type": "path", "required": True},
            "folder": {"type": "str", "default": "dags"},
            "revision": {"type": "str", "default": "HEAD"},
            "allow_dirty": {"type": "bool", "default": False},
            "file_mib_max": {"type": "int", "default": 50},
            "base": {"type": "str", "default": ""},
            "base_tree": {"type": "str", "default": ""},
            "dest": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        done = build(module.params)
    except TreeError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"The stream of DAGs can't be written: {error}")
    marks = {"added": "+", "changed": "~", "removed": "-"}
    shown = [f"{mark} {path}\n" for kind, mark in marks.items() for path in done["changes"][kind]]
    module.exit_json(changed=False, diff={"prepared": "".join(shown)}, **done)


if __name__ == "__main__":
    main()
