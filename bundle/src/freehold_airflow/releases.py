# SPDX-License-Identifier: GPL-3.0-or-later
"""What Airflow's metadata database says about releases: ``python -m freehold_airflow.releases COMMAND``.

``wait``         wait until Airflow has parsed a release; the answer also names the releases that DAG runs need
``in-use``       name the releases that DAG runs need
``delete-gone``  delete the DAGs that a release no longer has, with their history

Runs where Airflow's settings give the database: in a scheduler's or dag-processor's container. Prints one line of JSON;
everything else goes to stderr. docs/decisions/0002-release-format.md says how the rows are read.

Which DAGs a release has is what the check found. Where one of them is missing, this host's copy is imported again
before that is held against Airflow: DAG ids may depend on a variable that has changed since.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from freehold_airflow.answer import take_stdout
from freehold_airflow.copies import Copies
from freehold_airflow.proof import Bundle, configured
from freehold_airflow.release import ReleaseError, Store, check_name

POLL_SECONDS = 0.5
# A file that has not been parsed this long after the release was seen is asked for, and again after as long.
ASK_SECONDS = 5.0
# When the same DAGs have been missing for this long, the release is imported again, to see whether it still has them.
AGAIN_SECONDS = 20.0
IMPORT_SECONDS = 600.0


@dataclass
class State:
    """How far Airflow is with a release. Lists are sorted.

    ``missing`` are DAGs of the release that Airflow doesn't run from it yet, ``gone`` active ones that the release
    doesn't have, ``unexpected`` active ones that only Airflow found in it.
    """

    seen: bool = False
    missing: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    import_errors: list[dict[str, str]] = field(default_factory=list)
    failed_files: set[str] = field(default_factory=set)

    @property
    def done(self) -> bool:
        """Whether Airflow runs this release, all of it and nothing else."""
        return self.seen and not (self.missing or self.gone or self.import_errors)

    def hopeless(self, expected: Mapping[str, str]) -> bool:
        """Whether the release was parsed as far as it can be, and files of it can't be imported here."""
        waited_for = {expected[dag_id] for dag_id in self.missing}
        return self.seen and bool(self.failed_files) and waited_for <= self.failed_files


@dataclass(frozen=True)
class Waited:
    """What came of waiting for a release; ``overtaken`` names the one that was published meanwhile, if any.

    ``error`` says why the database could not be asked in the end; then the rest is what was known last.
    """

    bundle: str
    release: str
    parsed: bool
    overtaken: str
    seconds: float
    missing: list[str]
    gone: list[str]
    unexpected: list[str]
    deactivated: list[str]
    import_errors: list[dict[str, str]]
    in_use: dict[str, dict[str, int]]
    error: str = ""


# Imports a release anew; returns its DAGs as DAG id and file, or None where that can't be done.
Again = Callable[[], "dict[str, str] | None"]


