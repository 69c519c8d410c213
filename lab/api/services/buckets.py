# SPDX-License-Identifier: GPL-3.0-or-later
"""S3: bucket policies are judged once, at the gate, with conditions and principals; moto knows neither."""

from __future__ import annotations

from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from lab.api.patching import wraps


@wraps(FakeBucket, "get_permission")
def _already_judged(_original: Any, _bucket: Any, _action: str, _resource: str) -> Any:
    return PermissionResult.PERMITTED
