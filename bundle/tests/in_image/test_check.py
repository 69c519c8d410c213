# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree is checked before it is published: as the dag-processor sees it, and whatever its files do."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.models.variable import Variable

GOOD = """\
from airflow.sdk import DAG, task

with DAG("{dag}"):

    @task
    def work() -> None: ...

    work()
"""
# The program, where each look shows the end of a process before its last words.
ENDS_FIRST = """
import selectors, sys

class EndsFirst(selectors.DefaultSelector):
    def select(self, timeout=None):
        events = super().select(timeout)
        while events and all(key.fd == key.data.results for key, _ in events):
            events = super().select(timeout)
        return sorted(events, key=lambda event: event[0].fd == event[0].data.results)

selectors.DefaultSelector = EndsFirst
from freehold_airflow import check
sys.exit(check.main())
"""
# An import is over in milliseconds, but the machine may be busy.
LIMIT = 4

Check = Callable[..., "tuple[int, dict[str, Any]]"]


def run(tree: Path, files: dict[str, str], *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Write files, run the program on their tree and return exit status and report."""
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    before = sorted(tree.rglob("*"))
    command = [sys.executable, "-m", "freehold_airflow.check", "--root", str(tree)]
    done = subprocess.run(
        [*command, "--import-seconds", str(LIMIT), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    print(done.stderr)
    assert sorted(tree.rglob("*")) == before, "the check wrote into the tree"
    assert done.stdout.count("\n") == 1
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty tree."""
    found = tmp_path / "dags"
    found.mkdir()
    return found


@pytest.fixture
def check(tree: Path) -> Check:
    """Run the program on a tree of its own."""
    return functools.partial(run, tree)


def test_a_good_tree_passes_and_is_described(check: Check) -> None:
    status, report = check(
        {
            "one.py": GOOD.format(dag="one"),
            "nested/ä ☃/two.py": "from shared.names import NAME\n" + GOOD.replace('"{dag}"', "NAME"),
            "shared/__init__.py": "",
            "shared/names.py": "NAME = 'two'\n",
            "plain.py": "raise SystemExit('nobody imports this')\n",
            ".airflowignore": "drafts/\n",
            "drafts/broken.py": "from airflow import nothing\ndag = = 1\n",
        }
    )
    assert status == 0
    assert report["files"] == ["nested/ä ☃/two.py", "one.py"]
    assert [(dag["dag_id"], dag["file"]) for dag in report["dags"]] == [("one", "one.py"), ("two", "nested/ä ☃/two.py")]
    assert all(0 < dag["seconds"] < LIMIT for dag in report["dags"])
    assert report["errors"] == []
    assert report["seconds"] > 0


def test_the_settings_of_a_component_and_its_secrets_are_not_used(check: Check) -> None:
    status, report = check(
        {"one.py": GOOD.format(dag="one")},
        AIRFLOW__SECRETS__BACKEND="airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="postgresql://nobody@nowhere.invalid/none",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET="sql_alchemy_conn",
        AIRFLOW__CORE__FERNET_KEY_SECRET="fernet_key",
        AIRFLOW__CORE__EXECUTOR="CeleryExecutor",
        AIRFLOW__LOGGING__REMOTE_LOGGING="True",
        AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER="s3://nowhere/logs",
    )
    assert (status, report["errors"]) == (0, [])


def test_a_connected_check_answers_what_files_ask_the_database(check: Check, database: None) -> None:
    Variable.set("where", "here")
    files = {
        "one.py": f"from airflow.sdk import Variable\nassert Variable.get('where') == 'here'\n{GOOD.format(dag='one')}"
    }
    alone = check(files)
    assert (alone[0], [error["kind"] for error in alone[1]["errors"]]) == (1, ["import"])
    assert alone[1]["asked"] == ["variable where"]
    for connected in ("if-asked", "yes"):
        status, found = check(files, "--connected", connected)
        assert (status, found["errors"], found["asked"]) == (0, [], [])


def test_a_file_that_makes_do_with_a_default_is_looked_at_again(check: Check, database: None) -> None:
    Variable.set("name", "stored")
    text = "from airflow.sdk import DAG, Variable\ndag = DAG(Variable.get('name', default='default'))\n"
    assert [dag["dag_id"] for dag in check({"one.py": text})[1]["dags"]] == ["default"]
    assert [dag["dag_id"] for dag in check({"one.py": text}, "--connected=if-asked")[1]["dags"]] == ["stored"]


def test_a_file_that_asks_for_nothing_is_looked_at_once(check: Check) -> None:
    # There is no database here, so that a second look would end otherwise.
    assert check({"one.py": GOOD.format(dag="one")}, "--connected=if-asked")[1]["errors"] == []


def test_the_settings_that_decide_what_is_a_dag_file_are_obeyed(check: Check) -> None:
    files = {"one.py": GOOD.format(dag="one"), "plain.py": "x = 1\n"}
    assert check(files)[1]["files"] == ["one.py"]
    assert check(files, AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE="False")[1]["files"] == ["one.py", "plain.py"]


IMPORT = "from airflow.sdk import DAG\n"
OPERATORS = IMPORT + "from airflow.providers.standard.operators.empty import EmptyOperator\n"


Case = tuple[str, "int | tuple[int, ...] | None", str, str]
# What is wrong with each file: its text, the line or lines that may be named, the kind, a part of the message.
BAD: dict[str, Case] = {
    "syntax": (IMPORT + "dag = = 1\n", 2, "syntax", "SyntaxError: invalid syntax"),
    "indentation": (IMPORT + "  dag = 1\n", 2, "syntax", "IndentationError: unexpected indent"),
    "missing_module": (IMPORT + "\nimport nonesuch\n", 3, "import", "ModuleNotFoundError: No module named 'nonesuch'"),
    "two_lines": (IMPORT + "raise ValueError('two\\nlines')\n", 2, "import", "ValueError: two lines"),
    "sys_exit": (IMPORT + "import sys\nsys.exit(3)\n", 3, "import", "SystemExit: 3"),
    "variable": (IMPORT + "from airflow.sdk import Variable\nVariable.get('x')\n", 3, "import", "Variable x not found"),
    "argument": (OPERATORS + "DAG('d')\nEmptyOperator(task_id='a', no=1)\n", 4, "import", "{'no': 1}"),
    "cycle": (
        OPERATORS + "with DAG('circle'):\n    a = EmptyOperator(task_id='a')\n"
        "    b = EmptyOperator(task_id='b')\n    a >> b >> a\n",
        3,
        "cycle",
        "Cycle detected in Dag: circle. Faulty task: b",
    ),
    "timetable": (
        IMPORT + "from airflow.timetables.trigger import CronTriggerTimetable\n"
        "class Mine(CronTriggerTimetable):\n    pass\n"
        "dag = DAG('d', schedule=Mine('@daily', timezone='UTC'))\n",
        None,
        "serialization",
        "is not registered",
    ),
    "executor": (
        OPERATORS + "with DAG('d'):\n    EmptyOperator(task_id='a', executor='Nonesuch')\n",
        None,
        "import",
        "executor 'Nonesuch', which is not available",
    ),
    "segmentation": (IMPORT + "import ctypes\nctypes.string_at(0)\n", 3, "crash", "kills its process with SIGSEGV"),
    "os_exit": (IMPORT + "import os\nos._exit(0)\n", None, "crash", "ends its process with status 0"),
    "killed": (IMPORT + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", None, "crash", "with SIGKILL"),
    "loops": (IMPORT + "while True:\n    pass\n", (2, 3), "timeout", f"takes longer than {LIMIT} s"),
    "sleeps": (IMPORT + "import time\ntime.sleep(600)\n", 3, "timeout", f"takes longer than {LIMIT} s"),
    "stubborn": (
        IMPORT + "import signal, subprocess\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsubprocess.run(['sleep', '600'])\n",
        5,
        "timeout",
        "takes longer than",
    ),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report on one tree with all bad files and a good one: a process for each would cost seconds each."""
    files = {f"{name}.py": source for name, (source, *_) in BAD.items()} | {"good.py": GOOD.format(dag="good")}
    status, report = run(tmp_path_factory.mktemp("bad"), files)
    assert status == 1
    return report


def test_one_bad_file_hides_no_other(refused: dict[str, Any]) -> None:
    assert sorted(error["file"] for error in refused["errors"]) == sorted(f"{name}.py" for name in BAD)
    assert refused["files"] == sorted([*(f"{name}.py" for name in BAD), "good.py"])
    assert [dag["dag_id"] for dag in refused["dags"]] == ["good"]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_line(refused: dict[str, Any], name: str) -> None:
    _, line, kind, message = BAD[name]
    (error,) = (error for error in refused["errors"] if error["file"] == f"{name}.py")
    assert error["kind"] == kind, error
    assert message in error["message"]
    assert "\n" not in error["message"]
    assert error["line"] in (line if isinstance(line, tuple) else (line,))


def test_the_line_is_the_last_one_inside_the_tree_wherever_that_is(check: Check) -> None:
    status, report = check(
        {
            "one.py": IMPORT + "from shared import ä\n",
            "two.py": IMPORT + "from shared import loop\n",
            "shared/__init__.py": "",
            "shared/ä.py": "import json\n\n\ndef read():\n    return json.loads('{')\n\n\nread()\n",
            "shared/loop.py": "import time\ntime.sleep(600)\n",
        }
    )
    assert status == 1
    slow, wrong = report["errors"]
    assert (slow["file"], slow["line"], slow["kind"]) == ("shared/loop.py", 2, "timeout")
    assert slow["message"].endswith("(imported by two.py)")
    assert (wrong["file"], wrong["line"], wrong["kind"]) == ("shared/ä.py", 5, "import")
    assert wrong["message"].startswith("json.decoder.JSONDecodeError: ")
    assert wrong["message"].endswith("(imported by one.py)")


def test_one_dag_id_in_two_files_names_both(check: Check) -> None:
    decorated = "from airflow.sdk import dag\n\n@dag\ndef same():\n    pass\n\nsame()\n"
    files = {"a.py": GOOD.format(dag="same"), "b/c.py": decorated, "other.py": GOOD.format(dag="other")}
    status, report = check(files)
    assert status == 1
    message = "the DAG id 'same' is in a.py, too: rename one of them"
    assert report["errors"] == [{"file": "b/c.py", "line": 4, "kind": "duplicate", "message": message}]


def test_the_dag_id_of_the_images_own_dag_is_refused(check: Check) -> None:
    status, report = check({"smoke.py": GOOD.format(dag="freehold_smoke")})
    assert status == 1
    message = "the DAG id 'freehold_smoke' belongs to a DAG of the image: rename this one"
    assert report["errors"] == [{"file": "smoke.py", "line": 3, "kind": "duplicate", "message": message}]


def test_one_dag_id_twice_in_one_file_is_refused(check: Check) -> None:
    status, report = check({"a.py": GOOD.format(dag="same") + GOOD.format(dag="same").replace("work", "rest")})
    assert status == 1
    assert report["errors"] == [
        {"file": "a.py", "line": 3, "kind": "duplicate", "message": "this file has two DAGs with the id 'same'"}
    ]


def test_an_archive_is_looked_into(check: Check, tree: Path) -> None:
    with zipfile.ZipFile(tree / "packed.zip", "w") as archive:
        archive.writestr("inside.py", GOOD.format(dag="inside"))
    with zipfile.ZipFile(tree / "broken.zip", "w") as archive:
        archive.writestr("bad.py", IMPORT + "import nonesuch\n")
    (tree / "torn.zip").write_bytes((tree / "packed.zip").read_bytes().replace(b"airflow", b"AIRFLOW", 1))
    status, report = check({})
    assert status == 1
    assert report["files"] == ["broken.zip", "packed.zip", "torn.zip"]
    assert [(dag["dag_id"], dag["file"]) for dag in report["dags"]] == [("inside", "packed.zip")]
    broken, torn = report["errors"]
    assert (broken["file"], broken["line"], broken["kind"]) == ("broken.zip/bad.py", 2, "import")
    assert torn["file"].startswith("torn.zip")
    assert "CRC" in torn["message"]


def test_a_file_that_prints_without_end_blocks_nothing(check: Check) -> None:
    noisy = IMPORT + "import sys\nfor _ in range(20000):\n    print('x' * 100)\nprint('{}', file=sys.stderr)\n"
    status, report = check({"noisy.py": noisy + GOOD.format(dag="noisy")})
    assert (status, report["errors"]) == (0, [])
    assert [dag["dag_id"] for dag in report["dags"]] == ["noisy"]


def test_many_dags_of_one_file_fit_through(check: Check) -> None:
    many = IMPORT + "for number in range(1000):\n    globals()[f'd{number}'] = DAG(f'{\"long\" * 30}{number}')\n"
    status, report = check({"many.py": many}, "--import-seconds", "60")
    assert (status, report["errors"]) == (0, [])
    assert len(report["dags"]) == 1000


def test_what_a_file_has_started_does_not_outlive_the_check(check: Check, tmp_path: Path) -> None:
    started = (
        IMPORT + f"import subprocess\npid = subprocess.Popen(['sleep', '600']).pid\n"
        f"open({str(tmp_path)!r} + '/%s', 'w').write(str(pid))\n"
    )
    status, report = check(
        {
            "hangs.py": started.replace("%s", "hangs") + "while True:\n    pass\n",
            "ends.py": started.replace("%s", "ends") + GOOD.format(dag="ends"),
        }
    )
    assert status == 1
    assert [(error["file"], error["kind"]) for error in report["errors"]] == [("hangs.py", "timeout")]
    for name in ("hangs", "ends"):
        status_of = Path("/proc", (tmp_path / name).read_text(), "stat")
        # Whoever adopts it may not have buried it yet.
        assert not status_of.exists() or status_of.read_text().split(") ")[1].startswith("Z")


def test_a_folder_that_contains_itself_is_refused_because_the_dag_processor_would_end(check: Check, tree: Path) -> None:
    (tree / "folder").mkdir()
    (tree / "folder" / "again").symlink_to("../folder")
    status, report = check({"one.py": GOOD.format(dag="one")})
    assert status == 1
    (error,) = report["errors"]
    assert (error["file"], error["kind"]) == (".", "discovery")
    assert "recursive loop" in error["message"]


def test_a_file_that_airflow_would_leave_out_because_it_cannot_read_it_is_refused(check: Check, tree: Path) -> None:
    (tree / "secret.py").write_text(GOOD.format(dag="secret"))
    (tree / "secret.py").chmod(0)
    status, report = check({"one.py": GOOD.format(dag="one")})
    assert status == 1
    (error,) = report["errors"]
    assert (error["file"], error["kind"]) == ("secret.py", "unreadable")


def test_the_working_directory_is_not_where_files_import_from(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside.py").write_text("")
    monkeypatch.chdir(tmp_path)
    status, report = check({"one.py": IMPORT + "import beside\n"})
    assert status == 1
    assert report["errors"][0]["message"] == "ModuleNotFoundError: No module named 'beside'"


@pytest.mark.parametrize("arguments", [[], ["--root", "/none"], ["--root", "/", "--jobs", "0"], ["--root", "/", "-x"]])
def test_a_command_that_makes_no_sense_has_its_own_status(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "freehold_airflow.check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage:" in done.stderr


def test_a_process_may_be_seen_to_end_before_its_last_words_are_heard(tree: Path) -> None:
    for number in range(4):
        (tree / f"d{number}.py").write_text(GOOD.format(dag=f"d{number}"))
    command = [sys.executable, "-c", ENDS_FIRST, "--root", str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["dags"]) == 4


def test_a_hundred_files_take_seconds(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without measuring coverage, which costs every child half a second.
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)
    status, report = check({f"d{number}.py": GOOD.format(dag=f"d{number}") for number in range(100)})
    assert (status, len(report["dags"])) == (0, 100)
    # An interpreter for each file would take minutes on any machine.
    assert report["seconds"] < 60
