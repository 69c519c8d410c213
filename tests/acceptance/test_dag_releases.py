# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file of the commit is, exactly, in every container."""

from __future__ import annotations

import os

import pytest
from docker.models.containers import Container

from .conftest import run
from .releases import COPIES, SHARED, SLEEPER, Dags, assert_everywhere, pointer, shell, started


def test_every_kind_of_file_is_in_every_container_and_none_restarted(dags: Dags, hosts: dict[str, Container]) -> None:
    before = started(hosts)
    folder = dags.path / "with space" / "ä ☃"
    folder.mkdir(parents=True)
    (folder / "query.sql").write_text("select 1;\n")
    (dags.path / "empty").touch()
    (dags.path / ".airflowignore").write_text("drafts/\n")
    (dags.path / "drafts").mkdir()
    (dags.path / "drafts" / "broken.py").write_text("from airflow import not yet\n")
    (dags.path / "binary.bin").write_bytes(bytes(range(256)) * 100)
    (dags.path / "run.sh").write_text("#!/bin/sh\n")
    (dags.path / "run.sh").chmod(0o755)
    (dags.path / "link.sql").symlink_to("with space/ä ☃/query.sql")
    (dags.path / ".gitattributes").write_text("empty export-ignore\n*.sql text eol=crlf\n")
    (dags.path / ".gitignore").write_text("*.log\n")
    release = dags.commit()
    (dags.path / "noise.log").write_text("ignored")
    dags.sync()
    (dags.path / "noise.log").unlink()
    assert_everywhere(hosts, dags, release)
    report = dags.report()
    assert report["exact"] and report["release"] == release
    assert len(report["containers"]) == 6
    assert started(hosts) == before


def test_changes_that_others_miss_arrive(dags: Dags, hosts: dict[str, Container]) -> None:
    data = dags.path / "data.txt"
    status = data.stat()
    assert status.st_size == len("two")
    data.write_text("two")
    os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
    # So that Git does not trust the time either.
    dags.git("rm", "--quiet", "--cached", "data.txt")
    (dags.path / "run.sh").chmod(0o644)
    (dags.path / "binary.bin").rename(dags.path / "other.bin")
    (dags.path / "empty").unlink()
    release = dags.commit()
    assert len(dags.git("show", "--format=", "--name-status", "--find-renames", release).splitlines()) == 4
    dags.sync()
    assert_everywhere(hosts, dags, release)


def test_publishing_what_is_published_changes_nothing(dags: Dags, hosts: dict[str, Container]) -> None:
    look = f"find {SHARED} -printf '%p %T@ %i\\n' | sort"
    before = shell(hosts["lab-scheduler-1"], look)
    done = dags.sync()
    assert {host: figures["changed"] for host, figures in done.recap().items() if figures["changed"]} == {}
    assert shell(hosts["lab-scheduler-1"], look) == before


def test_check_mode_tells_and_does_nothing(dags: Dags, hosts: dict[str, Container]) -> None:
    before = pointer(hosts)
    (dags.path / "added.txt").touch()
    release = dags.commit()
    done = run("ansible-playbook", "playbooks/dag-sync.yml", *dags.arguments(), "--check", "--diff")
    assert "+ added.txt" in done.output
    assert pointer(hosts) == before
    assert release not in shell(hosts["lab-scheduler-1"], f"ls {COPIES} {SHARED}/releases")


def test_a_run_keeps_the_release_it_began_with_and_the_next_takes_the_new_one(dags: Dags) -> None:
    old = dags.version("old")
    dags.sync()
    first = dags.hold(tries=2)
    new = dags.version("new")
    dags.sync()
    # Its second try begins when the new release is current.
    dags.let_go(first)
    second = dags.trigger()
    assert dags.ended(second) == ("success", new, {"new"})
    assert dags.ended(first) == ("success", old, {"old"})
    assert dags.task_of(first)["try_number"] == 2


BROKEN = {
    "a syntax error": ("broken.py", "# Two words make Airflow read a file: airflow, dag.\nx = (\n", "broken.py:2"),
    "an import error": ("broken.py", "# airflow, dag\nimport no_such_module_anywhere\n", "broken.py:2"),
    "a DAG id that is there twice": ("twin.py", SLEEPER, "sleeper"),
    "an import that hangs": ("hangs.py", "import time\nfrom airflow.sdk import dag\ntime.sleep(600)\n", "hangs.py"),
    "a link that leads outside": ("outside", "../../etc/passwd", "points outside the tree"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_airflow_cannot_use_is_not_published(dags: Dags, hosts: dict[str, Container], case: str) -> None:
    name, content, said = BROKEN[case]
    before = shell(hosts["lab-scheduler-1"], f"find {SHARED} {COPIES} -maxdepth 2 | sort")
    path = dags.path / name
    path.symlink_to(content) if name == "outside" else path.write_text(content)
    dags.commit()
    try:
        done = dags.sync(ok=False, dags_import_seconds=5)
        assert done.returncode == 2
        assert said in done.output
        assert shell(hosts["lab-scheduler-1"], f"find {SHARED} {COPIES} -maxdepth 2 | sort") == before
    finally:
        path.unlink()
        dags.commit()


def test_uncommitted_changes_are_refused_and_named(dags: Dags) -> None:
    (dags.path / "data.txt").write_text("not committed")
    done = dags.sync(ok=False)
    assert done.returncode == 2
    assert "data.txt" in done.output and "dags_allow_dirty" in done.output
    dags.sync(dags_allow_dirty=True)
    assert "-dirty-" in dags.report()["release"]
    dags.git("checkout", "--", "data.txt")


def test_rolling_back_and_back_again(dags: Dags, hosts: dict[str, Container]) -> None:
    old = dags.version("before")
    dags.sync()
    new = dags.version("after")
    dags.sync()
    run("make", "dag-rollback")
    assert pointer(hosts) == old
    assert dags.ended(dags.trigger())[1:] == (old, {"before"})
    run("ansible-playbook", "playbooks/dag-rollback.yml", "-e", f"dags_rollback_to={new[:12]}")
    assert pointer(hosts) == new
    refused = run("ansible-playbook", "playbooks/dag-rollback.yml", "-e", "dags_rollback_to=nothing", ok=False)
    assert refused.returncode == 2
    assert "dags_rollback_to (nothing)" in refused.output
    assert f"{new[:12]} (current)" in refused.output and f"{old[:12]} (previous)" in refused.output
    assert pointer(hosts) == new
