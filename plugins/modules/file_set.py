#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring several small files to their wanted content in one step."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: file_set
version_added: 0.1.0
short_description: Bring several files to their wanted content in one step
description:
  - Writes the files of one purpose, and the directories they need, in one call to the host. M(ansible.builtin.copy)
    takes two calls per file, which is most of the time of a run that changes nothing.
  - All files are validated before the first one is written; each is replaced in one step.
  - Paths that are links are refused.
author:
  - The Freehold authors (@freehold)
options:
  files:
    description:
      - The files. Missing directories above them are made with mode 0755.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - Path of the file.
        type: path
        required: true
      content:
        description:
          - The wanted content.
        type: str
        required: true
      mode:
        description:
          - The wanted mode, in octal digits.
        type: str
        default: "0644"
      owner:
        description:
          - Name of the owner; the user that the module runs as if not given.
        type: str
      group:
        description:
          - Name of the group; that of the user that the module runs as if not given.
        type: str
      validate:
        description:
          - A command that must succeed before the file is replaced; C(%s) is the path of the new content. It is left
            out while its program is not installed.
        type: list
        elements: str
        default: []
      unit:
        description:
          - The systemd unit that reads the file when it starts or is reloaded. A file that is newer than the last start
            or reload of a unit that runs counts as written, although nothing is written; an earlier run was interrupted
            before it restarted the unit, or the reload failed.
          - Of a file that is the unit's own, systemd learns by a daemon-reload, which is for the task that starts the
            unit to make.
        type: str
  directories:
    description:
      - Directories that need another mode than 0755, made before the files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - Path of the directory.
        type: path
        required: true
      mode:
        description:
          - Mode of the directory, in octal digits.
        type: str
        default: "0755"
      keep:
        description:
          - Leave a directory that exists as it is. What is mounted there has a mode of its own.
        type: bool
        default: false
attributes:
  check_mode:
    description: Reports what would be written, and writes nothing.
    support: full
  diff_mode:
    description: Shows the differences of the files.
    support: full
"""

EXAMPLES = r"""
- name: Configure the daemon
  freehold.airflow.file_set:
    directories:
      - {path: /root/.docker, mode: "0700"}
    files:
      - path: /etc/docker/daemon.json
        content: "{{ settings | to_nice_json }}"
        validate: [dockerd, --validate, --config-file, "%s"]
        unit: docker.service
  register: written

# handlers/main.yml
- name: Restart docker
  ansible.builtin.systemd_service:
    name: docker.service
    state: restarted
  when: "'/etc/docker/daemon.json' in written.written"
"""

RETURN = r"""
written:
  description:
    - Paths of the files and directories that were written, or would be in check mode, and those of RV(unread).
  returned: always
  type: list
  elements: str
created:
  description: Those of them that were not there before.
  returned: success
  type: list
  elements: str
unread:
  description: Paths of the files that are as wanted, and that their unit has not read yet.
  returned: success
  type: list
  elements: str
"""

import grp
import os
import pwd
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


class Refusal(Exception):
    """What was asked for can't be done; the text says why."""


def octal(mode: str, path: str) -> int:
    """Return the mode that the octal digits say."""
    try:
        return int(mode, 8)
    except ValueError:
        raise Refusal(f"The mode '{mode}' of {path} is not octal digits") from None


def owner_and_group(wanted: dict[str, Any]) -> tuple[int, int]:
    """Return the ids of the file's owner and group."""
    owner, group, path = wanted["owner"], wanted["group"], wanted["path"]
    try:
        user_id = pwd.getpwnam(owner).pw_uid if owner else os.geteuid()
    except KeyError:
        raise Refusal(f"This host has no user '{owner}', the owner of {path}") from None
    try:
        return user_id, grp.getgrnam(group).gr_gid if group else os.getegid()
    except KeyError:
        raise Refusal(f"This host has no group '{group}', the group of {path}") from None


