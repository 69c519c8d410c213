# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls to RDS, each with retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.waiter import BaseWaiterFactory
from ansible_collections.freehold.airflow.plugins.module_utils._common import aws_call, tag_dict, tag_list

# ModifyDBParameterGroup takes this many parameters in one call.
PARAMETERS_PER_CALL = 20

# RDS uses both forms of its errors' names.
MISSING = (
    "DBInstanceNotFound",
    "DBInstanceNotFoundFault",
    "DBParameterGroupNotFound",
    "DBParameterGroupNotFoundFault",
    "DBSubnetGroupNotFoundFault",
)
# By the way in which a class is unknown, RDS answers one or the other.
UNKNOWN_CLASS = ("InvalidParameterCombination", "InvalidParameterValue")


@aws_call("ask RDS for its instance classes", missing=UNKNOWN_CLASS, default=[])
def list_orderable_options(client: Any, engine: str, db_instance_class: str) -> list[dict[str, Any]]:
    """Every orderable combination of version, storage and zones for this class, inside a VPC."""
    paginator = client.get_paginator("describe_orderable_db_instance_options")
    options: list[dict[str, Any]] = paginator.paginate(
        Engine=engine, DBInstanceClass=db_instance_class, Vpc=True
    ).build_full_result()["OrderableDBInstanceOptions"]
    # A look-alike of AWS may not filter for us.
    return [option for option in options if option["DBInstanceClass"] == db_instance_class]


@aws_call("find the parameter group", missing=MISSING)
def find_parameter_group(client: Any, name: str) -> dict[str, Any] | None:
    groups = client.describe_db_parameter_groups(DBParameterGroupName=name)["DBParameterGroups"]
    return groups[0] if groups else None


@aws_call("find the subnet group", missing=MISSING)
def find_subnet_group(client: Any, name: str) -> dict[str, Any] | None:
    groups = client.describe_db_subnet_groups(DBSubnetGroupName=name)["DBSubnetGroups"]
    return groups[0] if groups else None


@aws_call("create the subnet group")
def create_subnet_group(client: Any, name: str, subnet_ids: list[str], tags: Mapping[str, str]) -> None:
    client.create_db_subnet_group(
        DBSubnetGroupName=name, DBSubnetGroupDescription=name, SubnetIds=subnet_ids, Tags=tag_list(tags)
    )


@aws_call("change the subnet group")
def modify_subnet_group(client: Any, name: str, subnet_ids: list[str]) -> None:
    client.modify_db_subnet_group(DBSubnetGroupName=name, SubnetIds=subnet_ids)


@aws_call("create the parameter group")
def create_parameter_group(client: Any, name: str, family: str, description: str, tags: Mapping[str, str]) -> None:
    client.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily=family, Description=description, Tags=tag_list(tags)
    )


@aws_call("read the parameters")
def list_set_parameters(client: Any, name: str) -> dict[str, str]:
    """The parameters that somebody set, without the hundreds that have their default."""
    paginator = client.get_paginator("describe_db_parameters")
    found = paginator.paginate(DBParameterGroupName=name, Source="user").build_full_result()["Parameters"]
    return {parameter["ParameterName"]: parameter.get("ParameterValue", "") for parameter in found}


@aws_call("set the parameters")
def set_parameters(client: Any, name: str, parameters: Mapping[str, str]) -> None:
    """Set parameters; each takes effect with the next restart of the server, at the latest."""
    wanted = [
        {"ParameterName": key, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
        for key, value in parameters.items()
    ]
    for start in range(0, len(wanted), PARAMETERS_PER_CALL):
        client.modify_db_parameter_group(
            DBParameterGroupName=name, Parameters=wanted[start : start + PARAMETERS_PER_CALL]
        )


@aws_call("read the tags")
def get_tags(client: Any, arn: str) -> dict[str, str]:
    return tag_dict(client.list_tags_for_resource(ResourceName=arn)["TagList"])


@aws_call("set the tags")
def set_tags(client: Any, arn: str, tags: Mapping[str, str]) -> None:
    client.add_tags_to_resource(ResourceName=arn, Tags=tag_list(tags))


# States in which a database serves and can be changed. The second one follows when storage grew, and may last for a
# day and longer (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html).
SERVING_STATES = ("available", "storage-optimization")
# States from which a database does not come back by itself.
BROKEN_STATES = (
    "failed",
    "restore-error",
    "incompatible-credentials",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "insufficient-capacity",
    "storage-full",
    "deleting",
    "stopped",
)


class RdsWaiterFactory(BaseWaiterFactory):  # type: ignore[misc]
    """botocore's own waiter looks every 30 seconds and takes a broken database for one that is still being created."""

    @property
    def _waiter_model_data(self) -> dict[str, Any]:
        status = "DBInstances[].DBInstanceStatus"
        acceptors = [
            {"state": outcome, "matcher": "pathAny", "expected": state, "argument": status}
            for outcome, states in (("success", SERVING_STATES), ("failure", BROKEN_STATES))
            for state in states
        ]
        return {
            "database_available": {
                "operation": "DescribeDBInstances",
                "delay": 5,
                "maxAttempts": 480,
                "acceptors": acceptors,
            }
        }


@aws_call("find the database", missing=MISSING)
def find_instance(client: Any, identifier: str) -> dict[str, Any] | None:
    found = client.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    return found[0] if found else None


# InvalidParameterValue and the like are wrong however often they are sent; a parameter group that was made just before
# may be unknown to RDS for some seconds.
@aws_call("create the database", retry=("DBParameterGroupNotFound", "DBSubnetGroupNotFoundFault"))
def create_instance(client: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Create a database. ``request`` holds the password: it must not be logged."""
    created: dict[str, Any] = client.create_db_instance(**request)["DBInstance"]
    return created


@aws_call(
    "restore the database",
    missing=("DBSnapshotNotFound",),
    retry=("DBParameterGroupNotFound", "DBSubnetGroupNotFoundFault"),
)
def restore_instance(client: Any, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Restore a database; None when there is no such snapshot."""
    restored: dict[str, Any] = client.restore_db_instance_from_db_snapshot(**request)["DBInstance"]
    return restored


@aws_call("change the database")
def modify_instance(client: Any, identifier: str, changes: Mapping[str, Any]) -> None:
    client.modify_db_instance(DBInstanceIdentifier=identifier, ApplyImmediately=True, **changes)


@aws_call("wait for the database")
def wait_for_instance(client: Any, identifier: str, timeout: int) -> None:
    delay = 5
    RdsWaiterFactory().get_waiter(client, "database_available").wait(
        DBInstanceIdentifier=identifier, WaiterConfig={"Delay": delay, "MaxAttempts": max(1, timeout // delay)}
    )
