# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from the shared file system or a host's disk is what it should be, or refused with the reason."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from freehold_airflow import release
from freehold_airflow.release import DamagedError, Entry, Manifest, Pack, Pointer, ReleaseError, Store

from bundle.tests.trees import TREE, Publish, entries, sha256

CONTENT = b"print('first')\n"
FILE = Entry("first.py", sha256(CONTENT), len(CONTENT))


@pytest.fixture
def manifest() -> Manifest:
    return Manifest("aaa", tuple(entries(TREE)), (Pack("a" * 64, 1, 1),), "c" * 40, "https://example.com/dags", "now")


def stored(manifest: Manifest, **other: Any) -> bytes:
    """A manifest as it lies there, with other words in it."""
    return gzip.compress(json.dumps(json.loads(gzip.decompress(manifest.to_bytes())) | other).encode())


def test_a_manifest_that_promises_another_tree_is_refused() -> None:
    with pytest.raises(ReleaseError, match=r"says tree aaaa.*, its entries say"):
        Manifest("aaa", (FILE,), tree="a" * 64)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"format": 2}, "has format 2, not 1"),
        ({"release": "bbb"}, "the manifest of aaa says that it is bbb"),
        ({"tree": "no hash"}, "can't be read"),
        ({"tree": 7}, "can't be read"),
        ({"packs": [{"sha256": "a" * 64}]}, "can't be read"),
        ({"entries": ["first.py"]}, "can't be read"),
    ],
    ids=["format", "another release", "tree", "number", "pack", "entry"],
)
def test_a_manifest_that_says_something_else_is_refused(
    manifest: Manifest, other: dict[str, Any], message: str
) -> None:
    with pytest.raises(ReleaseError, match=message):
        Manifest.from_bytes(stored(manifest, **other), "aaa")


def test_a_manifest_that_would_fill_the_memory_is_refused(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    text = gzip.decompress(manifest.to_bytes())
    monkeypatch.setattr(release, "MANIFEST_LIMIT", len(text))
    assert Manifest.from_bytes(manifest.to_bytes(), "aaa") == manifest
    monkeypatch.setattr(release, "MANIFEST_LIMIT", len(text) - 1)
    with pytest.raises(ReleaseError, match="is larger than"):
        Manifest.from_bytes(manifest.to_bytes(), "aaa")


def test_a_pointer_of_a_format_to_come_is_refused() -> None:
    pointer = Pointer("aaa", "a" * 64, moves=3)
    assert Pointer.from_bytes(pointer.to_bytes()) == pointer
    with pytest.raises(ReleaseError, match="the pointer has format 2, not 1"):
        Pointer.from_bytes(pointer.to_bytes().replace(b'"format": 1', b'"format": 2'))


def test_a_path_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ReleaseError, match=r"'first\.py' is there twice"):
        Manifest("aaa", (FILE, FILE))


@pytest.mark.parametrize("target", ["./first.py", "deep/../first.py", "deep//first.py"])
def test_a_link_may_wander_as_long_as_it_stays_inside(target: str) -> None:
    assert Manifest("aaa", (FILE, Entry("link.py", target=target))).entries[1].target == target


# ---- directories as they are --------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory that is exactly one file."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "first.py").write_bytes(CONTENT)
    return folder


def test_a_directory_with_something_else_in_it_is_no_tree(tree: Path) -> None:
    assert release.read_tree(tree) == (FILE,)
    os.mkfifo(tree / "pipe")
    with pytest.raises(ReleaseError, match="'pipe' is neither a file nor a symbolic link"):
        release.read_tree(tree)


def test_a_pipe_in_a_files_place_differs(tree: Path) -> None:
    wanted = Manifest("aaa", (FILE,))
    assert not release.compare(wanted, tree)
    (tree / "first.py").unlink()
    os.mkfifo(tree / "first.py")
    assert release.compare(wanted, tree).changed == ("first.py",)


def test_a_file_that_gives_an_error_when_it_is_read_is_unreadable(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> tuple[str, int]:
        raise OSError(5, f"{path}: a bad sector")

    monkeypatch.setattr(release, "hash_file", broken)
    assert release.compare(Manifest("aaa", (FILE,)), tree).unreadable == ("first.py",)


def test_a_folder_that_can_not_be_read_ends_a_walk_that_nobody_listens_to(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(release.walk(tmp_path / "gone"))
    told: list[str] = []
    assert list(release.walk(tmp_path / "gone", told.append)) == []
    assert told == ["."]


# ---- packs --------------------------------------------------------------------------------------------------


def pack_of(store: Store, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Pack:
    """A pack that holds exactly this."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(content))
    pack = Pack(sha256(packed.getvalue()), len(packed.getvalue()), 0)
    store.pack_path(pack).parent.mkdir(parents=True, exist_ok=True)
    store.pack_path(pack).write_bytes(packed.getvalue())
    return pack


def test_a_content_under_another_ones_name_is_refused(root: Path) -> None:
    store = Store(root)
    name = sha256(CONTENT)
    pack = pack_of(store, {name: b"something else"})
    with pytest.raises(ReleaseError, match="holds a content with a wrong hash"):
        list(store.contents(pack, {name}))


def test_what_nobody_asked_for_and_what_is_no_file_is_passed_over(root: Path) -> None:
    store = Store(root)
    other = pack_of(store, {sha256(b"other"): b"other", sha256(CONTENT): CONTENT})
    assert list(store.contents(other, {sha256(CONTENT)})) == [(sha256(CONTENT), CONTENT)]
    folder = pack_of(store, {sha256(CONTENT): b""}, tarfile.DIRTYPE)
    assert list(store.contents(folder, {sha256(CONTENT)})) == []


def test_a_pack_of_another_hash_is_refused_after_it_was_read(root: Path) -> None:
    store = Store(root)
    pack = pack_of(store, {sha256(CONTENT): CONTENT})
    with store.pack_path(pack).open("ab") as opened:
        opened.write(b"\0" * 512)
    with pytest.raises(ReleaseError, match=f"the pack {pack.sha256} has the hash"):
        list(store.contents(pack, {sha256(CONTENT)}))


def test_a_file_that_is_just_being_replaced_is_read_again(
    root: Path, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("aaa", TREE)
    stale: Iterator[int] = iter(range(2))
    read = Path.read_bytes

    def once_stale(path: Path) -> bytes:
        if next(stale, None) is not None:
            raise OSError(116, "Stale file handle")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", once_stale)
    assert Store(root).pointer().release == "aaa"


def test_a_file_that_stays_unreadable_is_an_error_and_no_damage(
    root: Path, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("aaa", TREE)

    def away(_path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", away)
    with pytest.raises(ReleaseError, match="can't be read") as refused:
        Store(root).manifest("aaa")
    assert not isinstance(refused.value, DamagedError)


def test_modes_of_a_tree_are_those_of_its_owner(tree: Path) -> None:
    (tree / "first.py").chmod(0o655)
    assert not release.read_tree(tree)[0].executable
    (tree / "first.py").chmod(0o744)
    assert release.read_tree(tree)[0].executable
    assert (tree / "first.py").stat().st_mode & stat.S_IXUSR
