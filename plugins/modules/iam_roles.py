#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: iam_roles
short_description: Keep IAM roles, each with its trust, its policy and, for EC2, its instance profile
version_added: 0.1.0
description:
  - Creates roles, gives each exactly one inline policy and the named managed policies, and an instance profile of the
    same name to those that EC2 instances take on, which is what a role is for unless it names its own trust.
  - With C(amazon.aws) that is three modules for every role, each reading everything anew, and none of them can say in
    check mode what a policy of a role that does not exist yet would be. Here it is one call.
  - A role of a wanted name that lacks the given tags belongs to somebody else and is refused.
options:
  roles:
    description: The wanted roles by name.
    type: dict
    required: true
    suboptions:
      description:
        description: What the role is for.
        type: str
        required: true
      policy:
        description: The policy document, as a dictionary.
        type: dict
        required: true
      managed_policies:
        description: ARNs of managed policies that the role carries; all others are detached.
        type: list
        elements: str
      trust:
        description:
          - Who may take the role on, as a policy document. A role with a trust of its own gets no instance profile.
          - Without it, EC2 instances may.
        type: dict
  absent:
    description: Names of roles that must not exist. One without the given tags is somebody else's and stays.
    type: list
    elements: str
    default: []
  policy_name:
    description: Name of the inline policy. Inline policies of other names are deleted.
    type: str
    required: true
  path:
    description: IAM path of new roles and profiles. An existing role keeps the one it has.
    type: str
    default: /
  permissions_boundary:
    description: ARN of the policy that bounds the roles. Empty removes a boundary.
    type: str
    default: ""
  tags:
    description: Tags of every role and profile; they also prove that a role of that name is ours.
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
    description: Shows every changed part of every role before and after.
"""

EXAMPLES = r"""
- name: Let workers read one secret
  freehold.airflow.iam_roles:
    policy_name: freehold
    tags:
      freehold:environment: lab
    roles:
      freehold-lab-worker:
        description: Hosts of the duty worker
        policy:
          Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Action: secretsmanager:GetSecretValue
              Resource: arn:aws:secretsmanager:eu-west-1:123456789012:secret:freehold/lab/config/broker_url-??????
"""

RETURN = r"""
roles:
  description: The roles by name. In check mode a role that would be created is missing.
  returned: always
  type: dict
  contains:
    arn:
      description: ARN of the role.
      type: str
changes:
  description: What was changed, or would be, one entry for each part of a role.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The role and its part.
      type: str
    current:
      description: What was found.
      type: raw
    desired:
      description: What is wanted.
      type: raw
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.freehold.airflow.plugins.module_utils._environment.removal import delete_role

# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-service.html
TRUST_EC2 = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def get_role(client: Any, name: str) -> dict[str, Any] | None:
    """Return the role, or None when there is none."""
    try:
        return client.get_role(aws_retry=True, RoleName=name)["Role"]  # type: ignore[no-any-return]
    except is_boto3_error_code("NoSuchEntity"):
        return None


