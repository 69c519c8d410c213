# SPDX-License-Identifier: GPL-3.0-or-later
"""What a publication leaves on the shared file system, and what it refuses."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from freehold_airflow.copies import Copies
from freehold_airflow.publish import (
    MAX_PACKS,
    Deadline,
    check,
    exclusive,
    look,
    main,
    move_pointer,
    publish,
    retain,
    undisturbed,
)
from freehold_airflow.release import Difference, Manifest, Pointer, ReleaseError, Store, read_tree, tree_hash, walk

from bundle.tests.trees import TREE, Publish, Tree, entries, sha256, stream


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
    with pytest.raises(ReleaseError, match="gives the tree"):
        publish(root, stream("aaa", TREE, tree="0" * 64))
    assert not root.exists()


CHANGES: list[Tree] = [
    {},
    {"first.py": b"print('First')\n"},
    {"run.sh": b"#!/bin/sh\n"},
    {"link.py": "same.py"},
    {"link.py": b"no link any more\n"},
    {"first.py": "same.py"},
    {"new/deep.py": b"", "copy.py": b"select 1;\n"},
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("removed", [[], ["same.py"], ["pack age/__init__.py", "run.sh"]])
def test_a_difference_gives_what_the_whole_tree_gives(
    root: Path, put: Publish, change: Tree, removed: list[str], tmp_path: Path
) -> None:
    put("aaa", TREE)
    tree = {path: what for path, what in (TREE | change).items() if path not in removed}
    by_difference = publish(root, stream("bbb", tree, ("aaa", TREE)))
    whole = publish(tmp_path / "other", stream("bbb", tree))
    assert by_difference.tree == whole.tree
    assert Store(root).manifest("bbb").entries == Store(tmp_path / "other").manifest("bbb").entries
    copy = Copies(tmp_path / "host", "dags").ensure(Store(root), "bbb")
    assert tree_hash(read_tree(copy)) == whole.tree


def test_a_difference_sends_only_what_changed(root: Path, put: Publish) -> None:
    tree: Tree = {f"dag_{number}.py": os.urandom(4096) for number in range(100)}
    put("aaa", tree)
    sent = stream("bbb", tree | {"dag_7.py": b"changed"}, ("aaa", tree))
    assert len(sent.getvalue()) < 1000
    publish(root, sent)


def test_the_contents_of_the_base_come_along_when_packs_are_made_anew(root: Path, put: Publish) -> None:
    tree: Tree = {"big.bin": os.urandom(100_000), "dag.py": b"1"}
    put("aaa", tree)
    small: Tree = {"dag.py": b"1", "new.py": b"2"}
    publish(root, stream("bbb", small, ("aaa", tree)))
    [pack] = Store(root).manifest("bbb").packs
    assert dict(Store(root).contents(pack, {sha256(b"1"), sha256(b"2")})) == {sha256(b"1"): b"1", sha256(b"2"): b"2"}


def test_a_difference_to_a_missing_or_damaged_base_is_refused(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    changed = TREE | {"new.py": b"new"}
    with pytest.raises(ReleaseError, match="the manifest of zzz is not at"):
        publish(root, stream("bbb", changed, ("zzz", TREE)))
    for pack in (root / "packs").iterdir():
        pack.write_bytes(pack.read_bytes()[:-1])
    assert look(root)["whole"] is False
    with pytest.raises(ReleaseError, match="is damaged"):
        publish(root, stream("bbb", changed, ("aaa", TREE)))
    assert Store(root).pointer().release == "aaa"


def test_a_damaged_release_is_made_whole_by_publishing_it_again(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    for pack in (root / "packs").iterdir():
        pack.unlink()
    assert look(root)["whole"] is False
    put("aaa", TREE)
    assert look(root)["whole"] is True


def test_removing_what_is_not_there_is_refused(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    with pytest.raises(ReleaseError, match="doesn't have"):
        publish(root, stream("bbb", TREE, ("aaa", TREE), removed=["nothing.py"]))


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


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as opened:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(content)
        opened.addfile(info, io.BytesIO(content))
    made.seek(0)
    return made


def empty_archive() -> io.BytesIO:
    made = io.BytesIO()
    tarfile.open(fileobj=made, mode="w").close()
    made.seek(0)
    return made


def stream_with(name: str) -> io.BytesIO:
    """A stream that ends in a content of a strange name."""
    made = io.BytesIO(gzip.decompress(stream("aaa", TREE).getvalue()))
    with tarfile.open(fileobj=made, mode="a") as opened:
        opened.addfile(tarfile.TarInfo(name))
    made.seek(0)
    return made


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (empty_archive(), "the stream is empty"),
        (stream_with("../../etc/passwd"), "which is no SHA-256"),
        (member("device", kind=tarfile.CHRTYPE), "which is no file"),
        (member("dag.py", b"1"), "begins with 'dag.py'"),
        (member("stream.json", b"[]"), "can't be read"),
        (member("stream.json", b'{"format": 2}'), "format 2"),
        (io.BytesIO(b""), "stream"),
    ],
)
def test_what_is_no_stream_is_refused(root: Path, sent: io.BytesIO, message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        publish(root, sent)
    assert not root.exists()


def test_a_content_with_a_wrong_hash_is_refused(root: Path) -> None:
    sent = io.BytesIO()
    good = stream("aaa", {"dag.py": b"1"})
    with tarfile.open(fileobj=good) as source, tarfile.open(fileobj=sent, mode="w") as opened:
        for info in source:
            content = source.extractfile(info)
            assert content is not None
            data = content.read() if info.name == "stream.json" else b"2"
            opened.addfile(info, io.BytesIO(data))
    sent.seek(0)
    with pytest.raises(ReleaseError, match="a content of the stream has the hash"):
        publish(root, sent)


def test_a_content_that_nobody_sent_is_refused(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    entry = {"path": "new.py", "sha256": sha256(b"new"), "size": 3}
    tree: Tree = TREE | {"new.py": b"new"}
    sent = stream("bbb", TREE, ("aaa", TREE), entries=[entry], tree=tree_hash(entries(tree)))
    with pytest.raises(ReleaseError, match="neither the stream nor its base"):
        publish(root, sent)
    assert Store(root).pointer().release == "aaa"


@pytest.mark.parametrize("keep", [0, 1, 300, 2000])
def test_a_stream_that_ends_early_changes_nothing(root: Path, put: Publish, keep: int) -> None:
    put("aaa", TREE)
    with pytest.raises(ReleaseError, match="stream"):
        publish(root, io.BytesIO(stream("bbb", TREE | {"new.py": os.urandom(5000)}).getvalue()[:keep]))
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


# A publisher for which nothing is tidied up, as when it is killed.
DIES = """
import os, sys
from pathlib import Path
from freehold_airflow import publish
setattr(publish, sys.argv[2], lambda *_: os._exit(9))
publish.publish(Path(sys.argv[1]), open(sys.argv[3], "rb"))
"""


@pytest.mark.parametrize("step", ["write_pack", "_sync", "hash_file", "_replace"])
def test_a_publisher_that_dies_at_any_step_leaves_the_current_release(
    root: Path, put: Publish, step: str, tmp_path: Path
) -> None:
    put("aaa", TREE)
    changed: Tree = TREE | {"new.py": b"new"}
    # It leaves its spool behind.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    sent = tmp_path / "stream"
    sent.write_bytes(stream("bbb", changed).getvalue())
    command = [sys.executable, "-c", DIES, str(root), step, str(sent)]
    assert subprocess.run(command, env=environment, check=False).returncode == 9
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
    for name in ("aaa", "bbb", "ccc", "ddd", "eee"):
        put(name, TREE | {f"{name}.py": name.encode()})
    assert retain(root, 0, {"bbb"}).removed == ["aaa", "ccc"]
    store = Store(root)
    # The current one and the one before stay, whatever was asked for.
    assert store.releases() == ["bbb", "ddd", "eee"]
    for release in store.releases():
        store.check_packs(store.manifest(release))


def test_retention_keeps_the_newest(root: Path, put: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    for day, name in enumerate(("eee", "ddd", "ccc", "bbb", "aaa"), start=1):
        moment = datetime(2026, 11, day, tzinfo=UTC)
        monkeypatch.setattr("freehold_airflow.stream.datetime", SimpleNamespace(now=lambda _, moment=moment: moment))
        put(name, TREE | {f"{name}.py": name.encode()})
    assert retain(root, 3, set()).removed == ["ddd", "eee"]


def test_a_clock_that_jumps_back_costs_no_release_that_is_used(
    root: Path, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    for year, name in ((2030, "aaa"), (2029, "bbb"), (1970, "ccc"), (1971, "ddd")):
        moment = datetime(year, 1, 1, tzinfo=UTC)
        monkeypatch.setattr("freehold_airflow.stream.datetime", SimpleNamespace(now=lambda _, moment=moment: moment))
        put(name, TREE | {f"{name}.py": name.encode()})
    assert retain(root, 1, set()).removed == ["bbb"]
    assert Store(root).releases() == ["aaa", "ccc", "ddd"]


def rewritten(path: Path, **changes: Any) -> bytes:
    """A manifest that says something else, as if somebody had written it so."""
    return gzip.compress(json.dumps(json.loads(gzip.decompress(path.read_bytes())) | changes).encode())


@pytest.mark.parametrize(
    "harm",
    [
        lambda _: b"",
        lambda _: b"no gzip",
        lambda path: path.read_bytes()[:-30],
        lambda path: path.with_name("bbb.json.gz").read_bytes(),
        lambda path: rewritten(path, tree="0" * 64),
        lambda path: rewritten(path, entries=[{"path": "../up", "target": "x"}]),
        lambda path: rewritten(path, entries=["up"]),
    ],
)
def test_a_damaged_manifest_that_nobody_needs_goes(root: Path, put: Publish, harm: Callable[[Path], bytes]) -> None:
    for name in ("aaa", "bbb", "ccc"):
        put(name, TREE | {f"{name}.py": name.encode()})
    path = root / "releases" / "aaa.json.gz"
    path.write_bytes(harm(path))
    done = retain(root, 10, set())
    assert (done.removed, done.left) == (["aaa"], {})
    assert look(root, every=True)["damaged"] == {}
    assert look(root, every=True)["foreign"] == []


def test_a_damaged_manifest_that_a_run_needs_keeps_every_pack(root: Path, put: Publish) -> None:
    for name in ("aaa", "bbb", "ccc", "ddd"):
        put(name, {f"{name}.py": name.encode()})
    (root / "releases" / "aaa.json.gz").write_bytes(b"")
    packs = set((root / "packs").iterdir())
    done = retain(root, 0, {"aaa"})
    assert done.removed == ["bbb"]
    assert "can't be read" in done.left["aaa"]
    assert set((root / "packs").iterdir()) == packs
    # When nobody needs it any more, everything is in order again.
    assert retain(root, 0, set()).removed == ["aaa"]
    assert look(root, every=True)["foreign"] == []


def test_a_manifest_of_a_later_format_is_left_alone(root: Path, put: Publish) -> None:
    for name in ("aaa", "bbb", "ccc"):
        put(name, TREE | {f"{name}.py": name.encode()})
    path = root / "releases" / "aaa.json.gz"
    path.write_bytes(rewritten(path, format=2))
    done = retain(root, 0, set())
    assert (done.removed, done.left) == ([], {"aaa": "the manifest of aaa has format 2, not 1"})


def test_retention_that_is_cut_off_in_the_middle_ends_there_and_the_next_goes_on(
    root: Path, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("aaa", "bbb", "ccc", "ddd"):
        put(name, {f"{name}.py": name.encode()})
    unlink = Path.unlink

    def hang(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        monkeypatch.setattr("freehold_airflow.publish.time.clock_gettime", lambda _: 1e12)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", hang)
        with pytest.raises(ReleaseError, match="not everything that nobody needs was removed"):
            retain(root, 0, set(), Deadline(600))
    monkeypatch.undo()
    assert Store(root).releases() == ["bbb", "ccc", "ddd"]
    # Packs go last, so that no release is there without its own.
    assert not look(root, every=True)["damaged"]
    assert retain(root, 0, set()).removed == ["bbb"]
    assert look(root, every=True)["foreign"] == []


def test_what_could_only_not_be_read_just_now_is_not_removed(
    root: Path, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("aaa", "bbb", "ccc"):
        put(name, {f"{name}.py": name.encode()})
    before = files(root)
    read = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == "aaa.json.gz":
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    done = retain(root, 0, set())
    assert (done.removed, list(done.left)) == ([], ["aaa"])
    assert files(root) == before


def test_the_pointer_can_go_back_but_not_to_what_is_missing_or_damaged(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    put("bbb", TREE | {"b.py": b"b"})
    assert move_pointer(root, "aaa").previous == "bbb"
    assert Store(root).pointer().release == "aaa"
    assert move_pointer(root, "aaa").previous == "bbb"
    with pytest.raises(ReleaseError, match="there is no release zzz; there are: aaa, bbb"):
        move_pointer(root, "zzz")
    newest = Store(root).manifest("bbb").packs[0]
    Store(root).pack_path(newest).unlink()
    with pytest.raises(ReleaseError, match="can't be read"):
        move_pointer(root, "bbb")
    assert Store(root).pointer().release == "aaa"


def test_looking_tells_what_is_there(root: Path, put: Publish) -> None:
    nothing = {"release": None, "tree": None, "previous": None, "moves": 0, "whole": False, "trouble": ""}
    assert look(root) == {**nothing, "damaged": {}, "foreign": [], "releases": []}
    put("aaa", TREE)
    done = put("bbb", TREE | {"b.py": b"b"})
    current = {"release": "bbb", "tree": done.tree, "previous": "aaa", "moves": 2, "whole": True, "trouble": ""}
    for every in (False, True):
        assert look(root, every) == {**current, "damaged": {}, "foreign": [], "releases": ["aaa", "bbb"]}


def test_looking_at_all_finds_what_was_changed_by_hand(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    put("bbb", {"b.py": b"b"})
    put("ccc", {"c.py": b"c"})
    store = Store(root)
    store.pack_path(store.manifest("aaa").packs[0]).write_bytes(b"")
    (root / "releases" / "bbb.json.gz").write_bytes(b"")
    (root / "packs" / "note.txt").touch()
    found = look(root, every=True)
    assert found["whole"] is True
    assert sorted(found["damaged"]) == ["aaa", "bbb"]
    assert found["foreign"] == ["packs/note.txt"]


def test_a_publication_that_is_going_on_is_not_taken_for_harm(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    incoming = root / "packs" / ".incoming"
    with ThreadPoolExecutor() as pool:
        with exclusive(root):
            incoming.touch()
            looking = pool.submit(look, root, True, Deadline(60))
            time.sleep(0.3)
            assert not looking.done()
            incoming.unlink()
        assert looking.result(10)["foreign"] == []
        # It reads beside others who only read.
        incoming.touch()
        with undisturbed(root):
            assert look(root, True, Deadline(0))["foreign"] == ["packs/.incoming"]
        with exclusive(root):
            incoming.touch()
            with pytest.raises(ReleaseError, match=r"going on after 0 s \(dags_proof_seconds\)"):
                look(root, True, Deadline(0))
    incoming.touch()
    (root / ".incoming-current").touch()
    # What a publication left that was killed is harm, until the next one.
    assert look(root, every=True)["foreign"] == [".incoming-current", "packs/.incoming"]
    put("aaa", TREE)
    assert look(root, every=True)["foreign"] == []


def test_a_file_that_goes_while_it_is_looked_at_is_no_harm(
    root: Path, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("aaa", TREE)
    times = iter([True, False])

    def go(*arguments: Any, walk: Callable[..., Any] = walk) -> Any:
        if next(times):
            raise FileNotFoundError(2, "No such file or directory")
        return walk(*arguments)

    monkeypatch.setattr("freehold_airflow.publish.walk", go)
    assert look(root, every=True)["foreign"] == []
    assert list(times) == []


def test_the_second_look_reads_only_what_looked_harmed(
    root: Path, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("aaa", "bbb", "ccc", "ddd"):
        put(name, {f"{name}.py": name.encode()})
    store = Store(root)
    store.pack_path(store.manifest("bbb").packs[0]).write_bytes(b"")
    read = []

    def check_packs(self: Store, manifest: Manifest, check: Any = Store.check_packs) -> None:
        read.append(manifest.release)
        check(self, manifest)

    monkeypatch.setattr(Store, "check_packs", check_packs)
    assert list(look(root, every=True)["damaged"]) == ["bbb"]
    # The current one is always looked at.
    assert read == ["aaa", "bbb", "ccc", "ddd", "bbb", "ddd"]


def test_a_folder_stands_in_nobodys_way(root: Path, put: Publish) -> None:
    for name in ("aaa", "bbb", "ccc"):
        put(name, {f"{name}.py": name.encode()})
        (root / "packs" / f".incoming-{name}").mkdir()
    assert retain(root, 0, set()).removed == ["aaa"]
    assert look(root / "nowhere", every=True)["foreign"] == []


def test_harm_where_nobody_has_published_yet_is_told_without_a_lock(root: Path) -> None:
    (root / "packs").mkdir(parents=True)
    (root / "packs" / "note.txt").touch()
    assert look(root, every=True)["foreign"] == ["packs/note.txt"]


def test_a_pointer_that_cannot_be_read_is_told_from_none(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    (root / "current").write_bytes(b"{")
    found = look(root)
    assert (found["release"], found["whole"]) == (None, False)
    assert "the pointer can't be read" in found["trouble"]
    (root / "current").unlink()
    assert look(root)["trouble"] == ""


@pytest.mark.parametrize("every", [False, True])
def test_a_current_release_that_is_gone_is_found(root: Path, put: Publish, every: bool) -> None:
    put("aaa", TREE)
    put("bbb", TREE | {"b.py": b"b"})
    (root / "releases" / "bbb.json.gz").unlink()
    found = look(root, every)
    assert (found["whole"], list(found["damaged"])) == (False, ["bbb"])


def test_a_pointer_whose_release_is_another_tree_is_found(root: Path, put: Publish) -> None:
    put("aaa", TREE)
    (root / "current").write_bytes(Pointer("aaa", "0" * 64).to_bytes())
    assert "promises the tree" in look(root)["damaged"]["aaa"]


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the look at the DAGs says, in place of a process that needs Airflow."""
    said: dict[str, Any] = {"status": 0, "errors": [], "seen": []}

    def run(command: list[str], **_: object) -> SimpleNamespace:
        said["seen"] = sorted(path.name for path in Path(command[command.index("--root") + 1]).iterdir())
        answer = "" if said["status"] < 0 else json.dumps({"errors": said["errors"]})
        return SimpleNamespace(returncode=said["status"], stdout=answer)

    monkeypatch.setattr("freehold_airflow.publish.subprocess.run", run)
    return said


