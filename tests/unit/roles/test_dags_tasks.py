# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of the role dags on this machine, with a docker that runs the image's program here, or does not answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from freehold_airflow.publish import publish
from freehold_airflow.release import Store

from bundle.tests.trees import TREE, stream
from tests import playbooks
from tests.playbooks import ROOT

IMAGE = "registry.example/airflow@sha256:" + "0" * 64
# Runs what stands behind the image, by the entrypoint that was asked for; inside a component it says what it was told.
DOCKER = """#!/bin/sh
echo "$*" >> "$FAKE/asked"
case $* in "container exec"*) cat "$FAKE/out"; cat "$FAKE/err" >&2; exit "$(cat "$FAKE/status")" ;; esac
entrypoint=
while [ "$1" != IMAGE ]; do
    case $1 in --entrypoint=*) entrypoint=${1#*=} ;; esac
    shift
done
shift
exec "$entrypoint" "$@"
""".replace("IMAGE", IMAGE)
COMPONENT = {
    "component_image": IMAGE,
    "component_region": "eu-west-1",
    "component_secrets_prefix": "freehold/prod",
    "component_base_url": "https://airflow.example.com",
    "component_execution_api_url": "http://api-server.prod.internal:8080/execution/",
    "component_host_memory_mib": 4000,
}
PARSED = {"parsed": True, "seconds": 1.0, "overtaken": "", "missing": [], "gone": [], "import_errors": [], "in_use": {}}


