# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The exact content of a folder in a Git commit, and the stream that brings it to a host, or its difference to another.

Git's own ``archive`` isn't used: it leaves out what ``.gitattributes`` marks ``export-ignore``, and rewrites line ends
and ``$Format$``. What is sent here is what is stored in the commit, byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Format of the stream; docs/decisions/0002-release-format.md.
FORMAT = 1
HEADER = "stream.json"
MIB = 1024 * 1024


class TreeError(Exception):
    """What is asked for can't be published; the text is one sentence that says why."""


@dataclass(frozen=True)
class Blob:
    """A file or link as Git stores it."""

    path: str
    mode: str
    oid: str
    size: int

    @property
    def is_link(self) -> bool:
        """Whether this is a symbolic link."""
        return self.mode == "120000"


@dataclass(frozen=True)
class Tree:
    """A folder of a commit: what is in it, and the SHA-256 and (of links) the target behind each object's name."""

    blobs: tuple[Blob, ...]
    hashes: Mapping[str, str]
    targets: Mapping[str, str]

    @property
    def tree_hash(self) -> str:
        """The hash of names, contents, modes and links, as docs/decisions/0002-release-format.md defines it."""
        digest = hashlib.sha256()
        for blob in sorted(self.blobs, key=lambda one: os.fsencode(one.path)):
            mark = "L" if blob.is_link else "X" if blob.mode == "100755" else "F"
            digest.update(f"{mark} {self.hashes[blob.oid]} {json.dumps(blob.path)}\n".encode())
        return digest.hexdigest()

    def entry(self, blob: Blob) -> dict[str, Any]:
        """The entry of a manifest for ``blob``."""
        if blob.is_link:
            return {"path": blob.path, "target": self.targets[blob.oid]}
        found: dict[str, Any] = {"path": blob.path, "sha256": self.hashes[blob.oid], "size": blob.size}
        return {**found, "executable": True} if blob.mode == "100755" else found


