#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: environment_info
version_added: 0.1.0
short_description: Find everything that belongs to an environment
description:
  - Finds an environment's AWS resources by their C(freehold:environment) tag, all services side by side in one process.
  - A dozen info modules would take a dozen processes and about ten seconds for the same; no single module looks
    across services.
  - Fails when two VPCs carry the name, because nobody could say which one is meant.
author:
  - The Freehold authors (@freehold)
options:
  name:
    description:
      - Name of the environment.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Find the environment
  freehold.airflow.environment_info:
    name: production
  register: environment
"""

RETURN = r"""
environment:
  description: What was found. Single resources are null, and lists empty, when there is none.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the environment.
      type: str
    region:
      description: The region that was asked.
      type: str
    found:
      description: Whether anything at all carries the tag.
      type: bool
    vpc:
      description: C(id) and C(cidr) of the VPC.
      type: dict
    subnets:
      description: C(id), C(zone), C(cidr) and C(kind) (C(public), C(private)) of every subnet, by address.
      type: list
      elements: dict
    security_groups:
      description: IDs of the security groups by their names without the environment's.
      type: dict
      sample: {webserver: sg-0a1b2c3d}
    instances:
      description: >-
        C(id), C(name), C(duties), C(state), C(private_ip), C(zone), C(instance_type) and C(ssh_host_key) of every host,
        by name.
      type: list
      elements: dict
    file_system:
      description: C(id), C(dns_name) and C(state) of the file system.
      type: dict
    database:
      description:
        - C(identifier), C(endpoint), C(port), C(status), C(engine_version), C(name) and C(user) of the database.
      type: dict
    broker:
      description: C(kind) (C(host), C(elasticache)), C(endpoint), C(port) and C(status) of the broker.
      type: dict
    load_balancer:
      description: C(arn), C(name), C(dns_name), C(zone_id) and C(state) of the load balancer.
      type: dict
    log_bucket:
      description: Name of the bucket of task logs.
      type: str
    repository:
      description: C(name) and C(uri) of the image's repository.
      type: dict
    image_reference:
      description: The image that the environment runs, by digest.
      type: str
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/freehold-production/airflow@sha256:9f86d081...
    url:
      description: Where users find Airflow.
      type: str
      sample: https://airflow.example.com
    secrets_prefix:
      description: Prefix of the environment's secrets.
      type: str
      sample: freehold/production
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._environment.clients import Clients
from ansible_collections.freehold.airflow.plugins.module_utils._environment.description import describe
from ansible_collections.freehold.airflow.plugins.module_utils._environment.discovery import FINDERS, discover


def main() -> None:
    module = AnsibleAWSModule(argument_spec={"name": {"type": "str", "required": True}}, supports_check_mode=True)
    name = module.params["name"]
    try:
        clients = Clients(module)
        environment = describe(discover(clients, name, FINDERS), name, clients.region)
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(changed=False, environment=environment)


if __name__ == "__main__":
    main()
