# SPDX-License-Identifier: GPL-3.0-or-later
"""Say whether a tree of DAGs may be published: ``python -m freehold_airflow.check --root TREE``.

Runs in the image that runs the components, and prints one JSON document; what Airflow and the DAG files print goes to
stderr. It needs no database, network or secrets. Where there are the settings of a dag-processor,
``--connected=if-asked`` looks again with those, but only when a DAG file asked for a variable or a connection, or
failed. The exit status is 0 when the tree is fine, 1 when it is refused and 2 when the command makes no sense.

Every verdict is Airflow's own: the dag-processor's functions find the files and parse them, each in a forked child of
one process that has imported Airflow, as the dag-processor does. What that can't see is added here: a file that hangs,
a process that dies, and one DAG id in two files, or in the image, too, which Airflow would let flap between them.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import faulthandler
import gc
import json
import logging
import os
import re
import selectors
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from freehold_airflow.answer import take_stdout

# A name that is in no environment, so that no setting of one is taken for the tree's.
BUNDLE = "freehold-check"
# How long after the limit a child is killed: first it writes down where it stands.
GRACE_SECONDS = 0.5
# The DAGs of the image (OwnBundle), which are there beside those of any release.
OWN_DAGS = frozenset({"freehold_smoke"})
MESSAGE_LENGTH = 500

# Of a component's settings, those by which a look would be heard of elsewhere.
LOUD = re.compile(r"AIRFLOW__(?:(?:METRICS|TRACES|SENTRY)__.*|LOGGING__REMOTE_.*)")
# Those that reach out for data or hold a secret. What is left decides how files are found and parsed.
REACHING = re.compile(r"AIRFLOW__(?:(?:DATABASE|SECRETS)__.*|.*_(?:CMD|SECRET)|WORKERS__SECRETS_BACKEND.*)")
WANTED = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # The limit is enforced from outside, where code that never returns to Python can't ignore it.
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",
    # Whole tracebacks: the last frame inside the tree is what a person has to look at.
    "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS": "True",
    "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "1000",
    "PYTHONDONTWRITEBYTECODE": "1",
    # A line of each file that is fine would bury the tracebacks of those that are not.
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
}

ALONE = {
    # Nothing asks it; if a DAG file does, it gets an error instead of an empty file somewhere.
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite://",
    # What the dag-processor's own children have: the client's side of the Task SDK, here with nobody to ask.
    "_AIRFLOW_PROCESS_CONTEXT": "client",
    "AIRFLOW__SECRETS__BACKEND": "freehold_airflow.asked.Asked",
}
# With the settings of a dag-processor, variables and connections come from where they come from there.
CONNECTED = {"_AIRFLOW_PROCESS_CONTEXT": "server"}

KINDS = {
    "SyntaxError": "syntax",
    "IndentationError": "syntax",
    "TabError": "syntax",
    "AirflowDagCycleException": "cycle",
    "AirflowDagDuplicatedIdException": "duplicate",
    "SerializationError": "serialization",
}
FRAME = re.compile(r'File "([^"\n]+)", line (\d+)')


@dataclass(frozen=True)
class Problem:
    """One reason to refuse the tree.

    ``file`` is relative to the tree and is where ``line`` counts; ``kind`` is one of syntax, import, cycle, duplicate,
    serialization, timeout, crash, unreadable and discovery; ``message`` is one sentence.
    """

    file: str
    line: int | None
    kind: str
    message: str


@dataclass(frozen=True)
class Dag:
    """A DAG, the file that it comes from (an archive, for one in an archive), and how long that file took."""

    dag_id: str
    file: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """What was looked at and found; everything is sorted, so that equal trees give equal reports but for the times."""

    files: list[str]
    dags: list[Dag]
    errors: list[Problem]
    # What files asked for while they were imported without a way to any variable or connection.
    asked: list[str]
    seconds: float

    def as_json(self) -> str:
        """One JSON document."""
        return json.dumps(asdict(self), ensure_ascii=False)


@dataclass(frozen=True)
class _Outcome:
    """What came of one file."""

    dags: list[str] = field(default_factory=list)
    errors: list[Problem] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def from_bytes(cls, text: bytes | bytearray) -> _Outcome:
        """Read what a child has written."""
        found = json.loads(text)
        errors = [Problem(**error) for error in found["errors"]]
        return cls(found["dags"], errors, found["asked"], found["seconds"])


@dataclass
class _Child:
    """A process that imports one file."""

    file: str
    pid: int
    pid_fd: int
    results: int
    notes: int
    started: float
    killed: bool = False
    received: bytearray = field(default_factory=bytearray)


def prepare(environment: MutableMapping[str, str], connected: bool = False) -> None:
    """Make a component's environment fit for a look; Airflow must not have been imported yet.

    ``connected`` leaves the way to the variables and connections that DAG files ask for while they are imported.
    """
    unwanted = [LOUD] if connected else [LOUD, REACHING]
    for name in [name for name in environment if any(pattern.fullmatch(name) for pattern in unwanted)]:
        del environment[name]
    environment.update(WANTED | (CONNECTED if connected else ALONE))


def run(root: Path, import_seconds: float = 30.0, jobs: int | None = None) -> Report:
    """Look at every DAG file below ``root``, ``jobs`` at a time (None: one for each processor).

    Importing a file may take ``import_seconds``. Airflow is imported here, with the settings that the environment has:
    see ``prepare``.
    """
    started = time.monotonic()
    root = Path(os.path.abspath(root))  # noqa: PTH100  # Path.resolve would follow links, which Airflow doesn't
    sys.dont_write_bytecode = True
    files, errors = find(root)
    dags: list[Dag] = []
    asked: set[str] = set()
    for file, outcome in _import_all(root, files, import_seconds, jobs or os.cpu_count() or 1):
        dags += [Dag(dag_id, file, outcome.seconds) for dag_id in outcome.dags]
        errors += outcome.errors
        asked.update(outcome.asked)
    dags.sort(key=lambda dag: (dag.dag_id, dag.file))
    errors += _duplicates(root, dags)
    errors = sorted(set(errors), key=lambda error: (error.file, error.line or 0, error.kind, error.message))
    return Report(files, dags, errors, sorted(asked), round(time.monotonic() - started, 3))


def find(root: Path) -> tuple[list[str], list[Problem]]:
    """Return the DAG files as the dag-processor finds them, and what it would stumble over or silently leave out."""
    from airflow.configuration import conf
    from airflow.utils.file import list_py_file_paths

    errors: list[Problem] = []
    finder = logging.getLogger("airflow.utils.file")
    listener = _Listener(lambda path, error: errors.append(_unreadable(root, path, error)))
    finder.addHandler(listener)
    try:
        found = list_py_file_paths(root, safe_mode=conf.getboolean("core", "dag_discovery_safe_mode"))
    except (RuntimeError, OSError, ValueError) as error:
        # Airflow's dag-processor ends on these: a folder that contains a link to itself, a bad .airflowignore.
        return [], [Problem(".", None, "discovery", _sentence(f"{type(error).__name__}: {error}"))]
    finally:
        finder.removeHandler(listener)
    return sorted(os.path.relpath(path, root) for path in found), errors


class _Listener(logging.Handler):
    """Hears of the files that Airflow can't read and leaves out, of which it says so only in its log."""

    def __init__(self, heard: Callable[[str, BaseException], None]) -> None:
        super().__init__()
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] and isinstance(record.args, tuple) and record.args:
            self.heard(str(record.args[0]), record.exc_info[1])