def get_inline_policies(client: Any, name: str) -> dict[str, Any]:
    """Return the documents of the role's inline policies by name."""
    names = client.get_paginator("list_role_policies").paginate(RoleName=name).build_full_result()["PolicyNames"]
    return {
        policy: client.get_role_policy(aws_retry=True, RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in names
    }


def get_managed_policies(client: Any, name: str) -> list[str]:
    """Return the ARNs of the managed policies attached to the role."""
    pages = client.get_paginator("list_attached_role_policies").paginate(RoleName=name).build_full_result()
    return sorted(policy["PolicyArn"] for policy in pages["AttachedPolicies"])


def get_profile_roles(client: Any, name: str) -> list[str] | None:
    """Return the names of the roles in the instance profile, or None when there is no such profile."""
    try:
        profile = client.get_instance_profile(aws_retry=True, InstanceProfileName=name)["InstanceProfile"]
    except is_boto3_error_code("NoSuchEntity"):
        return None
    return [role["RoleName"] for role in profile["Roles"]]


class Role:
    """One wanted role beside what IAM has."""

    def __init__(self, module: AnsibleAWSModule, client: Any, name: str) -> None:
        self.module = module
        self.client = client
        self.name = name
        self.spec = module.params["roles"].get(name)
        self.trust: dict[str, Any] = (self.spec or {}).get("trust") or TRUST_EC2
        self.tags: dict[str, str] = {**module.params["tags"], "Name": name}
        self.role = get_role(client, name)
        self.changes: list[dict[str, Any]] = []

    def belongs_to_somebody_else(self) -> bool:
        """Tell whether a role of this name exists without our tags."""
        tags = boto3_tag_list_to_ansible_dict((self.role or {}).get("Tags") or [])
        return self.role is not None and any(
            tags.get(key) != value for key, value in self.module.params["tags"].items()
        )

    def change(self, part: str, current: Any, desired: Any, write: Callable[[], Any]) -> None:
        """Note a difference, and act on it unless in check mode."""
        self.changes.append({"name": f"{self.name} {part}", "current": current, "desired": desired})
        if not self.module.check_mode:
            write()

    def apply(self) -> None:
        """Make the role, its policies and its profile as wanted, or delete it where it is not."""
        if self.spec is None:
            if self.role is not None and not self.belongs_to_somebody_else():
                self.change("role", self.role.get("Description", ""), None, self.delete)
            return
        if self.role is None:
            wanted = {"description": self.spec["description"], "trust": self.trust}
            self.change("role", None, wanted, self.create)
            inline, managed = {}, []
        else:
            self.apply_role(self.role)
            inline, managed = get_inline_policies(self.client, self.name), get_managed_policies(self.client, self.name)
        self.apply_inline(inline)
        self.apply_managed(managed)
        if self.trust is TRUST_EC2:
            self.apply_profile()

    def create(self) -> None:
        """Create the role and wait until IAM shows it."""
        boundary = self.module.params["permissions_boundary"]
        self.role = self.client.create_role(
            aws_retry=True,
            RoleName=self.name,
            Path=self.module.params["path"],
            Description=self.spec["description"],
            AssumeRolePolicyDocument=json.dumps(self.trust),
            Tags=ansible_dict_to_boto3_tag_list(self.tags),
            **({"PermissionsBoundary": boundary} if boundary else {}),
        )["Role"]
        self.client.get_waiter("role_exists").wait(RoleName=self.name)

    def delete(self) -> None:
        """Delete the role with all that hangs on it."""
        delete_role(self.client, self.name)
        self.role = None

    def apply_role(self, role: dict[str, Any]) -> None:
        """Set what the role itself says: trust, description, boundary and tags."""
        client, name, trust = self.client, self.name, self.trust
        if compare_policies(role["AssumeRolePolicyDocument"], trust):
            self.change(
                "trust",
                role["AssumeRolePolicyDocument"],
                trust,
                lambda: client.update_assume_role_policy(
                    aws_retry=True, RoleName=name, PolicyDocument=json.dumps(trust)
                ),
            )
        description = self.spec["description"]
        if role.get("Description", "") != description:
            self.change(
                "description",
                role.get("Description", ""),
                description,
                lambda: client.update_role(aws_retry=True, RoleName=name, Description=description),
            )
        self.apply_boundary(role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))
        tags = boto3_tag_list_to_ansible_dict(role.get("Tags") or [])
        if missing := {key: value for key, value in self.tags.items() if tags.get(key) != value}:
            self.change(
                "tags",
                tags,
                {**tags, **missing},
                lambda: client.tag_role(aws_retry=True, RoleName=name, Tags=ansible_dict_to_boto3_tag_list(missing)),
            )

    def apply_boundary(self, current: str) -> None:
        """Set or remove the permissions boundary."""
        client, name, wanted = self.client, self.name, self.module.params["permissions_boundary"]
        if current == wanted:
            return
        if wanted:
            self.change(
                "boundary",
                current,
                wanted,
                lambda: client.put_role_permissions_boundary(aws_retry=True, RoleName=name, PermissionsBoundary=wanted),
            )
        else:
            self.change(
                "boundary",
                current,
                wanted,
                lambda: client.delete_role_permissions_boundary(aws_retry=True, RoleName=name),
            )

    def apply_inline(self, current: dict[str, Any]) -> None:
        """Leave exactly one inline policy, with the wanted text."""
        client, name, policy, wanted = self.client, self.name, self.module.params["policy_name"], self.spec["policy"]
        if policy not in current or compare_policies(current[policy], wanted):
            self.change(
                "policy",
                current.get(policy),
                wanted,
                lambda: client.put_role_policy(
                    aws_retry=True, RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(wanted)
                ),
            )
        for other in sorted(set(current) - {policy}):
            self.change(
                f"policy {other}",
                current[other],
                None,
                lambda other=other: client.delete_role_policy(  # type: ignore[misc]
                    aws_retry=True, RoleName=name, PolicyName=other
                ),
            )

    def apply_managed(self, current: list[str]) -> None:
        """Attach the wanted managed policies and detach all others."""
        wanted = sorted(self.spec.get("managed_policies") or [])
        if current == wanted:
            return

        def write() -> None:
            for arn in set(wanted) - set(current):
                self.client.attach_role_policy(aws_retry=True, RoleName=self.name, PolicyArn=arn)
            for arn in set(current) - set(wanted):
                self.client.detach_role_policy(aws_retry=True, RoleName=self.name, PolicyArn=arn)

        self.change("managed policies", current, wanted, write)

    def apply_profile(self) -> None:
        """Give the role an instance profile of its own name."""
        current = get_profile_roles(self.client, self.name)
        if current == [self.name]:
            return

        def write() -> None:
            if current is None:
                self.client.create_instance_profile(
                    aws_retry=True,
                    InstanceProfileName=self.name,
                    Path=self.module.params["path"],
                    Tags=ansible_dict_to_boto3_tag_list(self.tags),
                )
                self.client.get_waiter("instance_profile_exists").wait(InstanceProfileName=self.name)
            for other in current or []:
                self.client.remove_role_from_instance_profile(
                    aws_retry=True, InstanceProfileName=self.name, RoleName=other
                )
            self.client.add_role_to_instance_profile(aws_retry=True, InstanceProfileName=self.name, RoleName=self.name)

        self.change("instance profile", current, [self.name], write)


