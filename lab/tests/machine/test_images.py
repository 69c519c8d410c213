# SPDX-License-Identifier: GPL-3.0-or-later
"""When an image is built anew, and what it is told about the machine."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lab import images
from lab.images import Image

FILES = {"Dockerfile": (b"FROM x\n", 0o644), "run": (b"#!/bin/sh\n", 0o755)}


def test_the_tag_follows_contents_modes_and_arguments() -> None:
    image = Image("x", FILES, {"BASE": "base:1"})
    others = [
        Image("x", {**FILES, "run": (b"#!/bin/bash\n", 0o755)}, {"BASE": "base:1"}),
        Image("x", {**FILES, "run": (b"#!/bin/sh\n", 0o644)}, {"BASE": "base:1"}),
        Image("x", FILES, {"BASE": "base:2"}),
    ]
    assert len({other.hash for other in [image, *others]}) == 4


def test_where_packages_come_from_is_no_reason_to_build_anew() -> None:
    arguments = {"BASE": "base:1", "PIP_INDEX_URL": "https://a.example", "https_proxy": "http://b.example"}
    assert Image("x", FILES, arguments).hash == Image("x", FILES, {"BASE": "base:1"}).hash


def test_a_context_is_the_same_archive_every_time() -> None:
    first, second = images.context(FILES).read(), images.context(dict(reversed(FILES.items()))).read()
    assert first == second
    with tarfile.open(fileobj=images.context(FILES)) as tar:
        assert [(member.name, member.mode) for member in tar] == [("Dockerfile", 0o644), ("run", 0o755)]


def test_every_image_has_what_its_dockerfile_copies() -> None:
    base = images.base()
    root = images.machine_root(base)
    made = [base, images.control(base), images.services(base), images.host(base, b"ca"), images.airflow_base(base)]
    made += [root, images.machine(base, root, b"ca")]
    for image in made:
        assert image is not None
        dockerfile = image.files["Dockerfile"][0].decode()
        for line in dockerfile.splitlines():
            if line.startswith("COPY ") and "--from=" not in line:
                for source in [word for word in line.split()[1:-1] if not word.startswith("--")]:
                    assert any(path == source or path.startswith(source) for path in image.files), (image.name, source)


def test_virtual_machines_and_container_hosts_are_made_from_the_same_list_of_packages() -> None:
    base = images.base()
    host, root = images.host(base, b"ca"), images.machine_root(base)
    assert host.files["packages"] == root.files["packages"]
    assert host.files["cloud.cfg"] == root.files["cloud.cfg"]
    # What only a container needs is not on a machine's disk.
    assert "mount_nfs4.py" not in root.files


def test_the_control_image_holds_the_code_but_not_its_tests() -> None:
    paths = images.control(images.base()).files
    assert "lab/reconciler/loop.py" in paths
    assert not [path for path in paths if "/tests/" in path or "__pycache__" in path or "image_files" in path]


def test_directories_of_this_machine_are_not_an_index_in_a_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "PIP_DEFAULT_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///opt/simple https://second.example/simple")
    settings = images.package_settings()
    assert settings["PIP_EXTRA_INDEX_URL"] == "https://second.example/simple"
    assert settings["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"


def test_only_certificates_beyond_mozillas_are_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = "-----BEGIN CERTIFICATE-----\nb3du\n-----END CERTIFICATE-----"
    bundle = tmp_path / "bundle.pem"
    mozilla = sorted(Path("/usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle.write_text("\n".join([*(path.read_text() for path in mozilla[:3]), own]) + "\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert images.machine_certificates() == [own]