def _unreadable(root: Path, path: str, error: BaseException) -> Problem:
    return Problem(os.path.relpath(path, root), None, "unreadable", _sentence(f"{type(error).__name__}: {error}"))


def _import_all(root: Path, files: list[str], seconds: float, jobs: int) -> Iterator[tuple[str, _Outcome]]:
    """Import each file in a process of its own; yield what came of it, in no order."""
    from airflow.dag_processing import processor

    _warm_up()
    for file in files:
        # As the dag-processor does before it forks: providers are imported once, and not for every file.
        processor._pre_import_airflow_modules(str(root / file), logging.getLogger(__name__))
    gc.freeze()
    waiting, running = deque(files), dict[int, _Child]()
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    child = _start(root, waiting.popleft(), seconds)
                    running[child.pid] = child
                    selector.register(child.pid_fd, selectors.EVENT_READ, child)
                    selector.register(child.results, selectors.EVENT_READ, child)
                first = min(child.started for child in running.values()) + seconds + GRACE_SECONDS
                for key, _ in selector.select(max(0.0, first - time.monotonic())):
                    child = key.data
                    if child.pid not in running:
                        continue  # Its end was shown before its last words, and took them along.
                    if key.fd == child.results:
                        if not _receive(child):
                            selector.unregister(child.results)
                    else:
                        selector.unregister(child.pid_fd)
                        if child.results in selector.get_map():
                            selector.unregister(child.results)
                        yield child.file, _finish(root, running.pop(child.pid), seconds)
                for child in running.values():
                    if not child.killed and time.monotonic() >= child.started + seconds + GRACE_SECONDS:
                        child.killed = True
                        _kill(child)
        finally:
            for child in running.values():
                _kill(child)
                os.waitpid(child.pid, 0)


def _warm_up() -> None:
    """Import what nearly every file and every serialization needs, which Airflow does only when it is first used."""
    from airflow.models import dagwarning  # noqa: F401
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.sdk import DAG, task
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG(BUNDLE) as dag:
        task(lambda: None, task_id="nothing")()
    SerializedDagModel.hash(DagSerialization.to_dict(dag))


