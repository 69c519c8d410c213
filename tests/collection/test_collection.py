# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive holds what an installed collection needs and nothing else, and works from an empty directory by FQCN."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.freehold.airflow.plugins.module_utils._ecr.context import copied_sources
from moto.server import ThreadedMotoServer

from tests.installed import ROOT, build, install, run

SHIPPED = ("bundle/pyproject.toml", "bundle/src", "docs", "image", "meta", "playbooks", "plugins", "roles")
# The links beside them have the names that people know, which Ansible does not accept in a collection.
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml") if not path.is_symlink())
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the archive from the working tree."""
    return build(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module", autouse=True)
def collection(archive: Path, folder: Path) -> Path:
    """Where the collection lies, installed into that directory."""
    return install(archive, folder)


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Give the address of an empty moto server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_the_archive_holds_exactly_what_is_shipped(archive: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *SHIPPED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    # The links are for a checkout; Ansible packs none.
    expected = {name for name in listed if (ROOT / name).exists() and not (ROOT / name).is_symlink()}
    with tarfile.open(archive) as packed:
        held = {member.name for member in packed if not member.isdir()}
    assert held == expected | {"CHANGELOG.rst", "FILES.json", "LICENSE", "MANIFEST.json", "README.md"}


def test_it_depends_on_the_collections_that_it_uses_and_on_no_other(collection: Path) -> None:
    files = [path for folder in ("roles", "playbooks", "plugins") for path in (collection / folder).rglob("*.[pyj]*")]
    name = r"([a-z]+\.[a-z_]+)"
    forms = (rf"^\s*(?:- )?{name}\.[a-z_0-9]+:", rf"(?:lookup|query)\('{name}\.", rf"\bansible_collections\.{name}\.")
    words = "\n".join(path.read_text(encoding="utf-8") for path in files)
    used = {found for form in forms for found in re.findall(form, words, re.MULTILINE)}
    wanted = used - {"ansible.builtin", "freehold.airflow"}
    assert set(yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"]) == wanted
    pinned = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    assert {entry["name"] for entry in pinned} == wanted


def test_every_relative_link_of_the_shipped_pages_leads_to_a_shipped_file(collection: Path) -> None:
    pages = sorted(collection.rglob("*.md"))
    assert len(pages) > len(ROLES)
    dead = [
        f"{page.relative_to(collection)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert dead == []


def test_the_image_can_be_built_from_the_installed_collection(collection: Path) -> None:
    copied = copied_sources((collection / "image" / "Dockerfile").read_text(encoding="utf-8"))
    assert copied
    assert [name for name in copied if not (collection / name).exists()] == []


def test_every_playbook_is_found_by_its_full_name(folder: Path, collection: Path) -> None:
    done = run(folder, "ansible-playbook", "--syntax-check", *(f"freehold.airflow.{name}" for name in PLAYBOOKS))
    assert done.returncode == 0, done.stderr
    installed = collection / "playbooks"
    assert re.findall(r"^playbook: (.*)$", done.stdout, re.MULTILINE) == [f"{installed}/{p}.yml" for p in PLAYBOOKS]


def test_every_module_and_role_says_what_it_takes(folder: Path) -> None:
    modules = run(folder, "ansible-doc", "--json", *(f"freehold.airflow.{name}" for name in MODULES))
    assert modules.returncode == 0, modules.stderr
    assert sorted(json.loads(modules.stdout)) == [f"freehold.airflow.{name}" for name in MODULES]
    roles = run(folder, "ansible-doc", "--json", "-t", "role", *(f"freehold.airflow.{name}" for name in ROLES))
    assert roles.returncode == 0, roles.stderr
    assert sorted(json.loads(roles.stdout)) == [f"freehold.airflow.{name}" for name in ROLES]


def test_a_role_creates_its_bucket_and_then_changes_nothing(folder: Path, endpoint: str) -> None:
    (folder / "bucket.yml").write_text(f"""
- name: Create the bucket of an environment's logs
  hosts: localhost
  gather_facts: false
  module_defaults:
    group/freehold.airflow.aws:
      endpoint_url: {endpoint}
      region: eu-west-1
      access_key: testing
      secret_key: testing
  vars:
    environment_name: shop
  roles:
    - freehold.airflow.log_bucket
  post_tasks:
    - name: Say where logs go
      ansible.builtin.debug:
        var: log_bucket_name
""")
    first = run(folder, "ansible-playbook", "bucket.yml")
    assert first.returncode == 0, first.stdout
    assert "freehold-shop-123456789012-logs" in first.stdout
    assert "changed=1 " in first.stdout
    second = run(folder, "ansible-playbook", "bucket.yml")
    assert second.returncode == 0, second.stdout
    assert "changed=0 " in second.stdout
