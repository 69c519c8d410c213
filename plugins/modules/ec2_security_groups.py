#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_security_groups
short_description: Keep the security groups of one VPC, which may name each other
version_added: 0.1.0
description:
  - Creates the given security groups in one VPC and makes their rules exactly those given, both directions.
  - Rules name other groups of the same call by key, in any order and in circles. With C(amazon.aws.ec2_security_group)
    that takes two calls per group, each with a fixed pause at creation; here it is one call for all of them.
  - A group that carries one of the wanted names without the given tags belongs to somebody else and is refused.
  - Groups that are not given are left alone.
options:
  vpc_id:
    description: Id of the VPC the groups live in.
    type: str
    required: true
  groups:
    description: The wanted groups, by the key that rules use to refer to them.
    type: dict
    required: true
    suboptions:
      description:
        description: What the group is for. AWS fixes it at creation; a later difference is ignored.
        type: str
        required: true
      ingress:
        description:
          - Rules for what comes in, each with C(protocol) (default C(tcp), V(all) for every one), C(ports) (ports and
            C(from-to) ranges), C(cidrs), C(groups) (keys of other groups), C(prefix_lists) and C(description).
        type: list
        elements: dict
      egress:
        description: Rules for what goes out, in the same form. None means that nothing goes out.
        type: list
        elements: dict
  name_prefix:
    description: What the names of the groups start with; the key of the group follows, with hyphens for underscores.
    type: str
    required: true
  tags:
    description: Tags that every group carries beside C(Name); they also prove that a group of that name is ours.
    type: dict
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
    description: Says what would change and makes no write call.
  diff_mode:
    support: full
    description: Shows the rules of every changed group before and after.
"""

EXAMPLES = r"""
- name: Let the load balancer reach the web servers, and nobody else
  freehold.airflow.ec2_security_groups:
    vpc_id: vpc-0a1b2c3d
    name_prefix: lab-
    tags:
      freehold:environment: lab
    groups:
      load_balancer:
        description: Load balancer
        ingress:
          - ports: [443]
            cidrs: [198.51.100.0/24]
        egress:
          - ports: [8080]
            groups: [webserver]
      webserver:
        description: API servers
        ingress:
          - ports: [8080]
            groups: [load_balancer]
"""

RETURN = r"""
security_groups:
  description: The groups by the keys of O(groups). In check mode a group that would be created is missing.
  returned: always
  type: dict
  contains:
    id:
      description: Id of the group.
      type: str
    name:
      description: Name of the group.
      type: str
changes:
  description: What was changed, or would be, one entry for each group and direction.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The group and the direction.
      type: str
    current:
      description: The rules found.
      type: list
    desired:
      description: The rules wanted.
      type: list
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
    boto3_tag_specifications,
)
from ansible_collections.freehold.airflow.plugins.module_utils.security_group_rules import (
    RuleError,
    Rules,
    current_rules,
    difference,
    permissions,
    wanted_rules,
)

DIRECTIONS = {"ingress": "IpPermissions", "egress": "IpPermissionsEgress"}


