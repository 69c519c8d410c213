# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree with everything that Git can hold, and the stream that the controller would make of it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

from freehold_airflow.publish import Published
from freehold_airflow.release import Entry, tree_hash

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


def entries(tree: Tree) -> list[Entry]:
    """The entries of a tree: text is a link's target, a pair is content and mode."""
    found = []
    for path, what in tree.items():
        if isinstance(what, str):
            found.append(Entry(path, target=what))
        else:
            content, mode = what if isinstance(what, tuple) else (what, 0o644)
            found.append(Entry(path, sha256(content), len(content), bool(mode & 0o100)))
    return found


def sha256(content: bytes) -> str:
    """The name of a content."""
    return hashlib.sha256(content).hexdigest()


def stream(release: str, tree: Tree, base: tuple[str, Tree] | None = None, /, **header: Any) -> io.BytesIO:
    """What the controller would send: the whole tree, or its difference to a base; ``header`` replaces what it says."""
    name, old = base or (None, {})
    changed = {path: what for path, what in tree.items() if path not in old or old[path] != what}
    there = {entry.sha256 for entry in entries(old)}
    contents = {}
    for what in changed.values():
        content = what[0] if isinstance(what, tuple) else what
        if isinstance(content, bytes) and sha256(content) not in there:
            contents[sha256(content)] = content
    document = {
        "format": 1,
        "release": release,
        "tree": tree_hash(entries(tree)),
        "commit": "c" * 40,
        "repository": "https://example.com/dags",
        "base": name,
        "removed": sorted(old.keys() - tree.keys()),
        "entries": [entry.as_json() for entry in entries(changed)],
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        for member, content in {"stream.json": json.dumps(document | header).encode(), **contents}.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    packed.seek(0)
    return packed


Publish = Callable[[str, Tree], Published]
