# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Making secret values. Pure: no AWS in here."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import secrets
import string
from collections.abc import Mapping
from urllib.parse import quote

with contextlib.suppress(ImportError):  # needed for SSH keys alone; the controller has it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

# RDS forbids / " @ and blanks, an ElastiCache token allows few signs, a URL wants none: letters and digits suit all.
PASSWORD_LETTERS = string.ascii_letters + string.digits

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9/_+=.@-]+)\}")


def generate(kind: str, length: int) -> str:
    """A new value from the operating system's random source.

    ``length`` counts letters for ``password`` and random bytes for ``hex`` and ``base64``; a Fernet key is always
    32 bytes in URL-safe base64 (https://github.com/fernet/spec/blob/master/Spec.md), and an SSH key an Ed25519 private
    key in OpenSSH's format.
    """
    if kind == "password":
        return "".join(secrets.choice(PASSWORD_LETTERS) for _index in range(length))
    if kind == "fernet_key":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    if kind == "hex":
        return secrets.token_hex(length)
    if kind == "base64":
        return base64.b64encode(secrets.token_bytes(length)).decode()
    if kind == "ssh_key":
        return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    raise ValueError(f"unknown kind of secret: {kind}")


def placeholders(template: str) -> list[str]:
    """The names in the ``${...}`` of a template, each once, in order."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(template)))


def compose(template: str, values: Mapping[str, str]) -> str:
    """The template with every ``${name}`` replaced by its URL-quoted value; KeyError names an unknown one."""
    return _PLACEHOLDER.sub(lambda match: quote(values[match.group(1)], safe=""), template)


def digest(value: str) -> str:
    """SHA-256 in hex, as Valkey's ACL files want a password."""
    return hashlib.sha256(value.encode()).hexdigest()
