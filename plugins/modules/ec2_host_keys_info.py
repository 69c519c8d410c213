#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_host_keys_info
short_description: Read the SSH host keys of new instances from their console output
version_added: 0.1.0
description:
  - cloud-init prints the public SSH host keys of an instance on its console at the first boot. The console is read
    through the EC2 API, so the keys come over a connection that is already trusted, and no first SSH connection has to
    be believed blindly.
  - Waits until every instance has printed its keys.
  - cloud-init prints them once in an instance's life and EC2 keeps only the newest console output, so keep the answer.
options:
  instance_ids:
    description: Ids of the instances.
    type: list
    elements: str
    required: true
  wait_timeout:
    description: Longest wait for all instances together, in seconds.
    type: int
    default: 600
author:
  - The Freehold authors (@freehold)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Only reads.
"""

EXAMPLES = r"""
- name: Read the host keys of two new instances
  freehold.airflow.ec2_host_keys_info:
    instance_ids: [i-0123456789abcdef0, i-0fedcba9876543210]
"""

RETURN = r"""
host_keys:
  description: The public keys by instance id and key type.
  returned: success
  type: dict
  sample:
    i-0123456789abcdef0:
      ssh-ed25519: AAAAC3NzaC1lZDI1NTE5AAAAI...
"""

import re
import time
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.waiter import BaseWaiterFactory

BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
END = "-----END SSH HOST KEY KEYS-----"
DELAY = 2
KEY = re.compile(r"\b((?:ssh|ecdsa)-[a-z0-9@.-]+) ([A-Za-z0-9+/]+={0,2})")


class ConsoleWaiters(BaseWaiterFactory):  # type: ignore[misc]
    """Waits for what an instance prints."""

    @property
    def _waiter_model_data(self) -> dict[str, Any]:
        printed = f"contains(Output || '', '{END}')"
        return {
            "host_keys_printed": {
                "operation": "GetConsoleOutput",
                "delay": DELAY,
                "maxAttempts": 300,
                "acceptors": [{"state": "success", "matcher": "path", "argument": printed, "expected": True}],
            }
        }


def host_keys(console: str) -> dict[str, str]:
    """Return the keys by type that stand between cloud-init's marks; the last such block counts.

    Every line may start with what the system's logger puts before it.
    """
    _before, begin, rest = console.rpartition(BEGIN)
    block, end, _after = rest.partition(END)
    if not begin or not end:
        return {}
    return {match[1]: match[2] for line in block.splitlines() if (match := KEY.search(line))}


def wait_and_read(client: Any, instance_id: str, seconds: float, latest: bool) -> str:
    """Wait until the instance has printed its keys and return its console output."""
    params = {"InstanceId": instance_id, **({"Latest": True} if latest else {})}
    waiter = ConsoleWaiters().get_waiter(client, "host_keys_printed")
    waiter.wait(**params, WaiterConfig={"Delay": DELAY, "MaxAttempts": max(1, int(seconds // DELAY))})
    return client.get_console_output(aws_retry=True, **params).get("Output") or ""


def is_nitro(client: Any, instance_ids: list[str]) -> dict[str, bool]:
    """Tell of every instance whether EC2 can show its console at once; others show it minutes later.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html
    """
    pages = client.get_paginator("describe_instances").paginate(InstanceIds=instance_ids)
    types = {
        instance["InstanceId"]: instance["InstanceType"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }
    kinds = client.get_paginator("describe_instance_types").paginate(
        Filters=[{"Name": "instance-type", "Values": sorted(set(types.values()))}]
    )
    nitro = {
        kind["InstanceType"] for page in kinds for kind in page["InstanceTypes"] if kind.get("Hypervisor") != "xen"
    }
    return {instance_id: kind in nitro for instance_id, kind in types.items()}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "instance_ids": {"type": "list", "elements": "str", "required": True},
            "wait_timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff())
    deadline = time.monotonic() + module.params["wait_timeout"]
    keys: dict[str, dict[str, str]] = {}
    silent = []
    try:
        latest = is_nitro(client, module.params["instance_ids"]) if module.params["instance_ids"] else {}
        for instance_id in module.params["instance_ids"]:
            try:
                console = wait_and_read(client, instance_id, deadline - time.monotonic(), latest[instance_id])
            except WaiterError as error:
                if "Max attempts exceeded" not in str(error):
                    raise
                silent.append(instance_id)
            else:
                keys[instance_id] = host_keys(console)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The console output of the hosts can't be read")
    if silent:
        module.fail_json(
            msg=f"{', '.join(silent)} printed no SSH host keys on the console within {module.params['wait_timeout']}"
            " seconds, so it did not boot to the end: look at its console output, or raise hosts_wait_timeout.",
            host_keys=keys,
        )
    module.exit_json(changed=False, host_keys=keys)


if __name__ == "__main__":
    main()
