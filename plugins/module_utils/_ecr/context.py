# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A build context that is the same bytes for the same inputs, and the tag that follows from it. Pure: no calls."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

# One time for every file: 2024-01-01. Zip files, and so Python wheels, know no time before 1980.
_TIME = 1704067200

# What editors, Python and git leave behind must not change the tag.
_IGNORED = {"__pycache__", ".git", ".DS_Store", ".ruff_cache", ".mypy_cache"}


def copied_sources(dockerfile: str) -> list[str]:
    """The files and directories that a Dockerfile copies from its context: nothing else can change the image."""
    joined = re.sub(r"\\[ \t]*\n", " ", dockerfile)
    sources: list[str] = []
    for line in joined.splitlines():
        words = line.split()
        if not words or words[0].upper() not in ("COPY", "ADD"):
            continue
        flags = [word for word in words[1:] if word.startswith("--")]
        if not any(flag.startswith("--from=") for flag in flags):
            sources += [word.removeprefix("./").rstrip("/") for word in words[1 + len(flags) : -1]]
    return list(dict.fromkeys(sources))


def read_context(
    directory: Path, include: Iterable[str], extra_files: Mapping[str, Path]
) -> dict[str, tuple[bytes, bool]]:
    """Content and executable bit of every file of the context, by its path in the context.

    ``include`` names files and directories below ``directory``; ``extra_files`` (path in the context -> file anywhere)
    replace what the directory holds under the same path.
    """
    files: dict[str, tuple[bytes, bool]] = {}
    for top in (directory / name for name in include):
        for path in [top, *top.rglob("*")]:
            relative = path.relative_to(directory)
            if path.is_file() and not _IGNORED.intersection(relative.parts) and path.suffix != ".pyc":
                files[relative.as_posix()] = (path.read_bytes(), os.access(path, os.X_OK))
    for name, path in extra_files.items():
        files[name] = (path.read_bytes(), False)
    return files


def content_tag(files: Mapping[str, tuple[bytes, bool]], build_args: Mapping[str, str], platform: str) -> str:
    """32 hex digits that change whenever the built image could change."""
    inputs = {
        "files": {
            name: [hashlib.sha256(content).hexdigest(), executable]
            for name, (content, executable) in sorted(files.items())
        },
        "build_args": dict(sorted(build_args.items())),
        "platform": platform,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]


def tar(files: Mapping[str, tuple[bytes, bool]]) -> io.BytesIO:
    """The context as a tar archive with fixed times and owners, so that docker's build cache holds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (content, executable) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mtime = _TIME
            entry.mode = 0o755 if executable else 0o644
            archive.addfile(entry, io.BytesIO(content))
    buffer.seek(0)
    return buffer
