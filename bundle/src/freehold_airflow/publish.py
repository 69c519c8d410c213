# SPDX-License-Identifier: GPL-3.0-or-later
"""What the publishing step does to the folder of releases: ``python -m freehold_airflow.publish ACTION --root FOLDER``.

``look``    say what is current, whether it is whole, and which releases there are; ``--all`` looks at every release
``check``   make this host's copy of a release that is not published yet, and look at its DAGs as Airflow will see them
``write``   publish the release of a stream, and make it the current one
``move``    make a release that is there the current one
``retain``  remove releases that nobody needs

``check`` and ``write`` read the stream of freehold_airflow.stream; each action prints one line of JSON. The exit status
is 0, 1 with a sentence on stderr, or 3 when ``check`` found that the DAGs can't be published. The pointer is moved
last: whatever happens before, the current release stays as it was. See docs/decisions/0002-release-format.md. Only
``check`` needs Airflow.

With ``--seconds`` an action that changes something does so within this time or not at all. A process that waits for a
shared file system can't always be killed, and must not go on with what nobody waits for when that is back.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gzip
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO

from freehold_airflow.copies import Copies
from freehold_airflow.release import (
    PACKS,
    POINTER,
    RELEASES,
    DamagedError,
    Entry,
    Manifest,
    Pack,
    Pointer,
    ReleaseError,
    Store,
    hash_file,
    walk,
)
from freehold_airflow.stream import Stream, read_stream

# More packs mean more files to read for a host that has no copy yet, more dead contents more bytes.
MAX_PACKS = 8
MAX_DEAD = 0.5

LOCK = ".lock"
# How the name of a file begins that is not complete yet.
INCOMING = ".incoming"
# How often a publication looks whether the one that it waits for is over.
LOCK_SECONDS = 0.2
# The exit status of a check that found errors, apart from that of one that could not be done.
REFUSED = 3


@dataclass(frozen=True)
class Published:
    """What a publication did."""

    release: str
    tree: str
    files: int
    pack_bytes: int
    previous: str | None
    moves: int


class Deadline:
    """The time after which nothing may be changed any more; none without ``seconds``."""

    def __init__(self, seconds: float | None = None) -> None:
        """The time runs from here. A machine that was suspended meanwhile has used it up."""
        self.seconds = seconds
        self.started = time.clock_gettime(time.CLOCK_BOOTTIME)

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return self.seconds is not None and time.clock_gettime(time.CLOCK_BOOTTIME) - self.started >= self.seconds

    def check(self, what: str) -> None:
        """Raise ReleaseError when it has passed; ``what`` is what must not be done now."""
        if self.over:
            raise ReleaseError(f"this took longer than {self.seconds:g} s (dags_proof_seconds), so {what}")


UNLIMITED = Deadline()


@contextlib.contextmanager
def exclusive(root: Path, deadline: Deadline = UNLIMITED) -> Iterator[None]:
    """Be the only publisher; NFS 4.1 carries the lock between hosts. The file stays, or the lock means nothing."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / LOCK).open("a") as opened:
        _lock(opened, fcntl.LOCK_EX, deadline)
        for folder in (root, root / RELEASES, root / PACKS):
            # The lock is held: whatever has a temporary name was left by a publication that died.
            for left in folder.glob(f"{INCOMING}*"):
                if not left.is_dir():
                    left.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def undisturbed(root: Path, deadline: Deadline = UNLIMITED) -> Iterator[None]:
    """Keep publishers away, beside others who only read. Where nobody has published yet there is nothing to lock."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(FileNotFoundError):
            _lock(stack.enter_context((root / LOCK).open()), fcntl.LOCK_SH, deadline)
        yield


def _lock(opened: IO[str], kind: int, deadline: Deadline) -> None:
    while True:
        try:
            fcntl.flock(opened, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if deadline.over:
                raise ReleaseError(
                    "another publication, or a look at all releases, was still going on after "
                    f"{deadline.seconds:g} s (dags_proof_seconds)"
                ) from error
            time.sleep(LOCK_SECONDS)


def write_pack(spool: Path, contents: Mapping[str, int], target: Path) -> Pack:
    """Write the named contents (SHA-256 to size) of the spool into one pack at ``target``."""
    with (
        target.open("xb") as opened,
        gzip.GzipFile(filename="", fileobj=opened, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for sha256, size in sorted(contents.items()):
            member = tarfile.TarInfo(sha256)
            member.size = size
            with (spool / sha256).open("rb") as content:
                archive.addfile(member, content)
    _sync(target)
    sha256, size = hash_file(target)
    return Pack(sha256, size, sum(contents.values()))


def choose(entries: tuple[Entry, ...], current: Manifest | None) -> tuple[dict[str, int], tuple[Pack, ...]]:
    """Decide which contents go into a new pack and which earlier packs stay in use."""
    needed = {entry.sha256: entry.size for entry in entries if not entry.is_link}
    if current is None:
        return needed, ()
    there = {entry.sha256 for entry in current.entries}
    new = {sha256: size for sha256, size in needed.items() if sha256 not in there}
    packed = sum(pack.contents for pack in current.packs) + sum(new.values())
    live = sum(needed.values())
    if len(current.packs) + bool(new) > MAX_PACKS or packed - live > MAX_DEAD * packed:
        return needed, ()
    return new, current.packs


def publish(root: Path, stream: BinaryIO, deadline: Deadline = UNLIMITED) -> Published:
    """Write the release of a stream and make it current; raise ReleaseError and leave the pointer alone otherwise.

    Publishing what is there already writes nothing but, where it named another release, the pointer. After the
    deadline the pointer is not moved.
    """
    store = Store(root)
    with tempfile.TemporaryDirectory(prefix="freehold-publish-") as folder:
        spool = Path(folder)
        read = read_stream(stream, spool)
        # Checks every path and link of the tree before anything is written.
        wanted = read.manifest(store)
        with exclusive(root, deadline):
            pointer = _pointer(store)
            pack_bytes = 0
            if not _is_there(store, wanted):
                pack_bytes = _write(store, wanted, spool, _base(store, read, pointer))
            moves = _point(store, pointer, wanted, deadline).moves
    previous = pointer.release if pointer else None
    return Published(wanted.release, wanted.tree, len(wanted.entries), pack_bytes, previous, moves)


def _pointer(store: Store) -> Pointer | None:
    """The pointer; none where there is no readable one."""
    try:
        return store.pointer()
    except ReleaseError:
        return None


def _point(store: Store, pointer: Pointer | None, manifest: Manifest, deadline: Deadline) -> Pointer:
    """Move the pointer to a release, remembering where it came from, unless it is there already."""
    if pointer and (pointer.release, pointer.tree) == (manifest.release, manifest.tree):
        return pointer
    before = (pointer.release, pointer.moves + 1) if pointer else (None, 1)
    moved = Pointer(manifest.release, manifest.tree, *before)
    _replace(store.root / POINTER, moved.to_bytes(), deadline)
    return moved


def _base(store: Store, read: Stream, pointer: Pointer | None) -> Manifest | None:
    """The release whose packs are used again.

    A difference stands or falls with its base. A whole tree is written anew where the current release is damaged.
    """
    if read.base is not None:
        manifest = store.manifest(read.base)
        store.check_packs(manifest)
        return manifest
    if pointer is None:
        return None
    return _intact(store, pointer.release)


def _intact(store: Store, release: str) -> Manifest | None:
    """The manifest of a release that is there and whole; none, and a line on stderr, otherwise."""
    try:
        manifest = store.manifest(release)
        store.check_packs(manifest)
    except ReleaseError as error:
        print(f"freehold_airflow.publish: {error}", file=sys.stderr)
        return None
    return manifest


def _is_there(store: Store, wanted: Manifest) -> bool:
    """Whether the release is there, whole. Another tree under its name is refused: hosts may have copies of it."""
    if wanted.release not in store.releases():
        return False
    refuse_another_tree(store, wanted)
    return _intact(store, wanted.release) is not None


def refuse_another_tree(store: Store, wanted: Manifest) -> None:
    """Raise ReleaseError where a release of this name is there, readable, and has other files."""
    if wanted.release not in store.releases():
        return
    try:
        there = store.manifest(wanted.release).tree
    except ReleaseError:
        return
    if there != wanted.tree:
        raise ReleaseError(
            f"release {wanted.release} is there already, with the tree {there}, not {wanted.tree}: it was published "
            "from the same commit, but another folder or with other settings; commit something to publish this one"
        )


def _write(store: Store, wanted: Manifest, spool: Path, base: Manifest | None) -> int:
    """Write pack and manifest; return the length of the new pack, 0 for none."""
    contents, packs = choose(wanted.entries, base)
    pack_bytes = 0
    for folder in (RELEASES, PACKS):
        (store.root / folder).mkdir(exist_ok=True)
    if contents:
        _fetch(store, base, {sha256 for sha256 in contents if not (spool / sha256).exists()}, spool)
        incoming = store.root / PACKS / INCOMING
        try:
            pack = write_pack(spool, contents, incoming)
            incoming.rename(store.pack_path(pack))
        finally:
            incoming.unlink(missing_ok=True)
        packs, pack_bytes = (pack, *packs), pack.size
    stored = replace(wanted, packs=packs)
    _replace(store.root / RELEASES / f"{wanted.release}.json.gz", stored.to_bytes())
    if store.manifest(wanted.release) != stored:
        raise ReleaseError(f"the manifest of {wanted.release} was not stored as it was written")
    return pack_bytes


def _fetch(store: Store, base: Manifest | None, wanted: set[str], spool: Path) -> None:
    """Take contents that the stream left out from the packs of the base."""
    for pack in base.packs if base else ():
        if not wanted:
            return
        for sha256, content in store.contents(pack, wanted):
            (spool / sha256).write_bytes(content)
            wanted.discard(sha256)
    if wanted:
        raise ReleaseError(f"neither the stream nor its base holds the content {min(wanted)}")


def look(root: Path, every: bool = False, deadline: Deadline = UNLIMITED) -> dict[str, Any]:
    """What is current, whether it is whole, why the pointer can't be read where there is one, and all releases' names.

    ``every`` looks at every release and for files that belong to none: ``damaged`` maps each release that is not whole
    to the reason, ``foreign`` lists the paths. A publication that is going on looks like both, so what was found is
    looked at again when there is none; raises ReleaseError where that is not before the deadline.
    """
    suspects = None
    try:
        found = _look(root, every)
        if not (every and (found["damaged"] or found["foreign"])):
            return found
        suspects = set(found["damaged"])
    except OSError:
        # A file that goes while it is looked at, for one.
        if not every:
            raise
    with undisturbed(root, deadline):
        return _look(root, every, suspects)


def _look(root: Path, every: bool, suspects: set[str] | None = None) -> dict[str, Any]:
    """Look; of all releases only at ``suspects`` and the current one, where these are given."""
    store = Store(root)
    pointer, trouble = None, ""
    try:
        pointer = store.pointer()
    except ReleaseError as error:
        # None at all is how a folder begins; one that can't be read tells nothing of what is current.
        trouble = "" if isinstance(error.__cause__, FileNotFoundError) else str(error)
    releases = store.releases()
    damaged = {}
    # The current one whether it is there or not.
    looked_at = {pointer.release} if pointer else set()
    if every:
        looked_at |= set(releases) if suspects is None else suspects & set(releases)
    for release in sorted(looked_at):
        try:
            manifest = store.manifest(release)
            store.check_packs(manifest)
            if pointer and release == pointer.release and manifest.tree != pointer.tree:
                raise ReleaseError(f"the pointer promises the tree {pointer.tree}, the manifest has {manifest.tree}")
        except ReleaseError as error:
            damaged[release] = str(error)
    return {
        **(asdict(pointer) if pointer else {"release": None, "tree": None, "previous": None, "moves": 0}),
        "whole": pointer is not None and pointer.release not in damaged,
        "trouble": trouble,
        "damaged": damaged,
        "foreign": _foreign(store) if every else [],
        "releases": releases,
    }


def _foreign(store: Store) -> list[str]:
    """Paths below the root that are neither the pointer nor anything of a release whose manifest can be read."""
    known = {POINTER, LOCK}
    for release in store.releases():
        known.add(f"{RELEASES}/{release}.json.gz")
        with contextlib.suppress(ReleaseError):
            known |= {f"{PACKS}/{pack.sha256}.tar.gz" for pack in store.manifest(release).packs}
    return sorted(path for path, _ in walk(store.root) if path not in known) if store.root.exists() else []


def check(root: Path, copies: Copies, stream: BinaryIO, import_seconds: int, keep: bool) -> dict[str, Any]:
    """Make this host's copy of the release of a stream, and import its DAGs from there in a process of its own.

    The copy stays for the time after publication if ``keep`` is set and nothing is wrong with the DAGs. Raises
    ReleaseError for what could not be published anyway, because its name is taken.
    """
    store = Store(root)
    with contextlib.ExitStack() as stack:
        with tempfile.TemporaryDirectory(prefix="freehold-check-") as folder:
            manifest = read_stream(stream, Path(folder)).manifest(store)
            refuse_another_tree(store, manifest)
            staged = stack.enter_context(copies.staged(store, manifest, Path(folder)))
        command = [sys.executable, "-m", "freehold_airflow.check", "--connected=if-asked", "--root", str(staged.path)]
        limit = ["--import-seconds", str(import_seconds)]
        done = subprocess.run([*command, *limit], stdout=subprocess.PIPE, check=False)  # noqa: S603
        try:
            found = {"release": manifest.release, "tree": manifest.tree, **json.loads(done.stdout)}
        except ValueError as error:
            raise ReleaseError(f"the look at the DAGs gave no answer and ended with {done.returncode}") from error
        if keep and not found["errors"]:
            copies.note_dags(manifest.release, found)
            staged.keep = True
        return found


@dataclass(frozen=True)
class Retained:
    """What retention removed, and why it left a release whose manifest can't be read, with all packs, as it was."""

    removed: list[str]
    left: dict[str, str]


