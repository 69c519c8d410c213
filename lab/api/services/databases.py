# SPDX-License-Identifier: GPL-3.0-or-later
"""RDS: a private address, an endpoint as AWS forms it, states that follow the real server, and missing refusals."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from moto.rds.models import DBInstance, RDSBackend

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import checks
from lab.api.patching import wraps
from lab.api.request import AwsRequest
from lab.api.services.addresses import create_service_interface, delete_service_interface
from lab.api.services.database_parameters import PARAMETERS
from lab.api.services.database_versions import exact_version
from lab.api.settings import ACCOUNT
from lab.api.state import current

_REQUESTER = "amazon-rds"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_IDENTIFIER = re.compile(r"^[a-zA-Z](?:-?[a-zA-Z0-9])*$")
_IDENTIFIER_LIMIT = 63
_PASSWORD_LIMITS = (8, 128)


def endpoint_name(identifier: str, region: str) -> str:
    """`<id>.<hash>.<region>.rds.amazonaws.com`; the hash is the same for one account and region."""
    number = int.from_bytes(hashlib.sha256(f"{ACCOUNT}/{region}".encode()).digest()[:8], "big")
    letters = ""
    for _ in range(11):
        number, digit = divmod(number, 36)
        letters += _BASE36[digit]
    return f"{identifier}.c{letters}.{region}.rds.amazonaws.com"


def force_tls(database: Any) -> bool:
    """Whether the server refuses connections without TLS: the parameter group's word, or RDS's default."""
    for group in database.db_parameter_groups():
        value = group.parameters.get("rds.force_ssl", {}).get("ParameterValue")
        if value is not None:
            return str(value) == "1"
    return PARAMETERS["rds.force_ssl"].default == "1"


@wraps(DBInstance, "__init__")
def _begin_as_creating(original: Any, database: Any, *args: Any, **kwargs: Any) -> None:
    original(database, *args, **kwargs)
    database._lab_address = endpoint_name(database.db_instance_identifier, database.region)
    database._lab_interface = None
    if database.storage_type == "gp3":
        # What every gp3 volume below 400 GiB has; AWS always says so.
        database.storage_throughput = database.storage_throughput or 125
        database.iops = database.iops or 3000
    database.engine_version = exact_version(database.engine_version) or database.engine_version
    database.dbi_resource_id = "db-" + hashlib.sha256(database._lab_address.encode()).hexdigest()[:26].upper()
    subnet = _subnet(database)
    if subnet is not None:
        database.availability_zone = subnet.availability_zone
        database._lab_interface = create_service_interface(
            database.region, subnet.id, "RDSNetworkInterface", database.vpc_security_group_ids, _REQUESTER
        )
    _begin(database, "creating", "available", delayed=True)


def _begin(database: Any, transitional: str, wanted: str, *, delayed: bool) -> None:
    database.status = transitional

    def apply(state: str) -> None:
        database.status = state

    current().lifecycle.begin("database", database.db_instance_identifier, wanted, apply, delayed=delayed)


def _subnet(database: Any) -> Any:
    group = getattr(database, "db_subnet_group", None)
    if group is None:
        return None
    subnets = sorted(group._subnets, key=lambda subnet: str(subnet.availability_zone))
    asked = [subnet for subnet in subnets if subnet.availability_zone == database.availability_zone]
    return (asked or subnets)[0]


def _address(database: Any) -> str:
    return str(database._lab_address)


def _endpoint(database: Any) -> dict[str, Any] | None:
    # AWS shows no endpoint before the server is there.
    if database.status == "creating":
        return None
    return {"Address": database.address, "Port": database.port, "HostedZoneId": "Z29XKXDKYMONMX"}


DBInstance.address = property(_address)
DBInstance.endpoint = property(_endpoint)


@wraps(RDSBackend, "delete_db_instance")
def _delete(original: Any, rds: Any, db_instance_identifier: str, *args: Any, **kwargs: Any) -> Any:
    database = original(rds, db_instance_identifier, *args, **kwargs)
    current().lifecycle.forget("database", db_instance_identifier)
    if database._lab_interface is not None:
        delete_service_interface(database.region, database._lab_interface.id)
    return database


@wraps(RDSBackend, "stop_db_instance")
def _stop(original: Any, rds: Any, *args: Any, **kwargs: Any) -> Any:
    database = original(rds, *args, **kwargs)
    _begin(database, "stopping", "stopped", delayed=False)
    return database


@wraps(RDSBackend, "start_db_instance")
def _start(original: Any, rds: Any, *args: Any, **kwargs: Any) -> Any:
    database = original(rds, *args, **kwargs)
    _begin(database, "starting", "available", delayed=False)
    return database


@wraps(RDSBackend, "modify_db_subnet_group")
def _keep_the_group(original: Any, rds: Any, subnet_name: str, *args: Any, **kwargs: Any) -> Any:
    """A changed group stays in the list; moto takes it out."""
    if subnet_name not in rds.subnet_groups:
        raise AwsError("DBSubnetGroupNotFoundFault", f"DB subnet group '{subnet_name}' does not exist.")
    group = original(rds, subnet_name, *args, **kwargs)
    rds.subnet_groups[subnet_name] = group
    return group


@checks("rds", "CreateDBInstance")
def refuse_bad_names_and_passwords(request: AwsRequest) -> None:
    """Identifier and master password as RDS demands them."""
    params = request.params
    identifier = str(params.get("DBInstanceIdentifier", ""))
    if len(identifier) > _IDENTIFIER_LIMIT or not _IDENTIFIER.match(identifier):
        message = (
            "The parameter DBInstanceIdentifier is not a valid identifier. Identifiers must begin with a letter; must "
            "contain only ASCII letters, digits, and hyphens; must not end with a hyphen or contain two consecutive "
            f"hyphens; and must not be longer than {_IDENTIFIER_LIMIT} characters."
        )
        raise AwsError("InvalidParameterValue", message)
    password = params.get("MasterUserPassword")
    if password is None:
        return
    shortest, longest = _PASSWORD_LIMITS
    if not shortest <= len(password) <= longest:
        message = "The parameter MasterUserPassword is not a valid password because it is {} than {} characters."
        words = ("shorter", shortest) if len(password) < shortest else ("longer", longest)
        raise AwsError("InvalidParameterValue", message.format(*words))
    if re.search(r"[/@\" ]", password):
        message = (
            "The parameter MasterUserPassword is not a valid password. "
            "Only printable ASCII characters besides '/', '@', '\"', ' ' may be used."
        )
        raise AwsError("InvalidParameterValue", message)


@checks("rds", "ModifyDBInstance")
def refuse_to_modify_what_is_not_there_yet(request: AwsRequest) -> None:
    """An instance that is being made can't be changed."""
    database = backends.rds(request.region).databases.get(request.params.get("DBInstanceIdentifier"))
    if database is not None and database.status in ("creating", "deleting"):
        message = f"Database instance is not in available state. Current state: {database.status}"
        raise AwsError("InvalidDBInstanceState", message)


@checks("rds", "DeleteDBInstance")
def refuse_to_delete_without_a_decision_about_the_last_snapshot(request: AwsRequest) -> None:
    """Either a final snapshot is named or it is skipped, never neither."""
    params = request.params
    if not params.get("SkipFinalSnapshot") and not params.get("FinalDBSnapshotIdentifier"):
        message = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
        raise AwsError("InvalidParameterCombination", message)


@checks("rds", "CreateDBSubnetGroup", "ModifyDBSubnetGroup")
def refuse_a_subnet_group_of_one_zone(request: AwsRequest) -> None:
    """RDS wants subnets in two zones, also for a database in one."""
    ec2 = backends.ec2(request.region)
    zones = {ec2.get_subnet(subnet_id).availability_zone for subnet_id in request.params.get("SubnetIds") or []}
    if len(zones) < 2:
        message = (
            "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: "
            f"{', '.join(sorted(zones))}. Add subnets to cover at least 2 AZs."
        )
        raise AwsError("DBSubnetGroupDoesNotCoverEnoughAZs", message)