def describe_groups(client: Any, vpc_id: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return the groups of the VPC that carry one of the names, by name."""
    paginator = client.get_paginator("describe_security_groups")
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "group-name", "Values": names}]
    pages = paginator.paginate(Filters=filters)
    return {group["GroupName"]: group for page in pages for group in page["SecurityGroups"]}


def create_group(client: Any, vpc_id: str, spec: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
    """Create one empty group and return it as DescribeSecurityGroups would: with AWS's first egress rule."""
    created = client.create_security_group(
        aws_retry=True,
        VpcId=vpc_id,
        GroupName=spec["name"],
        Description=spec["description"],
        TagSpecifications=boto3_tag_specifications(tags, "security-group"),
    )
    everywhere = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    return {
        "GroupId": created["GroupId"],
        "GroupName": spec["name"],
        "IpPermissions": [],
        "IpPermissionsEgress": [everywhere],
        "Tags": ansible_dict_to_boto3_tag_list(tags),
    }


def wait_until_visible(client: Any, group_ids: list[str]) -> None:
    """Wait until EC2 shows every new group; for a moment after creation it may know none of them."""
    client.get_waiter("security_group_exists").wait(GroupIds=group_ids, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def apply_rules(client: Any, direction: str, group_id: str, current: Rules, wanted: Rules) -> None:
    """Make one direction of one group exactly the wanted rules; new ones first, so that nothing is cut meanwhile."""
    todo = difference(current, wanted)
    for rules, call in (
        (todo.add, f"authorize_security_group_{direction}"),
        (todo.describe, f"update_security_group_rule_descriptions_{direction}"),
        (todo.remove, f"revoke_security_group_{direction}"),
    ):
        if rules:
            getattr(client, call)(aws_retry=True, GroupId=group_id, IpPermissions=permissions(rules))


def refuse_strangers(module: AnsibleAWSModule, found: dict[str, dict[str, Any]]) -> None:
    """End the run when a group of a wanted name is not tagged as ours."""
    for name, group in found.items():
        tags = boto3_tag_list_to_ansible_dict(group.get("Tags") or [])
        if any(tags.get(key) != value for key, value in module.params["tags"].items()):
            module.fail_json(
                msg=f"The security group '{name}' ({group['GroupId']}) of {module.params['vpc_id']} is not tagged as"
                " one of this environment, so it is left alone: rename it, or choose another environment_name."
            )


class SecurityGroups:
    """The wanted groups of one VPC beside what EC2 has."""

    def __init__(self, module: AnsibleAWSModule, client: Any) -> None:
        self.module = module
        self.client = client
        prefix = module.params["name_prefix"]
        self.wanted: dict[str, dict[str, Any]] = {
            key: {**spec, "name": prefix + key.replace("_", "-")} for key, spec in module.params["groups"].items()
        }
        names = [spec["name"] for spec in self.wanted.values()]
        self.found = describe_groups(client, module.params["vpc_id"], names)
        self.changes: list[dict[str, Any]] = []
        self.changed = False

    def ids(self) -> dict[str, str]:
        """Map keys to the ids of the groups that exist."""
        return {
            key: self.found[spec["name"]]["GroupId"] for key, spec in self.wanted.items() if spec["name"] in self.found
        }

    def create_missing(self) -> None:
        """Create every missing group, without rules, and wait once for all of them."""
        missing = [spec for spec in self.wanted.values() if spec["name"] not in self.found]
        self.changed |= bool(missing)
        if self.module.check_mode:
            return
        for spec in missing:
            tags = {**self.module.params["tags"], "Name": spec["name"]}
            self.found[spec["name"]] = create_group(self.client, self.module.params["vpc_id"], spec, tags)
        if missing:
            wait_until_visible(self.client, [self.found[spec["name"]]["GroupId"] for spec in missing])

    def apply(self) -> None:
        """Give every group exactly its wanted rules."""
        ids = self.ids()
        # In check mode a group that does not exist yet stands for itself, by its key.
        known = {key: ids.get(key, key) for key in self.wanted}
        names = {group_id: key for key, group_id in known.items()}
        for key, spec in self.wanted.items():
            group = self.found.get(spec["name"], {})
            for direction, attribute in DIRECTIONS.items():
                current = current_rules(group.get(attribute) or [])
                wanted = wanted_rules(spec.get(direction) or [], known)
                if not difference(current, wanted):
                    continue
                self.changed = True
                self.changes.append(
                    {
                        "name": f"{spec['name']} {direction}",
                        "current": sorted(rule.describe(names) for rule in current),
                        "desired": sorted(rule.describe(names) for rule in wanted),
                    }
                )
                if not self.module.check_mode:
                    apply_rules(self.client, direction, ids[key], current, wanted)

    def result(self) -> dict[str, Any]:
        """Return what the module answers."""
        return {
            "changed": self.changed,
            "security_groups": {
                key: {"id": group_id, "name": self.wanted[key]["name"]} for key, group_id in self.ids().items()
            },
            "changes": self.changes,
            "diff": [
                {
                    "before_header": change["name"],
                    "after_header": change["name"],
                    "before": "".join(f"{line}\n" for line in change["current"]),
                    "after": "".join(f"{line}\n" for line in change["desired"]),
                }
                for change in self.changes
            ],
        }


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "vpc_id": {"type": "str", "required": True},
            "groups": {"type": "dict", "required": True},
            "name_prefix": {"type": "str", "required": True},
            "tags": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    # A group may be unknown to one of EC2's servers for a moment after another has created it.
    retries = AWSRetry.jittered_backoff(catch_extra_error_codes=["InvalidGroup.NotFound"])
    client = module.client("ec2", retry_decorator=retries)
    try:
        groups = SecurityGroups(module, client)
        refuse_strangers(module, groups.found)
        groups.create_missing()
        groups.apply()
    except RuleError as error:
        module.fail_json(msg=f"The security groups can't be made: {error}.")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The security groups can't be made")
    module.exit_json(**groups.result())


if __name__ == "__main__":
    main()