def look(bundle: str, release: str, expected: Mapping[str, str]) -> State:
    """Compare the database with the DAGs of a release, given as DAG id and file."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        seen = session.scalar(select(DagBundleModel.version).where(DagBundleModel.name == bundle))
        state = State(seen=seen == release)
        parsed = _parsed(session, bundle, release)
        errors = session.execute(
            select(ParseImportError.filename, ParseImportError.stacktrace)
            .where(ParseImportError.bundle_name == bundle)
            .order_by(ParseImportError.filename)
        ).all()
    state.missing = sorted(dag_id for dag_id in expected if not parsed.get(dag_id, (False, False))[1])
    for dag_id in sorted(set(parsed) - set(expected)):
        (state.unexpected if parsed[dag_id][0] else state.gone).append(dag_id)
    for file, text in errors:
        of_this = _folder(bundle, release) in (text or "")
        # What names another release's files only is what Airflow has not yet cleared away.
        if of_this or _folder(bundle) not in (text or ""):
            state.import_errors.append({"file": str(file), "message": _last_line(text)})
        if of_this:
            state.failed_files.add(str(file))
    return state


def _parsed(session: Any, bundle: str, release: str) -> dict[str, tuple[bool, bool]]:
    """The active DAGs of a bundle, and for each whether it comes from the release, and whether all rows say so.

    A parse that began before the release was seen is stored under the release's name, with the earlier one's content:
    only ``dag.fileloc`` tells. And Airflow stores no changed DAG twice within ``min_serialized_dag_update_interval``
    but counts it as parsed: then the stored one is younger than the parse minus that time, and older than the parse.
    """
    from airflow.configuration import conf
    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.serialized_dag import SerializedDagModel
    from sqlalchemy import func, select

    interval = timedelta(seconds=conf.getint("core", "min_serialized_dag_update_interval", fallback=30))
    latest = select(DagVersion.dag_id, func.max(DagVersion.version_number).label("number")).group_by(DagVersion.dag_id)
    last = latest.subquery()
    rows = session.execute(
        select(
            DagModel.dag_id,
            DagModel.fileloc,
            DagModel.bundle_version,
            DagModel.last_parsed_time,
            DagVersion.bundle_version.label("stored_version"),
            SerializedDagModel.last_updated,
        )
        .outerjoin(last, last.c.dag_id == DagModel.dag_id)
        .outerjoin(DagVersion, (DagVersion.dag_id == DagModel.dag_id) & (DagVersion.version_number == last.c.number))
        .outerjoin(SerializedDagModel, SerializedDagModel.dag_version_id == DagVersion.id)
        .where(DagModel.bundle_name == bundle, ~DagModel.is_stale)
    )
    found = {}
    for row in rows:
        comes_from_it = row.bundle_version == release and _folder(bundle, release) in (row.fileloc or "")
        stored = row.stored_version == release and _was_stored(row.last_parsed_time, row.last_updated, interval)
        found[row.dag_id] = (comes_from_it, comes_from_it and stored)
    return found


def _was_stored(parsed: datetime | None, stored: datetime | None, interval: timedelta) -> bool:
    return parsed is not None and stored is not None and (stored >= parsed or stored <= parsed - interval)


def _folder(bundle: str, release: str = "") -> str:
    """What every path in a host's copy of a release has in it, on every host."""
    return f"/{bundle}/versions/{release}/" if release else f"/{bundle}/versions/"


def _last_line(text: str | None) -> str:
    return next((line.strip() for line in reversed((text or "").splitlines()) if line.strip()), "unknown error")


def ask_for(bundle: str, files: set[str]) -> None:
    """Have the dag-processor parse files next, by the table that Airflow's own "reparse" button writes to.

    It would come to them by itself, but a file that is no younger than its last parse, as after a rollback, has to
    wait for ``min_file_process_interval``.
    """
    from airflow.models.dagbag import DagPriorityParsingRequest
    from airflow.utils.session import create_session
    from sqlalchemy import select

    table = DagPriorityParsingRequest
    with create_session() as session:
        asked = set(session.scalars(select(table.relative_fileloc).where(table.bundle_name == bundle)))
        session.add_all(table(bundle, file) for file in sorted(files - asked))


