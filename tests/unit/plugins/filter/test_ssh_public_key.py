# SPDX-License-Identifier: GPL-3.0-or-later
"""The public half of a key, as ssh-keygen says it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.freehold.airflow.plugins.filter.ssh_public_key import FilterModule, ssh_public_key
from ansible_collections.freehold.airflow.plugins.module_utils._secretsmanager.values import generate


def test_a_generated_key_has_the_public_half_that_ssh_sees(tmp_path: Path) -> None:
    private = generate("ssh_key", 0)
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(private)
    said = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True).stdout
    assert ssh_public_key(private) == " ".join(said.split()[:2])
    assert ssh_public_key(private).startswith("ssh-ed25519 ")


def test_nothing_stays_nothing() -> None:
    assert ssh_public_key("") == ""


@pytest.mark.parametrize(
    "text", ["no key", "-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET\n-----END OPENSSH PRIVATE KEY-----"]
)
def test_what_is_no_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(AnsibleFilterError, match="no SSH private key") as refused:
        ssh_public_key(text)
    assert "SECRET" not in str(refused.value)


def test_a_controller_without_cryptography_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(AnsibleFilterError, match="needs the Python package cryptography"):
        ssh_public_key("any")


def test_templates_know_the_filter_by_its_name() -> None:
    assert FilterModule().filters() == {"ssh_public_key": ssh_public_key}
