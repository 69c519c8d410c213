# SPDX-License-Identifier: GPL-3.0-or-later
"""STS: a session lasts as long as AWS would let it, and users get none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from moto.sts.responses import TokenResponse

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import checks
from lab.api.patching import wraps
from lab.api.request import AwsRequest

_SHORTEST = 900


@wraps(TokenResponse, "assume_role")
def _assume_role(original: Any, request: TokenResponse) -> Any:
    duration = request._get_int_param("DurationSeconds", 3600)
    if duration < _SHORTEST:
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{duration}' at 'durationSeconds' failed to satisfy constraint: "
            f"Member must have value greater than or equal to {_SHORTEST}",
            400,
        )
    arn = request._get_param("RoleArn")
    role = next((role for role in backends.iam().roles.values() if role.arn == arn), None)
    if role is not None and duration > int(role.max_session_duration or 3600):
        raise AwsError(
            "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", 400
        )
    return original(request)


@checks("sts", "GetSessionToken", "GetFederationToken")
def refuse_keys_that_open_nothing(_request: AwsRequest) -> None:
    """moto answers with keys from a manual."""
    raise NotImplementedError("sessions of users")


def expire(access_key: str) -> bool:
    """Let a session end now; False where there is none with this key. Hold the lab's lock."""
    for assumed in backends.sts().assumed_roles:
        if assumed.access_key_id == access_key:
            assumed.expiration = datetime.now(UTC).replace(tzinfo=None)
            return True
    return False
