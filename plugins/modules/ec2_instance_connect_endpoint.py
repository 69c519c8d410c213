#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_instance_connect_endpoint
short_description: Keep the EC2 Instance Connect Endpoint of a VPC
version_added: 0.1.0
description:
  - Creates or deletes the endpoint through which SSH reaches instances that have no public address.
  - EC2 allows one such endpoint in a VPC, so it is found by its VPC. One that lacks the given tags belongs to somebody
    else; it is used as it is, and never changed or deleted.
  - Subnet, security groups and client address preservation are only set when it is made; a warning reports what differs
    in an endpoint of ours.
options:
  state:
    description: Whether the endpoint exists.
    type: str
    default: present
    choices: [present, absent]
  vpc_id:
    description: The VPC it serves.
    type: str
    required: true
  subnet_id:
    description: The subnet it is made in. Required with O(state=present).
    type: str
  security_group_ids:
    description: Its security groups. Without any, EC2 takes the default one of the VPC, whichever that is.
    type: list
    elements: str
    default: []
  preserve_client_ip:
    description: Whether instances see the client's address instead of the endpoint's.
    type: bool
    default: false
  tags:
    description: Tags of the endpoint; they also prove that it is ours.
    type: dict
    required: true
  wait:
    description: Whether to wait until it is usable, or gone.
    type: bool
    default: true
  wait_timeout:
    description: Longest wait, in seconds.
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
    description: Says what would change and makes no write call.
"""

EXAMPLES = r"""
- name: Make the way to private hosts
  freehold.airflow.ec2_instance_connect_endpoint:
    vpc_id: vpc-0a1b2c3d
    subnet_id: subnet-0a1b2c3d
    security_group_ids: [sg-0a1b2c3d]
    tags:
      freehold:environment: lab
"""

RETURN = r"""
endpoint:
  description: The endpoint; empty when there is none.
  returned: always
  type: dict
  contains:
    id:
      description: Id of the endpoint.
      type: str
    state:
      description: State of the endpoint, for instance V(create-complete).
      type: str
    dns_name:
      description: Name that tunnels are opened to.
      type: str
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says that botocore is missing
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    boto3_tag_list_to_ansible_dict,
    boto3_tag_specifications,
)
from ansible_collections.amazon.aws.plugins.module_utils.waiter import BaseWaiterFactory

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Ec2InstanceConnectEndpoint.html
LIVING = ["create-in-progress", "create-complete", "update-in-progress", "update-complete", "update-failed"]
DELAY = 5


class EndpointWaiters(BaseWaiterFactory):  # type: ignore[misc]
    """What botocore does not wait for."""

    @property
    def _waiter_model_data(self) -> dict[str, Any]:
        state = "InstanceConnectEndpoints[0].State"
        return {
            "endpoint_ready": {
                "operation": "DescribeInstanceConnectEndpoints",
                "delay": DELAY,
                "maxAttempts": 120,
                "acceptors": [
                    {"state": "success", "matcher": "path", "argument": state, "expected": "create-complete"},
                    {"state": "success", "matcher": "path", "argument": state, "expected": "update-complete"},
                    {"state": "failure", "matcher": "path", "argument": state, "expected": "create-failed"},
                    {"state": "retry", "matcher": "error", "expected": "InvalidInstanceConnectEndpointId.NotFound"},
                ],
            },
            "endpoint_gone": {
                "operation": "DescribeInstanceConnectEndpoints",
                "delay": DELAY,
                "maxAttempts": 120,
                "acceptors": [
                    {"state": "success", "matcher": "path", "argument": state, "expected": "delete-complete"},
                    {
                        "state": "success",
                        "matcher": "path",
                        "argument": "length(InstanceConnectEndpoints) == `0`",
                        "expected": True,
                    },
                    {"state": "success", "matcher": "error", "expected": "InvalidInstanceConnectEndpointId.NotFound"},
                    {"state": "failure", "matcher": "path", "argument": state, "expected": "delete-failed"},
                ],
            },
        }


def find_endpoint(client: Any, vpc_id: str) -> dict[str, Any] | None:
    """Return the endpoint of the VPC, or None."""
    pages = client.get_paginator("describe_instance_connect_endpoints").paginate(
        Filters=[{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "state", "Values": LIVING}]
    )
    endpoints = [endpoint for page in pages for endpoint in page["InstanceConnectEndpoints"]]
    return endpoints[0] if endpoints else None


def is_ours(module: AnsibleAWSModule, endpoint: dict[str, Any]) -> bool:
    """Tell whether the endpoint carries our tags."""
    tags = boto3_tag_list_to_ansible_dict(endpoint.get("Tags") or [])
    return all(tags.get(key) == value for key, value in module.params["tags"].items())