class Repository:
    """A Git work tree on the controller, for reading. Nothing in it is ever changed."""

    def __init__(self, path: str, folder: str) -> None:
        """``folder`` is the one whose content matters, relative to the repository; ``.`` is all of it.

        :raises TreeError: C(path) is not the top of a work tree.
        """
        self.path = path
        self.folder = os.path.normpath(folder)
        if self.folder.startswith(("/", "..")):
            raise TreeError(f"dags_folder ({folder}) is not inside the repository")
        if not Path(path).is_dir():
            raise TreeError(f"dags_repository ({path}) is no directory")
        self._environment = dict(os.environ)
        try:
            top = Path(os.fsdecode(self.git("rev-parse", "--show-toplevel").rstrip(b"\n"))).resolve()
        except TreeError as error:
            raise TreeError(f"dags_repository ({path}) is no Git work tree: {error}") from error
        here = Path(path).resolve()
        if here != top:
            inside = here.relative_to(top) if here.is_relative_to(top) else here
            raise TreeError(
                f"dags_repository ({path}) is not the top of its Git work tree: set dags_repository to {top} and "
                f"dags_folder to a folder in it, such as {inside / self.folder}"
            )

    def git(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        """Run Git in the repository and return what it printed.

        :raises TreeError: Git says no; the text is its last line.
        """
        command = ["git", "-C", self.path, "-c", "core.quotePath=false", *arguments]
        try:
            done = subprocess.run(  # noqa: S603
                command, input=stdin, capture_output=True, check=False, env=self._environment
            )
        except OSError as error:
            raise TreeError(f"Git can't be run on the controller: {error}") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or [f"it ended {done.returncode}"]
            raise TreeError(f"git {arguments[0]} says: {said[-1]}")
        return done.stdout

    def commit(self, revision: str) -> str:
        """The full hash of the commit that ``revision`` names.

        :raises TreeError: It names none.
        """
        try:
            found = self.git("rev-parse", "--verify", "--end-of-options", revision + "^{commit}")
            return found.decode().strip()
        except TreeError as error:
            raise TreeError(f"dags_revision ({revision}) names no commit of {self.path}") from error

    def has_commit(self, name: str) -> bool:
        """Whether the commit is here; a shallow clone has few."""
        with contextlib.suppress(TreeError):
            return bool(self.git("cat-file", "-t", name).strip() == b"commit")
        return False

    def origin(self) -> str:
        """Where the repository was cloned from, without a user or password in it; empty when nowhere."""
        try:
            url = self.git("config", "--get", "remote.origin.url").decode().strip()
        except TreeError:
            return ""
        scheme, separator, rest = url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}" if separator else url

    def uncommitted(self) -> list[str]:
        """Paths of the folder that differ from the commit that is checked out, untracked ones too; not ignored ones."""
        listed = self.git("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", self.folder)
        return [os.fsdecode(item[3:]) for item in listed.split(b"\0") if item]

    def committed_tree(self, commit: str) -> str:
        """The tree object of the folder in a commit.

        :raises TreeError: The commit has no such folder.
        """
        if self.folder == ".":
            return self.git("rev-parse", commit + "^{tree}").decode().strip()
        listed = self.git("ls-tree", "-z", "--full-tree", commit, "--", self.folder).rstrip(b"\0")
        kind, _space, oid = listed.partition(b"\t")[0].decode().partition(" ")[2].partition(" ")
        if kind != "tree":
            raise TreeError(f"commit {commit[:12]} has no folder {self.folder}: correct dags_folder")
        return oid

    @contextlib.contextmanager
    def working_tree(self) -> Iterator[str]:
        """The tree object that a commit of everything in the folder would have; its objects go away at the end."""
        before = self._environment
        with tempfile.TemporaryDirectory(prefix="freehold-git-") as scratch:
            objects = self.git("rev-parse", "--path-format=absolute", "--git-path", "objects").decode().strip()
            self._environment = {
                **before,
                "GIT_INDEX_FILE": f"{scratch}/index",
                "GIT_OBJECT_DIRECTORY": scratch,
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
            }
            try:
                self.git("read-tree", "HEAD")
                self.git("add", "--all", "--", self.folder)
                yield self.committed_tree(self.git("write-tree").decode().strip())
            finally:
                self._environment = before

    def read(self, tree: str, limit: int, known: Tree | None = None) -> Tree:
        """List a tree object and hash whatever ``known`` doesn't have yet.

        :raises TreeError: Something in it can't be published: no file, a submodule, a path or a link's target that is
            not UTF-8, a file of more than ``limit`` bytes.
        """
        blobs = tuple(_blob(item, limit) for item in self.git("ls-tree", "-r", "-z", "-l", tree).split(b"\0") if item)
        if not blobs:
            raise TreeError(f"the folder {self.folder} holds no file; publishing it would take every DAG away")
        hashes = dict(known.hashes) if known else {}
        targets = dict(known.targets) if known else {}
        links = {blob.oid: blob.path for blob in blobs if blob.is_link}
        unknown = {blob.oid for blob in blobs} - hashes.keys() | links.keys() - targets.keys()
        for oid, content in self.contents(sorted(unknown)):
            hashes[oid] = hashlib.sha256(content).hexdigest()
            if oid in links:
                targets[oid] = _text(content, f"the target of the link {links[oid]}")
        return Tree(blobs, hashes, targets)

    def contents(self, oids: list[str]) -> Iterator[tuple[str, bytes]]:
        """Yield each object's name and content.

        :raises TreeError: An object is missing or damaged.
        """
        if not oids:
            return
        with tempfile.TemporaryFile() as answers, tempfile.TemporaryFile() as wanted:
            wanted.write("".join(f"{oid}\n" for oid in oids).encode())
            wanted.seek(0)
            command = ["git", "-C", self.path, "cat-file", "--batch"]
            done = subprocess.run(  # noqa: S603
                command, stdin=wanted, stdout=answers, stderr=subprocess.PIPE, check=False, env=self._environment
            )
            answers.seek(0)
            for oid in oids:
                header = answers.readline().decode().split()
                if len(header) != 3:
                    said = done.stderr.decode(errors="replace").strip() or " ".join(header) or "nothing"
                    raise TreeError(f"git cat-file can't read {oid}: {said}")
                content = answers.read(int(header[2]))
                answers.read(1)
                yield oid, content