def retain(root: Path, newest: int, keep: set[str], deadline: Deadline = UNLIMITED) -> Retained:
    """Remove releases, then the packs that none of the rest names.

    The ``newest`` latest stay, and those in ``keep``, the current one and the one that was current before. A release
    whose manifest is damaged goes when none of these is meant. Where one stays whose manifest can't be read, nobody
    knows which packs it needs, so all stay.
    """
    store = Store(root)
    with exclusive(root, deadline):
        pointer = store.pointer()
        needed = {pointer.release, pointer.previous or pointer.release, *keep}
        manifests: dict[str, Manifest] = {}
        damaged: list[str] = []
        left: dict[str, str] = {}
        # Read before anything is removed: an unreadable manifest must not cost another release its packs.
        for release in store.releases():
            try:
                manifests[release] = store.manifest(release)
            except ReleaseError as error:
                if isinstance(error, DamagedError) and release not in needed:
                    damaged.append(release)
                else:
                    left[release] = str(error)
        latest = sorted(manifests, key=lambda release: (manifests[release].created, release), reverse=True)[:newest]
        kept = {*needed, *latest}
        gone = [release for release in manifests if release not in kept] + damaged
        named = {pack.sha256 for release in kept & manifests.keys() for pack in manifests[release].packs}
        paths = [root / RELEASES / f"{release}.json.gz" for release in gone]
        if not left:
            packs = [path for path in (root / PACKS).iterdir() if not path.is_dir()]
            paths += [path for path in packs if path.name.removesuffix(".tar.gz") not in named]
        for path in paths:
            deadline.check("not everything that nobody needs was removed")
            path.unlink()
    return Retained(sorted(gone), left)