class FileSet:
    """The files of one call."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.check_mode: bool = module.check_mode
        self.written: list[str] = []
        self.created: list[str] = []
        self.unread: list[str] = []
        self.diffs: list[dict[str, str]] = []

    def make_directory(self, path: Path, mode: int, keep: bool) -> None:
        """Make the directory, and give it its mode unless it is to be kept."""
        if path.is_symlink():
            raise Refusal(f"{path} is a link; give the path of the directory itself")
        if path.is_dir():
            if keep or path.stat().st_mode & 0o7777 == mode:
                return
        elif path.exists():
            raise Refusal(f"{path} is not a directory")
        else:
            self.created.append(str(path))
        self.written.append(str(path))
        if not self.check_mode:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.chmod(mode)

    def current(self, path: Path) -> str | None:
        """Return the content of the file; None if there is none."""
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise Refusal(f"{path} is not a plain file")
        return path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else None

    def is_wanted(self, wanted: dict[str, Any], content: str | None) -> bool:
        """Return whether content, mode and owner are as wanted."""
        if content != wanted["content"]:
            return False
        status = Path(wanted["path"]).stat()
        return (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (
            octal(wanted["mode"], wanted["path"]),
            *owner_and_group(wanted),
        )

    def is_unread(self, wanted: dict[str, Any]) -> bool:
        """Return whether the unit that reads the file runs with what was there before.

        That is a start that began, or a reload that ended, before the file was there, or a reload that failed: what
        org.freedesktop.systemd1(5) says of a unit that is active. A reload leaves ActiveEnterTimestamp as it is.
        """
        unit = wanted["unit"]
        if not unit or not shutil.which("systemctl"):
            return False
        properties = "ActiveState,ReloadResult,InactiveExitTimestamp,ActiveEnterTimestamp,StateChangeTimestamp"
        command = ["systemctl", "show", "--timestamp=us+utc", f"--property={properties}", unit]
        _rc, out, _err = self.module.run_command(command)
        shown = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        if shown.get("ActiveState") != "active":
            return False
        if shown.get("ReloadResult", "success") != "success":
            return True
        reloaded = shown["StateChangeTimestamp"] != shown["ActiveEnterTimestamp"]
        # Like "Mon 2026-11-30 17:12:51.123456 UTC".
        moment = shown["StateChangeTimestamp" if reloaded else "InactiveExitTimestamp"].split(" ", 1)[1]
        since = datetime.strptime(moment, "%Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC)
        return Path(wanted["path"]).stat().st_mtime > since.timestamp()

    def write_beside(self, wanted: dict[str, Any], beside: Path) -> None:
        """Write the new content beside the file, with its mode and owner, and validate it."""
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(wanted["content"])
        os.chown(beside, *owner_and_group(wanted))
        beside.chmod(octal(wanted["mode"], wanted["path"]))
        command: list[str] = wanted["validate"]
        if command and shutil.which(command[0]):
            rc, out, err = self.module.run_command([word.replace("%s", str(beside)) for word in command])
            if rc != 0:
                raise Refusal(f"{command[0]} refuses the new {wanted['path']}: {(err or out).strip()}")

    def bring_about(self, directories: list[dict[str, Any]], files: list[dict[str, Any]]) -> None:
        """Make directories and files as wanted; nothing is replaced before everything is validated."""
        for directory in directories:
            mode = octal(directory["mode"], directory["path"])
            self.make_directory(Path(directory["path"]), mode, directory["keep"])
        ready: list[tuple[Path, Path]] = []
        try:
            for wanted in files:
                path = Path(wanted["path"])
                content = self.current(path)
                if self.is_wanted(wanted, content):
                    if self.is_unread(wanted):
                        self.unread.append(str(path))
                        self.diffs.append({"prepared": f"{path} is newer than what {wanted['unit']} runs with\n"})
                    continue
                self.written.append(str(path))
                if content is None:
                    self.created.append(str(path))
                self.diffs.append(
                    {
                        "before_header": str(path),
                        "after_header": str(path),
                        "before": content or "",
                        "after": wanted["content"],
                    }
                )
                if not self.check_mode:
                    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                    beside = path.with_name(f".{path.name}.new")
                    ready.append((beside, path))
                    self.write_beside(wanted, beside)
            for beside, path in ready:
                # Its time is when it takes its place, not when it was written: its unit may have started meanwhile.
                os.utime(beside)
                beside.replace(path)
        finally:
            # The new content of a refused set may hold secrets, and some programs read every file of a directory.
            for beside, _path in ready:
                beside.unlink(missing_ok=True)


def main() -> None:
    """Bring one set of files to the wanted state."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True},
                    "mode": {"type": "str", "default": "0644"},
                    "owner": {"type": "str"},
                    "group": {"type": "str"},
                    "validate": {"type": "list", "elements": "str", "default": []},
                    "unit": {"type": "str"},
                },
            },
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "mode": {"type": "str", "default": "0755"},
                    "keep": {"type": "bool", "default": False},
                },
            },
        },
        supports_check_mode=True,
    )
    file_set = FileSet(module)
    try:
        file_set.bring_about(module.params["directories"], module.params["files"])
    except (Refusal, OSError) as error:
        module.fail_json(msg=str(error), written=file_set.written)
    module.exit_json(
        changed=bool(file_set.written or file_set.unread),
        written=file_set.written + file_set.unread,
        created=file_set.created,
        unread=file_set.unread,
        diff=file_set.diffs,
    )


if __name__ == "__main__":
    main()
