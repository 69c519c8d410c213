# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's operator: the administrator whose keys the controller uses."""

from __future__ import annotations

from lab.api import backends
from lab.api.state import Lab, write_private

OPERATOR = "freehold-operator"
_ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def create(lab: Lab) -> tuple[str, str]:
    """Make the user with keys of its own, write them as an AWS credentials file, and return them."""
    iam = backends.iam()
    iam.create_user(region_name=lab.settings.region, user_name=OPERATOR, path="/", tags=[])
    iam.attach_user_policy(_ADMINISTRATOR, OPERATOR)
    key = iam.create_access_key(OPERATOR)
    lines = [
        "[default]",
        f"aws_access_key_id = {key.access_key_id}",
        f"aws_secret_access_key = {key.secret_access_key}",
        f"region = {lab.settings.region}",
    ]
    write_private(lab.settings.state / "credentials", "\n".join(lines) + "\n")
    return key.access_key_id, key.secret_access_key
