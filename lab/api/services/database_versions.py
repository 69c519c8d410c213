# SPDX-License-Identifier: GPL-3.0-or-later
"""RDS engine versions, instance classes, and parameter groups as the lab can serve them.

The lab's databases are Debian 13's PostgreSQL 17, so that other major versions are refused as ones that do not exist.
"""

from __future__ import annotations

from typing import Any

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import answers, checks
from lab.api.request import AwsRequest
from lab.api.services.database_parameters import PARAMETERS, Parameter

ENGINE = "postgres"
VERSIONS = ("17.4", "17.5", "17.6")
DEFAULT_VERSION = "17.6"
_PAGE = 100
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


def exact_version(asked: str | None) -> str | None:
    """The version that RDS takes for a major one or none; None when there is no such version."""
    if not asked:
        return DEFAULT_VERSION
    if asked in VERSIONS:
        return asked
    return DEFAULT_VERSION if asked == DEFAULT_VERSION.partition(".")[0] else None


def _matching(asked: str | None) -> list[str]:
    return [version for version in VERSIONS if not asked or version == asked or version.startswith(f"{asked}.")]


def _family(version: str) -> str:
    return ENGINE + version.partition(".")[0]


def _page(request: AwsRequest, entries: list[Any]) -> tuple[list[Any], str | None]:
    start = int(request.params.get("Marker") or 0)
    end = start + int(request.params.get("MaxRecords") or _PAGE)
    return entries[start:end], str(end) if end < len(entries) else None


@answers("rds", "DescribeDBEngineVersions")
def engine_versions(request: AwsRequest) -> object:
    """PostgreSQL's versions by engine, version and family."""
    params = request.params
    found = _matching(params.get("EngineVersion")) if params.get("Engine") in (None, ENGINE) else []
    family = params.get("DBParameterGroupFamily")
    found = [version for version in found if family in (None, _family(version))]
    if params.get("DefaultOnly"):
        found = [version for version in found if version == DEFAULT_VERSION]
    entries = [
        {
            "Engine": ENGINE,
            "EngineVersion": version,
            "MajorEngineVersion": version.partition(".")[0],
            "DBParameterGroupFamily": _family(version),
            "DBEngineDescription": "PostgreSQL",
            "DBEngineVersionDescription": f"PostgreSQL {version}-R1",
            "ValidUpgradeTarget": [
                {"Engine": ENGINE, "EngineVersion": later, "AutoUpgrade": False, "IsMajorVersionUpgrade": False}
                for later in VERSIONS[VERSIONS.index(version) + 1 :]
            ],
            "SupportedFeatureNames": ["s3Import", "s3Export", "Lambda"],
            "Status": "available",
        }
        for version in found
    ]
    page, marker = _page(request, entries)
    return {"DBEngineVersions": page, "Marker": marker}


@answers("rds", "DescribeOrderableDBInstanceOptions")
def orderable_options(request: AwsRequest) -> object:
    """Every class in every zone, for the engine and version that is asked for."""
    params = request.params
    versions = _matching(params.get("EngineVersion")) if params.get("Engine") == ENGINE else []
    wanted = params.get("DBInstanceClass")
    zones = [{"Name": f"{request.region}{letter}"} for letter in "abc"]
    options = [
        {
            "Engine": ENGINE,
            "EngineVersion": version,
            "DBInstanceClass": name,
            "LicenseModel": "postgresql-license",
            "AvailabilityZones": zones,
            "MultiAZCapable": True,
            "ReadReplicaCapable": True,
            "Vpc": True,
            "SupportsStorageEncryption": True,
            "StorageType": storage,
            "SupportsIops": storage != "gp2",
            "SupportsIAMDatabaseAuthentication": True,
            "SupportsPerformanceInsights": True,
            "SupportsStorageAutoscaling": True,
            "MinStorageSize": 20 if storage != "io1" else 100,
            "MaxStorageSize": 65536,
        }
        for version in versions
        for name in DATABASE_CLASSES
        if wanted in (None, name)
        for storage in ("gp2", "gp3", "io1")
    ]
    page, marker = _page(request, options)
    return {"OrderableDBInstanceOptions": page, "Marker": marker}