def as_diff(change: dict[str, Any]) -> dict[str, str]:
    """Show one change the way --diff prints it."""
    return {
        "before_header": change["name"],
        "after_header": change["name"],
        "before": json.dumps(change["current"], indent=2, sort_keys=True) + "\n",
        "after": json.dumps(change["desired"], indent=2, sort_keys=True) + "\n",
    }


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "roles": {"type": "dict", "required": True},
            "absent": {"type": "list", "elements": "str", "default": []},
            "policy_name": {"type": "str", "required": True},
            "path": {"type": "str", "default": "/"},
            "permissions_boundary": {"type": "str", "default": ""},
            "tags": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    client = module.client("iam", retry_decorator=AWSRetry.jittered_backoff())
    try:
        names = [*module.params["roles"], *module.params["absent"]]
        roles = [Role(module, client, name) for name in names]
        for role in roles:
            if role.spec is not None and role.belongs_to_somebody_else():
                module.fail_json(
                    msg=f"The IAM role '{role.name}' is not tagged as one of this environment, so it is left alone:"
                    " remove it, or choose another environment_name."
                )
        for role in roles:
            role.apply()
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The IAM roles can't be made as wanted")
    changes = [change for role in roles for change in role.changes]
    module.exit_json(
        changed=bool(changes),
        roles={role.name: {"arn": role.role["Arn"]} for role in roles if role.role},
        changes=changes,
        diff=[as_diff(change) for change in changes],
    )


if __name__ == "__main__":
    main()