def test_a_checked_release_is_exact_and_not_published(
    root: Path, put: Publish, tmp_path: Path, verdict: dict[str, Any]
) -> None:
    put("aaa", TREE)
    changed: Tree = TREE | {"new.py": b"new"}
    copies = Copies(tmp_path / "host", "dags")
    check(root, copies, stream("bbb", changed, ("aaa", TREE)), 30, keep=True)
    assert "new.py" in verdict["seen"]
    assert Store(root).releases() == ["aaa"]
    before = copies.path("bbb").stat().st_ino
    publish(root, stream("bbb", changed, ("aaa", TREE)))
    assert copies.ensure(Store(root), "bbb").stat().st_ino == before
    assert copies.verify("bbb")[1] == Difference()
    # What the check found stays beside the copy for as long as the copy stays.
    noted = copies.notes / "bbb.dags.json"
    assert json.loads(noted.read_text())["errors"] == []
    publish(root, stream("ccc", TREE, ("aaa", TREE)))
    copies.ensure(Store(root), "ccc")
    assert noted.exists()


def test_a_check_that_is_refused_leaves_nothing(
    root: Path, put: Publish, tmp_path: Path, verdict: dict[str, Any]
) -> None:
    put("aaa", TREE)
    copies = Copies(tmp_path / "host", "dags")
    verdict["errors"] = ["first.py: it can't be imported"]
    assert check(root, copies, stream("bbb", TREE), 30, keep=True)["errors"]
    verdict["status"] = -9
    with pytest.raises(ReleaseError, match="gave no answer and ended with -9"):
        check(root, copies, stream("bbb", TREE), 30, keep=True)
    assert not [path for path in (tmp_path / "host").rglob("*") if "bbb" in path.name]


