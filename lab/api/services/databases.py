# SPDX-License-Identifier: GPL-3.0-or-later
"""RDS: a private address, an endpoint as AWS forms it, states that follow the real server, and missing refusals."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from moto.rds.models import DBInstance, RDSBackend

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.patching import wraps
from lab.api.registry import answers, checks
from lab.api.request import AwsRequest
from lab.api.services.addresses import create_service_interface, delete_service_interface
from lab.api.settings import ACCOUNT
from lab.api.state import current

_REQUESTER = "amazon-rds"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
# What RDS for PostgreSQL offers in eu-west-1; a class that is not among them is refused.
_SIZES = {
    "t3": "micro small medium large xlarge 2xlarge",
    "t4g": "micro small medium large xlarge 2xlarge",
    "m5": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge",
    "m6g": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
    "m6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
    "m7g": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
    "m7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
    "m8g": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
    "r5": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge",
    "r6g": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
    "r6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
    "r7g": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
    "r8g": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
}
DATABASE_CLASSES = [f"db.{family}.{size}" for family, sizes in _SIZES.items() for size in sizes.split()]
_IDENTIFIER = re.compile(r"^[a-zA-Z](?:-?[a-zA-Z0-9])*$")
_IDENTIFIER_LIMIT = 63
_PASSWORD_LIMITS = (8, 128)
# From this version on rds.force_ssl is 1 unless a parameter group says otherwise.
_FORCE_SSL_SINCE = 15


def endpoint_name(identifier: str, region: str) -> str:
    """`<id>.<hash>.<region>.rds.amazonaws.com`; the hash is the same for one account and region."""
    number = int.from_bytes(hashlib.sha256(f"{ACCOUNT}/{region}".encode()).digest()[:8], "big")
    letters = ""
    for _ in range(11):
        number, digit = divmod(number, 36)
        letters += _BASE36[digit]
    return f"{identifier}.c{letters}.{region}.rds.amazonaws.com"


def force_tls(database: Any) -> bool:
    """Whether the server refuses connections without TLS: the parameter group's word, or the version's default."""
    for group in database.db_parameter_groups():
        value = group.parameters.get("rds.force_ssl", {}).get("ParameterValue")
        if value is not None:
            return str(value) == "1"
    major = str(database.engine_version).partition(".")[0]
    return major.isdigit() and int(major) >= _FORCE_SSL_SINCE


@wraps(DBInstance, "__init__")
def _begin_as_creating(original: Any, database: Any, *args: Any, **kwargs: Any) -> None:
    original(database, *args, **kwargs)
    database._lab_address = endpoint_name(database.db_instance_identifier, database.region)
    database._lab_interface = None
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


@checks("rds", "CreateDBInstance", "ModifyDBInstance", "RestoreDBInstanceFromDBSnapshot")
def refuse_an_unknown_class(request: AwsRequest) -> None:
    """The class must be one that RDS offers."""
    name = request.params.get("DBInstanceClass")
    if name is not None and name not in DATABASE_CLASSES:
        raise AwsError("InvalidParameterValue", f"Invalid DB Instance class: {name}")


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


@answers("rds", "DescribeOrderableDBInstanceOptions")
def orderable_options(request: AwsRequest) -> object:
    """Every class in every zone, for the engine and version that is asked for."""
    params = request.params
    zones = [{"Name": f"{request.region}{letter}"} for letter in "abc"]
    wanted = params.get("DBInstanceClass")
    options = [
        {
            "Engine": params["Engine"],
            "EngineVersion": params.get("EngineVersion", "17.6"),
            "DBInstanceClass": name,
            "LicenseModel": "postgresql-license",
            "AvailabilityZones": zones,
            "MultiAZCapable": True,
            "ReadReplicaCapable": True,
            "Vpc": True,
            "SupportsStorageEncryption": True,
            "StorageType": "gp3",
            "SupportsIops": True,
            "SupportsIAMDatabaseAuthentication": True,
            "SupportsPerformanceInsights": True,
            "SupportsStorageAutoscaling": True,
            "MinStorageSize": 20,
            "MaxStorageSize": 65536,
        }
        for name in DATABASE_CLASSES
        if wanted in (None, name)
    ]
    start = int(params.get("Marker") or 0)
    size = int(params.get("MaxRecords") or 100)
    following = str(start + size) if start + size < len(options) else None
    return {"OrderableDBInstanceOptions": options[start : start + size], "Marker": following}
