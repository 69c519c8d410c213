# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Publish the DAGs of a commit: the half that runs on the controller, where the repository is.

One task instead of eight: what a publication costs is mostly the calls to the host, of which there are three here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.freehold.airflow.plugins.module_utils._dags.git_tree import TreeError, build

MODULE = "freehold.airflow.dag_publish"
MARKS = {"added": "+", "changed": "~", "removed": "-"}
# Of the parameters, those that the controller's half reads, with their types.
READ = {
    "repository": ("path", None),
    "folder": ("str", "dags"),
    "revision": ("str", "HEAD"),
    "allow_dirty": ("bool", False),
    "file_mib_max": ("int", 50),
    "first_only": ("bool", False),
}


def undecided(found: dict[str, Any]) -> str:
    """Say why a first publication is refused where something was published."""
    releases = ", ".join(found["releases"]) or "none"
    return (
        "Releases were published here, and nothing tells which one is current "
        f"({found['trouble'] or 'there is no pointer'}), so nothing is put in their place: run dag-sync from the "
        "repository of your DAGs, or dag-rollback with dags_rollback_to naming one of those that are there: "
        f"{releases}."
    )


class ActionModule(ActionBase):  # type: ignore[misc]
    """Read Git, send the difference, and have it published."""

    _requires_connection = True
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Publish."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        spec = {name: {"type": kind, "default": default} for name, (kind, default) in READ.items()}
        spec["repository"]["required"] = True
        _validation, params = self.validate_argument_spec(
            argument_spec=spec | {name: {"type": "raw"} for name in given if name not in READ}
        )
        looked = self._module(given, task_vars)
        if looked.get("failed"):
            return result | looked
        found = looked["found"]
        result |= {"changed": False, "found": found}
        if params["first_only"] and found["release"] is not None:
            return result
        if params["first_only"] and (found["trouble"] or found["releases"]):
            raise AnsibleActionFail(undecided(found))
        with tempfile.TemporaryDirectory(prefix="freehold-dags-") as folder:
            stream = Path(folder) / "dags.stream"
            base = {"base": found["release"], "base_tree": found["tree"]} if found["whole"] else {}
            try:
                read = build({"base": "", "base_tree": "", **params, **base, "dest": str(stream)})
            except TreeError as error:
                # Ansible would say the reasons behind it, too, which are the same sentence.
                raise AnsibleActionFail(str(error)) from None
            result["wanted"] = {
                **{name: read[name] for name in ("release", "tree", "commit", "repository", "files", "changes")},
                "before": found["release"] or "",
                "sent_bytes": 0,
            }
            # The host refuses the same name with another tree, and says why.
            if found["whole"] and (found["release"], found["tree"]) == (read["release"], read["tree"]):
                result["wanted"]["moves"] = found["moves"]
                return result
            shown = [f"{mark} {path}\n" for kind, mark in MARKS.items() for path in read["changes"][kind]]
            result["diff"] = {"prepared": "".join(shown)}
            result["wanted"]["sent_bytes"] = read["sent"]
            published = self._publish(stream, given, task_vars)
            if published.get("failed"):
                # Alone: Ansible shows all of what a failed task returns, and the reason should not be searched for.
                return published
            result |= published
            result["wanted"] |= {"moves": result.get("published", {}).get("moves", 0)}
            return result

    def _publish(self, stream: Path, given: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Send the stream to the host and have it published; it goes away whatever happens."""
        there = self._make_tmp_path()
        try:
            sent = self._transfer_file(str(stream), self._connection._shell.join_path(there, "dags.stream"))
            return self._module({**given, "stream": sent}, task_vars)
        finally:
            self._remove_tmp_path(there, force=True)

    def _module(self, given: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run the host's half."""
        done: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=dict(given), task_vars=task_vars)
        return done
