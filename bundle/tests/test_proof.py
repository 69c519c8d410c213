# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container says of the release it sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from freehold_airflow import proof
from freehold_airflow.copies import Copies
from freehold_airflow.publish import move_pointer, publish
from freehold_airflow.release import Store

from bundle.tests.trees import TREE, Publish, stream

SOURCE = Path(__file__).parents[1] / "src"


@pytest.fixture
def bundle(root: Path, tmp_path: Path) -> proof.Bundle:
    return proof.Bundle("dags", root, tmp_path / "storage")


@pytest.fixture
def copy(root: Path, put: Publish, bundle: proof.Bundle) -> Path:
    """The copy of the current release on this host."""
    put("aaa", TREE)
    assert proof.state(bundle, fetch=True)["exact"]
    return Copies(bundle.storage, "dags").path("aaa")


def test_without_a_copy_everything_is_missing(root: Path, put: Publish, bundle: proof.Bundle) -> None:
    put("aaa", TREE)
    found = proof.state(bundle)
    assert not found["exact"]
    assert "this host has no manifest of aaa" in found["error"]
    assert not bundle.storage.exists(), "looking writes nothing"


def test_an_exact_copy_is_proved(copy: Path, bundle: proof.Bundle) -> None:
    found = proof.state(bundle)
    assert (found["current"], found["release"], found["files"], found["exact"]) == ("aaa", "aaa", len(TREE), True)


@pytest.mark.parametrize(
    ("harm", "kind", "path"),
    [
        (lambda copy: (copy / "first.py").write_bytes(b"print('FIRST')\n"), "changed", "first.py"),
        (lambda copy: (copy / "run.sh").chmod(0o644), "changed", "run.sh"),
        (lambda copy: (copy / "new.py").touch(), "extra", "new.py"),
        (lambda copy: (copy / "same.py").unlink(), "missing", "same.py"),
    ],
)
def test_drift_is_found_and_fetching_repairs_it(
    copy: Path, bundle: proof.Bundle, harm: Any, kind: str, path: str
) -> None:
    harm(copy)
    found = proof.state(bundle)
    assert (found["exact"], found["differs"][kind]) == (False, [path])
    assert not proof.state(bundle)["exact"], "looking repairs nothing"
    repaired = proof.state(bundle, fetch=True)
    assert (repaired["exact"], repaired["repaired"][kind]) == (True, [path])
    assert "repaired" not in proof.state(bundle, fetch=True)


def test_a_bit_that_flips_on_the_disk_is_found_and_repaired(copy: Path, bundle: proof.Bundle) -> None:
    copies = Copies(bundle.storage, "dags")
    (copy / "first.py").write_bytes(b"print('fir3t')\n")
    # The disk does this without any trace in the times, so the seal still fits.
    copies._note_seal(copies.manifest("aaa"))
    assert copies.is_sealed("aaa")
    assert proof.state(bundle)["differs"]["changed"] == ["first.py"]
    assert proof.state(bundle, fetch=True)["exact"]
    assert (copy / "first.py").read_bytes() == TREE["first.py"]


def test_a_copy_of_another_tree_under_the_same_name_is_found_and_repaired(
    copy: Path, root: Path, tmp_path: Path, bundle: proof.Bundle
) -> None:
    # The same commit, published from another folder, into a shared folder that was made anew.
    (root / "releases" / "aaa.json.gz").unlink()
    publish(root, stream("aaa", {"other.py": b"other"}))
    found = proof.state(bundle)
    assert not found["exact"]
    assert "this host's copy of aaa has the tree" in found["error"]
    assert proof.state(bundle, fetch=True)["exact"]
    assert [path.name for path in copy.iterdir()] == ["other.py"]


# Root reads every folder, unless this power is taken away; components don't run as root.
CONFINED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.mark.parametrize(
    ("mode", "closed"),
    [(0o000, "pack age"), (0o600, "pack age"), (0o555, None)],
    ids=["closed", "no way in", "no change"],
)
def test_a_folder_that_was_closed_is_found_and_repaired(
    copy: Path, root: Path, bundle: proof.Bundle, mode: int, closed: str | None
) -> None:
    (copy / "pack age" / "__init__.py").write_bytes(b"harm")
    (copy / "pack age").chmod(mode)

    def run(*arguments: str) -> dict[str, Any]:
        command = [*CONFINED, sys.executable, "-m", "freehold_airflow.proof", *arguments]
        environment = {**os.environ, **settings(root, bundle.storage), "PYTHONPATH": str(SOURCE)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        [found] = json.loads(done.stdout)
        return dict(found)

    looked = run()
    assert not looked["exact"]
    assert looked["differs"]["unreadable"] == ([closed] if closed else [])
    fetched = run("--fetch")
    assert fetched["exact"], fetched
    assert fetched["repaired"]["closed"] == ["pack age"]
    assert run()["exact"]


def test_another_release_can_be_asked_for(copy: Path, root: Path, put: Publish, bundle: proof.Bundle) -> None:
    put("bbb", TREE | {"new.py": b""})
    found = proof.state(bundle, release="aaa")
    assert (found["current"], found["release"], found["exact"]) == ("bbb", "aaa", True)
    assert not proof.state(bundle)["exact"]
    move_pointer(root, "aaa")
    assert proof.state(bundle)["exact"]


def test_a_pointer_to_a_missing_release_is_named(copy: Path, root: Path, bundle: proof.Bundle) -> None:
    (root / "releases" / "aaa.json.gz").unlink()
    found = proof.state(bundle)
    assert not found["exact"]
    assert "the manifest of aaa is not at" in found["error"]


def settings(root: Path, storage: Path) -> dict[str, str]:
    bundles = [
        {"name": "dags", "classpath": proof.CLASSPATH, "kwargs": {"source": str(root)}},
        {"name": "other", "classpath": "some.Other", "kwargs": {}},
    ]
    return {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(storage),
    }


def test_the_program_reads_airflows_settings(
    root: Path, put: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put("aaa", TREE)
    for name, value in settings(root, tmp_path / "storage").items():
        monkeypatch.setenv(name, value)
    assert proof.main([]) == 1
    assert proof.main(["--fetch"]) == 0
    assert proof.main([]) == 0
    assert proof.main(["--release", "bbb"]) == 1
    assert [json.loads(line)[0]["exact"] for line in capsys.readouterr().out.splitlines()] == [False, True, True, False]


@pytest.mark.parametrize("text", ["", "[]", "no json", '[{"name": "x"}]', "[1]"])
def test_settings_without_our_bundle_are_refused(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", text)
    assert proof.main([]) == 1
    assert "DAG_BUNDLE_CONFIG_LIST" in capsys.readouterr().err


def test_a_store_is_what_the_setting_says(root: Path, tmp_path: Path) -> None:
    [found] = proof.configured(settings(root, tmp_path))
    assert (found.name, found.source, found.storage) == ("dags", root, tmp_path)
    assert Store(found.source).root == root
