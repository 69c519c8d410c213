# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The public half of an SSH key."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ssh_public_key
version_added: 0.1.0
short_description: The public half of an SSH private key
description:
  - Derives the line that C(authorized_keys) wants from a private key without a passphrase. Needs cryptography.
author:
  - The Freehold authors (@freehold)
options:
  _input:
    description: The private key in OpenSSH's format; empty text stays empty.
    type: str
    required: true
"""

EXAMPLES = r"""
line: "{{ lookup('amazon.aws.secretsmanager_secret', 'freehold/lab/ci_ssh_key') | freehold.airflow.ssh_public_key }}"
"""

RETURN = r"""
_value:
  description: Type and key, without a comment.
  type: str
"""

from collections.abc import Callable

from ansible.errors import AnsibleFilterError


def ssh_public_key(private_key: str) -> str:
    """Return type and key as in authorized_keys; raises AnsibleFilterError, without the key, where it is none."""
    if not private_key:
        return ""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise AnsibleFilterError("ssh_public_key needs the Python package cryptography on the controller") from error
    try:
        key = serialization.load_ssh_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not the cause: its text may hold parts of the key.
        raise AnsibleFilterError("this is no SSH private key in OpenSSH's format without a passphrase") from None
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode()


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self) -> dict[str, Callable[[str], str]]:
        """Return our one filter."""
        return {"ssh_public_key": ssh_public_key}