def _start(root: Path, file: str, seconds: float) -> _Child:
    results, theirs = os.pipe()
    notes = os.memfd_create("notes")
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _be_child(root, file, theirs, notes, started + seconds)
    # Both sides do this, so that the group exists whoever comes first.
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    os.close(theirs)
    os.set_blocking(results, False)
    return _Child(file, pid, os.pidfd_open(pid), results, notes, started)


def _receive(child: _Child) -> bool:
    """Take what the child has written; return whether there may be more."""
    try:
        while chunk := os.read(child.results, 1 << 16):
            child.received += chunk
    except BlockingIOError:
        return True
    return False


def _kill(child: _Child) -> None:
    """Kill a child with everything that it has started."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(child.pid, signal.SIGKILL)


def _finish(root: Path, child: _Child, seconds: float) -> _Outcome:
    """Bury a child that has ended, and whatever it left running; return its result, or say how it died."""
    status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    _kill(child)
    _receive(child)
    os.lseek(child.notes, 0, os.SEEK_SET)
    notes = os.fdopen(child.notes, "rb").read().decode("utf-8", "replace")
    os.close(child.results)
    os.close(child.pid_fd)
    if child.killed:
        problem = ("timeout", f"importing this file takes longer than {seconds:g} s")
    elif status == 0 and child.received:
        return _Outcome.from_bytes(child.received)
    elif status < 0:
        problem = ("crash", f"importing this file kills its process with {signal.Signals(-status).name}")
    else:
        problem = ("crash", f"importing this file ends its process with status {status}")
    # The frames of faulthandler stand with the innermost first.
    place, line = _place(root, child.file, list(reversed(FRAME.findall(notes))))
    return _Outcome(errors=[_problem(child.file, place, line, *problem)])


def _be_child(root: Path, file: str, results: int, notes: int, limit: float) -> NoReturn:
    """Import one file, write one JSON document, and end without any clean-up that the file may have ordered.

    At the time ``limit`` it writes down where it stands; the parent kills it a moment later.
    """
    status = 1
    try:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        faulthandler.enable(notes, all_threads=False)
        faulthandler.dump_traceback_later(max(limit - time.monotonic(), 0.001), file=notes)
        _let_segmentation_faults_kill()
        written = json.dumps(asdict(_import_file(root, file))).encode()
        while written:
            written = written[os.write(results, written) :]
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # A file may have closed them.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _let_segmentation_faults_kill() -> None:
    """Keep Airflow from handling SIGSEGV in Python, which repeats the faulty instruction until somebody kills it."""
    install = signal.signal

    def others(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number == signal.SIGSEGV else install(number, handler)

    signal.signal = others  # type: ignore[assignment]


def _import_file(root: Path, file: str) -> _Outcome:
    """Parse a file with the dag-processor's function and store the result nowhere."""
    import structlog
    from airflow.dag_processing.dagbag import DagBag
    from airflow.dag_processing.processor import DagFileParseRequest, _parse_file

    from freehold_airflow.asked import asked

    bagged: dict[str, Any] = {}
    doubled: set[str] = set()
    bag_dag = DagBag.bag_dag

    def watched(bag: Any, dag: Any) -> Any:
        # Airflow lets the second one of a file replace the first without a word.
        if bagged.setdefault(dag.dag_id, dag) is not dag:
            doubled.add(dag.dag_id)
        return bag_dag(bag, dag)

    DagBag.bag_dag = watched
    request = DagFileParseRequest(file=str(root / file), bundle_path=root, bundle_name=BUNDLE)
    started = time.monotonic()
    parsed = _parse_file(request, structlog.get_logger("check"))
    seconds = round(time.monotonic() - started, 3)
    errors = [_explain(root, file, text) for _, text in sorted((parsed.import_errors or {}).items())]
    errors += [
        Problem(file, _line_of(root / file, dag_id), "duplicate", f"this file has two DAGs with the id {dag_id!r}")
        for dag_id in sorted(doubled)
    ]
    for dag in parsed.serialized_dags:
        errors += _store_nowhere(file, dag)
    return _Outcome(sorted(dag.dag_id for dag in parsed.serialized_dags), errors, sorted(set(asked)), seconds)


def _store_nowhere(file: str, dag: Any) -> list[Problem]:
    """Take the last step before the database: the text of a DAG, by which Airflow sees that it has changed."""
    from airflow.models.serialized_dag import SerializedDagModel

    try:
        SerializedDagModel.hash(dag.data)
    except Exception as error:
        return [Problem(file, None, "serialization", _sentence(f"{dag.dag_id}: {type(error).__name__}: {error}"))]
    return []


