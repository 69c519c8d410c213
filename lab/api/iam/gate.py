# SPDX-License-Identifier: GPL-3.0-or-later
"""The check before every request: a known key, and a policy that allows it."""

from __future__ import annotations

from lab.api.request import AwsRequest
from lab.api.state import Lab


def authorize(lab: Lab, request: AwsRequest) -> None:
    """Raise AwsError unless the caller may do this."""
    if not lab.settings.enforce_iam:
        return
