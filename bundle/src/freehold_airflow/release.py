# SPDX-License-Identifier: GPL-3.0-or-later
"""The format of a release on the shared file system, without Airflow: see docs/decisions/0002-release-format.md.

Everything that is read from the shared file system is checked here before anything is done with it: a wrong hash, a
path that leaves the tree or a file cut short raises ReleaseError, never a half-made copy.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import stat
import tarfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FORMAT = 1
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
SHA256 = re.compile(r"[0-9a-f]{64}")
POINTER = "current"
RELEASES = "releases"
PACKS = "packs"
# A manifest of ten thousand files has about 1.5 MB. Far above that it is no manifest but an attack or an accident.
MANIFEST_LIMIT = 512 * 1024 * 1024
CHUNK = 1024 * 1024


class ReleaseError(Exception):
    """Something of a release is missing or is not what it says it is; the text names it."""


class DamagedError(ReleaseError):
    """What was read is nothing that anybody wrote, so reading it again won't help."""


@dataclass(frozen=True)
class Entry:
    """A file or a symbolic link of the tree.

    ``target`` is set for links only; ``sha256``, ``size`` (bytes) and ``executable`` for files only.
    """

    path: str
    sha256: str = ""
    size: int = 0
    executable: bool = False
    target: str | None = None

    @property
    def is_link(self) -> bool:
        """Whether this is a symbolic link."""
        return self.target is not None

    @property
    def line(self) -> bytes:
        """This entry's line of the tree hash."""
        if self.target is not None:
            mark, digest = "L", hashlib.sha256(self.target.encode("utf-8", "surrogateescape")).hexdigest()
        else:
            mark, digest = ("X" if self.executable else "F"), self.sha256
        return f"{mark} {digest} {json.dumps(self.path)}\n".encode()

    def as_json(self) -> dict[str, Any]:
        """The entry as it stands in the manifest."""
        if self.target is not None:
            return {"path": self.path, "target": self.target}
        found: dict[str, Any] = {"path": self.path, "sha256": self.sha256, "size": self.size}
        if self.executable:
            found["executable"] = True
        return found


@dataclass(frozen=True)
class Pack:
    """A file of contents: the SHA-256 of its own bytes, their number, and the number of bytes of the contents in it."""

    sha256: str
    size: int
    contents: int


@dataclass(frozen=True)
class Manifest:
    """What one release consists of."""

    release: str
    entries: tuple[Entry, ...]
    packs: tuple[Pack, ...] = ()
    commit: str = ""
    repository: str = ""
    created: str = ""
    tree: str = field(default="")

    def __post_init__(self) -> None:
        """Put the entries into their order, fill in the tree hash, and refuse a tree that can't be made safely."""
        object.__setattr__(self, "entries", tuple(sorted(self.entries, key=lambda entry: os.fsencode(entry.path))))
        check_name(self.release)
        check_entries(self.entries)
        tree = tree_hash(self.entries)
        if self.tree and self.tree != tree:
            raise ReleaseError(f"the manifest of {self.release} says tree {self.tree}, its entries say {tree}")
        object.__setattr__(self, "tree", tree)

    def to_bytes(self) -> bytes:
        """The manifest as it is stored."""
        document = {
            "format": FORMAT,
            "release": self.release,
            "tree": self.tree,
            "commit": self.commit,
            "repository": self.repository,
            "created": self.created,
            "packs": [asdict(pack) for pack in self.packs],
            "entries": [entry.as_json() for entry in self.entries],
        }
        return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 6, mtime=0)

    @classmethod
    def from_bytes(cls, stored: bytes, release: str) -> Manifest:
        """Read a stored manifest and check that it is the one of ``release``, whole and harmless."""
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(stored)) as unpacked:
                text = unpacked.read(MANIFEST_LIMIT + 1)
            if len(text) > MANIFEST_LIMIT:
                raise DamagedError(f"the manifest of {release} is larger than {MANIFEST_LIMIT} bytes")
            document = json.loads(text)
            if document["format"] != FORMAT:
                # A later version may have written it, which can read it.
                raise ReleaseError(f"the manifest of {release} has format {document['format']}, not {FORMAT}")
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"the manifest of {release} can't be read: {error!r}") from error
        try:
            found = cls(
                release=str(document["release"]),
                entries=tuple(read_entry(item) for item in document["entries"]),
                packs=tuple(_pack(item) for item in document["packs"]),
                commit=str(document["commit"]),
                repository=str(document["repository"]),
                created=str(document["created"]),
                tree=_sha256(document["tree"]),
            )
        except ReleaseError as error:
            raise DamagedError(str(error)) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"the manifest of {release} can't be read: {error!r}") from error
        if found.release != release:
            raise DamagedError(f"the manifest of {release} says that it is {found.release}")
        return found


