# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree with everything that Git can hold, and the archive that Git would make of it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

from freehold_airflow.publish import Published

Tree = dict[str, bytes | tuple[bytes, int] | str]

TREE: Tree = {
    ".airflowignore": b"drafts/\n",
    "first.py": b"print('first')\n",
    "pack age/__init__.py": b"",
    "pack age/deep/er/name with äö ☃.sql": b"select 1;\n",
    "run.sh": (b"#!/bin/sh\n", 0o755),
    "same.py": b"print('first')\n",
    "link.py": "first.py",
    "pack age/up.py": "../first.py",
}


def archive(tree: Tree) -> io.BytesIO:
    """The tree as ``git archive`` would stream it: text is a link's target, a pair is content and mode."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as opened:
        for path, what in tree.items():
            member = tarfile.TarInfo(path)
            if isinstance(what, str):
                member.type, member.linkname = tarfile.SYMTYPE, what
                opened.addfile(member)
                continue
            content, mode = what if isinstance(what, tuple) else (what, 0o644)
            member.size, member.mode = len(content), mode
            opened.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


Publish = Callable[[str, Tree], Published]
