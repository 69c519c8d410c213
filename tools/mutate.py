#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delete single lines of roles and plugins, one at a time, and see whether a test notices.

    tools/mutate.py [--seed NUMBER] [--count NUMBER] [--every PATTERN] [--quick] PAGE

Lines are drawn at random, a third each from roles/*/templates, roles/*/tasks and plugins. The same seed draws the same
lines, of another commit those that it still has. With ``--every`` nothing is drawn: it is every line of the files of
roles and plugins in whose path a regular expression is found. Blank lines, comments, documentation, and keys that only
say how a task is shown are no candidates. Each deletion is made in a clone of the last commit below build/mutate, and
judged there by tests of growing cost (`judges`), until the first one fails.

``PAGE`` is written anew after each deletion, with the survivors and room for a reason; a reason that is there already
is kept for the same line. Deletions that the page already tells of are not made again, so an interrupted run goes on
where it was. One is made again where the line's role, or its file of plugins, has changed since, and survivors get
another chance where more than documentation has. With ``--quick`` no judge is asked that needs hosts in the lab, and
what the others do not notice is left for a run without it. The status is 1 while fewer than 90 % of all are caught.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "mutate" / "tree"
STRATA = ("roles/*/templates", "roles/*/tasks", "plugins")
# What a commit may change without any test's verdict changing.
UNJUDGED = re.compile(r"^(docs|changelogs)/|(^|/)README\.md$|^CHANGELOG\.rst$")
DEMANDED = 90
SECONDS = 3600
# Keys of a task or a play that change nothing but what is shown.
SHOWN_ONLY = re.compile(r"^(- )?(name|label|quiet|loop_control):")
# How a line begins that only people read, in one of the languages of templates.
REMARKS = ("#", "{#", "{{ ansible_managed", ";")
DOCUMENTATION = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
# Roles that run on hosts, and the scenario of molecule that shows what they do there.
SCENARIOS = {
    **{role: role for role in ("docker", "time", "trust", "valkey", "efs", "webserver", "scheduler", "worker")},
    **dict.fromkeys(("component", "migrate", "dags"), "component"),
    "authorized_keys": "authorized_keys",
}
# Entry points that take a role away again.
UNINSTALLING = ("uninstall", "forget")
ROW = re.compile(r"^\| `(?P<file>[^`]+)` (?P<number>\d+) \| (?P<judge>[^|]+) \| (?P<seconds>\d+) \|$")
SURVIVOR = re.compile(r"^\* `(?P<file>[^`]+)` (?P<number>\d+), `` (?P<text>.*?) ``: (?P<reason>.*)$")
MADE = re.compile(r"^(?P<origin>.+), commit (?P<commit>[0-9a-f]+)\.$", re.MULTILINE)
NO_REASON = "no reason known"


@dataclass(frozen=True)
class Line:
    """A line that is deleted."""

    file: str
    number: int
    text: str

    @property
    def words(self) -> str:
        """What it is called in the page."""
        return f"`{self.file}` {self.number}"


@dataclass(frozen=True)
class Judge:
    """A command that fails when it notices."""

    name: str
    command: list[str]
    # Whether it does without hosts in the lab.
    quick: bool = True


@dataclass(frozen=True)
class Verdict:
    """What became of a deletion; no judge noticed where there is none."""

    line: Line
    judge: str
    seconds: int


def git(*arguments: str) -> str:
    """What git says of the project."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603, S607
    return done.stdout.strip()


def documentation(source: str) -> set[int]:
    """The lines of a Python file that are docstrings or documentation of a plugin."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        documented = isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id in DOCUMENTATION for target in node.targets
        )
        if (text or documented) and isinstance(node, ast.stmt):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def candidates(file: str, source: str) -> Iterator[Line]:
    """The lines of a file that do something."""
    if file.startswith("plugins/") and not file.endswith(".py"):
        return
    skipped = documentation(source) if file.endswith(".py") else set()
    for number, text in enumerate(source.splitlines(), 1):
        bare = text.strip()
        shown = file.endswith((".yml", ".yaml")) and SHOWN_ONLY.match(bare)
        remark = bare.startswith(REMARKS) or bare == "---"
        if bare and not remark and number not in skipped and not shown:
            yield Line(file, number, bare)


