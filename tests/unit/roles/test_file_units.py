# SPDX-License-Identifier: GPL-3.0-or-later
"""Which unit each file that a role writes names as its reader, and that the reader learns of a change.

By the unit a run sees that an earlier one was interrupted between the two. Where the reader runs on the lab's hosts,
molecule/readmes shows what comes of it; chrony does not run on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILE_SET = "freehold.airflow.file_set"
FOLLOW = "{{ __component_follow_unit }}"
READERS = {
    "{{ access_directory }}/known_hosts": None,  # read by each ssh
    "{{ access_directory }}/ssh_config": None,
    "{{ __authorized_keys_directory }}/{{ authorized_keys_user }}": None,  # read at each login
    "{{ __authorized_keys_drop_in }}": "ssh.service",
    "{{ __component_script }}": None,  # each unit runs it anew
    "/etc/tmpfiles.d/airflow-logs.conf": None,
    "{{ __component_sysctl }}": None,  # loaded by each run
    "{{ __component_follow_script }}": FOLLOW,
    "{{ __component_follow_unit_file }}": FOLLOW,
    "/etc/docker/daemon.json": "docker.service",
    "/root/.docker/config.json": None,  # read by each client
    "/etc/systemd/journald.conf.d/freehold.conf": "systemd-journald.service",
    "/etc/stunnel/efs.conf": "stunnel@efs.service",
    "/etc/systemd/system/stunnel@efs.service.d/freehold.conf": "stunnel@efs.service",
    "/etc/systemd/system/{{ __efs_unit }}": "{{ __efs_unit }}",
    "/etc/chrony/chrony.conf": "chrony.service",
    "/etc/systemd/system/chrony.service.d/freehold.conf": None,  # says whether it starts, not how it runs
    "{{ __valkey_directory }}/valkey.conf": "valkey-server.service",
    "{{ __valkey_directory }}/users.acl": "valkey-server.service",
}


def files(part: Any) -> Iterator[dict[str, Any]]:
    """The files with content anywhere in a role's tasks."""
    if isinstance(part, dict):
        if {"path", "content"} <= part.keys():
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from files(one)


def settings(role: str) -> Iterator[dict[str, Any]]:
    """The tasks of a role that write files."""
    for tasks in sorted(ROOT.glob(f"roles/{role}/tasks/*.yml")):
        yield from (task for task in yaml.safe_load(tasks.read_text(encoding="utf-8")) if FILE_SET in task)


def test_a_file_that_a_running_service_reads_names_the_service() -> None:
    found = {file["path"]: file.get("unit") for task in settings("*") for file in files(task)}
    assert found == READERS


@pytest.mark.parametrize("role", ["authorized_keys", "docker", "time", "valkey"])
def test_a_changed_file_makes_a_handler_of_the_service_that_reads_it_run(role: str) -> None:
    handlers = yaml.safe_load((ROOT / f"roles/{role}/handlers/main.yml").read_text(encoding="utf-8"))
    for task in settings(role):
        notified = task.get("notify", [])
        names = [notified] if isinstance(notified, str) else notified
        asked = [handler["ansible.builtin.systemd_service"] for handler in handlers if handler["name"] in names]
        assert {one["name"] for one in asked} == {file["unit"] for file in files(task) if "unit" in file}
        assert {one["state"] for one in asked} <= {"restarted", "reloaded"}