class Role:
    """The role on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shared = folder, folder / "shared"
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "docker").write_text(DOCKER)
        (self.bin / "docker").chmod(0o755)
        (self.bin / "python").symlink_to(sys.executable)
        self.shared.mkdir()
        self.tells()

    def tells(self, out: str = "", err: str = "", status: int = 0) -> None:
        """Tell what a component says when it is asked something."""
        for name, text in {"out": out, "err": err, "status": str(status)}.items():
            (self.folder / name).write_text(text)

    def check(self, **variables: Any) -> list[str]:
        """Return the command that imports DAGs, as the role composes it."""
        answer = self.folder / "argv.json"
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [f"{ROOT}/roles/dags/{part}/main.yml" for part in ("defaults", "vars")],
            "vars": {"ansible_python_interpreter": sys.executable, **COMPONENT},
            "tasks": [
                {
                    "ansible.builtin.include_role": {"name": "freehold.airflow.component", "tasks_from": "argv"},
                    "vars": {"component": "{{ __dags_check }}"},
                },
                {"ansible.builtin.copy": {"content": "{{ component_argv | to_json }}", "dest": str(answer)}},
            ],
        }
        # Those of a file would win over those of the play.
        self.play(play, "-e", json.dumps(variables))
        found: list[str] = json.loads(answer.read_text())
        return found

    def play(self, play: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
        """Run a play."""
        return playbooks.run(self.folder, play, *options)

    def asked(self) -> str:
        """What docker was asked."""
        return (self.folder / "asked").read_text()

    def run(
        self, *parts: str, options: tuple[str, ...] = (), proof: dict[str, Any] | None = None, **variables: Any
    ) -> tuple[dict[str, Any], str]:
        """Run parts of the role; return the facts they leave behind, and what Ansible printed."""
        facts = self.folder / "facts.json"
        facts.unlink(missing_ok=True)
        names = ("dags_found", "dags_wanted", "dags_parsed_release", "dags_retained", "dags_reported")
        left = "{{ dict(" + ", ".join(f"{name}={name} | default(none)" for name in names) + ") | to_json }}"
        block = [
            {"ansible.builtin.include_role": {"name": "freehold.airflow.dags", "tasks_from": part}} for part in parts
        ]
        tell: dict[str, Any] = {
            "ansible.builtin.copy": {"content": left, "dest": str(facts)},
            "check_mode": False,
            "diff": False,
        }
        tell["changed_when"] = False
        # Whatever the play says of the way to the host.
        tell["vars"] = {"ansible_connection": "local"}
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "environment": {
                "PATH": f"{self.bin}:{os.environ['PATH']}",
                "FAKE": str(self.folder),
                "PYTHONPATH": f"{ROOT}/bundle/src",
            },
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "component_image": IMAGE,
                "dags_mount": str(self.shared),
                "dags_path": str(self.shared),
                "dags_expected": {"release": "aaa", "tree": "t", "moves": 1},
                "dags_hosts": [],
                **variables,
            },
            # What a host has proved is a fact of it.
            "tasks": [{"ansible.builtin.set_fact": {"dags_proof": proof}}, {"block": block, "always": [tell]}],
        }
        done = self.play(play, *options)
        assert facts.exists(), done.stdout + done.stderr
        return json.loads(facts.read_text()), done.stdout


@pytest.fixture
def role(tmp_path: Path) -> Role:
    return Role(tmp_path)


def test_the_check_has_limits_of_time_memory_and_processes_and_a_name(role: Role) -> None:
    argv = role.check(dags_check_seconds=600, dags_check_memory_percent=25)
    assert {"--name={container}", "--memory=1000m", "--memory-swap=1000m", "--pids-limit=1024"} <= set(argv)
    command = argv[argv.index(IMAGE) + 1 :]
    # The image's entrypoint starts bash and python only.
    assert command[:5] == ["bash", "-c", 'exec timeout --kill-after=5 "$@"', "check", "600"]
    assert command[5:9] == ["python", "-m", "freehold_airflow.publish", "check"]
    # What bash makes of it: a program that does not listen is killed. The words of the role, with a shorter time.
    deaf = [*command[:4], "1", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
    deaf[2] = deaf[2].replace("--kill-after=5", "--kill-after=1")
    started = time.monotonic()
    assert subprocess.run(deaf, check=False, start_new_session=True).returncode in (137, -9)
    assert time.monotonic() - started < 30


def test_what_is_published_is_looked_at_and_gone_back_to(role: Role) -> None:
    publish(role.shared, stream("aaa", TREE))
    publish(role.shared, stream("bbb", TREE | {"b.py": b"b"}))
    facts, _ = role.run("rollback")
    assert facts["dags_found"]["release"] == "bbb"
    assert (facts["dags_wanted"]["release"], facts["dags_wanted"]["before"]) == ("aaa", "bbb")
    assert Store(role.shared).pointer().release == "aaa"


@pytest.mark.parametrize(
    ("pointer", "words"),
    [
        (None, "No release is published in {folder}: run playbooks/dag-sync.yml."),
        ("{", "It is not known which release is current, the pointer can't be read: "),
    ],
)
def test_nothing_is_proved_of_no_release(role: Role, pointer: str | None, words: str) -> None:
    if pointer is not None:
        (role.shared / "current").write_text(pointer)
    facts, said = role.run("current")
    assert facts["dags_wanted"] is None
    assert words.format(folder=role.shared) in said


def test_a_check_run_moves_nothing(role: Role) -> None:
    publish(role.shared, stream("aaa", TREE))
    publish(role.shared, stream("bbb", TREE | {"b.py": b"b"}))
    facts, said = role.run("rollback", options=("--check",))
    assert facts["dags_wanted"] is None
    assert "changed=1" in said
    assert "Move the pointer to aaa" in said
    assert Store(role.shared).pointer().release == "bbb"


def test_a_release_that_is_not_there_is_refused_with_those_that_are(role: Role) -> None:
    first, second = "a" * 40, "b" * 40
    publish(role.shared, stream(first, TREE))
    publish(role.shared, stream(second, TREE | {"b.py": b"b"}))
    _, said = role.run("rollback", dags_rollback_to="cccc")
    assert "dags_rollback_to (cccc) names no release that is still there; there are:" in said
    assert f"{first[:12]} (previous), {second[:12]} (current)" in said
    facts, _ = role.run("rollback", dags_rollback_to=first[:12])
    assert facts["dags_wanted"]["release"] == first


def test_a_shared_file_system_that_hangs_ends_in_a_sentence(role: Role) -> None:
    # Nobody ever writes into it, so reading it takes for ever.
    os.mkfifo(role.shared / "current")
    facts, said = role.run("look", dags_proof_seconds=1)
    assert facts["dags_found"] is None
    assert "the shared file system did not answer within 1 s (dags_proof_seconds)" in said


def test_retention_names_what_it_could_not_read(role: Role) -> None:
    publish(role.shared, stream("aaa", TREE))
    publish(role.shared, stream("bbb", TREE | {"b.py": b"b"}))
    (role.shared / "releases" / "aaa.json.gz").write_bytes(b"")
    facts, said = role.run("retain", dags_parsed_release={**PARSED, "in_use": {"aaa": {"runs": 1}}})
    assert "failed=0" in said
    assert list(facts["dags_retained"]["left"]) == ["aaa"]
    assert facts["dags_retained"]["errors"] == []
    assert Store(role.shared).releases() == ["aaa", "bbb"]
    unknown: dict[str, Any] = {"removed": [], "left": {}, "deleted": [], "kept": [], "errors": []}
    facts, said = role.run(
        "retain", dags_parsed_release={**PARSED, "parsed": False}, dags_keep=0, dags_delete_gone=True
    )
    assert facts["dags_retained"] == unknown, "without a verdict it is not known what runs need"
    assert "changed=0" in said


def test_only_retention_deletes_dags_and_only_by_the_switch(role: Role) -> None:
    publish(role.shared, stream("aaa", TREE))
    role.tells(json.dumps(PARSED))
    role.run("parsed", dags_delete_gone=True)
    # As `-e dags_delete_gone=false` gives it.
    facts, said = role.run("retain", dags_parsed_release=PARSED, dags_delete_gone="false")
    assert "delete-gone" not in role.asked()
    assert facts["dags_retained"]["deleted"] == []
    role.tells(json.dumps({"bundle": "dags", "release": "aaa", "deleted": ["old"], "kept": ["busy"]}))
    facts, said = role.run("retain", dags_parsed_release=PARSED, dags_delete_gone=True, dags_import_seconds=7)
    assert "releases delete-gone --bundle dags --dags - --release aaa --import-seconds 7" in role.asked()
    assert (facts["dags_retained"]["deleted"], facts["dags_retained"]["kept"]) == (["old"], ["busy"])
    assert "changed=1" in said


def test_what_could_not_be_removed_reaches_the_report(role: Role) -> None:
    role.tells("", "Traceback\n  ...\nOperationalError: the database is away", 1)
    facts, said = role.run(
        "retain",
        "report",
        dags_parsed_release=PARSED,
        dags_delete_gone=True,
    )
    # Nothing is published, so there is no pointer.
    assert facts["dags_reported"]["problems"][0].startswith(
        "not all old releases were removed: The command 'retain' ended"
    )
    assert "the pointer is not at" in facts["dags_reported"]["problems"][0]
    assert facts["dags_reported"]["problems"][1:] == [
        "DAGs that are gone were not deleted: OperationalError: the database is away"
    ]
    assert "failed=1" in said


def test_what_airflow_has_parsed_is_remembered(role: Role) -> None:
    role.tells(json.dumps(PARSED))
    facts, _ = role.run("parsed")
    assert facts["dags_parsed_release"] == PARSED
    assert "container exec airflow-dag-processor timeout --kill-after=5 840 bash" in role.asked()
    assert "--seconds 180" in role.asked()
    # Whatever is said elsewhere, who only looks waits for nothing, and so nothing is deactivated.
    role.run("parsed", dags_look_only="true", dags_parse_seconds=90)
    assert "--seconds 0" in role.asked()
    role.run("parsed", dags_look_only="false", dags_parse_seconds=90)
    assert "--seconds 90" in role.asked()


def test_a_host_that_is_lost_meanwhile_is_a_part_of_the_report(role: Role) -> None:
    lost: dict[str, Any] = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}
    facts, said = role.run("proof", "parsed", "retain", dags_components=["worker"], dags_delete_gone=True, **lost)
    assert "failed=0" in said and "unreachable=0" in said
    assert not facts["dags_parsed_release"]["parsed"]
    assert "Connection refused" in facts["dags_parsed_release"]["error"]
    facts, said = role.run("retain", dags_parsed_release=PARSED, dags_delete_gone=True, **lost)
    assert ["Connection refused" in error for error in facts["dags_retained"]["errors"]] == [True, True]


@pytest.mark.parametrize(
    ("out", "err", "status", "reason"),
    [
        ("", "Error from daemon: container 1 is not running", 1, "Error from daemon: container 1 is not running"),
        ("", "Traceback\n  ...\nValueError: what", 1, "ValueError: what"),
        ("", "", 124, "it did not answer within 840 s"),
        ("", "", 137, "it was killed, or did not answer within 840 s"),
        ("{", "", 127, "it said nothing, and ended with status 127"),
        (
            json.dumps({**PARSED, "parsed": False, "error": "its database can't be asked: refused"}),
            "",
            1,
            "its database can't be asked: refused",
        ),
    ],
)
def test_a_dag_processor_that_cannot_be_asked_is_reported_with_everything_else(
    role: Role, out: str, err: str, status: int, reason: str
) -> None:
    role.tells(out, err, status)
    proofs = {"proofs": [{"component": "worker", "release": "aaa", "files": 5, "exact": True, "error": ""}]}
    report = role.folder / "report.json"
    facts, said = role.run(
        "parsed",
        "report",
        dags_hosts=["localhost"],
        proof=proofs,
        dags_parsed="{{ dags_parsed_release }}",
        dags_report=str(report),
    )
    assert not facts["dags_parsed_release"]["parsed"]
    written = json.loads(report.read_text())
    [problem] = written["problems"]
    assert problem == f"Airflow: whether it has parsed this release is not known: {reason}"
    assert [row["exact"] for row in written["containers"]] == [True]
    assert "Release aaa is exact in 1 of 1 containers." in said
    assert "failed=1" in said
