# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish a release: ``python -m freehold_airflow.publish --root FOLDER --release NAME < tree.tar``.

Reads a tar archive of the complete tree (``git archive``'s, compressed or not) from stdin and writes pack, manifest and
pointer into ``--root`` as docs/decisions/0002-release-format.md says. Prints one line of JSON. The pointer is moved
last: whatever happens before, the current release stays as it was. Needs no Airflow.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from freehold_airflow.release import (
    CHUNK,
    PACKS,
    POINTER,
    RELEASES,
    Entry,
    Manifest,
    Pack,
    Pointer,
    ReleaseError,
    Store,
    hash_file,
)

# More packs mean more files to read for a host that has no copy yet, more dead contents more bytes.
MAX_PACKS = 8
MAX_DEAD = 0.5


@dataclass(frozen=True)
class Published:
    """What a publication did."""

    release: str
    tree: str
    files: int
    pack_bytes: int
    previous: str | None

    def as_json(self) -> str:
        """One line for whoever called."""
        return json.dumps(self.__dict__, sort_keys=True)


@contextlib.contextmanager
def exclusive(root: Path, wait: bool = True) -> Iterator[None]:
    """Be the only publisher; NFS 4.1 carries the lock between hosts. The file stays, or the lock means nothing."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ReleaseError("another publication is going on") from error
        yield


def read_archive(stream: BinaryIO, spool: Path) -> tuple[Entry, ...]:
    """Take a tar stream apart: contents into ``spool``, each named by its SHA-256, and the entries that need them."""
    entries = []
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                path = member.name.removeprefix("./").rstrip("/")
                if member.isdir():
                    continue
                if member.issym():
                    entries.append(Entry(path, target=member.linkname))
                elif member.isreg():
                    content = archive.extractfile(member)
                    if content is None:
                        raise ReleaseError(f"{path!r} has no content in the archive")
                    sha256, size = _spool(content, spool)
                    entries.append(Entry(path, sha256, size, bool(member.mode & 0o100)))
                else:
                    raise ReleaseError(f"{path!r} is neither a file nor a symbolic link")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ReleaseError(f"the archive can't be read: {error}") from error
    return tuple(entries)


def _spool(content: object, spool: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=spool, delete=False) as opened:
        while chunk := content.read(CHUNK):  # type: ignore[attr-defined]
            digest.update(chunk)
            size += len(chunk)
            opened.write(chunk)
    Path(opened.name).rename(spool / digest.hexdigest())
    return digest.hexdigest(), size


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


def publish(
    root: Path, release: str, stream: BinaryIO, *, tree: str | None = None, commit: str = "", repository: str = ""
) -> Published:
    """Write a release and make it the current one; raise ReleaseError and leave the current one alone otherwise.

    ``tree`` is the tree hash that the content must have, for a caller who knows it. Publishing what is there already
    writes nothing but, where it named another release, the pointer.
    """
    store = Store(root)
    with tempfile.TemporaryDirectory(prefix="freehold-publish-") as folder:
        spool = Path(folder)
        # Checks every path and link of the archive before anything is written.
        wanted = Manifest(release, read_archive(stream, spool), (), commit, repository, _now())
        if tree is not None and tree != wanted.tree:
            raise ReleaseError(f"the archive has the tree {wanted.tree}, not {tree}")
        with exclusive(root):
            previous = _named(store)
            pack_bytes = 0
            if not _is_there(store, wanted):
                pack_bytes = _write(store, wanted, spool, _intact(store, previous))
            if previous != release:
                _replace(root / POINTER, Pointer(release, wanted.tree).to_bytes())
    return Published(release, wanted.tree, len(wanted.entries), pack_bytes, previous)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _named(store: Store) -> str | None:
    """The current release's name; none where there is no readable pointer."""
    try:
        return store.pointer().release
    except ReleaseError:
        return None


def _check_packs(store: Store, manifest: Manifest) -> None:
    for pack in manifest.packs:
        try:
            found = hash_file(store.pack_path(pack))
        except OSError as error:
            raise ReleaseError(
                f"the pack {pack.sha256} of release {manifest.release} can't be read: {error}"
            ) from error
        if found != (pack.sha256, pack.size):
            raise ReleaseError(f"the pack {pack.sha256} of release {manifest.release} is damaged")


def _intact(store: Store, release: str | None) -> Manifest | None:
    """The manifest to build upon. A damaged release doesn't stop a publication: everything is then written anew."""
    if release is None:
        return None
    try:
        manifest = store.manifest(release)
        _check_packs(store, manifest)
    except ReleaseError as error:
        print(f"freehold_airflow.publish: building on nothing: {error}", file=sys.stderr)
        return None
    return manifest


def _is_there(store: Store, wanted: Manifest) -> bool:
    """Whether the release is there, whole. Another tree under its name is refused: hosts may have copies of it."""
    try:
        there = store.manifest(wanted.release)
    except ReleaseError:
        return False
    if there.tree != wanted.tree:
        raise ReleaseError(f"release {wanted.release} is there already, with the tree {there.tree}, not {wanted.tree}")
    return _intact(store, wanted.release) is not None


def _write(store: Store, wanted: Manifest, spool: Path, current: Manifest | None) -> int:
    """Write pack and manifest; return the length of the new pack, 0 for none."""
    contents, packs = choose(wanted.entries, current)
    pack_bytes = 0
    for folder in (RELEASES, PACKS):
        (store.root / folder).mkdir(exist_ok=True)
        # The lock is held: whatever has a temporary name was left by a publication that died.
        for left in (store.root / folder).glob(".incoming*"):
            left.unlink(missing_ok=True)
    if contents:
        incoming = store.root / PACKS / ".incoming"
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


def retain(root: Path, keep: set[str]) -> list[str]:
    """Remove every release but the current one and those in ``keep``, then the packs that none of the rest names."""
    store = Store(root)
    with exclusive(root):
        keep = {store.pointer().release, *keep}
        gone = [release for release in store.releases() if release not in keep]
        # Read before anything is removed: an unreadable manifest must not cost another release its packs.
        named = {
            pack.sha256 for release in store.releases() if release in keep for pack in store.manifest(release).packs
        }
        for release in gone:
            (root / RELEASES / f"{release}.json.gz").unlink()
        for path in (root / PACKS).glob("*.tar.gz"):
            if path.name.removesuffix(".tar.gz") not in named:
                path.unlink()
    return gone


def move_pointer(root: Path, release: str) -> Pointer:
    """Make a release that is there the current one, after a look at its manifest and packs."""
    store = Store(root)
    with exclusive(root):
        manifest = store.manifest(release)
        _check_packs(store, manifest)
        pointer = Pointer(release, manifest.tree)
        _replace(root / POINTER, pointer.to_bytes())
    return pointer


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".incoming-{path.name}")
    try:
        temporary.write_bytes(content)
        _sync(temporary)
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
    parser = argparse.ArgumentParser(prog="freehold_airflow.publish", description="Publish a release of DAGs.")
    parser.add_argument("--root", type=Path, required=True, help="the folder of releases on the shared file system")
    parser.add_argument("--release", required=True, help="the release's name: the commit's full hash")
    parser.add_argument("--commit", default="", help="recorded in the manifest")
    parser.add_argument("--repository", default="", help="recorded in the manifest")
    parser.add_argument("--tree", help="the tree hash that the content must have")
    given = parser.parse_args(arguments)
    try:
        done = publish(
            given.root,
            given.release,
            sys.stdin.buffer,
            tree=given.tree,
            commit=given.commit,
            repository=given.repository,
        )
    except (ReleaseError, OSError) as error:
        print(f"freehold_airflow.publish: {error}", file=sys.stderr)
        return 1
    print(done.as_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