def lines_below(folder: str, pattern: str = "") -> list[Line]:
    """The lines of the last commit in files below a folder, of those in whose path a regular expression is found."""
    files = git("ls-tree", "-r", "--name-only", "HEAD").splitlines()
    matching = [file for file in files if below(file, folder) and re.search(pattern, file)]
    return [line for file in matching for line in candidates(file, git("show", f"HEAD:{file}"))]


def sample(seed: int, count: int) -> list[Line]:
    """Lines of the last commit, as many of each stratum; the cheap ones to judge come first."""
    shares = [count // len(STRATA) + (index < count % len(STRATA)) for index in range(len(STRATA))]
    found = [drawn(lines_below(folder), seed)[:share] for folder, share in zip(STRATA, shares, strict=True)]
    templates, tasks, plugins = found
    return [*plugins, *templates, *tasks]


def drawn(lines: Iterable[Line], seed: int) -> list[Line]:
    """Lines in the order in which they are drawn; where one of them stands depends on no other."""
    alike: Counter[tuple[str, str]] = Counter()
    tickets = {}
    for line in lines:
        alike[line.file, line.text] += 1
        words = f"{seed} {line.file} {line.text} {alike[line.file, line.text]}"
        tickets[hashlib.sha256(words.encode()).digest()] = line
    return [tickets[ticket] for ticket in sorted(tickets)]


def below(file: str, folder: str) -> bool:
    """Whether a file lies anywhere below a folder, in whose name an asterisk stands for any one part."""
    wanted = folder.split("/")
    parts = file.split("/")[: len(wanted)]
    return len(parts) == len(wanted) and all(want in ("*", part) for want, part in zip(wanted, parts, strict=True))


def tests_of(file: Path) -> list[Path]:
    """The unit tests that name a file of plugins/: a module by its name, a part of a package by the package's, too."""
    words = [re.compile(rf"\b{re.escape(word)}\b") for word in (*file.parts[1:-1], file.stem)]
    tests = sorted((TREE / "tests" / "unit" / "plugins").rglob("test_*.py"))
    return [test for test in tests if all(word.search(test.read_text(encoding="utf-8")) for word in words)]


def judges(file: str) -> Iterator[Judge]:
    """The tests that look at a file, the quick ones first."""
    if file.startswith("plugins/"):
        yield Judge("ruff", ["ruff", "check", "--quiet", file])
        yield Judge("mypy", ["mypy", "--no-error-summary", file])
        if nearest := tests_of(Path(file).relative_to("plugins")):
            yield Judge("unit tests", pytest([str(path.relative_to(TREE)) for path in nearest]))
        yield Judge("unit tests", [*pytest(["tests/unit"]), "--numprocesses=2"])
        yield Judge("unit tests", pytest(["lab/tests/tunnel"]))
        yield Judge("tests against the API", pytest(["tests/integration/provisioning"]))
        return
    role = file.split("/")[1]
    if file.endswith(".yml"):
        yield Judge("yamllint", ["yamllint", "--strict", file])
    if "/tasks/" in file:
        yield Judge("ansible-lint", ["ansible-lint", "--offline", "--strict", f"roles/{role}"])
    yield Judge("the roles' variables", ["python", "tools/check_role_variables.py"])
    if "/templates/" in file or "/vars/" in file:
        rendered = sorted(str(path.relative_to(TREE)) for path in TREE.glob("tests/unit/roles/test_rendered*.py"))
        yield Judge("unit tests", [*pytest(rendered), "--numprocesses=2"])
    yield Judge("unit tests", [*pytest(["tests/unit/roles"]), "--numprocesses=2"])
    if role in SCENARIOS:
        # In the scenario of the READMEs first runs and changed settings are looked at without a reboot.
        for scenario in ["uninstall"] if Path(file).stem in UNINSTALLING else [SCENARIOS[role], "readmes"]:
            yield Judge("molecule", ["molecule", "test", "--scenario-name", scenario], quick=False)
    else:
        word = re.compile(rf"""["'/]{role}(/[a-z_]+)?["']""")
        tests = sorted((TREE / "tests" / "integration" / "provisioning").glob("test_*.py"))
        for test in tests:
            if word.search(test.read_text(encoding="utf-8")):
                # One at a time: what noticed is asked again with nothing deleted.
                yield Judge("tests against the API", pytest([str(test.relative_to(TREE))]))
    acceptance = [f"tests/acceptance/test_{name}.py" for name in ("site", "second_run", "entrance", "access")]
    yield Judge("acceptance tests", pytest(acceptance), quick=False)


def pytest(paths: list[str]) -> list[str]:
    """Pytest, until the first failure."""
    return ["pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *paths]


def fails(judge: Judge) -> bool:
    """Whether a judge notices. One that does not end in time has noticed."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(TREE / "ansible.cfg"), "ANSIBLE_HOME": str(TREE / ".ansible")}
    log = (TREE.parent / "last.log").open("w", encoding="utf-8")
    with (
        log,
        subprocess.Popen(  # noqa: S603
            judge.command, cwd=TREE, env=environment, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            return process.wait(SECONDS) != 0
        except subprocess.TimeoutExpired:
            return True
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def fails_quickly(judge: Judge) -> bool:
    """Whether a judge notices, where it does without hosts."""
    return judge.quick and fails(judge)


def judged(line: Line, notices: Callable[[Judge], bool], sound: set[tuple[str, ...]]) -> Verdict:
    """Delete a line, ask the judges, and put it back.

    A judge's first word against a line is believed only if it says nothing against the whole tree; ``sound`` remembers
    whose was. Ends the program where it does: such a judge would notice everything.
    """
    path = TREE / line.file
    whole = path.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    begin = time.monotonic()
    path.write_text("".join(lines[: line.number - 1] + lines[line.number :]), encoding="utf-8")
    try:
        caught = next((judge for judge in judges(line.file) if notices(judge)), None)
    finally:
        path.write_text(whole, encoding="utf-8")
    if caught is not None and tuple(caught.command) not in sound:
        if notices(caught):
            sys.exit(f"`{' '.join(caught.command)}` fails with nothing deleted; see {TREE.parent / 'last.log'}")
        sound.add(tuple(caught.command))
    return Verdict(line, caught.name if caught else "", round(time.monotonic() - begin))


def page(verdicts: list[Verdict], reasons: dict[tuple[str, str], str], origin: str, commit: str, wanted: int) -> str:
    """The page, in Markdown."""
    survivors = [verdict for verdict in verdicts if not verdict.judge]
    caught = len(verdicts) - len(survivors)
    share = 100 * caught // max(len(verdicts), 1)
    return "\n".join(
        [
            "# What tests notice",
            "",
            "Single lines of roles and plugins were deleted, one at a time, and the tests run until one failed.",
            "Written by `make mutate`, which draws lines at random, a third each from templates, tasks and plugins,",
            "and takes every line of systemd's units and of what docker is told of containers.",
            "",
            f"{origin}, commit {commit}.",
            "",
            f"**{caught} of {len(verdicts)} deletions were noticed, {share} %.**"
            + (
                ""
                if len(verdicts) == wanted
                else f" The run is not finished: {wanted - len(verdicts)} of its {wanted} lines have no verdict."
                "\nA quick run leaves those that no test without hosts noticed, which are the likeliest to survive."
            ),
            "",
            "## Survivors",
            "",
            *(
                f"* {each.line.words}, `` {each.line.text} ``: "
                f"{reasons.get((each.line.file, each.line.text), NO_REASON)}"
                for each in survivors
            ),
            *([] if survivors else ["None."]),
            "",
            "## All",
            "",
            "| line | noticed by | seconds |",
            "|---|---|---|",
            *(f"| {each.line.words} | {each.judge or 'nobody'} | {each.seconds} |" for each in verdicts),
            "",
        ]
    )


def changed_since(commit: str) -> list[str] | None:
    """The files in which the last commit differs from an earlier one; None where that is not known here."""
    try:
        return git("diff", "--name-only", commit, "HEAD").splitlines()
    except subprocess.CalledProcessError:
        return None


def known(
    text: str, lines: Iterable[Line], origin: str, changed: Callable[[str], list[str] | None]
) -> tuple[list[Verdict], dict[tuple[str, str], str]]:
    """What an earlier page tells: reasons, and those verdicts of the same origin that still hold.

    A deletion that was noticed is noticed by later tests, too, while its role or file of plugins is the same.
    """
    reasons = {}
    for row in text.splitlines():
        told = SURVIVOR.match(row)
        if told and told["reason"] != NO_REASON:
            reasons[told["file"], told["text"]] = told["reason"]
    made = MADE.search(text)
    differing = changed(made["commit"]) if made and made["origin"] == origin else None
    if differing is None:
        return [], reasons
    files = [file for file in differing if not UNJUDGED.search(file)]
    parts = {part_of(file) for file in files}
    rows = [found for row in text.splitlines() if (found := ROW.match(row))]
    by_place = {(line.file, line.number): line for line in lines}
    verdicts = [
        Verdict(by_place[place], "" if row["judge"] == "nobody" else row["judge"], int(row["seconds"]))
        for row in rows
        if (place := (row["file"], int(row["number"]))) in by_place
    ]
    return [
        verdict for verdict in verdicts if part_of(verdict.line.file) not in parts and (verdict.judge or not files)
    ], reasons


def part_of(file: str) -> str:
    """What changes as one: the folder of a role, for a file in it, or else the file."""
    return "/".join(file.split("/")[:2]) if below(file, "roles") else file


def prepare() -> None:
    """Clone the last commit, with this project's environment."""
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.parent.mkdir(parents=True, exist_ok=True)
    git("clone", "--quiet", str(ROOT), str(TREE))
    (TREE / ".venv").symlink_to(ROOT / ".venv")


def main(arguments: list[str]) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--every", default="", help="every line of the files whose path has this in it; a pattern")
    parser.add_argument("--quick", action="store_true", help="leave what only tests on hosts can notice for later")
    asked = parser.parse_args(arguments)
    commit = git("rev-parse", "--short", "HEAD")
    origin = f"Every line of `{asked.every}`" if asked.every else f"Seed {asked.seed}"
    lines = (
        [line for folder in ("roles", "plugins") for line in lines_below(folder, asked.every)]
        if asked.every
        else sample(asked.seed, asked.count)
    )
    if not lines:
        parser.error(f"no line is in a file whose path has {asked.every}")
    earlier = asked.page.read_text(encoding="utf-8") if asked.page.exists() else ""
    verdicts, reasons = known(earlier, lines, origin, changed_since)
    done = {verdict.line for verdict in verdicts}
    sound: set[tuple[str, ...]] = set()
    prepare()
    for line in lines:
        if line in done:
            continue
        print(f"{line.words}: {line.text}", flush=True)
        verdict = judged(line, fails_quickly if asked.quick else fails, sound)
        if asked.quick and not verdict.judge:
            print(f"    left for the lab after {verdict.seconds} s", flush=True)
            continue
        verdicts.append(verdict)
        print(f"    noticed by {verdict.judge or 'NOBODY'} after {verdict.seconds} s", flush=True)
        asked.page.write_text(page(verdicts, reasons, origin, commit, len(lines)), encoding="utf-8")
    caught = sum(bool(verdict.judge) for verdict in verdicts)
    print(f"{caught} of {len(verdicts)} deletions were noticed")
    return int(caught * 100 < DEMANDED * len(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