def _blob(item: bytes, limit: int) -> Blob:
    facts, _tab, name = item.partition(b"\t")
    mode, kind, oid, size = facts.decode().split()
    path = _text(name, "the path")
    if kind != "blob":
        raise TreeError(f"{path} is a submodule, whose files are not in this commit: add them to it")
    if not size.isdigit():
        raise TreeError(f"git can't read {path} ({oid}), see git fsck")
    if int(size) > limit:
        raise TreeError(
            f"{path} has {int(size) / MIB:.0f} MiB and dags_file_mib_max allows {limit // MIB}: keep data in S3"
        )
    return Blob(path, mode, oid, int(size))


def _text(name: bytes, what: str) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise TreeError(f"{what} is not UTF-8: {name!r}") from error


def changes(old: Tree | None, new: Tree) -> dict[str, list[str]]:
    """The paths that were added, changed and removed, each list sorted."""
    before = {blob.path: old.entry(blob) for blob in old.blobs} if old else {}
    after = {blob.path: new.entry(blob) for blob in new.blobs}
    return {
        "added": sorted(after.keys() - before.keys()),
        "changed": sorted(path for path in after.keys() & before.keys() if after[path] != before[path]),
        "removed": sorted(before.keys() - after.keys()),
    }


def write_stream(repository: Repository, header: dict[str, Any], old: Tree | None, new: Tree, path: str) -> None:
    """Write the stream that turns ``old`` (nothing: an empty folder) into ``new``; ``header`` names both."""
    found = changes(old, new)
    sent = {*found["added"], *found["changed"]}
    blobs = [blob for blob in new.blobs if blob.path in sent]
    there = {old.hashes[blob.oid] for blob in old.blobs if not blob.is_link} if old else set()
    oids = {new.hashes[blob.oid]: blob.oid for blob in blobs if not blob.is_link}
    wanted = {sha256: oid for sha256, oid in oids.items() if sha256 not in there}
    document = {
        "format": FORMAT,
        "tree": new.tree_hash,
        **header,
        "removed": found["removed"],
        "entries": [new.entry(blob) for blob in blobs],
    }
    with tarfile.open(path, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=6) as archive:
        _add(archive, HEADER, json.dumps(document, separators=(",", ":")).encode())
        for oid, content in repository.contents(sorted(wanted.values())):
            _add(archive, new.hashes[oid], content)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def base_tree(repository: Repository, release: str, tree_hash: str) -> Tree | None:
    """Return the tree of the current release as this clone has it, or None where the two can't be the same."""
    if not release or not repository.has_commit(release):
        return None
    try:
        # What is published already was small enough for whoever published it.
        found = repository.read(repository.committed_tree(release), 1 << 62)
    except TreeError:
        return None
    return found if found.tree_hash == tree_hash else None


def build(params: dict[str, Any]) -> dict[str, Any]:
    """Write the stream of a commit to ``dest``; the parameters are those of the module dag_publish, and ``base`` and
    ``base_tree``, the release that is current and its tree hash, empty for none.

    Return release, commit, repository, tree (the tree hash), files, difference (whether the stream is only the
    difference to the base), sent (its bytes) and changes (paths added, changed and removed against the base).

    :raises TreeError: The folder can't be published.
    """
    repository = Repository(params["repository"], params["folder"])
    commit = repository.commit(params["revision"])
    limit = params["file_mib_max"] * MIB
    # A revision that is not checked out can't have uncommitted changes.
    changed = repository.uncommitted() if commit == repository.commit("HEAD") else []
    if changed and not params["allow_dirty"]:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise TreeError(
            f"{', '.join(changed[:3])}{more} in {params['repository']} differ from the commit: commit or remove what "
            "differs, or set dags_allow_dirty to true to publish it as it is"
        )
    old = base_tree(repository, params["base"], params["base_tree"])

    def write(tree: str) -> dict[str, Any]:
        new = repository.read(tree, limit, old)
        release = f"{commit}-dirty-{new.tree_hash[:12]}" if changed else commit
        origin = repository.origin() or str(Path(params["repository"]).resolve())
        base = params["base"] if old else None
        header = {"release": release, "commit": commit, "repository": origin, "base": base}
        write_stream(repository, header, old, new, params["dest"])
        return {
            "release": release,
            "commit": commit,
            "repository": origin,
            "tree": new.tree_hash,
            "files": len(new.blobs),
            "difference": old is not None,
            "sent": Path(params["dest"]).stat().st_size,
            "changes": changes(old, new),
        }

    if not changed:
        return write(repository.committed_tree(commit))
    with repository.working_tree() as tree:
        return write(tree)