def create_endpoint(module: AnsibleAWSModule, client: Any) -> dict[str, Any]:
    """Start making the endpoint."""
    answer = client.create_instance_connect_endpoint(
        aws_retry=True,
        SubnetId=module.params["subnet_id"],
        SecurityGroupIds=module.params["security_group_ids"],
        PreserveClientIp=module.params["preserve_client_ip"],
        TagSpecifications=boto3_tag_specifications(module.params["tags"], "instance-connect-endpoint"),
    )
    return answer["InstanceConnectEndpoint"]  # type: ignore[no-any-return]


def wait_for(module: AnsibleAWSModule, client: Any, waiter: str, endpoint: dict[str, Any]) -> None:
    """Wait for the endpoint as long as allowed, or end the module with what EC2 said of it last."""
    endpoint_id, seconds = endpoint["InstanceConnectEndpointId"], module.params["wait_timeout"]
    try:
        EndpointWaiters().get_waiter(client, waiter).wait(
            InstanceConnectEndpointIds=[endpoint_id],
            WaiterConfig={"Delay": DELAY, "MaxAttempts": max(1, seconds // DELAY)},
        )
    except WaiterError as error:
        said: Any = error.last_response
        if not said.get("InstanceConnectEndpoints"):
            raise
        last = said["InstanceConnectEndpoints"][0]
        state = last["State"]
        if state.endswith("-failed"):
            what = f"is {state}: {last.get('StateMessage') or 'EC2 gives no reason'}"
        else:
            what = f"is still {state} after {seconds} seconds: raise hosts_wait_timeout, or run again later"
        module.fail_json(msg=f"The EC2 Instance Connect Endpoint {endpoint_id} {what}")


def warn_of_differences(module: AnsibleAWSModule, endpoint: dict[str, Any]) -> None:
    """Say which parts of the endpoint, set when it was made, differ from what is wanted."""
    wanted = module.params
    same = {
        "subnet_id": endpoint.get("SubnetId") == wanted["subnet_id"],
        "security_group_ids": not wanted["security_group_ids"]
        or set(endpoint.get("SecurityGroupIds") or []) == set(wanted["security_group_ids"]),
        "preserve_client_ip": bool(endpoint.get("PreserveClientIp")) == wanted["preserve_client_ip"],
    }
    if different := [option for option in same if not same[option]]:
        module.warn(
            f"The EC2 Instance Connect Endpoint {endpoint['InstanceConnectEndpointId']} was made with another"
            f" {', '.join(different)} than wanted, which is left as it is: delete the endpoint and run again."
        )


def shown(endpoint: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the module answers about the endpoint."""
    if not endpoint:
        return {}
    return {
        "id": endpoint["InstanceConnectEndpointId"],
        "state": endpoint["State"],
        "dns_name": endpoint.get("DnsName", ""),
        "subnet_id": endpoint.get("SubnetId", ""),
    }


def ensure_present(module: AnsibleAWSModule, client: Any) -> None:
    """Make the endpoint unless the VPC has one."""
    endpoint = find_endpoint(client, module.params["vpc_id"])
    missing = endpoint is None
    if endpoint is None:
        if module.check_mode:
            module.exit_json(changed=True, endpoint={})
            return
        endpoint = create_endpoint(module, client)
    elif is_ours(module, endpoint):
        warn_of_differences(module, endpoint)
    if module.params["wait"] and not module.check_mode and not endpoint["State"].endswith("complete"):
        wait_for(module, client, "endpoint_ready", endpoint)
        endpoint = find_endpoint(client, module.params["vpc_id"])
    module.exit_json(changed=missing, endpoint=shown(endpoint))


def ensure_absent(module: AnsibleAWSModule, client: Any) -> None:
    """Delete the endpoint when it is ours."""
    endpoint = find_endpoint(client, module.params["vpc_id"])
    if endpoint is None or not is_ours(module, endpoint):
        module.exit_json(changed=False, endpoint=shown(endpoint))
        return
    if not module.check_mode:
        client.delete_instance_connect_endpoint(
            aws_retry=True, InstanceConnectEndpointId=endpoint["InstanceConnectEndpointId"]
        )
        if module.params["wait"]:
            wait_for(module, client, "endpoint_gone", endpoint)
    module.exit_json(changed=True, endpoint={})


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "vpc_id": {"type": "str", "required": True},
            "subnet_id": {"type": "str"},
            "security_group_ids": {"type": "list", "elements": "str", "default": []},
            "preserve_client_ip": {"type": "bool", "default": False},
            "tags": {"type": "dict", "required": True},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 600},
        },
        required_if=[("state", "present", ["subnet_id"])],
        supports_check_mode=True,
    )
    client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff())
    try:
        if module.params["state"] == "present":
            ensure_present(module, client)
        else:
            ensure_absent(module, client)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The EC2 Instance Connect Endpoint can't be changed")


if __name__ == "__main__":
    main()
