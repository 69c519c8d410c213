# SPDX-License-Identifier: GPL-3.0-or-later
"""What a publication leaves on the shared file system, and what it refuses."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from freehold_airflow.publish import MAX_PACKS, exclusive, move_pointer, publish, retain
from freehold_airflow.release import Manifest, ReleaseError, Store

from bundle.tests.trees import TREE, Publish, Tree, archive


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_release_is_a_manifest_a_pack_and_the_pointer(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    assert {path.split("/")[0] for path in files(root)} == {"current", "releases", "packs"}
    assert len(files(root)) == 3


def test_the_tree_hash_depends_on_content_names_and_modes_only(root: Path, put: Publish) -> None:
    first = put("aaa", TREE)
    again = put("bbb", dict(reversed(TREE.items())))
    assert first.tree == again.tree
    for change in (
        {"first.py": b"print('First')\n"},
        {"run.sh": b"#!/bin/sh\n"},
        {"link.py": "same.py"},
        {"new.py": b""},
    ):
        assert put("c" + str(len(files(root))), TREE | change).tree != first.tree


def test_a_small_change_writes_a_small_pack(root: Path, put: Publish) -> None:
    tree: Tree = {f"dag_{number}.py": os.urandom(4096) for number in range(200)}
    first = put("aaa", tree)
    second = put("bbb", tree | {"dag_0.py": b"changed"})
    assert first.pack_bytes > 200 * 4096
    assert second.pack_bytes < 1000
    assert len(files(root)) == 5


def test_the_same_release_again_writes_nothing(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    before = {path: (root / path).stat().st_mtime_ns for path in files(root)}
    again = put("aaa", TREE)
    assert again.pack_bytes == 0
    assert {path: (root / path).stat().st_mtime_ns for path in files(root)} == before


def test_the_number_of_packs_stays_small(root: Path, put: Publish) -> None:
    tree: Tree = {f"dag_{number}.py": os.urandom(100) for number in range(100)}
    for step in range(3 * MAX_PACKS):
        tree = tree | {"dag_0.py": str(step).encode()}
        put(f"r{step}", tree)
        assert len(Store(root).manifest(f"r{step}").packs) <= MAX_PACKS


def test_dead_contents_are_left_behind(root: Path, put: Publish) -> None:
    put("aaa", {"big.bin": os.urandom(100_000), "dag.py": b"1"})
    put("bbb", {"dag.py": b"2"})
    packs = Store(root).manifest("bbb").packs
    assert sum(pack.contents for pack in packs) == 1


def test_another_tree_under_the_same_name_is_refused(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    with pytest.raises(ReleaseError, match="is there already"):
        put("aaa", TREE | {"first.py": b"other"})


def test_an_unexpected_tree_is_refused_before_anything_is_written(root: Path) -> None:
    with pytest.raises(ReleaseError, match="the archive has the tree"):
        publish(root, "aaa", archive(TREE), tree="0" * 64)
    assert not root.exists()


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"../out.py": b""}, "does not stay inside"),
        ({"a/../../out.py": b""}, "does not stay inside"),
        ({"/etc/out.py": b""}, "does not stay inside"),
        ({"link": "../out"}, "points outside"),
        ({"a/link": "../../out"}, "points outside"),
        ({"link": "/etc/passwd"}, "points outside"),
        ({"a": b"", "a/b": b""}, "is no folder"),
        ({"a": "b", "a/c": b"", "b/d": b""}, "is no folder"),
    ],
)
def test_a_tree_that_would_leave_its_folder_is_refused(root: Path, put: Publish, tree: Tree, message: str) -> None:
    put("aaa", TREE)
    before = files(root)
    with pytest.raises(ReleaseError, match=message):
        put("bbb", tree)
    assert files(root) == before
    assert Store(root).pointer().release == "aaa"


@pytest.mark.parametrize("release", ["", ".", "..", "a/b", "../a", ".hidden", "a b", "x" * 129])
def test_a_name_that_is_no_plain_file_name_is_refused(root: Path, put: Publish, release: str) -> None:
    with pytest.raises(ReleaseError, match="is no name of a release"):
        put(release, TREE)
    assert not root.exists()


def test_a_device_in_the_archive_is_refused(root: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as opened:
        member = tarfile.TarInfo("device")
        member.type = tarfile.CHRTYPE
        opened.addfile(member)
    stream.seek(0)
    with pytest.raises(ReleaseError, match="neither a file nor a symbolic link"):
        publish(root, "aaa", stream)


@pytest.mark.parametrize("keep", [0, 1, 600, 2000])
def test_a_stream_that_ends_early_changes_nothing(root: Path, put: Publish, keep: int) -> None:
    put("aaa", TREE)
    with pytest.raises(ReleaseError, match="archive"):
        publish(root, "bbb", io.BytesIO(archive(TREE | {"new.py": os.urandom(5000)}).getvalue()[:keep]))
    assert Store(root).pointer().release == "aaa"
    assert Store(root).releases() == ["aaa"]


def test_a_full_file_system_leaves_the_current_release(
    root: Path, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("aaa", TREE)
    before = files(root)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("freehold_airflow.publish.write_pack", full)
    with pytest.raises(OSError, match="No space"):
        put("bbb", TREE | {"new.py": b"new"})
    assert files(root) == before


@pytest.mark.parametrize("step", ["write_pack", "_sync", "hash_file", "_replace"])
def test_a_publisher_that_dies_at_any_step_leaves_the_current_release(
    root: Path, put: Publish, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("aaa", TREE)
    changed: Tree = TREE | {"new.py": b"new"}
    with monkeypatch.context() as patched:

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(f"freehold_airflow.publish.{step}", die)
        with pytest.raises(KeyboardInterrupt):
            put("bbb", changed)
    assert Store(root).pointer().release == "aaa"
    put("bbb", changed)
    assert Store(root).pointer().release == "bbb"
    assert not [path for path in files(root) if ".incoming" in path]


def test_a_damaged_earlier_pack_is_not_built_upon(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    for pack in (root / "packs").iterdir():
        pack.write_bytes(pack.read_bytes()[:-1])
    put("bbb", TREE | {"new.py": b"new"})
    packs = Store(root).manifest("bbb").packs
    assert len(packs) == 1


def test_retention_keeps_what_is_named_and_every_pack_it_needs(root: Path, put: Publish) -> None:
    put("aaa", TREE | {"a.py": b"a"})
    put("bbb", TREE | {"b.py": b"b"})
    put("ccc", TREE | {"c.py": b"c"})
    assert retain(root, {"bbb"}) == ["aaa"]
    store = Store(root)
    assert store.releases() == ["bbb", "ccc"]
    for release in store.releases():
        for pack in store.manifest(release).packs:
            assert store.pack_path(pack).exists()


def test_the_pointer_can_go_back_but_not_to_what_is_missing_or_damaged(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    put("bbb", TREE | {"b.py": b"b"})
    move_pointer(root, "aaa")
    assert Store(root).pointer().release == "aaa"
    with pytest.raises(ReleaseError, match="the manifest of zzz is not at"):
        move_pointer(root, "zzz")
    newest = Store(root).manifest("bbb").packs[0]
    Store(root).pack_path(newest).unlink()
    with pytest.raises(ReleaseError, match="can't be read"):
        move_pointer(root, "bbb")
    assert Store(root).pointer().release == "aaa"


def test_two_publishers_exclude_each_other(root: Path) -> None:
    with exclusive(root), pytest.raises(ReleaseError, match="another publication"), exclusive(root, wait=False):
        pass


def test_a_manifest_survives_storing(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    manifest = Store(root).manifest("aaa")
    assert Manifest.from_bytes(manifest.to_bytes(), "aaa") == manifest
    assert len(manifest.entries) == len(TREE)


def test_every_flipped_byte_of_a_manifest_is_noticed_or_harmless(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    stored = (root / "releases" / "aaa.json.gz").read_bytes()
    right = Manifest.from_bytes(stored, "aaa")
    for position in range(len(stored)):
        flipped = stored[:position] + bytes([stored[position] ^ 0x10]) + stored[position + 1 :]
        try:
            assert Manifest.from_bytes(flipped, "aaa") == right
        except ReleaseError:
            continue