def deactivate(bundle: str, dag_ids: list[str]) -> None:
    """Mark DAGs as no longer there. Airflow does the same, but up to two minutes later."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(
            update(DagModel)
            .where(DagModel.bundle_name == bundle, DagModel.dag_id.in_(dag_ids))
            .values(is_stale=True)
            .execution_options(synchronize_session=False)
        )


@dataclass
class _Waiting:
    """What is known while a release is waited for."""

    bundle: Bundle
    release: str
    expected: Mapping[str, str]
    again: Again | None
    state: State = field(default_factory=State)
    in_use: dict[str, dict[str, int]] = field(default_factory=dict)
    deactivated: set[str] = field(default_factory=set)
    error: str = ""
    missing_since: float = 0.0
    asked: float | None = None

    @property
    def done(self) -> bool:
        """Whether the release is parsed and what runs need is known."""
        return self.state.done and not self.error

    def ask(self, change: bool, last: bool) -> None:
        """Ask the database; ``change`` lets DAGs that are gone be deactivated, and files be asked for.

        What runs need is asked once the release is parsed, or with the ``last`` question.
        """
        missing = self.state.missing
        try:
            with _database_asked():
                self.state = look(self.bundle.name, self.release, self.expected)
                if change and self.state.seen and not self.state.missing and self.state.gone:
                    deactivate(self.bundle.name, self.state.gone)
                    self.deactivated.update(self.state.gone)
                    self.state = look(self.bundle.name, self.release, self.expected)
                if change:
                    self._hurry()
                if self.state.done or last:
                    self.in_use = in_use(self.bundle.name)
            self.error = ""
        except ReleaseError as error:
            # The database fails over, for one: it comes back, and then the answer counts again.
            self.error = str(error)
        if missing != self.state.missing or self.error or not self.state.seen:
            self.missing_since = time.monotonic()

    def _hurry(self) -> None:
        now = time.monotonic()
        if self.state.seen and self.asked is None:
            self.asked = now
        if self.asked is not None and now - self.asked >= ASK_SECONDS:
            files = {self.expected[dag_id] for dag_id in self.state.missing}
            ask_for(self.bundle.name, files - self.state.failed_files)
            self.asked = now

    def import_again(self, last: bool) -> bool:
        """Find out anew which DAGs are in the release, once, where some stay missing; say whether that was done.

        ``last`` does so whatever the time, because the verdict is next.
        """
        late = last or time.monotonic() - self.missing_since >= AGAIN_SECONDS
        if self.again is None or self.error or not (self.state.seen and self.state.missing and late):
            return False
        found, self.again = self.again(), None
        if found is not None:
            self.expected = found
        return found is not None


def wait(
    bundle: Bundle, release: str, expected: Mapping[str, str], seconds: float, again: Again | None = None
) -> Waited:
    """Wait at most ``seconds`` until Airflow runs a release; give up earlier when files of it can't be imported.

    And when another one is published meanwhile, which this host sees at once if it published this one. Without any
    seconds it only looks: nothing is asked for, and no DAG that is gone is deactivated. A database that can't be asked
    is asked again until the time is over.
    """
    started = time.monotonic()
    waiting = _Waiting(bundle, release, expected, again)
    while True:
        last = time.monotonic() - started >= seconds
        waiting.ask(seconds > 0, last)
        overtaken = _overtaken(bundle, release)
        hopeless = not waiting.error and waiting.state.hopeless(waiting.expected)
        if waiting.done or overtaken or hopeless:
            break
        if waiting.import_again(last):
            continue
        if last:
            break
        time.sleep(POLL_SECONDS)
    return Waited(
        bundle=bundle.name,
        release=release,
        parsed=waiting.done,
        overtaken=overtaken,
        seconds=round(time.monotonic() - started, 3),
        missing=waiting.state.missing,
        gone=waiting.state.gone,
        unexpected=waiting.state.unexpected,
        deactivated=sorted(waiting.deactivated),
        import_errors=waiting.state.import_errors,
        in_use=waiting.in_use,
        error=waiting.error,
    )


def import_again(tree: Path, environment: Mapping[str, str], seconds: float = 30.0) -> dict[str, str] | None:
    """Import a copy of a release as the dag-processor does; return its DAGs, or None where not all of it can be had.

    One file may take ``seconds``.
    """
    command = [sys.executable, "-m", "freehold_airflow.check", "--connected", "yes", "--root", str(tree)]
    command += ["--import-seconds", str(seconds)]
    try:
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            try:
                said, _ = process.communicate(timeout=IMPORT_SECONDS)
            finally:
                # It ends its children then, which being killed would not.
                process.terminate()
        return read_expected(said)
    except (ReleaseError, OSError, subprocess.TimeoutExpired) as error:
        print(f"freehold_airflow.releases: {tree} was not imported again: {error}", file=sys.stderr)
        return None


@contextlib.contextmanager
def _database_asked() -> Iterator[None]:
    """Make a database that can't be asked a ReleaseError."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        raise ReleaseError(f"its database can't be asked: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """An error of the database, as one line without the statement."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _overtaken(bundle: Bundle, release: str) -> str:
    """The current release where it is another one. A pointer that can't be read overtakes nothing."""
    with contextlib.suppress(ReleaseError):
        current = Store(bundle.source).pointer().release
        return "" if current == release else current
    return ""


