# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's operator: the administrator whose keys the controller uses."""

from __future__ import annotations

from lab.api import backends
from lab.api.state import Lab, write_private

OPERATOR = "freehold-operator"

# The example of AWS's own documentation: an inventory may hold it, since it opens nothing but a lab, and a lab listens
# on the machine's loopback alone. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - see above
_ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def create(lab: Lab) -> tuple[str, str]:
    """Make the user with its well-known keys, write them as an AWS credentials file, and return them."""
    iam = backends.iam()
    iam.create_user(region_name=lab.settings.region, user_name=OPERATOR, path="/", tags=[])
    iam.attach_user_policy(_ADMINISTRATOR, OPERATOR)
    key = iam.create_access_key(OPERATOR)
    iam.access_keys[ACCESS_KEY_ID] = iam.access_keys.pop(key.access_key_id)
    key.access_key_id, key.secret_access_key = ACCESS_KEY_ID, SECRET_ACCESS_KEY
    lines = [
        "[default]",
        f"aws_access_key_id = {key.access_key_id}",
        f"aws_secret_access_key = {key.secret_access_key}",
        f"region = {lab.settings.region}",
    ]
    write_private(lab.settings.state / "credentials", "\n".join(lines) + "\n")
    return key.access_key_id, key.secret_access_key
