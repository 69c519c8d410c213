# SPDX-License-Identifier: GPL-3.0-or-later
"""One line for every act."""

from __future__ import annotations

import sys
from datetime import UTC, datetime


def log(text: str) -> None:
    """Write a line to the container's log."""
    now = datetime.now(UTC)
    sys.stdout.write(f"{now:%H:%M:%S}.{now.microsecond // 1000:03d} {text}\n")
    sys.stdout.flush()
