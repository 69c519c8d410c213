#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_postgresql
version_added: 0.1.0
short_description: Manage a private, encrypted RDS PostgreSQL instance
description:
  - Creates an RDS PostgreSQL instance (or restores it from a snapshot), keeps its settings as asked, and waits for it.
  - The instance is always encrypted, on gp3 storage, without a public address, and copies its tags to its snapshots.
  - M(amazon.aws.rds_instance) wants the password as an argument, so that it is in Ansible's variables and in a file
    of the controller for a moment; it breaks off on an instance that has no endpoint yet, which is what a second run
    after an interruption meets; it takes a major version for a change in every run; and it looks once a minute while
    it waits.
author:
  - The Freehold authors (@freehold)
options:
  name:
    description:
      - Identifier of the instance.
    type: str
    required: true
  engine_version:
    description:
      - PostgreSQL version, major or exact. With a major version AWS chooses the minor one and applies newer ones
        itself.
      - Another major version than that of an existing instance is refused.
    type: str
    required: true
  db_instance_class:
    description:
      - Size of the instance.
    type: str
    required: true
  db_name:
    description:
      - Database to create at first. Only looked at when the instance is created.
    type: str
    required: true
  port:
    description:
      - Port of the server. Only looked at when the instance is created.
    type: int
    default: 5432
  master_username:
    description:
      - Name of the master user. It can't be changed later.
    type: str
    required: true
  password_secret:
    description:
      - Name or ARN of the secret in Secrets Manager that holds the master user's password. Only read when the
        instance is created.
    type: str
    required: true
  subnet_ids:
    description:
      - Its subnets, in two zones or more. They are kept in a subnet group with the name of the instance.
      - Only check mode may leave them empty, when they do not exist yet.
    type: list
    elements: str
    required: true
  security_group_ids:
    description:
      - Its security groups.
    type: list
    elements: str
    required: true
  parameter_group:
    description:
      - Its parameter group.
    type: str
    required: true
  storage_gib:
    description:
      - GiB of storage, at least. It never shrinks.
    type: int
    default: 20
  storage_max_gib:
    description:
      - Up to how many GiB RDS grows it by itself.
    type: int
    default: 100
  kms_key_id:
    description:
      - The KMS key that encrypts the storage. Without it AWS uses C(aws/rds). It can't be changed later.
    type: str
  multi_az:
    description:
      - Whether there is a standby in another zone.
    type: bool
    default: false
  backup_days:
    description:
      - Days of automated backups, 0 for none.
    type: int
    default: 14
  backup_window:
    description:
      - UTC window of backups, for instance V(02:00-03:00). Left alone when not given.
    type: str
  maintenance_window:
    description:
      - UTC window of maintenance, for instance V(sun:03:30-sun:04:30). Left alone when not given.
    type: str
  deletion_protection:
    description:
      - Whether AWS refuses to delete the instance.
    type: bool
    default: true
  restore_snapshot:
    description:
      - Snapshot to start from. Only looked at while there is no instance.
    type: str
  tags:
    description:
      - Tags that the instance must carry. Other tags are left alone.
    type: dict
    aliases: [resource_tags]
  wait:
    description:
      - Wait until the instance is available. Without it, an instance that AWS is still busy with is left as it is.
      - An instance whose storage AWS still optimizes after it grew serves, so that counts as available.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait.
    type: int
    default: 2400
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Start the creation of a database
  freehold.airflow.rds_postgresql:
    name: freehold-production
    engine_version: "17"
    db_instance_class: db.t4g.medium
    db_name: airflow
    master_username: airflow
    password_secret: freehold/production/database_password
    subnet_ids: [subnet-0a1b2c3d, subnet-4e5f6a7b]
    security_group_ids: [sg-0a1b2c3d]
    parameter_group: freehold-production-postgres17
    tags:
      freehold:environment: production
    wait: false
"""

RETURN = r"""
differences:
  description: What was brought in line, and why.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What differed.
      type: str
    current:
      description: What AWS said.
      type: raw
    desired:
      description: What was asked for.
      type: raw
database:
  description: The instance; values are null when check mode would create it, or AWS does not know them yet.
  returned: success
  type: dict
  contains:
    name:
      description: Identifier of the instance.
      type: str
    status:
      description: State of the instance.
      type: str
      sample: available
    endpoint:
      description: Name under which it answers.
      type: str
      sample: freehold-production.abcdefghijkl.eu-west-1.rds.amazonaws.com
    port:
      description: Port on which it answers.
      type: int
    engine_version:
      description: Its exact version.
      type: str
      sample: "17.6"
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils import _rds as api
from ansible_collections.freehold.airflow.plugins.module_utils._common import (
    FreeholdError,
    difference,
    missing_tags,
    refuse_foreign,
    tag_dict,
    unready,
)
from ansible_collections.freehold.airflow.plugins.module_utils._rds_settings import (
    changes,
    creation_request,
    refuse_unchangeable,
    restore_request,
)
from ansible_collections.freehold.airflow.plugins.module_utils._secretsmanager.api import get_value


