# SPDX-License-Identifier: GPL-3.0-or-later
"""A real dag-processor follows the pointer, and the database tells which release Airflow runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.api.common.delete_dag import delete_dag
from airflow.exceptions import AirflowException, DagNotFound
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbag import DagPriorityParsingRequest
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.errors import ParseImportError
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunType
from freehold_airflow import releases
from freehold_airflow.proof import configured
from freehold_airflow.publish import move_pointer
from freehold_airflow.release import ReleaseError
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from bundle.tests.in_image.conftest import Story
from bundle.tests.trees import Publish, Tree

Play = Callable[[Story], None]


def dag(dag_id: str, doc: str = "") -> bytes:
    """A DAG file; ``doc`` is a part of what Airflow stores of it."""
    return f'from airflow.sdk import DAG\n\ndag = DAG("{dag_id}", doc_md="{doc}")\n'.encode()


def expected(**files: str) -> str:
    """What the check would say of a release."""
    return json.dumps(
        {"dags": [{"dag_id": dag_id, "file": f"{file}.py"} for dag_id, file in files.items()], "errors": []}
    )


class Command:
    """The program, started beside the dag-processor."""

    def __init__(self, *arguments: str, dags: str = "") -> None:
        command = [sys.executable, "-m", "freehold_airflow.releases", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None
        self.process.stdin.write(dags)
        self.process.stdin.close()

    def ended(self) -> bool:
        """Whether it has come to its verdict."""
        return self.process.poll() is not None

    @property
    def answer(self) -> tuple[int, dict[str, Any]]:
        """Its exit status and what it printed."""
        status = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        return status, json.loads(self.process.stdout.read() or "{}")


def parsed(release: str, *dag_ids: str) -> Callable[[], bool]:
    """Whether a release is parsed that has these DAGs, each in a file of its name."""
    return lambda: releases.look("dags", release, {dag_id: f"{dag_id}.py" for dag_id in dag_ids}).done


def wait(release: str, seconds: int = 80, **files: str) -> Command:
    """Wait for a release that has these DAGs, each with the file (without .py) that it is in."""
    arguments = ("--release", release, "--dags", "-", "--seconds", str(seconds))
    return Command("wait", *arguments, dags=expected(**files))


def rows() -> dict[str, DagModel]:
    """The DAGs that Airflow knows."""
    with create_session() as session:
        found = {row.dag_id: row for row in session.scalars(select(DagModel))}
        session.expunge_all()
    return found


def stored(dag_id: str) -> tuple[str, str]:
    """The release and the ``doc_md`` of what Airflow would run next."""
    with create_session() as session:
        version = session.scalar(
            select(DagVersion).where(DagVersion.dag_id == dag_id).order_by(DagVersion.version_number.desc()).limit(1)
        )
        return version.bundle_version, version.serialized_dag.data["dag"].get("doc_md", "")


def asked_for() -> bool:
    """Whether the dag-processor has not yet begun with what it was asked for."""
    with create_session() as session:
        return bool(session.scalars(select(DagPriorityParsingRequest)).all())


def start_run(dag_id: str, run_id: str, release: str, state: DagRunState = DagRunState.RUNNING) -> None:
    """What the scheduler writes when a run begins."""
    with create_session() as session:
        run = DagRun(dag_id=dag_id, run_id=run_id, run_type=DagRunType.MANUAL, state=state, bundle_version=release)
        run.run_after = datetime.now(UTC)
        run.log_template_id = 1
        session.add(run)


def start_task(dag_id: str, run_id: str, release: str) -> None:
    """What the scheduler writes when a task of a run begins."""
    with create_session() as session:
        version = DagVersion(dag_id=dag_id, version_number=1, bundle_name="dags", bundle_version=release)
        session.add(version)
        session.flush()
        session.execute(
            TaskInstance.__table__.insert().values(
                id=version.id,
                dag_id=dag_id,
                run_id=run_id,
                task_id="t",
                map_index=-1,
                state=TaskInstanceState.RUNNING,
                pool="default_pool",
                pool_slots=1,
                dag_version_id=version.id,
            )
        )


def test_a_new_release_is_waited_for_and_what_it_no_longer_has_is_deactivated(play: Play, put: Publish) -> None:
    answers = []

    def story() -> Story:
        put("aaa", {"one.py": dag("one"), "two.py": dag("two"), "both.py": dag("kept") + b"other = DAG('dropped')\n"})
        waiting = wait("aaa", one="one", two="two", kept="both", dropped="both")
        yield waiting.ended
        answers.append(waiting.answer)
        put("bbb", {"one.py": dag("one"), "both.py": dag("kept"), "new.py": dag("new")})
        waiting = wait("bbb", one="one", kept="both", new="new")
        yield waiting.ended
        answers.append(waiting.answer)

    play(story())
    (first_status, first), (status, second) = answers
    assert (first_status, first["parsed"], first["missing"]) == (0, True, [])
    assert (status, second["parsed"], second["import_errors"]) == (0, True, [])
    found = rows()
    assert {dag_id for dag_id, row in found.items() if not row.is_stale} == {"one", "kept", "new"}
    # Airflow itself deactivates what has no file any more; what left a file that is still there, only minutes later.
    assert second["deactivated"] == ["dropped"]
    assert all(found[name].bundle_version == "bbb" for name in ("one", "kept", "new"))


def test_a_change_that_airflow_would_store_later_is_not_called_parsed(
    play: Play, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "20")
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL", "0")
    seen = []

    def story() -> Story:
        put("aaa", {"one.py": dag("one", "first")})
        yield parsed("aaa", "one")
        put("bbb", {"one.py": dag("one", "second")})
        yield lambda: rows()["one"].bundle_version == "bbb"
        seen.append((stored("one"), parsed("bbb", "one")()))
        yield parsed("bbb", "one")
        seen.append((stored("one"), True))

    play(story())
    assert seen == [(("aaa", "first"), False), (("bbb", "second"), True)]


def test_a_parse_that_was_under_way_is_not_taken_for_the_new_release(play: Play, put: Publish) -> None:
    seen = []

    def story() -> Story:
        put("aaa", {"one.py": b"import time\n\ntime.sleep(5)\n" + dag("one", "first")})
        yield parsed("aaa", "one")
        releases.ask_for("dags", {"one.py"})
        yield lambda: not asked_for()
        put("bbb", {"one.py": dag("one", "second")})
        yield lambda: rows()["one"].bundle_version == "bbb"
        seen.append((stored("one"), "/versions/aaa/" in rows()["one"].fileloc, parsed("bbb", "one")()))
        yield parsed("bbb", "one")
        seen.append((stored("one"), "/versions/aaa/" in rows()["one"].fileloc, True))

    play(story())
    # Airflow stores the old content under the new release's name, until it has parsed the file again.
    assert seen == [(("bbb", "first"), True, False), (("bbb", "second"), False, True)]


def test_a_rollback_does_not_wait_for_airflows_next_round(play: Play, root: Path, put: Publish) -> None:
    answers = []

    def story() -> Story:
        for release in ("aaa", "bbb"):
            put(release, {"one.py": dag("one", release)})
            yield parsed(release, "one")
        move_pointer(root, "aaa")
        waiting = wait("aaa", one="one")
        yield waiting.ended
        answers.append(waiting.answer)

    play(story())
    ((status, answer),) = answers
    assert (status, answer["parsed"]) == (0, True)
    # Airflow's own next round would come 30 s after the last one.
    assert answer["seconds"] < 20
    assert stored("one") == ("aaa", "aaa")
    assert "/dags/versions/aaa/" in rows()["one"].fileloc


def test_a_file_that_cannot_be_imported_here_ends_the_wait_early(play: Play, put: Publish) -> None:
    answers = []

    def story() -> Story:
        put("aaa", {"one.py": dag("one"), "bad.py": dag("bad")})
        yield parsed("aaa", "one", "bad")
        put("bbb", {"one.py": dag("one"), "bad.py": dag("bad") + b"raise ValueError('only here')\n"})
        waiting = wait("bbb", 600, one="one", bad="bad")
        yield waiting.ended
        answers.append(waiting.answer)

    play(story())
    ((status, answer),) = answers
    assert (status, answer["parsed"], answer["missing"]) == (1, False, ["bad"])
    assert answer["import_errors"] == [{"file": "bad.py", "message": "ValueError: only here"}]
    found = rows()["bad"]
    assert (found.is_stale, found.has_import_errors) == (True, True)


def test_a_release_that_cannot_be_had_leaves_the_dags_of_the_one_before_active(
    play: Play, root: Path, put: Publish
) -> None:
    answers: list[Any] = []
    tree: Tree = {"one.py": dag("one")}

    def story() -> Story:
        put("aaa", tree)
        yield parsed("aaa", "one")
        put("bbb", tree | {"two.py": dag("two")})
        hidden = root / "releases" / "bbb.json.gz"
        hidden.rename(root / "hidden")
        waiting = wait("bbb", 5, one="one", two="two")
        yield waiting.ended
        answers.append(waiting.answer)
        last = rows()["one"].last_parsed_time
        # Airflow goes on with the earlier one ...
        releases.ask_for("dags", {"one.py"})
        yield lambda: rows()["one"].last_parsed_time > last
        answers.append((rows()["one"].bundle_version, rows()["one"].is_stale))
        # ... and takes the new one as soon as it is there.
        (root / "hidden").rename(hidden)
        yield parsed("bbb", "one", "two")

    play(story())
    refused, before = answers
    assert (refused[0], refused[1]["missing"]) == (1, ["one", "two"])
    assert before == ("aaa", False)


def test_a_release_that_is_overtaken_is_waited_for_no_longer(play: Play, put: Publish) -> None:
    answers: list[Any] = []

    def story() -> Story:
        put("aaa", {"one.py": dag("one")})
        yield parsed("aaa", "one")
        waiting = wait("bbb", 600, one="one", two="two")
        yield waiting.ended
        answers.append(waiting.answer)

    play(story())
    [(status, answer)] = answers
    assert (status, answer["parsed"], answer["overtaken"]) == (1, False, "aaa")


class Away:
    """A database that does not answer so many times."""

    def __init__(self, times: int) -> None:
        self.times, self.look = times, releases.look

    def __call__(self, *arguments: Any) -> releases.State:
        self.times -= 1
        if self.times >= 0:
            raise OperationalError("SELECT 1", {}, Exception("server closed the connection\nunexpectedly"))
        return self.look(*arguments)


def looked_for(seconds: float, **files: str) -> releases.Waited:
    """What came of waiting for the release bbb, in this process."""
    [bundle] = configured(os.environ)
    found = {dag_id: f"{file}.py" for dag_id, file in files.items()}
    return releases.wait(bundle, "bbb", found, seconds)


@pytest.fixture
def parsed_bbb(database: None, storage: Path, put: Publish) -> None:
    """The rows of a release without DAGs that was parsed."""
    put("bbb", {"one.py": b""})
    with create_session() as session:
        session.add(DagBundleModel(name="dags", version="bbb"))


def test_a_database_that_comes_back_in_time_costs_nothing_but_time(
    parsed_bbb: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "look", Away(3))
    found = looked_for(60)
    assert (found.parsed, found.error) == (True, "")
    assert 1 <= found.seconds < 30


def test_a_database_that_stays_away_is_named_at_the_end(parsed_bbb: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "look", Away(1000))
    found = looked_for(2)
    assert not found.parsed
    assert found.error == "its database can't be asked: (builtins.Exception) server closed the connection"


def test_what_runs_need_must_be_known_for_a_release_to_count_as_parsed(
    parsed_bbb: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    monkeypatch.setattr(releases, "in_use", fail)
    found = looked_for(1)
    assert (found.parsed, found.in_use) == (False, {})
    assert "gone" in found.error


def test_a_dag_id_that_depends_on_a_variable_is_looked_up_anew(
    play: Play, put: Publish, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_NAME", "now")
    by_variable = b'from airflow.sdk import DAG, Variable\n\ndag = DAG("by_" + Variable.get("name"))\n'
    answers = []

    def story() -> Story:
        put("aaa", {"one.py": dag("one"), "by.py": by_variable})
        yield parsed("aaa", "one", "by_now")
        # The check saw another value, on the day of the publication.
        looking = wait("aaa", 0, one="one", by_then="by")
        yield looking.ended
        answers.append(looking.answer)
        waiting = wait("aaa", one="one", by_then="by")
        yield waiting.ended
        answers.append(waiting.answer)
        deleting = Command("delete-gone", "--release", "aaa", "--dags", "-", dags=expected(one="one", by_then="by"))
        yield deleting.ended
        answers.append(deleting.answer)

    play(story())
    (looked, first), (waited, second), (_, deleted) = answers
    assert (looked, first["missing"]) == (0, [])
    assert (waited, second["missing"], second["deactivated"]) == (0, [], [])
    assert second["seconds"] < 60
    assert (deleted["deleted"], deleted["kept"]) == ([], [])


def test_a_file_that_fails_only_when_it_is_imported_again_takes_no_dag_away(
    storage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "one.py").write_bytes(dag("one"))
    assert releases.import_again(tree, os.environ) == {"one": "one.py"}
    (tree / "bad.py").write_bytes(dag("bad") + b"raise ValueError\n")
    assert releases.import_again(tree, os.environ) is None
    assert releases.import_again(tree / "nowhere", os.environ) is None
    (tree / "bad.py").write_bytes(dag("slow") + b"import time\ntime.sleep(3)\n")
    assert releases.import_again(tree, os.environ, seconds=1) is None
    assert releases.import_again(tree, os.environ, seconds=20) == {"one": "one.py", "slow": "bad.py"}
    assert "was not imported again" in capfd.readouterr().err


def test_the_rows_that_lie_about_a_release_are_not_believed(database: None, storage: Path) -> None:
    now = datetime.now(UTC)
    with create_session() as session:
        session.add(DagBundleModel(name="dags", version="bbb"))
        session.flush()
        session.add(DagModel(dag_id="one", bundle_name="dags", bundle_version="bbb"))
        session.flush()
        version = DagVersion(dag_id="one", version_number=1, bundle_name="dags", bundle_version="bbb")
        session.add(version)
        session.flush()
        row = SerializedDagModel.__table__.insert().values(
            id=version.id, dag_id="one", dag_hash="0", dag_version_id=version.id, data={}, created_at=now
        )
        session.execute(row.values(last_updated=now - timedelta(minutes=5)))

    def missing(**values: Any) -> list[str]:
        with create_session() as session:
            session.execute(update(DagModel).values(is_stale=False, last_parsed_time=now, **values))
        return releases.look("dags", "bbb", {"one": "one.py"}).missing

    here, there = (f"/storage/dags/versions/{release}/one.py" for release in ("bbb", "aaa"))
    assert missing(fileloc=here, bundle_version="bbb") == []
    # Parsed from the earlier copy, stored when the new release had been seen.
    assert missing(fileloc=there, bundle_version="bbb") == ["one"]
    assert missing(fileloc=here, bundle_version="aaa") == ["one"]
    for age, wanted in ((timedelta(seconds=5), ["one"]), (timedelta(seconds=-1), []), (timedelta(seconds=31), [])):
        with create_session() as session:
            session.execute(update(SerializedDagModel).values(last_updated=now - age))
        assert missing(fileloc=here, bundle_version="bbb") == wanted


def test_an_import_error_of_another_release_is_not_held_against_this_one(database: None, storage: Path) -> None:
    with create_session() as session:
        for file, text in (
            ("old.py", 'File "/storage/dags/versions/aaa/old.py", line 1\nValueError: old\n'),
            ("new.py", 'File "/storage/dags/versions/bbb/new.py", line 1\nValueError: new\n'),
            ("some.py", "AirflowDagCycleException: some\n"),
        ):
            session.add(ParseImportError(filename=file, bundle_name="dags", stacktrace=text))
        session.add(ParseImportError(filename="x.py", bundle_name="other", stacktrace="x"))
    state = releases.look("dags", "bbb", {})
    assert [error["message"] for error in state.import_errors] == ["ValueError: new", "AirflowDagCycleException: some"]
    assert state.failed_files == {"new.py"}


def test_what_runs_need_is_in_use(database: None, storage: Path) -> None:
    with create_session() as session:
        session.add_all([DagBundleModel(name="dags"), DagBundleModel(name="other")])
        session.flush()
        session.add_all(
            [
                DagModel(dag_id="one", bundle_name="dags", bundle_version="ccc", is_stale=False),
                DagModel(dag_id="old", bundle_name="dags", bundle_version="zzz", is_stale=True),
                DagModel(dag_id="other", bundle_name="other", bundle_version="xxx", is_stale=False),
            ]
        )
    start_run("one", "running", "aaa")
    start_run("one", "queued", "aaa", DagRunState.QUEUED)
    start_run("one", "done", "yyy", DagRunState.SUCCESS)
    start_run("one", "ended_by_hand", "bbb", DagRunState.FAILED)
    start_run("old", "running", "bbb")
    start_run("other", "running", "www")
    start_task("one", "ended_by_hand", "bbb")
    status, answer = Command("in-use").answer
    assert status == 0
    assert answer == {
        "bundle": "dags",
        "releases": {
            "aaa": {"dags": 0, "runs": 2, "tasks": 0},
            "bbb": {"dags": 0, "runs": 1, "tasks": 1},
            "ccc": {"dags": 1, "runs": 0, "tasks": 0},
        },
    }


def test_gone_dags_are_deleted_with_their_history_but_not_under_a_run(play: Play, put: Publish) -> None:
    answers = []

    def story() -> Story:
        put("aaa", {f"{name}.py": dag(name) for name in ("one", "gone", "busy")})
        yield parsed("aaa", "one", "gone", "busy")
        start_run("gone", "done", "aaa", DagRunState.SUCCESS)
        start_run("busy", "running", "aaa")
        put("bbb", {"one.py": dag("one")})
        too_early = Command("delete-gone", "--release", "ccc", "--dags", "-", dags=expected(one="one"))
        yield parsed("bbb", "one")
        answers.append(too_early.answer)
        deleting = Command("delete-gone", "--release", "bbb", "--dags", "-", dags=expected(one="one"))
        yield deleting.ended
        answers.append(deleting.answer)

    play(story())
    assert answers[0] == (1, {})
    assert answers[1] == (0, {"bundle": "dags", "release": "bbb", "deleted": ["gone"], "kept": ["busy"]})
    assert set(rows()) == {"one", "busy"}
    with create_session() as session:
        assert session.scalars(select(DagRun.dag_id)).all() == ["busy"]


@pytest.fixture
def gone(parsed_bbb: None) -> list[str]:
    """DAGs that the release bbb, which is parsed, no longer has."""
    names = ["early", "late", "working"]
    with create_session() as session:
        session.add_all(
            DagModel(dag_id=name, bundle_name="dags", bundle_version="aaa", is_stale=True) for name in names
        )
    return names


def delete_gone() -> subprocess.CompletedProcess[str]:
    """Ask for the deletion of what bbb no longer has."""
    command = [sys.executable, "-m", "freehold_airflow.releases", "delete-gone", "--release", "bbb", "--dags", "-"]
    return subprocess.run(command, input=expected(), capture_output=True, text=True, timeout=60, check=False)


def test_a_task_at_work_keeps_its_dag_and_no_other(gone: list[str]) -> None:
    start_run("working", "ended_by_hand", "aaa", DagRunState.FAILED)
    start_task("working", "ended_by_hand", "aaa")
    done = delete_gone()
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["deleted"], answer["kept"]) == (["early", "late"], ["working"])
    assert set(rows()) == {"working"}


def test_a_release_that_was_published_since_ends_the_deletion(gone: list[str], put: Publish) -> None:
    # It may have all of them again, and the dag-processor has not looked at it yet.
    put("ccc", {"early.py": dag("early")})
    done = delete_gone()
    assert (done.returncode, done.stdout) == (1, "")
    assert "release ccc was published after this one" in done.stderr
    assert set(rows()) == set(gone)


def test_a_publication_in_the_middle_of_a_deletion_ends_it_there(
    gone: list[str], put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(dag_id: str, delete: Callable[[str], int] = delete_dag) -> None:
        delete(dag_id)
        put("ccc", {"late.py": dag("late")})

    monkeypatch.setattr("airflow.api.common.delete_dag.delete_dag", delete)
    [bundle] = configured(os.environ)
    with pytest.raises(ReleaseError, match="release ccc was published after this one; deleted before that: early"):
        releases.delete_gone(bundle, "bbb", {})
    assert set(rows()) == {"late", "working"}


def test_what_others_do_meanwhile_ends_no_deletion(gone: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(dag_id: str, delete: Callable[[str], int] = delete_dag) -> None:
        if dag_id == "early":
            raise DagNotFound(dag_id)
        if dag_id == "late":
            raise AirflowException("TaskInstances still running")
        delete(dag_id)

    monkeypatch.setattr("airflow.api.common.delete_dag.delete_dag", delete)
    [bundle] = configured(os.environ)
    found = releases.delete_gone(bundle, "bbb", {})
    assert (found["deleted"], found["kept"]) == (["working"], ["late"])


@pytest.mark.parametrize(("command", "asked"), [("delete-gone", "look"), ("in-use", "in_use")])
def test_a_database_that_is_away_ends_the_command_in_a_sentence(
    command: str,
    asked: str,
    gone: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "dags.json").write_text(expected())
    monkeypatch.setattr(releases, asked, Away(1))
    about = [] if command == "in-use" else ["--release", "bbb", "--dags", str(tmp_path / "dags.json")]
    assert releases.main([command, *about]) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("freehold_airflow.releases: its database can't be asked: ")
    assert last.endswith("server closed the connection")


@pytest.mark.parametrize(
    ("arguments", "dags", "message"),
    [
        (("wait", "--release", "aaa", "--dags", "-"), "[]", "list of DAGs"),
        (("wait", "--release", "../aaa", "--dags", "-"), expected(), "no name of a release"),
        (("wait", "--release", "aaa", "--dags", "/none"), "", "No such file"),
        (("in-use", "--bundle", "other"), "", "no bundle is called other; there are: dags"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(
    storage: Path, arguments: tuple[str, ...], dags: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "freehold_airflow.releases", *arguments]
    done = subprocess.run(command, input=dags, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
