# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's own, verified copies of releases, without Airflow.

All containers of a host share one folder of copies. A copy appears by rename when every hash fits; after that its seal
is compared on each use, and a copy that was touched is repaired file by file, so that tasks which run from it keep
running.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freehold_airflow.release import (
    CHUNK,
    Difference,
    Entry,
    Manifest,
    ReleaseError,
    Store,
    check_name,
    compare,
    seal,
)

log = logging.getLogger(__name__)

# How many earlier copies are searched for contents that a new one needs. The last one has nearly all of them.
SOURCES = 3
# Copies that no task has used (a dag-processor makes one for each release) are kept this long, and this many at least.
UNUSED_SECONDS = 6 * 3600
UNUSED_COUNT = 10


@dataclass
class Staged:
    """A copy that is there before its release is published, and whether it stays after the look at it."""

    path: Path
    keep: bool = False


class Copies:
    """The copies of one bundle on this host, below Airflow's ``dag_bundle_storage_path``."""

    def __init__(self, storage: Path, bundle: str) -> None:
        """``storage`` is the common root of all bundles; the layout below it is Airflow's, but for ``releases``."""
        self.base = storage / bundle
        self.versions = self.base / "versions"
        self.notes = self.base / "releases"
        self.incoming = self.base / "incoming"
        self.tracking = storage / "_tracking" / bundle
        self.lock_file = storage / "_locks" / f"{bundle}.lock"
        # What this object has put right, by release: paths by what was wrong with them.
        self.repaired: dict[str, dict[str, list[str]]] = {}

    def path(self, release: str) -> Path:
        """Where the copy of a release is, once it is there."""
        return self.versions / check_name(release)

    def ensure(self, store: Store, release: str) -> Path:
        """Return the path of an intact copy of the release, making or repairing it where needed.

        Raises ReleaseError when that can't be done; then nothing half-made is left under the release's name.
        """
        if self.is_sealed(release):
            return self.path(release)
        with self.locked():
            if self.is_sealed(release):
                return self.path(release)
            if self.path(release).is_dir():
                self._repair(store, release)
            else:
                self._make(store, store.manifest(release))
                self._remove_unused(release)
        return self.path(release)

    def repair(self, store: Store, release: str) -> None:
        """Hash the whole copy, whatever its seal says, and make it exact again; raise ReleaseError if that fails."""
        with self.locked():
            self._repair(store, release)

    @contextlib.contextmanager
    def staged(self, store: Store, manifest: Manifest, spool: Path) -> Iterator[Staged]:
        """The copy of a release that is not published yet; ``spool`` holds what its packs lack, by SHA-256.

        It is removed in the end, unless it was marked to be kept, was published meanwhile, or another process has it
        staged too: of one whose caller died, nobody knows when it ends.
        """
        release = manifest.release
        with self.locked():
            if not self.is_sealed(release, manifest.tree):
                _remove_tree(self.path(release))
                self._make(store, manifest, spool)
            opened = os.open(self.path(release), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(opened, fcntl.LOCK_SH)
        staged = Staged(self.path(release))
        try:
            yield staged
        finally:
            try:
                if not staged.keep:
                    with self.locked():
                        if release not in store.releases() and self._is_mine_alone(release, opened):
                            self._discard(release)
            finally:
                os.close(opened)

    def _is_mine_alone(self, release: str, opened: int) -> bool:
        """Whether the folder that is ``opened`` is still the copy, and no other process has it staged."""
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(opened), self.path(release).stat())
        except OSError:
            return False

    def _discard(self, release: str) -> None:
        for note in (self._seal_path(release), self._manifest_path(release), self._dags_path(release)):
            note.unlink(missing_ok=True)
        _remove_tree(self.path(release))

    def is_sealed(self, release: str, tree: str = "") -> bool:
        """Whether the copy is exactly as it was when all of its hashes were last found right.

        And whether these were the hashes of ``tree``, where that is given: a release's name alone does not tell.
        """
        try:
            noted = json.loads(self._seal_path(release).read_text())
            return bool(noted["seal"] == seal(self.path(release))) and tree in ("", noted["tree"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def manifest(self, release: str) -> Manifest:
        """This host's copy of the manifest."""
        try:
            return Manifest.from_bytes(self._manifest_path(release).read_bytes(), release)
        except OSError as error:
            raise ReleaseError(f"this host has no manifest of {release}: {error}") from error

    def verify(self, release: str) -> tuple[Manifest, Difference]:
        """Hash the whole copy; return its manifest and how it differs."""
        manifest = self.manifest(release)
        root = self.path(release)
        if not root.is_dir():
            return manifest, Difference(missing=tuple(entry.path for entry in manifest.entries))
        return manifest, compare(manifest, root)

    def forget_use(self, release: str) -> None:
        """Take back Airflow's note that a task has used a release of which there is no copy.

        Airflow notes it before it asks for the copy, and its clean-up ends at the first note without one, for good.
        """
        if not self.path(release).is_dir():
            (self.tracking / release).unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one on this host who makes or repairs copies, by the lock file that Airflow's own lock uses."""
        self.lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self.lock_file.open("w") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield

    def note_dags(self, release: str, found: Mapping[str, Any]) -> None:
        """Keep what the check found in a release, for whoever waits until Airflow has found the same."""
        _replace(self._dags_path(release), json.dumps(found).encode())

    def _dags_path(self, release: str) -> Path:
        return self.notes / f"{check_name(release)}.dags.json"

    def _seal_path(self, release: str) -> Path:
        return self.notes / f"{check_name(release)}.seal.json"

    def _manifest_path(self, release: str) -> Path:
        return self.notes / f"{check_name(release)}.json.gz"

    def _make(self, store: Store, manifest: Manifest, spool: Path | None = None) -> None:
        started = time.monotonic()
        release = manifest.release
        shutil.rmtree(self.incoming, ignore_errors=True)
        root = self.incoming / release
        root.mkdir(parents=True)
        try:
            reused = self._write(store, manifest, manifest.entries, root, spool)
            self._note_manifest(manifest)
            self.versions.mkdir(parents=True, exist_ok=True)
            root.rename(self.path(release))
        finally:
            shutil.rmtree(self.incoming, ignore_errors=True)
        self._note_seal(manifest)
        log.info(
            "Copied release %s: %d entries, %d of them from earlier copies, in %.1f s",
            release,
            len(manifest.entries),
            reused,
            time.monotonic() - started,
        )

    def _repair(self, store: Store, release: str) -> None:
        """Make an existing copy exact again, without taking any right file away from a task that runs from it."""
        try:
            manifest = store.manifest(release)
        except ReleaseError:
            # Removed from the shared file system, or that is away: what this host noted still has to fit its own hash.
            manifest = self.manifest(release)
        root = self.path(release)
        closed = _open_folders(root)
        difference = compare(manifest, root)
        if difference or closed:
            found = {**difference.as_json(), "closed": closed}
            log.warning("The copy of release %s was changed on this host; repairing it: %s", release, found)
            for path in (*difference.extra, *difference.changed, *difference.unreadable):
                (root / path).unlink(missing_ok=True)
            _remove_empty_folders(root)
            bad = {*difference.changed, *difference.missing, *difference.unreadable}
            self._write(store, manifest, tuple(entry for entry in manifest.entries if entry.path in bad), root)
            left = compare(manifest, root)
            if left:
                raise ReleaseError(f"the copy of release {release} can't be repaired: {left.as_json()}")
            self.repaired[release] = found
        self._note_manifest(manifest)
        self._note_seal(manifest)

    def _write(
        self, store: Store, manifest: Manifest, entries: tuple[Entry, ...], root: Path, spool: Path | None = None
    ) -> int:
        """Write the entries below ``root``, each hash checked; return how many came from earlier copies."""
        for folder in sorted({entry.path.rpartition("/")[0] for entry in entries}):
            self._make_folder(root / folder, root)
        waiting: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.target is not None:
                (root / entry.path).symlink_to(entry.target)
            else:
                waiting.setdefault(entry.sha256, []).append(entry)
        for sha256 in [sha256 for sha256 in waiting if spool and (spool / sha256).exists()]:
            if spool and all(_copy(spool / sha256, entry, root) for entry in waiting[sha256]):
                waiting.pop(sha256)
        reused = 0
        for sha256, source in self._earlier(manifest.release, set(waiting)):
            if all(_copy(source, entry, root) for entry in waiting[sha256]):
                reused += len(waiting.pop(sha256))
        for pack in manifest.packs:
            if not waiting:
                break
            for sha256, content in store.contents(pack, set(waiting)):
                for entry in waiting.pop(sha256, []):
                    _create(root / entry.path, entry.executable, content)
        if waiting:
            missing = sorted(entry.path for found in waiting.values() for entry in found)
            shown = f"{', '.join(missing[:5])} ({len(missing)} in all)"
            raise ReleaseError(f"release {manifest.release}: no pack holds {shown}")
        return reused

    def _make_folder(self, folder: Path, root: Path) -> None:
        """Make a folder and its parents; one that a person replaced by a file or a link is put right."""
        for parent in [*reversed(folder.relative_to(root).parents), folder.relative_to(root)]:
            path = root / parent
            if path != root and (path.is_symlink() or (path.exists() and not path.is_dir())):
                path.unlink()
        folder.mkdir(parents=True, exist_ok=True)

    def _earlier(self, release: str, wanted: set[str]) -> Iterator[tuple[str, Path]]:
        """Where earlier copies, latest first, hold wanted contents, as (SHA-256, path); each content once."""
        notes = sorted(self.notes.glob("*.json.gz"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        found: set[str] = set()
        for path in [path for path in notes if path != self._manifest_path(release)][:SOURCES]:
            other = path.name.removesuffix(".json.gz")
            try:
                manifest = self.manifest(other)
            except ReleaseError as error:
                log.warning("Not copying from an earlier release: %s", error)
                continue
            for entry in manifest.entries:
                if entry.sha256 in wanted and entry.sha256 not in found and not entry.is_link:
                    found.add(entry.sha256)
                    yield entry.sha256, self.path(other) / entry.path

    def _note_manifest(self, manifest: Manifest) -> None:
        _replace(self._manifest_path(manifest.release), manifest.to_bytes())

    def _note_seal(self, manifest: Manifest) -> None:
        noted = {"release": manifest.release, "tree": manifest.tree, "seal": seal(self.path(manifest.release))}
        _replace(self._seal_path(manifest.release), json.dumps(noted).encode())

    def _remove_unused(self, release: str) -> None:
        """Remove old copies that no task has ever used, and notes without a copy.

        Airflow's own clean-up removes what tasks have used, by their tracking files; a dag-processor leaves none.
        """
        for note in self.notes.iterdir():
            name = note.name.removesuffix(".json.gz").removesuffix(".seal.json").removesuffix(".dags.json")
            if not (self.versions / name).is_dir():
                note.unlink(missing_ok=True)
        copies = [path for path in self.versions.iterdir() if path.name != release]
        copies.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in copies[UNUSED_COUNT:]:
            if not (self.tracking / path.name).exists() and path.stat().st_mtime < time.time() - UNUSED_SECONDS:
                _remove_tree(path)


def _create(path: Path, executable: bool, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as opened:
        opened.write(content)
        os.fchmod(opened.fileno(), 0o755 if executable else 0o644)


def _copy(source: Path, entry: Entry, root: Path) -> bool:
    """Copy a file of an earlier copy and say whether its content was the right one; else nothing is left."""
    target = root / entry.path
    digest = hashlib.sha256()
    try:
        with (
            os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as old,
            os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as new,
        ):
            while chunk := old.read(CHUNK):
                digest.update(chunk)
                new.write(chunk)
            os.fchmod(new.fileno(), 0o755 if entry.executable else 0o644)
    except OSError as error:
        log.warning("Not copying %s from %s: %s", entry.path, source, error)
        target.unlink(missing_ok=True)
        return False
    if digest.hexdigest() == entry.sha256:
        return True
    log.warning("%s was changed on this host; taking %s from the shared file system", source, entry.path)
    target.unlink()
    return False


def _open_folders(root: Path) -> list[str]:
    """Give this process back its rights in folders below ``root`` that somebody took; return those folders."""
    opened = []
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            try:
                folder.chmod(mode | 0o755)
            except OSError as error:
                raise ReleaseError(f"the folder {folder} of this host's copy can't be opened again: {error}") from error
            opened.append(str(folder.relative_to(root)))
        with os.scandir(folder) as found:
            waiting += [Path(item.path) for item in found if item.is_dir(follow_symlinks=False)]
    return sorted(opened)


def _remove_tree(root: Path) -> None:
    """Remove a copy, as far as that is possible."""
    with contextlib.suppress(ReleaseError, OSError):
        _open_folders(root)
    shutil.rmtree(root, ignore_errors=True)


def _remove_empty_folders(root: Path) -> None:
    """Remove folders without anything in them: what a person made, or where foreign files were."""
    for folder, _, _ in os.walk(root, topdown=False):
        if Path(folder) != root:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
