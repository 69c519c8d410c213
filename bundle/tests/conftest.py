# SPDX-License-Identifier: GPL-3.0-or-later
"""A shared folder, and a way to publish trees in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from freehold_airflow.publish import publish

from bundle.tests.trees import Publish, stream


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder on the shared file system."""
    return tmp_path / "shared"


@pytest.fixture
def put(root: Path) -> Publish:
    """Publish a tree under a name."""
    return lambda release, tree: publish(root, stream(release, tree))
