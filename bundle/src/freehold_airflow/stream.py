# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller sends of a release: the difference to a release that is there already, or the whole tree.

A tar archive, compressed or not. Its first member is ``stream.json``: ``format``, ``release``, ``tree`` (the tree hash
of the result), ``commit``, ``repository``, ``base`` (a release, or null for the whole tree), ``removed`` (paths of the
base) and ``entries`` (what is new or other than in the base). The other members are contents, each named by its
SHA-256; those of the base are left out. The result has to have the promised tree hash, whatever it was made from.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

from freehold_airflow.release import CHUNK, FORMAT, SHA256, Entry, Manifest, ReleaseError, Store, check_name, read_entry

HEADER = "stream.json"
HEADER_LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True)
class Stream:
    """A stream taken apart; its contents lie in a folder of their own, each named by its SHA-256."""

    release: str
    tree: str
    commit: str
    repository: str
    base: str | None
    removed: frozenset[str]
    entries: tuple[Entry, ...]

    def manifest(self, store: Store) -> Manifest:
        """Apply the difference to the base; raise ReleaseError unless this gives the promised tree.

        The packs are those of the base: they hold what the stream doesn't.
        """
        base = store.manifest(self.base) if self.base is not None else None
        entries = {entry.path: entry for entry in base.entries} if base else {}
        unknown = sorted(self.removed - entries.keys())
        if unknown:
            raise ReleaseError(f"the stream removes {unknown[0]!r}, which release {self.base} doesn't have")
        kept = [entry for path, entry in entries.items() if path not in self.removed]
        # Paths that are there twice are refused with all others that can't be made.
        replaced = {entry.path for entry in self.entries}
        merged = (*(entry for entry in kept if entry.path not in replaced), *self.entries)
        packs = base.packs if base else ()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = Manifest(self.release, merged, packs, self.commit, self.repository, now)
        if made.tree != self.tree:
            raise ReleaseError(f"the stream of {self.release} gives the tree {made.tree}, not {self.tree} as it says")
        return made


def read_stream(stream: BinaryIO, spool: Path) -> Stream:
    """Take a stream apart, contents into ``spool``; raise ReleaseError for anything that is not as it should be."""
    try:
        with tarfile.open(fileobj=stream) as archive:
            header: Stream | None = None
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise ReleaseError(f"the stream holds {member.name!r}, which is no file")
                if header is None:
                    header = _header(member, content)
                else:
                    _spool(member.name, content, spool)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ReleaseError(f"the stream can't be read: {error}") from error
    if header is None:
        raise ReleaseError("the stream is empty")
    return header


def _header(member: tarfile.TarInfo, content: IO[bytes]) -> Stream:
    if member.name != HEADER or member.size > HEADER_LIMIT:
        raise ReleaseError(f"the stream begins with {member.name!r} ({member.size} bytes), not with {HEADER}")
    try:
        document: Mapping[str, Any] = json.loads(content.read())
        if document["format"] != FORMAT:
            raise ReleaseError(f"the stream has format {document['format']}, not {FORMAT}")
        base = document["base"]
        return Stream(
            release=check_name(str(document["release"])),
            tree=str(document["tree"]),
            commit=str(document["commit"]),
            repository=str(document["repository"]),
            base=None if base is None else check_name(str(base)),
            removed=frozenset(str(path) for path in document["removed"]),
            entries=tuple(read_entry(item) for item in document["entries"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{HEADER} can't be read: {error!r}") from error


def _spool(name: str, content: IO[bytes], spool: Path) -> None:
    if not SHA256.fullmatch(name):
        raise ReleaseError(f"the stream holds {name!r}, which is no SHA-256")
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=spool, prefix=".incoming-", delete=False) as opened:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            opened.write(chunk)
    if digest.hexdigest() != name:
        raise ReleaseError(f"a content of the stream has the hash {digest.hexdigest()}, not {name}")
    Path(opened.name).rename(spool / name)
