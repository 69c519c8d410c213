# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides an image's tag."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._ecr import context


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "src" / "__pycache__").mkdir(parents=True)
    (tmp_path / "src" / "a.py").write_text("a = 1\n")
    (tmp_path / "src" / "__pycache__" / "a.pyc").write_text("compiled")
    (tmp_path / "run").write_text("#!/bin/sh\n")
    return tmp_path


def tag(directory: Path, build_args: dict[str, str] | None = None, platform: str = "") -> str:
    return context.content_tag(context.read_context(directory, ["src", "run"], {}), build_args or {}, platform)


def test_copied_sources_are_what_copy_and_add_name() -> None:
    dockerfile = """
FROM base
# COPY not/this /
COPY --chown=50000:0 image/constraints.txt image/install \\
     ./image/airflow.cfg /tmp/
copy --from=builder /wheels /wheels
ADD bundle/src/ /src
RUN echo COPY nothing
"""
    assert context.copied_sources(dockerfile) == [
        "image/constraints.txt",
        "image/install",
        "image/airflow.cfg",
        "bundle/src",
    ]


def test_the_tag_stays_while_nothing_that_matters_changes(directory: Path) -> None:
    before = tag(directory)
    os.utime(directory / "src" / "a.py", (1, 1))
    (directory / "src" / "__pycache__" / "b.pyc").write_text("more")
    (directory / "README.md").write_text("not included")
    assert tag(directory) == before


def test_the_tag_changes_with_content_mode_arguments_and_platform(directory: Path) -> None:
    tags = [tag(directory), tag(directory, {"BASE": "x"}), tag(directory, platform="linux/arm64")]
    (directory / "run").chmod(0o755)
    tags.append(tag(directory))
    (directory / "src" / "a.py").write_text("a = 2\n")
    tags.append(tag(directory))
    assert len(set(tags)) == 5


def test_a_moved_content_is_another_image(directory: Path) -> None:
    before = tag(directory)
    (directory / "src" / "a.py").rename(directory / "src" / "b.py")
    assert tag(directory) != before


def test_extra_files_replace_those_of_the_directory(directory: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("pandas\n")
    files = context.read_context(directory, ["src"], {"src/requirements.txt": own})
    assert files["src/requirements.txt"] == (b"pandas\n", False)


def test_the_archive_is_the_same_bytes_every_time(directory: Path) -> None:
    files = context.read_context(directory, ["run", "src"], {})
    turned = dict(reversed(files.items()))
    assert context.tar(files).read() == context.tar(turned).read()


def test_the_archive_has_times_that_wheels_can_hold(directory: Path) -> None:
    with tarfile.open(fileobj=context.tar(context.read_context(directory, ["src"], {}))) as archive:
        assert min(member.mtime for member in archive.getmembers()) > 315532800