def _explain(root: Path, file: str, text: str) -> Problem:
    """Find kind, place and sentence in what Airflow would show as the import error of a file."""
    lines = text.rstrip().splitlines() or ["unknown error"]
    frames = [number for number, line in enumerate(lines) if FRAME.search(line)]
    rest = lines[frames[-1] + 1 :] if frames else lines
    # The source line and its markers are indented, the exception is not; notes and further lines come after it.
    start = next((number for number, line in enumerate(rest) if line and not line[0].isspace()), 0)
    message = " ".join(rest[start:]) or lines[-1]
    kind = KINDS.get(message.partition(":")[0].rpartition(".")[2], "import")
    place, line = _place(root, file, FRAME.findall(text))
    if kind == "cycle" and (found := re.search(r"Dag: ([\w.-]*\w)", message)):
        line = _line_of(root / file, found[1])
    return _problem(file, place, line, kind, _sentence(message))


def _problem(file: str, place: str, line: int | None, kind: str, message: str) -> Problem:
    return Problem(place, line, kind, message if place == file else f"{message} (imported by {file})")


def _place(root: Path, file: str, frames: list[tuple[str, str]]) -> tuple[str, int | None]:
    """The innermost frame (the last one) that is in the tree; else the file itself, without a line."""
    for found, line in reversed(frames):
        path = found.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in found else found
        with contextlib.suppress(ValueError):
            return str(Path(path).relative_to(root)), int(line)
    return file, None


def _line_of(path: Path, dag_id: str) -> int | None:
    """The first line of a file that names the DAG, as a text or as a function."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (OSError, SyntaxError, ValueError):
        return None
    lines = [
        node.lineno
        for node in nodes
        if (isinstance(node, ast.Constant) and node.value == dag_id)
        or (isinstance(node, ast.FunctionDef) and node.name == dag_id)
    ]
    return min(lines, default=None)


def _duplicates(root: Path, dags: list[Dag]) -> list[Problem]:
    first: dict[str, str] = {}
    errors = []
    for dag in dags:
        file = first.setdefault(dag.dag_id, dag.file)
        if file != dag.file:
            message = f"the DAG id {dag.dag_id!r} is in {file}, too: rename one of them"
        elif dag.dag_id in OWN_DAGS:
            message = f"the DAG id {dag.dag_id!r} belongs to a DAG of the image: rename this one"
        else:
            continue
        errors.append(Problem(dag.file, _line_of(root / dag.file, dag.dag_id), "duplicate", message))
    return errors


def _sentence(text: str) -> str:
    """One line of bearable length, in letters that every JSON reader takes."""
    line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= MESSAGE_LENGTH else f"{line[: MESSAGE_LENGTH - 3]}..."


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="freehold_airflow.check", description="Say whether a tree may be published.")
    parser.add_argument("--root", type=Path, required=True, help="the tree of DAGs, as it would be published")
    parser.add_argument("--import-seconds", type=float, default=30.0, help="how long one file may take (default: 30)")
    parser.add_argument("--jobs", type=int, help="files at a time (default: the number of processors)")
    parser.add_argument(
        "--connected",
        choices=["no", "if-asked", "yes"],
        default="no",
        help="give DAG files the variables and connections that they ask for (default: no)",
    )
    given = parser.parse_args(arguments)
    if not given.root.is_dir():
        parser.error(f"--root: {given.root} is no directory")
    if given.import_seconds <= 0:
        parser.error("--import-seconds must be more than 0")
    if given.jobs is not None and given.jobs < 1:
        parser.error("--jobs must be at least 1")
    return given


def main(arguments: list[str] | None = None) -> int:
    """Run as a program."""
    given = _arguments(arguments)
    environment = dict(os.environ)
    answer = take_stdout()
    # Python puts the working directory first when it runs a module, and the dag-processor does not have it there.
    sys.path[:] = [path for path in sys.path if path not in ("", os.getcwd())]  # noqa: PTH109
    prepare(os.environ, given.connected == "yes")
    # Files are imported in process groups of their own: being told to end must reach them through this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = run(given.root, given.import_seconds, given.jobs)
    # Errors, too, may come from what could not be had.
    if given.connected == "if-asked" and (report.asked or report.errors):
        print(f"Looking again, connected. Asked for: {', '.join(report.asked) or 'nothing'}", file=sys.stderr)
        os.dup2(answer.fileno(), 1)
        again = ["--root", str(given.root), "--import-seconds", str(given.import_seconds), "--connected", "yes"]
        again += ["--jobs", str(given.jobs)] if given.jobs else []
        os.execve(sys.executable, [sys.executable, "-m", "freehold_airflow.check", *again], environment)  # noqa: S606
    with answer:
        print(report.as_json(), file=answer)
    return 1 if report.errors else 0


if __name__ == "__main__":
    sys.exit(main())
