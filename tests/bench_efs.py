#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what a release asks of a shared file system whose metadata operations take 12 ms each, as on EFS.

A benchmark, not a test: it judges nothing. Needs root, FUSE and Debian's python3-pyfuse3 (``tools/bootstrap bench``),
and no lab: it runs the programs that dag-sync runs on the hosts, here. Writes ``docs/benchmarks-efs.md``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATHS = [str(ROOT / "collections"), str(ROOT / "bundle" / "src"), str(ROOT)]
PAGE = ROOT / "docs" / "benchmarks-efs.md"
sys.path[:0] = PATHS
os.environ["PYTHONPATH"] = ":".join(PATHS)

from ansible_collections.freehold.airflow.plugins.module_utils._dags.git_tree import build  # noqa: E402
from freehold_airflow.release import Store  # noqa: E402

from tests.bench_dags import commit, git, machine, write  # noqa: E402

FILES = 3098
MILLISECONDS = 12
HOSTS = 3
OURS = f"release, with the copies of {HOSTS} hosts"
# Seconds for a release in which something changed.
TARGET = "<= 5"
RSYNC = "`rsync --archive --delete`"
COLUMNS = ("way", "changed", "seconds", "target", "metadata operations", "reads and writes")
# What each host does when it has seen the pointer move.
FETCH = """
import sys
from pathlib import Path
from freehold_airflow.copies import Copies
from freehold_airflow.release import Store
store = Store(Path(sys.argv[1]))
Copies(Path(sys.argv[2]), "dags").ensure(store, store.pointer().release)
"""


@contextmanager
def slow(folder: Path) -> Iterator[Path]:
    """Yield a folder in which each metadata operation takes its time."""
    behind, seen = folder / "behind", folder / "seen"
    behind.mkdir()
    seen.mkdir()
    command = ["/usr/bin/python3", str(ROOT / "tests" / "slow_fs.py"), str(behind), str(seen), str(MILLISECONDS)]
    with subprocess.Popen(command) as process:
        try:
            while not os.path.ismount(seen):
                if process.poll() is not None:
                    sys.exit("the slow file system did not start: run tools/bootstrap bench")
                time.sleep(0.05)
            yield seen
        finally:
            subprocess.run(["umount", str(seen)], check=True)


def measured(seen: Path, work: Callable[[], object]) -> list[str]:
    """Return the seconds of some work and the operations it asked for."""
    # What the kernel remembers of the work before is no longer true on another host.
    time.sleep(3.1)
    os.setxattr(seen, "user.counts", b"0")
    begin = time.monotonic()
    work()
    seconds = time.monotonic() - begin
    counts: dict[str, int] = json.loads(os.getxattr(seen, "user.counts"))
    content = counts.pop("read", 0) + counts.pop("write", 0)
    return [f"{seconds:.1f}", f"{sum(counts.values()):,}", f"{content:,}"]


def release(tree: Path, shared: Path, hosts: Path) -> None:
    """Publish the commit of a tree and make every host's copy of it."""
    program = [sys.executable, "-m", "freehold_airflow.publish"]
    looked = subprocess.run([*program, "look", f"--root={shared}"], check=True, capture_output=True, text=True)
    found = json.loads(looked.stdout)
    base = {"base": found["release"], "base_tree": found["tree"]} if found["whole"] else {"base": "", "base_tree": ""}
    stream = tree / ".git" / "stream"
    given = {"repository": str(tree), "folder": "dags", "revision": "HEAD", "allow_dirty": False, "file_mib_max": 50}
    read = build({**given, **base, "dest": str(stream)})
    if read["release"] != found["release"]:
        written = [*program, "write", f"--root={shared}", f"--stream={stream}"]
        subprocess.run(written, check=True, stdout=subprocess.DEVNULL)
    fetching = [
        subprocess.Popen([sys.executable, "-c", FETCH, str(shared), str(hosts / f"{number}")])
        for number in range(HOSTS)
    ]
    assert not [status for status in [process.wait() for process in fetching] if status]
    assert Store(shared).pointer().release == read["release"]


def rows(folder: Path) -> list[list[str]]:
    """Measure releases and the two usual ways; the columns are ``COLUMNS``."""
    tree = folder / "tree"
    tree.mkdir()
    git(tree, "init", "--quiet", "--initial-branch=main")
    found = []
    with slow(folder) as seen:
        shared, synced, copied = seen / "releases", seen / "synced", seen / "copied"
        shared.mkdir()
        ways: dict[str, Callable[[], object]] = {
            OURS: lambda: release(tree, shared, folder / "hosts"),
            RSYNC: lambda: subprocess.run(
                ["rsync", "--archive", "--delete", f"{tree}/dags/", f"{synced}/"], check=True
            ),
            "`shutil.copytree` of Python": lambda: shutil.copytree(tree / "dags", copied, dirs_exist_ok=True),
        }
        for version, what in enumerate(("first", "none", "one", "all")):
            for number in {"first": range(FILES), "none": range(0), "one": range(1, 2), "all": range(FILES)}[what]:
                write(tree, number, version)
            commit(tree)
            # The usual ways take minutes, and as long for all files as for the first time; copytree even for one.
            for name in {"first": ways, "one": [OURS, RSYNC]}.get(what, [OURS]):
                seconds, *operations = measured(seen, ways[name])
                target = TARGET if name == OURS and what in ("one", "all") else ""
                found.append([name, what, seconds, target, *operations])
                print("|", " | ".join(found[-1]), "|", flush=True)
    return found


def main() -> None:
    """Measure, and write the page."""
    # Told to end, it takes its file system away like one that came to its end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="freehold-bench-") as folder:
        found = rows(Path(folder))
    page = [
        "# Benchmarks of releases on a slow file system",
        "",
        f"Written by `make bench`. A tree of {FILES:,} files on a file system that counts what it is asked and",
        f"answers each metadata operation {MILLISECONDS} ms late. As with an NFS client, names and attributes are",
        "remembered for three seconds, and a folder's list brings the attributes of all that is in it, so that a",
        f"comparison of two trees is cheap here. A release is written once, then copied to the disks of {HOSTS} hosts",
        "and verified there, all at once; the two others only write to the shared file system, from one host.",
        "",
        f"{machine()}.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|" + "---|" * len(COLUMNS),
        *(f"| {' | '.join(row)} |" for row in found),
        "",
    ]
    PAGE.write_text("\n".join(page), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
