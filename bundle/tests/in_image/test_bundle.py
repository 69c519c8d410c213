# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundle as Airflow uses it. Needs Airflow: `make bundle` runs this inside the image."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.bundles.base import BundleUsageTrackingManager, BundleVersionLock
from freehold_airflow import proof
from freehold_airflow.release import ReleaseError

from bundle.tests.trees import TREE, Publish


def test_a_bundle_without_version_follows_the_pointer(get: Callable[..., Any], put: Publish) -> None:
    put("aaa", TREE)
    bundle = get()
    bundle.initialize()
    assert bundle.get_current_version().version == "aaa"
    assert (bundle.path / "first.py").exists()
    put("bbb", {"second.py": b""})
    assert bundle.get_current_version().version == "aaa"
    bundle.refresh()
    assert bundle.get_current_version().version == "bbb"
    assert [path.name for path in bundle.path.iterdir()] == ["second.py"]


def test_a_bundle_with_version_stays_on_it(get: Callable[..., Any], put: Publish) -> None:
    put("aaa", TREE)
    put("bbb", {"second.py": b""})
    bundle = get("aaa")
    bundle.initialize()
    assert bundle.get_current_version().version == "aaa"
    assert (bundle.path / "first.py").exists()
    with pytest.raises(ReleaseError, match="can't be refreshed"):
        bundle.refresh()


def test_a_pointer_to_a_missing_release_leaves_the_one_before(
    root: Path, get: Callable[..., Any], put: Publish
) -> None:
    put("aaa", TREE)
    bundle = get()
    bundle.initialize()
    put("bbb", TREE | {"new.py": b""})
    (root / "releases" / "bbb.json.gz").unlink()
    with pytest.raises(ReleaseError, match="the manifest of bbb"):
        bundle.refresh()
    assert bundle.get_current_version().version == "aaa"
    assert (bundle.path / "first.py").exists()


def test_a_release_whose_contents_are_damaged_is_refused_and_leaves_the_one_before(
    root: Path, get: Callable[..., Any], put: Publish
) -> None:
    put("aaa", TREE)
    bundle = get()
    bundle.initialize()
    put("bbb", TREE | {"new.py": b"new"})
    newest = max((root / "packs").iterdir(), key=lambda pack: pack.stat().st_mtime_ns)
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    with pytest.raises(ReleaseError):
        bundle.refresh()
    assert bundle.get_current_version().version == "aaa"
    assert (bundle.path / "first.py").exists()
    assert not (bundle.path.parent / "bbb").exists()


def test_a_task_of_a_release_that_is_gone_fails_and_leaves_nothing_that_stops_airflows_cleanup(
    get: Callable[..., Any], put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_MIN_VERSIONS", "0")
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_AGE_THRESHOLD", "0")
    put("bbb", TREE)
    # What a worker does around each task.
    for release in ("aaa", "bbb"):
        bundle = get(release)
        assert bundle.supports_versioning
        with BundleVersionLock("dags", release):
            if release == "bbb":
                bundle.initialize()
                continue
            with pytest.raises(ReleaseError, match="the manifest of aaa"):
                bundle.initialize()
    BundleUsageTrackingManager().remove_stale_bundle_versions()
    assert not get("bbb").path.exists()


def test_the_link_names_the_commit_without_any_copy(get: Callable[..., Any], put: Publish) -> None:
    put("aaa", TREE)
    bundle = get("aaa")
    assert bundle.view_url("aaa") == "https://example.com/tree/aaa/dags"
    assert bundle.view_url_template() == "https://example.com/tree/{version}/dags"
    assert not bundle.path.exists()


def test_airflows_own_cleanup_removes_what_tasks_no_longer_use(
    get: Callable[..., Any], put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_MIN_VERSIONS", "1")
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_AGE_THRESHOLD", "0")
    for release in ("aaa", "bbb"):
        put(release, TREE | {"release": release.encode()})
        with BundleVersionLock("dags", release):
            get(release).initialize()
    BundleUsageTrackingManager().remove_stale_bundle_versions()
    assert not get("aaa").path.exists()
    assert get("bbb").path.exists()
    get("aaa").initialize()
    assert get("aaa").path.exists()


def test_the_proof_tells_the_same_as_airflow(
    get: Callable[..., Any], put: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    published = put("aaa", TREE)
    assert proof.main([]) == 1
    assert "no manifest of aaa" in json.loads(capsys.readouterr().out.splitlines()[-1])[0]["error"]
    assert proof.main(["--fetch"]) == 0
    (found,) = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["release"], found["tree"], found["exact"]) == ("aaa", published.tree, True)
    bundle = get()
    bundle.initialize()
    (bundle.path / "first.py").write_bytes(b"changed")
    assert proof.main([]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])[0]["differs"]["changed"] == ["first.py"]
    assert proof.main(["--fetch"]) == 0


def test_the_images_own_bundle_holds_the_smoke_dag() -> None:
    # Imported late: Airflow's own classes want the settings that the fixtures make.
    from freehold_airflow.bundle import OwnBundle
    from freehold_airflow.check import OWN_DAGS, run

    bundle = OwnBundle(name="freehold")
    assert bundle.get_current_version() is None
    # What a release may not use are all of them.
    assert {dag.dag_id for dag in run(bundle.path).dags} == OWN_DAGS
