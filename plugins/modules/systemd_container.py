#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manage a docker container that runs in the foreground of a systemd unit."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: systemd_container
version_added: 0.1.0
short_description: Manage a docker container that runs under a systemd unit
description:
  - Writes the unit, docker's env file and a description of the wanted container, pulls the image, enables and starts
    the unit.
  - A running container carries the description it was made from in a label, so that the module can tell whether the
    running container is the wanted one, and in what it is not, whoever changed a file in between and wherever an
    earlier run was interrupted.
  - With O(state=present) a running container is never touched; the result says in RV(differences) why it should be
    restarted. O(state=restarted) restarts it, if there still is a reason.
  - Starting waits for the unit's own readiness check (C(ExecStartPost)). A unit that fails is reported with the last
    lines of its journal.
author:
  - The Freehold authors (@freehold)
options:
  name:
    description:
      - Name of the container, and of the unit without C(.service).
    type: str
    required: true
  state:
    description:
      - V(present) writes the files, and starts the unit if it does not run.
      - V(started) waits for a start that is under way, and starts the unit if it does not run.
      - V(restarted) restarts the unit if the running container differs from the written files.
      - V(absent) stops the unit and removes unit, files and container. Data in mounted directories stays.
    type: str
    choices: [present, started, restarted, absent]
    default: present
  unit:
    description:
      - Text of the systemd unit. It must create the container with the two files of RV(files).
      - Required with O(state=present).
    type: str
  container:
    description:
      - What decides whether a running container must be replaced, by any names; C(image) is required in it.
      - Written as docker label file, together with O(environment).
      - Required with O(state=present).
    type: dict
  environment:
    description:
      - The container's environment. Values are no secrets, C(docker inspect) shows them.
    type: dict
    default: {}
  wait:
    description:
      - Wait until the unit is ready. Without it, units started one after the other become ready side by side; wait for
        them with O(state=started).
    type: bool
    default: true
  directory:
    description:
      - Where the env file and the label file are.
    type: path
    default: /etc/airflow
attributes:
  check_mode:
    description: Reports what would be changed, and changes nothing.
    support: full
  diff_mode:
    description: Shows the differences of the files, and between the running and the wanted container.
    support: full
"""

EXAMPLES = r"""
- name: Run the scheduler
  freehold.airflow.systemd_container:
    name: airflow-scheduler
    unit: "{{ lookup('ansible.builtin.template', 'component.service.j2') }}"
    container:
      image: 111122223333.dkr.ecr.eu-west-1.amazonaws.com/freehold-prod/airflow@sha256:0123
      command: [scheduler]
    environment:
      AIRFLOW__CORE__EXECUTOR: CeleryExecutor
  notify: Restart scheduler

- name: Restart scheduler
  freehold.airflow.systemd_container:
    name: airflow-scheduler
    state: restarted
"""

RETURN = r"""
differences:
  description: In what the running container differs from the wanted one; empty if it runs as wanted or just started.
  returned: always
  type: list
  elements: dict
  sample: [{"name": "environment.AIRFLOW__CORE__PARALLELISM", "current": "32", "desired": "64"}]
actions:
  description: What was done, or would be done in check mode.
  returned: always
  type: list
  elements: str
  sample: ["write /etc/systemd/system/airflow-scheduler.service", "start"]
ready:
  description:
    - Whether the unit has started and its readiness check has succeeded. False after O(wait=false) and, in check mode,
      where the unit would be started.
  returned: always
  type: bool
files:
  description: The files that describe the container.
  returned: always
  type: dict
  sample:
    unit: /etc/systemd/system/airflow-scheduler.service
    environment: /etc/airflow/airflow-scheduler.env
    label: /etc/airflow/airflow-scheduler.label
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.freehold.airflow.plugins.module_utils._container import compare

JOURNAL_LINES = 40