def in_use(bundle: str) -> dict[str, dict[str, int]]:
    """The releases that must not be removed, and how many DAGs, unfinished runs and unfinished tasks need each.

    A run keeps its release for all tries of its tasks (``dag_run.bundle_version``), a task of a run that was ended by
    hand may still be at work, and an active DAG gives its release to the next run. A finished run has a release,
    too, which clearing one of its tasks would need; how many releases to keep for that is a matter of taste.
    """
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import State as States
    from sqlalchemy import func, select

    working = States.unfinished - {None}
    runs = select(DagRun.bundle_version, func.count()).join(DagModel, DagModel.dag_id == DagRun.dag_id)
    tasks = runs.join(
        TaskInstance, (TaskInstance.dag_id == DagRun.dag_id) & (TaskInstance.run_id == DagRun.run_id)
    ).where(TaskInstance.state.in_(working))
    queries = {
        "dags": select(DagModel.bundle_version, func.count())
        .where(~DagModel.is_stale)
        .group_by(DagModel.bundle_version),
        "runs": runs.where(DagRun.state.in_(States.unfinished_dr_states)).group_by(DagRun.bundle_version),
        "tasks": tasks.group_by(DagRun.bundle_version),
    }
    found: dict[str, dict[str, int]] = {}
    with create_session() as session:
        for what, query in queries.items():
            for release, number in session.execute(query.where(DagModel.bundle_name == bundle)):
                if release is not None:
                    found.setdefault(release, {"dags": 0, "runs": 0, "tasks": 0})[what] = number
    return dict(sorted(found.items()))


def delete_gone(
    bundle: Bundle, release: str, expected: Mapping[str, str], again: Again | None = None
) -> dict[str, Any]:
    """Delete the DAGs that a release no longer has, with all their runs, as ``airflow dags delete`` does.

    Nothing happens unless Airflow has parsed the release, and no more once another one is published, which may have
    them again. A DAG with an unfinished run or a task at work is kept, and named. Raises ReleaseError.
    """
    from airflow.api.common.delete_dag import delete_dag
    from airflow.exceptions import AirflowException, DagNotFound
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    state = look(bundle.name, release, expected)
    if again is not None and state.seen and state.missing:
        found = again()
        expected = expected if found is None else found
        state = look(bundle.name, release, expected)
    if not state.done:
        raise ReleaseError(f"Airflow has not parsed release {release} of bundle {bundle.name} yet")
    with create_session() as session:
        known = select(DagModel.dag_id).where(DagModel.bundle_name == bundle.name)
        gone = sorted(set(session.scalars(known)) - set(expected) - set(state.unexpected))
    deleted: list[str] = []
    kept = _at_work(gone)
    for dag_id in [dag_id for dag_id in gone if dag_id not in kept]:
        if later := _overtaken(bundle, release):
            done = f"; deleted before that: {', '.join(deleted)}" if deleted else ""
            raise ReleaseError(f"release {later} was published after this one{done}")
        try:
            delete_dag(dag_id)
        except DagNotFound:
            # Somebody else was faster.
            continue
        except AirflowException:
            # A task of it has begun.
            kept.append(dag_id)
        else:
            deleted.append(dag_id)
    return {"bundle": bundle.name, "release": release, "deleted": deleted, "kept": sorted(kept)}


