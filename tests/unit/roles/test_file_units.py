# SPDX-License-Identifier: GPL-3.0-or-later
"""Which unit each file that a role writes names as its reader, by which a run sees that an earlier one was interrupted.

Where the reader runs on the lab's hosts, molecule/readmes shows what comes of it. chrony does not run on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
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


def test_a_file_that_a_running_service_reads_names_the_service() -> None:
    found = {}
    for tasks in sorted(ROOT.glob("roles/*/tasks/*.yml")):
        text = tasks.read_text(encoding="utf-8")
        if "freehold.airflow.file_set" in text:
            found.update({file["path"]: file.get("unit") for file in files(yaml.safe_load(text))})
    assert found == READERS
