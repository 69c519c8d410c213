#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_instance_type_info
short_description: Say what EC2 knows about instance types
version_added: 0.1.0
description:
  - Reads architecture, memory and virtual CPUs of instance types, and in which availability zones they are offered.
  - A type that does not exist in the region is listed as unknown instead of failing, so that the caller can say which
    variable to change.
options:
  instance_types:
    description: The types to ask about.
    type: list
    elements: str
    required: true
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
- name: Read the architecture of a type
  freehold.airflow.ec2_instance_type_info:
    instance_types: [t4g.medium]
"""

RETURN = r"""
instance_types:
  description: What EC2 knows, by type.
  returned: always
  type: dict
  contains:
    architecture:
      description: V(arm64) or V(x86_64).
      type: str
    memory_mib:
      description: Memory in MiB.
      type: int
    vcpus:
      description: Virtual CPUs.
      type: int
    zones:
      description: Availability zones that offer the type.
      type: list
      elements: str
unknown:
  description: The types that do not exist in the region.
  returned: always
  type: list
  elements: str
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


def describe_types(client: Any, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return EC2's description of every type that exists, by type."""
    # A filter leaves out what does not exist; naming the types would fail for all of them when one is wrong.
    pages = client.get_paginator("describe_instance_types").paginate(
        Filters=[{"Name": "instance-type", "Values": names}]
    )
    return {found["InstanceType"]: found for page in pages for found in page["InstanceTypes"]}


def zones_by_type(client: Any, names: list[str]) -> dict[str, list[str]]:
    """Return the availability zones that offer each type."""
    pages = client.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": names}]
    )
    zones: dict[str, list[str]] = {}
    for page in pages:
        for offer in page["InstanceTypeOfferings"]:
            zones.setdefault(offer["InstanceType"], []).append(offer["Location"])
    return zones


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"instance_types": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    client = module.client("ec2")
    names = sorted(set(module.params["instance_types"]))
    try:
        found = describe_types(client, names)
        zones = zones_by_type(client, names)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The instance types can't be read")
    module.exit_json(
        changed=False,
        instance_types={
            name: {
                # i386 comes along with some older x86_64 types.
                "architecture": "arm64" if "arm64" in spec["ProcessorInfo"]["SupportedArchitectures"] else "x86_64",
                "memory_mib": spec["MemoryInfo"]["SizeInMiB"],
                "vcpus": spec["VCpuInfo"]["DefaultVCpus"],
                "zones": sorted(zones.get(name, [])),
            }
            for name, spec in sorted(found.items())
        },
        unknown=[name for name in names if name not in found],
    )


if __name__ == "__main__":
    main()