@checks("rds", "CreateDBInstance", "ModifyDBInstance", "RestoreDBInstanceFromDBSnapshot")
def refuse_an_unknown_class(request: AwsRequest) -> None:
    """The class must be one that RDS offers."""
    name = request.params.get("DBInstanceClass")
    if name is not None and name not in DATABASE_CLASSES:
        raise AwsError("InvalidParameterValue", f"Invalid DB Instance class: {name}")


@checks("rds", "CreateDBInstance", "ModifyDBInstance")
def refuse_an_unknown_version(request: AwsRequest) -> None:
    """The version must exist, and the parameter group be of its family."""
    params = request.params
    engine, asked = params.get("Engine", ENGINE), params.get("EngineVersion")
    version = exact_version(asked)
    if engine != ENGINE or version is None:
        raise AwsError("InvalidParameterCombination", f"Cannot find version {asked} for {engine}")
    name = params.get("DBParameterGroupName")
    group = backends.rds(request.region).db_parameter_groups.get(name) if name else None
    if group is not None and request.operation == "CreateDBInstance" and group.family != _family(version):
        message = (
            f"The parameter group {name} with DBParameterGroupFamily {group.family} cannot be used for this instance."
        )
        raise AwsError("InvalidParameterCombination", f"{message} Please use a Parameter Group with {_family(version)}")


@checks("rds", "DescribeDBParameterGroups", "DescribeDBParameters", "ModifyDBParameterGroup", "DeleteDBParameterGroup")
def refuse_an_unknown_parameter_group(request: AwsRequest) -> None:
    """moto lists nothing where AWS has an error."""
    name = request.params.get("DBParameterGroupName")
    if name is None or str(name).startswith("default."):
        return
    if name not in backends.rds(request.region).db_parameter_groups:
        raise AwsError("DBParameterGroupNotFound", f"DBParameterGroup not found: {name}", 404)


@checks("rds", "CreateDBParameterGroup")
def refuse_an_unknown_family(request: AwsRequest) -> None:
    """The family is that of a version that exists."""
    family = request.params.get("DBParameterGroupFamily")
    if family not in {_family(version) for version in VERSIONS}:
        raise AwsError("InvalidParameterValue", f"ParameterGroupFamily {family} is not a valid parameter group family")


@checks("rds", "ModifyDBParameterGroup")
def refuse_unknown_parameters(request: AwsRequest) -> None:
    """A parameter must exist and be changeable, and a static one can't be changed at once."""
    for given in request.params.get("Parameters") or []:
        name = given.get("ParameterName")
        known = PARAMETERS.get(name)
        if known is None:
            raise AwsError("InvalidParameterValue", f"Could not find parameter with name: {name}")
        if not known.modifiable:
            raise AwsError("InvalidParameterValue", f"The parameter {name} cannot be modified.")
        if known.static and given.get("ApplyMethod") == "immediate":
            message = "cannot use immediate apply method for static parameter"
            raise AwsError("InvalidParameterCombination", message)


@answers("rds", "DescribeDBParameters")
def describe_parameters(request: AwsRequest) -> object:
    """All parameters of a group with the values that it sets, in pages."""
    params = request.params
    refuse_an_unknown_parameter_group(request)
    group = backends.rds(request.region).db_parameter_groups.get(params["DBParameterGroupName"])
    given = group.parameters if group is not None else {}
    entries = [_described(known, given.get(name)) for name, known in sorted(PARAMETERS.items())]
    source = params.get("Source")
    entries = [entry for entry in entries if source in (None, entry["Source"])]
    for entry in params.get("Filters") or []:
        if entry["Name"] == "parameter-name":
            entries = [shown for shown in entries if shown["ParameterName"] in entry["Values"]]
    page, marker = _page(request, entries)
    return {"Parameters": page, "Marker": marker}


def _described(known: Parameter, given: dict[str, Any] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ParameterName": known.name,
        "DataType": known.data_type,
        "ApplyType": "static" if known.static else "dynamic",
        "IsModifiable": known.modifiable,
        "Source": "engine-default" if known.default is None else "system",
        "ApplyMethod": "pending-reboot",
    }
    if known.default is not None:
        shown["ParameterValue"] = known.default
    if given:
        shown.update(
            Source="user",
            ParameterValue=given.get("ParameterValue"),
            ApplyMethod=given.get("ApplyMethod", "pending-reboot"),
        )
    return shown