def _at_work(dag_ids: list[str]) -> list[str]:
    """Those of the DAGs that have an unfinished run, or a task still at work after its run was ended by hand."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import State as States
    from sqlalchemy import select

    runs = select(DagRun.dag_id).where(DagRun.dag_id.in_(dag_ids), DagRun.state.in_(States.unfinished_dr_states))
    working = States.unfinished - {None}
    tasks = select(TaskInstance.dag_id).where(TaskInstance.dag_id.in_(dag_ids), TaskInstance.state.in_(working))
    with create_session() as session:
        return sorted({*session.scalars(runs), *session.scalars(tasks)})


def read_expected(text: str) -> dict[str, str]:
    """Read which DAGs a release has, as DAG id and file, from a report of ``freehold_airflow.check``.

    A report with errors lacks DAGs that the release may well have, and which must not count as gone: ReleaseError.
    """
    try:
        report = json.loads(text)
        found = {str(dag["dag_id"]): str(dag["file"]) for dag in report["dags"]}
        failed = [f"{error['file']} can't be imported ({error['message']})" for error in report["errors"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"the list of DAGs can't be read: {error!r}") from error
    if failed:
        raise ReleaseError(f"not all of its DAGs are known, because {', '.join(failed)}")
    return found


def use_database_only(environment: MutableMapping[str, str]) -> None:
    """Take the database's address from Secrets Manager ourselves, and forget all other secrets.

    While it is imported, Airflow asks its secrets backend four times, for which it imports most of the Amazon provider:
    four seconds on a small host, half of one here.
    """
    name = environment.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET")
    if name:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        prefix = json.loads(environment.get("AIRFLOW__SECRETS__BACKEND_KWARGS") or "{}").get("config_prefix", "")
        try:
            answer = boto3.client("secretsmanager").get_secret_value(SecretId=f"{prefix}/{name}")
        except (BotoCoreError, ClientError) as error:
            raise ReleaseError(f"the address of Airflow's database can't be read: {error}") from error
        environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = answer["SecretString"]
        for unwanted in [key for key in environment if re.fullmatch(r"AIRFLOW__(SECRETS__.*|.*_SECRET)", key)]:
            del environment[unwanted]


def _bundle(name: str | None) -> Bundle:
    bundles = configured(os.environ)
    names = [bundle.name for bundle in bundles]
    if name is None and len(names) > 1:
        raise ReleaseError(f"say which bundle with --bundle: {', '.join(names)}")
    if name is not None and name not in names:
        raise ReleaseError(f"no bundle is called {name}; there are: {', '.join(names)}")
    return bundles[names.index(name) if name else 0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="freehold_airflow.releases", description="Releases in Airflow's database.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (
        ("wait", "wait until Airflow has parsed a release"),
        ("in-use", "name the releases that DAG runs need"),
        ("delete-gone", "delete the DAGs that a release no longer has"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--bundle", help="the bundle's name, if there is more than one")
        if name != "in-use":
            command.add_argument("--release", required=True)
            command.add_argument("--dags", required=True, help="a report of freehold_airflow.check, or - for stdin")
            command.add_argument("--import-seconds", type=float, default=30.0, help="limit for one file (default: 30)")
        if name == "wait":
            command.add_argument("--seconds", type=float, default=120.0, help="how long to wait (default: 120)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; 0 when it is so, 1 when it is not, 2 when the command makes no sense."""
    given = _parser().parse_args(arguments)
    answer = take_stdout()
    # What imports DAGs needs the variables and connections that are forgotten here.
    environment = dict(os.environ)
    try:
        use_database_only(os.environ)
        bundle = _bundle(given.bundle)
        if given.command == "in-use":
            with _database_asked():
                found: dict[str, Any] = {"bundle": bundle.name, "releases": in_use(bundle.name)}
        else:
            release = check_name(given.release)
            expected = read_expected(sys.stdin.read() if given.dags == "-" else Path(given.dags).read_text())
            tree = Copies(bundle.storage, bundle.name).path(release)
            again = partial(import_again, tree, environment, given.import_seconds) if tree.is_dir() else None
            if given.command == "wait":
                found = asdict(wait(bundle, release, expected, given.seconds, again))
            else:
                with _database_asked():
                    found = delete_gone(bundle, release, expected, again)
    except (ReleaseError, OSError) as error:
        print(f"freehold_airflow.releases: {error}", file=sys.stderr)
        return 1
    with answer:
        print(json.dumps(found), file=answer)
    return 0 if found.get("parsed", True) else 1


if __name__ == "__main__":
    sys.exit(main())