@dataclass(frozen=True)
class Pointer:
    """Which release is current, its tree hash, which release was current before, if any, and how often it has moved.

    The number tells a pointer that is later than another one from a stale view of an earlier one.
    """

    release: str
    tree: str
    previous: str | None = None
    moves: int = 1

    def to_bytes(self) -> bytes:
        """The pointer as it is stored."""
        return (json.dumps({"format": FORMAT, **asdict(self)}) + "\n").encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Pointer:
        """Read a stored pointer."""
        try:
            document = json.loads(stored)
            if document["format"] != FORMAT:
                raise ReleaseError(f"the pointer has format {document['format']}, not {FORMAT}")
            previous = document["previous"]
            return cls(
                check_name(str(document["release"])),
                _sha256(document["tree"]),
                None if previous is None else check_name(str(previous)),
                int(document["moves"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ReleaseError(f"the pointer can't be read: {error!r}") from error


def _sha256(text: Any) -> str:
    if not isinstance(text, str) or not SHA256.fullmatch(text):
        raise ValueError(f"{text!r} is no SHA-256")
    return text


def read_entry(item: Mapping[str, Any]) -> Entry:
    """Read an entry as ``Entry.as_json`` writes it; raise ValueError, KeyError or TypeError for what is none."""
    if "target" in item:
        return Entry(path=str(item["path"]), target=str(item["target"]))
    executable = item.get("executable", False)
    return Entry(str(item["path"]), _sha256(item["sha256"]), int(item["size"]), executable is True)


def _pack(item: Mapping[str, Any]) -> Pack:
    return Pack(_sha256(item["sha256"]), int(item["size"]), int(item["contents"]))


def check_name(release: str) -> str:
    """Return the release's name, or refuse one that could be anything but a plain file name."""
    if not NAME.fullmatch(release):
        raise ReleaseError(f"{release!r} is no name of a release")
    return release


def check_entries(entries: Iterable[Entry]) -> None:
    """Refuse paths and links that leave the tree, and paths that stand in each other's way."""
    kinds: dict[str, str] = {}
    for entry in entries:
        parts = entry.path.split("/")
        if not entry.path or "\0" in entry.path or any(part in ("", ".", "..") for part in parts):
            raise ReleaseError(f"the path {entry.path!r} does not stay inside the tree")
        if entry.path in kinds:
            raise ReleaseError(f"the path {entry.path!r} is there twice")
        kinds[entry.path] = "link" if entry.is_link else "file"
        if entry.target is not None:
            check_target(entry.path, entry.target)
    folders: set[str] = set()
    for path in kinds:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            if folder in kinds:
                raise ReleaseError(f"{path!r} lies below {folder!r}, which is no folder")
            folders.add(folder)
            folder = folder.rpartition("/")[0]


def check_target(path: str, target: str) -> None:
    """Refuse a link whose target is absolute or climbs out of the tree."""
    if not target or target.startswith("/") or "\0" in target:
        raise ReleaseError(f"the link {path!r} points outside the tree, to {target!r}")
    depth = path.count("/")
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            raise ReleaseError(f"the link {path!r} points outside the tree, to {target!r}")


def tree_hash(entries: Iterable[Entry]) -> str:
    """The hash of a tree: of names, contents, modes and links, and of nothing else."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda one: os.fsencode(one.path)):
        digest.update(entry.line)
    return digest.hexdigest()


def hash_file(path: Path) -> tuple[str, int]:
    """The SHA-256 and the length of a file; a file replaced by a link meanwhile is not followed."""
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def walk(root: Path, closed: Callable[[str], object] | None = None) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below ``root`` that is no folder, with its own status (links are not followed), in no order.

    ``closed`` is told of folders that can't be read (``.`` is ``root``); without it, the first one raises OSError.
    """
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            with os.scandir(folder) as found:
                for item in found:
                    if item.is_dir(follow_symlinks=False):
                        waiting.append((Path(item.path), f"{prefix}{item.name}/"))
                    else:
                        yield prefix + item.name, item.stat(follow_symlinks=False)
        except OSError:
            if closed is None:
                raise
            closed(prefix.rstrip("/") or ".")


def read_tree(root: Path) -> tuple[Entry, ...]:
    """Read a directory as it is, hashing every file. Anything but files, links and folders is refused."""
    entries = []
    for path, status in walk(root):
        if stat.S_ISLNK(status.st_mode):
            entries.append(Entry(path, target=str((root / path).readlink())))
        elif stat.S_ISREG(status.st_mode):
            sha256, size = hash_file(root / path)
            entries.append(Entry(path, sha256, size, bool(status.st_mode & stat.S_IXUSR)))
        else:
            raise ReleaseError(f"{path!r} is neither a file nor a symbolic link")
    return tuple(sorted(entries, key=lambda entry: os.fsencode(entry.path)))


@dataclass(frozen=True)
class Difference:
    """How a directory departs from a manifest; each list holds paths, sorted."""

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.changed or self.missing or self.extra or self.unreadable)

    def as_json(self) -> dict[str, list[str]]:
        """The four lists by name."""
        return {name: list(getattr(self, name)) for name in ("changed", "missing", "extra", "unreadable")}


def compare(manifest: Manifest, root: Path) -> Difference:
    """Hash a whole directory and say how it differs from the manifest; never raises for what it finds there.

    Of a folder that can't be read, the folder is unreadable, and what should be in it is missing.
    """
    wanted = {entry.path: entry for entry in manifest.entries}
    changed: list[str] = []
    extra: list[str] = []
    unreadable: list[str] = []
    for path, status in walk(root, unreadable.append):
        entry = wanted.pop(path, None)
        if entry is None:
            extra.append(path)
            continue
        try:
            same = _same(entry, root / path, status)
        except OSError:
            unreadable.append(path)
            continue
        if not same:
            changed.append(path)
    return Difference(*(tuple(sorted(paths)) for paths in (changed, wanted, extra, unreadable)))


def _same(entry: Entry, path: Path, status: os.stat_result) -> bool:
    if stat.S_ISLNK(status.st_mode):
        return entry.target is not None and str(path.readlink()) == entry.target
    if not stat.S_ISREG(status.st_mode) or entry.is_link:
        return False
    if bool(status.st_mode & stat.S_IXUSR) != entry.executable:
        return False
    return hash_file(path) == (entry.sha256, entry.size)


def seal(root: Path) -> str:
    """A hash over what the file system says of every item below ``root``, without reading any content.

    The change time can't be set by any program, so whatever was written, replaced, renamed or re-moded since the seal
    was taken gives another one. Folders count only through what is in them.
    """
    digest = hashlib.sha256()
    for path, status in sorted(walk(root), key=lambda item: os.fsencode(item[0])):
        facts = (status.st_mode, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        digest.update(f"{json.dumps(path)} {facts}\n".encode())
    return digest.hexdigest()


class Store:
    """The shared file system's folder of releases, for reading and for publishing."""

    def __init__(self, root: Path) -> None:
        """Nothing is read yet; ``root`` holds ``current``, ``releases`` and ``packs``."""
        self.root = root

    def pointer(self) -> Pointer:
        """The current release. The file is opened anew, which makes NFS ask the server for its latest version."""
        return Pointer.from_bytes(self._read(self.root / POINTER, "the pointer"))

    def manifest(self, release: str) -> Manifest:
        """The manifest of a release."""
        path = self.root / RELEASES / f"{check_name(release)}.json.gz"
        return Manifest.from_bytes(self._read(path, f"the manifest of {release}"), release)

    def releases(self) -> list[str]:
        """The names of all releases that are there, sorted."""
        folder = self.root / RELEASES
        if not folder.is_dir():
            return []
        names = [path.name.removesuffix(".json.gz") for path in folder.iterdir() if path.name.endswith(".json.gz")]
        return sorted(name for name in names if NAME.fullmatch(name))

    def pack_path(self, pack: Pack) -> Path:
        """Where a pack lies."""
        return self.root / PACKS / f"{pack.sha256}.tar.gz"

    def check_packs(self, manifest: Manifest) -> None:
        """Hash all packs of a release; raise ReleaseError for one that is not as the manifest says."""
        for pack in manifest.packs:
            try:
                found = hash_file(self.pack_path(pack))
            except OSError as error:
                raise ReleaseError(
                    f"the pack {pack.sha256} of release {manifest.release} can't be read: {error}"
                ) from error
            if found != (pack.sha256, pack.size):
                raise ReleaseError(f"the pack {pack.sha256} of release {manifest.release} is damaged")

    def contents(self, pack: Pack, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        """The contents among ``wanted`` that the pack holds, as (SHA-256, bytes), each checked.

        The pack is read once, to its end, so that its own hash is known to be right before this returns: when it is
        not, ReleaseError is raised after the last item.
        """
        path = self.pack_path(pack)
        try:
            with path.open("rb") as opened:
                hashed = _Hashed(opened)
                # Not tarfile's own "r|gz": for each block that it reads it copies all that it has unpacked.
                with (
                    gzip.GzipFile(fileobj=io.BufferedReader(hashed, CHUNK)) as unpacked,
                    tarfile.open(fileobj=unpacked, mode="r|") as archive,
                ):
                    for member in archive:
                        if member.name not in wanted or not member.isreg():
                            continue
                        extracted = archive.extractfile(member)
                        content = extracted.read() if extracted is not None else b""
                        if hashlib.sha256(content).hexdigest() != member.name:
                            raise ReleaseError(f"the pack {pack.sha256} holds a content with a wrong hash")
                        yield member.name, content
                while hashed.read(CHUNK):
                    pass
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise ReleaseError(f"the pack {pack.sha256} can't be read: {error!r}") from error
        if hashed.digest.hexdigest() != pack.sha256:
            raise ReleaseError(f"the pack {pack.sha256} has the hash {hashed.digest.hexdigest()}")

    def _read(self, path: Path, what: str) -> bytes:
        # A file replaced by another host while it is open answers ESTALE on NFS; the new one is there already.
        for attempt in range(3):
            try:
                return path.read_bytes()
            except FileNotFoundError as error:
                raise ReleaseError(f"{what} is not at {path}") from error
            except OSError as error:
                if attempt == 2:
                    raise ReleaseError(f"{what} can't be read: {error}") from error
                time.sleep(0.1)
        raise AssertionError("not reached")


class _Hashed(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, opened: io.BufferedReader) -> None:
        self.opened, self.digest = opened, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, into: WriteableBuffer) -> int:
        length = self.opened.readinto(into)
        self.digest.update(memoryview(into)[:length])
        return length
