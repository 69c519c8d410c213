# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on demand: a test asks for it, and the next requests of that operation meet it."""

from __future__ import annotations

import threading
from collections import deque

from lab.api.errors import AwsError
from lab.api.request import AwsRequest

# The request or its answer is lost with the connection, or it takes effect and nothing more is heard, or AWS asks for
# fewer requests.
KINDS = ("lost-before", "lost-after", "hang-after", "throttled")
# Longer than clients wait for an answer: botocore does for 60 seconds.
SILENCE_SECONDS = 150


class Faults:
    """Faults that wait for their requests, by operation, the first one first."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[str]] = {}
        self._lock = threading.Lock()

    def ask(self, operation: str, kind: str, times: int = 1) -> None:
        """Let the next requests of an operation fail. Raises ValueError for a kind that is not known."""
        if kind not in KINDS or times < 1:
            raise ValueError(f"a fault is one of {', '.join(KINDS)}, once or more")
        with self._lock:
            self._waiting.setdefault(operation, deque()).extend([kind] * times)

    def take(self, request: AwsRequest) -> str | None:
        """The fault that this request meets, if any."""
        with self._lock:
            waiting = self._waiting.get(request.operation or "")
            return waiting.popleft() if waiting else None


def throttled(request: AwsRequest) -> AwsError:
    """The service's own words for too many requests."""
    if request.service == "ec2":
        return AwsError("RequestLimitExceeded", "Request limit exceeded.", 503)
    return AwsError("Throttling", "Rate exceeded", 400)
