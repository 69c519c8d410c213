# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container is recognized by, and what is put into it."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

from lab.reconciler.containers import ContainerSpec, File, fingerprint, tar_of

SPEC = ContainerSpec("database", "x", "freehold-lab-db-x", "image:1", ("run",), "net", "10.0.0.4", made_from=["a"])


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})


def test_another_image_address_or_setting_is_another_container() -> None:
    others = [replace(SPEC, image="image:2"), replace(SPEC, ip="10.0.0.5"), replace(SPEC, made_from=["b"])]
    assert len({spec.fingerprint() for spec in [SPEC, *others]}) == 4


def test_a_fresh_certificate_is_no_reason_for_a_new_container() -> None:
    assert replace(SPEC, files={"/etc/server.crt": File(b"new")}).fingerprint() == SPEC.fingerprint()


def test_a_machine_keeps_the_image_that_it_was_launched_from() -> None:
    host = replace(SPEC, follows_image=False)
    assert replace(host, image="image:2").fingerprint() == host.fingerprint()


def test_files_come_with_their_directories_and_modes() -> None:
    archive = tar_of({"/etc/freehold/server.key": File(b"secret", 0o600), "/etc/freehold/a/b": File(b"")})
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        modes = {member.name: member.mode for member in tar.getmembers()}
    # /etc itself is the image's and keeps its mode.
    assert modes == {
        "etc/freehold": 0o755,
        "etc/freehold/a": 0o755,
        "etc/freehold/a/b": 0o644,
        "etc/freehold/server.key": 0o600,
    }
