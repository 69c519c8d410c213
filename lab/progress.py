# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress lines with the seconds since the start."""

from __future__ import annotations

import sys
import threading
import time


class Progress:
    """Prints what happens; several threads may."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """One line."""
        with self._lock:
            sys.stdout.write(f"{self.seconds:6.1f} s  {text}\n")
            sys.stdout.flush()
