# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a program's answer apart from what Airflow, its plug-ins and the processes that it starts print."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def take_stdout() -> TextIO:
    """Return a stream to where stdout goes; from here on whatever anybody else prints goes to stderr."""
    sys.stdout.flush()
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answer
