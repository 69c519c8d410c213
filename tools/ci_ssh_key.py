#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the SSH key by which workflows log in to an environment's hosts, for ``ssh-add -``.

It stands in Secrets Manager (role ci_access); credentials and region are those of the surroundings.
"""

from __future__ import annotations

import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def secret_of(environment: str) -> str:
    """Return the secret's name."""
    return f"freehold/{environment}/ci_ssh_key"


def main(arguments: list[str]) -> int:
    """Print the key of the environment that is the one argument; what goes wrong is one sentence."""
    if len(arguments) != 1:
        print("usage: ci_ssh_key.py ENVIRONMENT", file=sys.stderr)
        return 2
    if sys.stdout.isatty():
        print("ci_ssh_key: a private key is nothing for a screen; pipe it into ssh-add -", file=sys.stderr)
        return 2
    name = secret_of(arguments[0])
    try:
        key = boto3.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    except (BotoCoreError, ClientError) as error:
        print(f"ci_ssh_key: the secret {name} can't be read: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(key, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