def move_pointer(root: Path, release: str, deadline: Deadline = UNLIMITED) -> Pointer:
    """Make a release that is there the current one, after a look at its manifest and packs; not after the deadline."""
    store = Store(root)
    with exclusive(root, deadline):
        if release not in store.releases():
            known = ", ".join(store.releases()) or "none"
            raise ReleaseError(f"there is no release {release}; there are: {known}")
        manifest = store.manifest(release)
        store.check_packs(manifest)
        return _point(store, _pointer(store), manifest, deadline)


def _replace(path: Path, content: bytes, deadline: Deadline = UNLIMITED) -> None:
    temporary = path.with_name(f"{INCOMING}-{path.name}")
    try:
        temporary.write_bytes(content)
        _sync(temporary)
        # The last look at the clock before anybody sees it: whatever is above may have waited for hours.
        deadline.check("the current release was left as it was")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def main(arguments: list[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="freehold_airflow.publish", description="Publish releases of DAGs.")
    actions = parser.add_subparsers(dest="action", required=True)
    for action in ("look", "check", "write", "move", "retain"):
        added = actions.add_parser(action)
        added.add_argument("--root", type=Path, required=True, help="the folder of releases on the shared file system")
        if action == "look":
            added.add_argument("--all", action="store_true", help="look at every release, and for foreign files")
        if action != "check":
            added.add_argument(
                "--seconds",
                type=float,
                help="wait for others, and change something, no longer than this (default: no limit)",
            )
        if action in ("check", "write"):
            added.add_argument("--stream", type=Path, required=True)
        if action == "check":
            added.add_argument("--storage", type=Path, required=True, help="Airflow's dag_bundle_storage_path")
            added.add_argument("--bundle", required=True, help="the bundle's name")
            added.add_argument("--import-seconds", type=int, required=True, help="limit for the import of one file")
            added.add_argument("--keep", action="store_true", help="keep the copy: it will be published")
        if action == "move":
            added.add_argument("--release", required=True)
        if action == "retain":
            added.add_argument("--newest", type=int, required=True, help="how many of the latest releases stay")
            added.add_argument("--keep", nargs="*", default=[], help="releases that stay whatever their age")
    given = parser.parse_args(arguments)
    try:
        found = _act(given, Deadline(getattr(given, "seconds", None)))
    except (ReleaseError, OSError) as error:
        print(f"freehold_airflow.publish: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, sort_keys=True))
    return REFUSED if found.get("errors") else 0


def _act(given: argparse.Namespace, deadline: Deadline) -> dict[str, Any]:
    if given.action == "look":
        return look(given.root, given.all, deadline)
    if given.action == "move":
        return asdict(move_pointer(given.root, given.release, deadline))
    if given.action == "retain":
        return asdict(retain(given.root, given.newest, set(given.keep), deadline))
    with given.stream.open("rb") as stream:
        if given.action == "write":
            return asdict(publish(given.root, stream, deadline))
        copies = Copies(given.storage, given.bundle)
        return check(given.root, copies, stream, given.import_seconds, given.keep)


if __name__ == "__main__":
    sys.exit(main())