def ensure_subnet_group(client: Any, params: dict[str, Any], tags: dict[str, str], write: bool) -> list[dict[str, Any]]:
    """Create the subnet group or give it its subnets; return the differences."""
    found = api.find_subnet_group(client, params["name"])
    wanted = sorted(params["subnet_ids"])
    if found is None:
        if write:
            api.create_subnet_group(client, params["name"], wanted, tags)
        return [difference("subnet_group", None, params["name"])]
    refuse_foreign(
        f"The subnet group '{params['name']}'", api.get_tags(client, found["DBSubnetGroupArn"]), params["tags"]
    )
    current = sorted(subnet["SubnetIdentifier"] for subnet in found["Subnets"])
    if current == wanted or not wanted:
        return []
    if write:
        api.modify_subnet_group(client, params["name"], wanted)
    return [difference("subnets", current, wanted)]


def create(module: AnsibleAWSModule, client: Any, tags: dict[str, str]) -> None:
    """Create or restore the instance. The password goes from one AWS answer into the next request, and nowhere else."""
    params = module.params
    if params["restore_snapshot"]:
        if api.restore_instance(client, restore_request(params, tags)) is None:
            raise FreeholdError(
                message=(
                    f"There is no snapshot '{params['restore_snapshot']}' to start the database from; correct"
                    " database_restore_snapshot."
                )
            )
        return
    password = get_value(module.client("secretsmanager"), params["password_secret"])
    if password is None:
        raise FreeholdError(
            message=f"There is no secret '{params['password_secret']}' to take the database's password from."
        )
    api.create_instance(client, creation_request(params, tags, password))


def bring_in_line(client: Any, found: dict[str, Any], params: dict[str, Any], write: bool) -> list[dict[str, Any]]:
    """Change what differs and return it. An instance that AWS is busy with can't be changed, so it is left alone."""
    differences = []
    existing = tag_dict(found.get("TagList"))
    tags = missing_tags(existing, params["tags"])
    if tags:
        differences += [difference(f"tag {key}", existing.get(key), value) for key, value in tags.items()]
        if write:
            api.set_tags(client, found["DBInstanceArn"], tags)
    if found["DBInstanceStatus"] not in api.SERVING_STATES:
        return differences
    changing = changes(found, params)
    differences += [difference(key, current, desired) for key, (current, desired) in changing.items()]
    if changing and write:
        api.modify_instance(client, params["name"], {key: desired for key, (_current, desired) in changing.items()})
    return differences


def wait(client: Any, params: dict[str, Any]) -> None:
    """Wait until the instance is available; a broken one is named as such."""
    name, timeout = params["name"], params["wait_timeout"]
    try:
        api.wait_for_instance(client, name, timeout)
    except FreeholdError as error:
        status = (api.find_instance(client, name) or {}).get("DBInstanceStatus")
        what = f"The database '{name}'"
        raise unready(what, status, api.BROKEN_STATES, timeout, "database_wait_timeout") from error


def describe(found: dict[str, Any] | None, name: str) -> dict[str, Any]:
    found = found or {}
    endpoint = found.get("Endpoint") or {}
    return {
        "name": name,
        "status": found.get("DBInstanceStatus"),
        "endpoint": endpoint.get("Address"),
        "port": endpoint.get("Port"),
        "engine_version": found.get("EngineVersion"),
    }


def ensure_database(module: AnsibleAWSModule, client: Any) -> dict[str, Any]:
    """Bring the instance to its wanted state and return the module's result."""
    params, write = module.params, not module.check_mode
    name = params["name"]
    found = api.find_instance(client, name)
    if found is not None:
        refuse_foreign(f"The database '{name}'", tag_dict(found.get("TagList")), params["tags"])
        refuse_unchangeable(found, params)
    tags = {"Name": name, **(params["tags"] or {})}
    differences = ensure_subnet_group(client, params, tags, write)
    if found is None:
        differences.append(difference("database", None, name))
        if write:
            create(module, client, tags)

    if params["wait"] and write:
        wait(client, params)
    found = api.find_instance(client, name)
    if found is not None:
        changed_now = bring_in_line(client, found, params, write)
        differences += changed_now
        if changed_now and params["wait"] and write:
            wait(client, params)
            found = api.find_instance(client, name)
    return {"changed": bool(differences), "differences": differences, "database": describe(found, name)}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "engine_version": {"type": "str", "required": True},
            "db_instance_class": {"type": "str", "required": True},
            "db_name": {"type": "str", "required": True},
            "port": {"type": "int", "default": 5432},
            "master_username": {"type": "str", "required": True},
            "password_secret": {"type": "str", "required": True, "no_log": False},
            "subnet_ids": {"type": "list", "elements": "str", "required": True},
            "security_group_ids": {"type": "list", "elements": "str", "required": True},
            "parameter_group": {"type": "str", "required": True},
            "storage_gib": {"type": "int", "default": 20},
            "storage_max_gib": {"type": "int", "default": 100},
            "kms_key_id": {"type": "str", "no_log": False},
            "multi_az": {"type": "bool", "default": False},
            "backup_days": {"type": "int", "default": 14},
            "backup_window": {"type": "str"},
            "maintenance_window": {"type": "str"},
            "deletion_protection": {"type": "bool", "default": True},
            "restore_snapshot": {"type": "str"},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 2400},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure_database(module, module.client("rds"))
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
