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
  description: Paths of the files and directories that were written, or would be in check mode.
  returned: always
  type: list
  elements: str
created:
  description: Those of them that were not there before.
  returned: success
  type: list
  elements: str
"""

import grp
import os
import pwd
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


class Refusal(Exception):
    """What was asked for can't be done; the text says why."""


class FileSet:
    """The files of one call."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.check_mode: bool = module.check_mode
        self.written: list[str] = []
        self.created: list[str] = []
        self.diffs: list[dict[str, str]] = []

    def make_directory(self, path: Path, mode: int, keep: bool) -> None:
        """Make the directory, and give it its mode unless it is to be kept."""
        if path.is_dir():
            if keep or path.stat().st_mode & 0o7777 == mode:
                return
        elif os.path.lexists(path):
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
            int(wanted["mode"], 8),
            pwd.getpwnam(wanted["owner"]).pw_uid if wanted["owner"] else os.geteuid(),
            grp.getgrnam(wanted["group"]).gr_gid if wanted["group"] else os.getegid(),
        )

    def write_beside(self, wanted: dict[str, Any]) -> Path:
        """Write the new content beside the file, with its mode and owner, and validate it; return its path."""
        path = Path(wanted["path"])
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(wanted["content"])
        shutil.chown(beside, wanted["owner"] or os.geteuid(), wanted["group"] or os.getegid())
        beside.chmod(int(wanted["mode"], 8))
        command: list[str] = wanted["validate"]
        if command and shutil.which(command[0]):
            rc, out, err = self.module.run_command([word.replace("%s", str(beside)) for word in command])
            if rc != 0:
                beside.unlink()
                raise Refusal(f"{command[0]} refuses the new {path}: {(err or out).strip()}")
        return beside

    def bring_about(self, directories: list[dict[str, Any]], files: list[dict[str, Any]]) -> None:
        """Make directories and files as wanted; nothing is replaced before everything is validated."""
        for directory in directories:
            self.make_directory(Path(directory["path"]), int(directory["mode"], 8), directory["keep"])
        ready: list[tuple[Path, Path]] = []
        for wanted in files:
            path = Path(wanted["path"])
            content = self.current(path)
            if self.is_wanted(wanted, content):
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
                ready.append((self.write_beside(wanted), path))
        for beside, path in ready:
            beside.replace(path)


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
    except (Refusal, OSError, KeyError) as error:
        module.fail_json(msg=str(error), written=file_set.written)
    module.exit_json(
        changed=bool(file_set.written), written=file_set.written, created=file_set.created, diff=file_set.diffs
    )


if __name__ == "__main__":
    main()
