# SPDX-License-Identifier: GPL-3.0-or-later
"""Both halves of dag_publish, as Ansible runs them, with the image's own program for the shared folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from freehold_airflow.release import Store

from tests import playbooks
from tests.playbooks import HERE, ROOT

PROGRAM = [sys.executable, "-m", "freehold_airflow.publish"]
FINE = json.dumps({"errors": [], "dags": []})
BROKEN = json.dumps(
    {
        "errors": [
            {"file": "a.py", "line": 3, "kind": "syntax", "message": "SyntaxError: invalid syntax"},
            {"file": "b.py", "line": None, "kind": "timeout", "message": "takes longer than 30 s"},
        ]
    }
)


class Site:
    """A repository, and a folder to publish it into."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clone, self.shared = folder, folder / "clone", folder / "shared"
        (self.clone / "dags").mkdir(parents=True)
        self.git("init", "--quiet")
        self.commit(first="1")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        command = ["git", "-C", str(self.clone), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, **files: str) -> str:
        for name, content in files.items():
            (self.clone / "dags" / name).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")
        return self.git("rev-parse", "HEAD")

    def publish(self, *options: str, verdict: str = FINE, status: int = 0, **params: Any) -> dict[str, Any]:
        """Run the module by Ansible on this machine; return its result."""
        task = {
            "repository": str(self.clone),
            "look": [*PROGRAM, "look", f"--root={self.shared}"],
            "check": ["sh", "-c", f"test -s {{stream}} && echo '{verdict}'; exit {status}"],
            "write": [*PROGRAM, "write", f"--root={self.shared}", "--stream={stream}"],
            **params,
        }
        answer = self.folder / "answer.json"
        answer.unlink(missing_ok=True)
        tell = {"content": "{{ done | to_json }}", "dest": str(answer)}
        play = {
            "hosts": "localhost",
            "vars": HERE,
            "tasks": [
                {"freehold.airflow.dag_publish": task, "register": "done", "ignore_errors": True},
                {"ansible.builtin.copy": tell, "check_mode": False, "diff": False},
            ],
        }
        done = playbooks.run(self.folder, play, *options, PYTHONPATH=f"{ROOT}/bundle/src")
        assert answer.exists(), done.stdout + done.stderr
        found: dict[str, Any] = json.loads(answer.read_text())
        return {**found, "output": done.stdout}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_first_then_nothing_then_the_difference(site: Site) -> None:
    first = site.publish()
    head = site.git("rev-parse", "HEAD")
    assert first["changed"] and first["wanted"]["release"] == head
    assert first["found"]["release"] is None
    assert Store(site.shared).pointer().release == head

    again = site.publish()
    assert not again["changed"]
    assert (again["wanted"]["release"], again["wanted"]["before"], again["wanted"]["sent_bytes"]) == (head, head, 0)

    new = site.commit(second="2")
    second = site.publish("--diff")
    assert second["changed"]
    assert second["wanted"]["changes"] == {"added": ["second"], "changed": [], "removed": []}
    assert second["wanted"]["before"] == head
    assert "+ second" in second["output"]
    assert Store(site.shared).pointer().release == new
    assert not site.publish()["changed"]


def test_a_damaged_release_is_sent_whole_and_made_whole(site: Site) -> None:
    site.publish()
    [pack] = (site.shared / "packs").iterdir()
    pack.write_bytes(b"")
    done = site.publish()
    assert done["changed"] and not done["found"]["whole"]
    assert not site.publish()["changed"]


def test_a_check_run_tells_and_writes_nothing(site: Site) -> None:
    done = site.publish("--check", "--diff")
    assert done["changed"]
    assert "+ first" in done["output"]
    assert not site.shared.exists()


def test_a_check_run_refuses_what_a_run_would_refuse(site: Site) -> None:
    assert site.publish("--check", verdict=BROKEN, status=3)["failed"]


def test_what_is_wrong_is_shown_by_file_and_line_and_nothing_is_published(site: Site) -> None:
    done = site.publish(verdict=BROKEN, status=3)
    assert done["failed"]
    assert done["msg"].splitlines() == [
        "Nothing was published: 2 things are wrong with the DAGs.",
        "a.py:3: SyntaxError: invalid syntax",
        "b.py: takes longer than 30 s",
    ]
    assert not {"found", "wanted", "diff"} & set(done), "a failed task is shown with all that it returns"
    assert not site.shared.exists()


def test_a_check_that_could_not_be_done_publishes_nothing(site: Site) -> None:
    done = site.publish(check=["sh", "-c", "echo 'no space left' >&2; exit 1"])
    assert "'check' ended with status 1: no space left" in done["msg"]
    assert "gave no answer" in site.publish(verdict="not json")["msg"]
    own = "echo 'freehold_airflow.publish: the link x points outside the tree' >&2; exit 1"
    done = site.publish(check=["sh", "-c", own])
    assert done["msg"] == "Nothing was published: the link x points outside the tree."
    assert not site.shared.exists()


def test_only_the_first_release_when_asked(site: Site) -> None:
    assert site.publish(first_only=True)["changed"]
    site.commit(second="2")
    done = site.publish(first_only=True)
    assert not done["changed"] and "wanted" not in done


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda current: current.write_bytes(b"{"), "the pointer can't be read"),
        (lambda current: current.unlink(), "there is no pointer"),
    ],
    ids=["damaged", "gone"],
)
def test_a_first_release_is_not_put_over_releases_of_which_none_is_current(site: Site, harm: Any, reason: str) -> None:
    release = site.publish()["wanted"]["release"]
    harm(site.shared / "current")
    site.commit(first="2")
    done = site.publish(first_only=True)
    assert done["failed"]
    assert done["msg"].startswith("Releases were published here, and nothing tells which one is current")
    assert reason in done["msg"] and release in done["msg"]
    assert Store(site.shared).releases() == [release]
    # Whoever says what is to be published may.
    assert site.publish()["changed"]


def test_a_release_with_other_files_is_not_taken_for_the_commits(site: Site) -> None:
    (site.clone / "others").mkdir()
    (site.clone / "others" / "other.py").write_text("other")
    site.commit(first="1")
    site.publish()
    done = site.publish(folder="others")
    assert done["failed"]
    assert "from the same commit, but another folder or with other settings" in done["msg"]


def test_a_check_without_end_is_stopped_and_nothing_is_published(site: Site) -> None:
    done = site.publish(check=["timeout", "1", "sleep", "60"], check_timeout=1)
    assert "the import of the DAGs, or the file system, did not answer within 1 s (dags_check_seconds)" in done["msg"]
    done = site.publish(look=["timeout", "1", "sleep", "60"], timeout=1)
    assert "the shared file system did not answer within 1 s (dags_proof_seconds)" in done["msg"]
    assert not site.shared.exists()


def test_what_cannot_be_read_is_said_in_a_sentence(site: Site) -> None:
    (site.clone / "dags" / "first").write_text("not committed")
    assert "dags_allow_dirty" in site.publish()["msg"]
    assert "is no directory" in site.publish(repository="/nowhere")["msg"]


def test_a_revision_that_is_none_is_said_to_be_once(site: Site) -> None:
    done = site.publish(revision="nope")
    assert done["msg"] == f"dags_revision (nope) names no commit of {site.clone}"


def test_nothing_is_left_on_the_host(site: Site) -> None:
    path = site.folder / "seen"
    site.publish(check=["sh", "-c", f"echo {{stream}} > {path}; echo '{FINE}'"])
    stream = Path(path.read_text().strip())
    assert stream.is_absolute()
    assert not stream.exists()