def test_a_check_whose_caller_died_takes_no_copy_from_the_next(
    root: Path, put: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("aaa", TREE)
    copies = Copies(tmp_path / "host", "dags")
    inodes: list[int] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        inodes.append(copies.path("bbb").stat().st_ino)
        if len(inodes) > 1:
            return SimpleNamespace(returncode=-9, stdout="")
        # While this one looks at the copy, the one before it ends without an answer.
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(check, root, Copies(tmp_path / "host", "dags"), stream("bbb", TREE), 30, keep=True)
            assert isinstance(other.exception(10), ReleaseError)
        assert tree_hash(read_tree(copies.path("bbb"))) == tree_hash(entries(TREE))
        return SimpleNamespace(returncode=0, stdout=json.dumps({"errors": []}))

    monkeypatch.setattr("freehold_airflow.publish.subprocess.run", run)
    check(root, copies, stream("bbb", TREE), 30, keep=True)
    assert inodes == [copies.path("bbb").stat().st_ino] * 2
    assert copies.is_sealed("bbb")


def test_a_checked_copy_that_somebody_touched_is_made_anew(
    root: Path, put: Publish, tmp_path: Path, verdict: dict[str, Any]
) -> None:
    put("aaa", TREE)
    changed: Tree = TREE | {"new.py": b"new"}
    copies = Copies(tmp_path / "host", "dags")
    check(root, copies, stream("bbb", changed, ("aaa", TREE)), 30, keep=True)
    (copies.path("bbb") / "new.py").write_bytes(b"other")
    found = check(root, copies, stream("bbb", changed, ("aaa", TREE)), 30, keep=True)
    assert tree_hash(read_tree(copies.path("bbb"))) == found["tree"]


def test_a_checked_copy_of_another_tree_is_made_anew(
    root: Path, put: Publish, tmp_path: Path, verdict: dict[str, Any]
) -> None:
    put("aaa", TREE)
    copies = Copies(tmp_path / "host", "dags")
    check(root, copies, stream("bbb", {"other.py": b"other"}), 30, keep=True)
    # The same commit, with another dags_folder: nothing was published in between.
    found = check(root, copies, stream("bbb", TREE), 30, keep=True)
    assert tree_hash(read_tree(copies.path("bbb"))) == found["tree"]
    assert "first.py" in verdict["seen"]


def test_a_name_that_is_taken_is_refused_before_anything_is_imported(
    root: Path, put: Publish, tmp_path: Path, verdict: dict[str, Any]
) -> None:
    put("aaa", TREE)
    copies = Copies(tmp_path / "host", "dags")
    copies.ensure(Store(root), "aaa")
    with pytest.raises(ReleaseError, match="from the same commit, but another folder or with other settings"):
        check(root, copies, stream("aaa", {"other.py": b"other"}), 30, keep=True)
    assert verdict["seen"] == []
    assert tree_hash(read_tree(copies.path("aaa"))) == Store(root).manifest("aaa").tree
    # What is damaged may be published again, so its name is free.
    (root / "releases" / "aaa.json.gz").write_bytes(b"")
    check(root, copies, stream("aaa", TREE), 30, keep=True)


@pytest.mark.parametrize("keep", [True, False])
def test_a_copy_that_is_not_wanted_leaves_nothing(
    root: Path, put: Publish, tmp_path: Path, verdict: dict[str, Any], keep: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    put("aaa", TREE)
    copies = Copies(tmp_path / "host", "dags")
    verdict |= {"errors": [{"file": "new.py"}] if keep else [], "status": int(keep)}
    sent = tmp_path / "stream"
    sent.write_bytes(stream("bbb", TREE | {"new.py": b"new"}, ("aaa", TREE)).getvalue())
    place = ["--root", str(root), "--storage", str(tmp_path / "host"), "--bundle", "dags", "--stream", str(sent)]
    status = main(["check", *place, "--import-seconds", "30", *(["--keep"] if keep else [])])
    assert status == (3 if keep else 0)
    assert json.loads(capsys.readouterr().out)["release"] == "bbb"
    assert not copies.path("bbb").exists()
    assert not list(copies.notes.iterdir())


def test_the_copy_of_a_published_release_stays(
    root: Path, put: Publish, tmp_path: Path, verdict: dict[str, Any]
) -> None:
    put("aaa", TREE)
    copies = Copies(tmp_path / "host", "dags")
    copies.ensure(Store(root), "aaa")
    verdict |= {"errors": [{"file": "first.py"}], "status": 1}
    check(root, copies, stream("aaa", TREE), 30, keep=False)
    assert copies.is_sealed("aaa")


def test_a_look_that_could_not_be_done_is_no_verdict(
    root: Path, put: Publish, tmp_path: Path, verdict: dict[str, Any]
) -> None:
    put("aaa", TREE)
    copies = Copies(tmp_path / "host", "dags")
    verdict["status"] = -9
    with pytest.raises(ReleaseError, match="ended with -9"):
        check(root, copies, stream("bbb", TREE), 30, keep=True)
    assert not copies.path("bbb").exists()


def test_two_publishers_exclude_each_other(root: Path) -> None:
    over = Deadline(0)
    with exclusive(root), pytest.raises(ReleaseError, match="another publication"), exclusive(root, over):
        pass
    with exclusive(root, over):
        pass


def test_a_publisher_waits_for_the_one_before_it(root: Path) -> None:
    order = []

    def first() -> None:
        with exclusive(root):
            held.set()
            time.sleep(0.5)
            order.append("first")

    held = threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    held.wait(10)
    with exclusive(root, Deadline(30)):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("action", ["write", "move", "retain"])
def test_what_comes_too_late_changes_nothing_that_anybody_reads(
    root: Path,
    put: Publish,
    tmp_path: Path,
    action: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("aaa", "bbb", "ccc"):
        put(name, TREE | {f"{name}.py": name.encode()})
    sent = tmp_path / "stream"
    sent.write_bytes(stream("ddd", TREE).getvalue())
    before = (root / "current").read_bytes()

    def hang(self: Store, release: str, manifest: Any = Store.manifest) -> Manifest:
        # As if the shared file system came back hours later, in the middle of the work.
        monkeypatch.setattr("freehold_airflow.publish.time.clock_gettime", lambda _: 1e12)
        found: Manifest = manifest(self, release)
        return found

    monkeypatch.setattr(Store, "manifest", hang)
    words = {"write": ["--stream", str(sent)], "move": ["--release", "aaa"], "retain": ["--newest", "0"]}[action]
    assert main([action, "--root", str(root), "--seconds", "600", *words]) == 1
    assert "took longer than 600 s (dags_proof_seconds)" in capsys.readouterr().err
    assert (root / "current").read_bytes() == before
    assert {"aaa", "bbb", "ccc"} <= set(Store(root).releases())
    assert not list(root.glob(".incoming*"))
    monkeypatch.undo()
    assert main([action, "--root", str(root), "--seconds", "600", *words]) == 0


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
