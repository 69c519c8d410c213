# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception by which the lab refuses a request; the gateway writes it in the protocol's own form."""

from __future__ import annotations


class AwsError(Exception):
    """An AWS error code with its message, and the HTTP status where it is not the one of the service's model."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
