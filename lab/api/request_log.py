# SPDX-License-Identifier: GPL-3.0-or-later
"""The request log: one JSON object a line for every AWS request, without any parameter or secret."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from lab.api.request import AwsRequest
from lab.api.response import Response


class RequestLog:
    """Appends to `requests.jsonl` of the state directory and counts."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def add(self, request: AwsRequest, response: Response, seconds: float) -> None:
        """Log one answered request; `seconds` is how long it took."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "source": request.source,
            "service": request.signing_name,
            "operation": request.operation,
            "region": request.region,
            "write": request.writes,
            "status": response.status,
            "error": response.error_code,
            "duration": round(seconds, 4),
            "access_key": request.access_key,
        }
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self.counts["write" if request.writes else "read"] += 1
            if response.status >= 400:
                self.counts["error"] += 1
