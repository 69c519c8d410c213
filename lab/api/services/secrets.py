# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets Manager: a name that waits for its deletion is refused in AWS's words."""

from __future__ import annotations

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import checks
from lab.api.request import AwsRequest


@checks("secretsmanager", "CreateSecret")
def refuse_a_name_that_waits_for_its_deletion(request: AwsRequest) -> None:
    """moto says that the secret exists; AWS says why."""
    store = backends.secretsmanager(request.region).secrets
    name = request.params.get("Name")
    known = store.get(name) if name and name in store else None
    if known is not None and known.is_deleted():
        message = "You can't create this secret because a secret with this name is already scheduled for deletion."
        raise AwsError("InvalidRequestException", message)