class UnitContainer:
    """A unit, its container and its three files on this host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.name: str = module.params["name"]
        self.unit_name = f"{self.name}.service"
        directory = Path(module.params["directory"])
        self.unit_path = Path("/etc/systemd/system") / self.unit_name
        self.environment_path = directory / f"{self.name}.env"
        self.label_path = directory / f"{self.name}.label"
        self.actions: list[str] = []
        self.ready = False
        self.diffs: list[dict[str, Any]] = []

    # -- the world -------------------------------------------------------------------------------------------------

    def run(self, *command: str) -> tuple[int, str, str]:
        """Run ``command``; return its return code, output and errors. A program that is not installed is code 127."""
        try:
            result: tuple[int, str, str] = self.module.run_command(list(command), handle_exceptions=False)
        except OSError as error:
            return 127, "", str(error)
        return result

    def unit_state(self) -> dict[str, str]:
        """Return what systemd knows about the unit."""
        properties = "LoadState,ActiveState,UnitFileState,NeedDaemonReload"
        _rc, out, _err = self.run("systemctl", "show", "--property", properties, self.unit_name)
        return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)

    def running(self) -> dict[str, Any] | None:
        """Return docker's description of the container if it runs."""
        rc, out, _err = self.run("docker", "container", "inspect", self.name)
        if rc != 0:
            return None
        container: dict[str, Any] = json.loads(out)[0]
        return container if container["State"]["Running"] else None

    def image_id(self, image: str) -> str | None:
        """Return the local id of ``image``; None if this host does not have it."""
        rc, out, _err = self.run("docker", "image", "inspect", "--format", "{{.Id}}", image)
        return out.strip() if rc == 0 else None

    # -- one step each ---------------------------------------------------------------------------------------------

    def write(self, path: Path, content: str, mode: int) -> None:
        """Replace the file in one step, if its content or mode differs."""
        before = path.read_text(encoding="utf-8") if path.is_file() else None
        if before == content and path.stat().st_mode & 0o7777 == mode:
            return
        self.actions.append(f"write {path}")
        # The label says in one line what unit and env file say in many.
        if path != self.label_path:
            self.diffs.append(
                {"before_header": str(path), "after_header": str(path), "before": before or "", "after": content}
            )
        if self.module.check_mode:
            return
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(content, encoding="utf-8")
        beside.chmod(mode)
        beside.replace(path)

    def remove(self, path: Path) -> None:
        """Remove the file, if there is one."""
        if path.exists():
            self.actions.append(f"remove {path}")
            if not self.module.check_mode:
                path.unlink()

    def pull(self, image: str) -> None:
        """Pull the image while the old container still runs: a restart is short, and a missing image harmless."""
        if self.image_id(image):
            return
        self.actions.append(f"pull {image}")
        if self.module.check_mode:
            return
        rc, _out, err = self.run("docker", "image", "pull", "--quiet", image)
        if rc != 0:
            self.module.fail_json(msg=f"This host can't pull {image}: {err.strip()}", **self.result([]))

    def systemctl(self, verb: str, *arguments: str) -> None:
        """Run ``systemctl verb`` on the unit; a failure ends the module with the unit's journal."""
        if self.module.check_mode:
            return
        rc, _out, err = self.run("systemctl", verb, *arguments, self.unit_name)
        if rc != 0:
            self.fail(f"systemctl {verb} {self.unit_name} failed: {err.strip()}")

    def reload(self) -> None:
        """Let systemd read the unit again."""
        if not self.module.check_mode:
            rc, _out, err = self.run("systemctl", "daemon-reload")
            if rc != 0:
                self.fail(f"systemctl daemon-reload failed: {err.strip()}")

    def differences(self, running: dict[str, Any]) -> list[dict[str, Any]]:
        """Return in what the running container differs from the files as they are (to be) written."""
        if self.module.params["state"] == "present":
            desired = compare.decode(compare.encode(self.module.params["container"], self.module.params["environment"]))
        else:
            line = self.label_path.read_text(encoding="utf-8") if self.label_path.is_file() else "="
            desired = compare.decode(line.split("=", 1)[1])
        label = (running["Config"]["Labels"] or {}).get(compare.SPEC_LABEL)
        found = compare.differences(compare.decode(label), desired)
        # A tag may be moved to another image; a reference by digest never differs here.
        wanted_image = self.image_id(desired.get("image", ""))
        if wanted_image and wanted_image != running["Image"] and not any(item["name"] == "image" for item in found):
            found.append({"name": "image_id", "current": running["Image"], "desired": wanted_image})
        return found

    # -- results ---------------------------------------------------------------------------------------------------

    def result(self, differences: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what every answer of the module holds."""
        return {
            "actions": self.actions,
            "ready": self.ready,
            "differences": differences,
            "diff": self.diffs,
            "files": {
                "unit": str(self.unit_path),
                "environment": str(self.environment_path),
                "label": str(self.label_path),
            },
        }

    def fail(self, reason: str) -> NoReturn:
        """End with ``reason`` and what the unit said last."""
        _rc, out, _err = self.run(
            "journalctl", "--unit", self.unit_name, "--lines", str(JOURNAL_LINES), "--no-pager", "--output", "cat"
        )
        self.module.fail_json(msg=f"{reason}\nThe last lines of its journal:\n{out.rstrip()}", **self.result([]))
        raise AssertionError("fail_json ends the module")

    # -- the states ------------------------------------------------------------------------------------------------

    def present(self, unit: str, container: dict[str, Any], environment: dict[str, str]) -> list[dict[str, Any]]:
        """Write the files, start the unit if it does not run; return why a running container is not the wanted one."""
        try:
            environment_text = compare.environment_file(environment)
        except ValueError as error:
            self.module.fail_json(msg=f"{self.name}: {error}")
        self.pull(container["image"])
        label = f"{compare.SPEC_LABEL}={compare.encode(container, environment)}\n"
        self.write(self.environment_path, environment_text, 0o640)
        self.write(self.label_path, label, 0o640)
        self.write(self.unit_path, unit, 0o644)

        state = self.unit_state()
        if self.actions or state.get("NeedDaemonReload") == "yes":
            self.reload()
        if state.get("UnitFileState") != "enabled":
            self.actions.append("enable")
            self.systemctl("enable", "--quiet")

        running = self.running() if state.get("ActiveState") in ("active", "activating", "reloading") else None
        if running is None or state.get("ActiveState") != "active":
            if state.get("ActiveState") not in ("activating", "reloading"):
                self.actions.append("start")
            # Joins a start that is under way.
            self.systemctl("start", *([] if self.module.params["wait"] else ["--no-block"]))
            self.ready = self.module.params["wait"] and not self.module.check_mode
            running = None if self.module.check_mode else self.running()
        else:
            self.ready = True
        found = self.differences(running) if running else []
        if found:
            self.diffs.append(
                {
                    "before_header": f"running container {self.name}",
                    "after_header": f"wanted container {self.name}",
                    "before": "".join(f"{item['name']}: {item['current']}\n" for item in found),
                    "after": "".join(f"{item['name']}: {item['desired']}\n" for item in found),
                }
            )
        return found

    def started(self) -> None:
        """Wait until the unit is ready, starting it where nobody has."""
        state = self.unit_state().get("ActiveState")
        if state != "active":
            if state not in ("activating", "reloading"):
                self.actions.append("start")
            self.systemctl("start")

    def restarted(self) -> list[dict[str, Any]]:
        """Restart the unit if its container does not run, or not as written; return why."""
        running = self.running()
        found = self.differences(running) if running else []
        if running is None or found:
            self.actions.append("restart")
            self.systemctl("restart")
        return found

    def absent(self) -> None:
        """Stop and forget the unit, and remove the container with its anonymous volumes."""
        state = self.unit_state()
        if state.get("LoadState") == "loaded" and (
            state.get("ActiveState") in ("active", "activating", "reloading", "deactivating")
            or state.get("UnitFileState") == "enabled"
        ):
            self.actions.append("disable and stop")
            self.systemctl("disable", "--now", "--quiet")
        for path in (self.unit_path, self.environment_path, self.label_path):
            self.remove(path)
        if self.run("docker", "container", "inspect", self.name)[0] == 0:
            self.actions.append("remove the container")
            if not self.module.check_mode:
                self.run("docker", "container", "rm", "--force", "--volumes", self.name)
        if self.actions:
            self.reload()
            if not self.module.check_mode:
                self.run("systemctl", "reset-failed", self.unit_name)


def main() -> None:
    """Bring one unit and its container to the wanted state."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "started", "restarted", "absent"], "default": "present"},
            "unit": {"type": "str"},
            "container": {"type": "dict"},
            "environment": {"type": "dict", "default": {}},
            "wait": {"type": "bool", "default": True},
            "directory": {"type": "path", "default": "/etc/airflow"},
        },
        required_if=[("state", "present", ("unit", "container"))],
        supports_check_mode=True,
    )
    unit = UnitContainer(module)
    found: list[dict[str, Any]] = []
    if module.params["state"] == "present":
        if not module.params["container"].get("image"):
            module.fail_json(msg=f"{unit.name}: the container has no image")
        environment = {name: str(value) for name, value in module.params["environment"].items()}
        module.params["environment"] = environment
        found = unit.present(module.params["unit"], module.params["container"], environment)
    elif module.params["state"] == "started":
        unit.started()
    elif module.params["state"] == "restarted":
        found = unit.restarted()
    else:
        unit.absent()
    still_differs = module.params["state"] == "present" and bool(found)
    module.exit_json(changed=bool(unit.actions) or still_differs, **unit.result(found))


if __name__ == "__main__":
    main()
