# SPDX-License-Identifier: GPL-3.0-or-later
"""Reserved DB instances and reserved cache nodes: the same thing twice, under other names.

Their buyer chooses the id, and buying it a second time is refused; that is all the protection there is.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from functools import cache
from typing import Any

from lab.api.errors import AwsError
from lab.api.operations import answers
from lab.api.request import AwsRequest
from lab.api.services.reservation_terms import (
    YEAR_SECONDS,
    end_of,
    now,
    offering_id,
    on_demand,
    page,
    prices,
    seen,
    start_payment,
    term_prices,
)
from lab.api.settings import ACCOUNT

_ID = re.compile(r"^[a-z](?:-?[a-z0-9])*$")
_ID_LIMIT = 63
_DURATIONS = {"1": YEAR_SECONDS, "3": 3 * YEAR_SECONDS}


@dataclass(frozen=True)
class Kind:
    """How a service calls things, and how many it sells to an account without being asked."""

    service: str
    noun: str
    offering_noun: str
    type_key: str
    count_key: str
    arn_key: str
    arn_kind: str
    quota: int

    @property
    def id_key(self) -> str:
        """The parameter with the id of a reservation."""
        return f"{self.noun}Id"

    @property
    def offering_id_key(self) -> str:
        """The parameter with the id of an offering."""
        return f"{self.offering_noun}Id"


# Quotas: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html (40) and
# https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/quota-limits.html (300).
_RDS = Kind(
    service="rds",
    noun="ReservedDBInstance",
    offering_noun="ReservedDBInstancesOffering",
    type_key="DBInstanceClass",
    count_key="DBInstanceCount",
    arn_key="ReservedDBInstanceArn",
    arn_kind="ri",
    quota=40,
)
_ELASTICACHE = Kind(
    service="elasticache",
    noun="ReservedCacheNode",
    offering_noun="ReservedCacheNodesOffering",
    type_key="CacheNodeType",
    count_key="CacheNodeCount",
    arn_key="ReservationARN",
    arn_kind="reserved-instance",
    quota=300,
)
_KINDS = {"rds": _RDS, "elasticache": _ELASTICACHE}
# By service, region and id, in the order of purchase.
RESERVED: dict[tuple[str, str, str], dict[str, Any]] = {}


@cache
def offerings(service: str, region: str) -> dict[str, dict[str, Any]]:
    """What is sold in a region, by id."""
    kind, known = _KINDS[service], prices(service)
    found: dict[str, dict[str, Any]] = {}
    for type_name, hourly in on_demand(service):
        for product, factor in known["products"].items():
            for copies in (1, 2) if service == "rds" else (1,):
                for price in term_prices(hourly * factor * copies, known["discounts"]):
                    name = offering_id(region, type_name, product, copies, price.years, price.payment)
                    found[name] = {
                        kind.offering_id_key: name,
                        kind.type_key: type_name,
                        "Duration": price.duration,
                        "FixedPrice": price.upfront,
                        "UsagePrice": 0.0,
                        "ProductDescription": product,
                        "OfferingType": price.payment,
                        **({"MultiAZ": copies == 2, "CurrencyCode": "USD"} if service == "rds" else {}),
                        "RecurringCharges": [
                            {"RecurringChargeAmount": price.hourly, "RecurringChargeFrequency": "Hourly"}
                        ],
                    }
    return found


def _kind(request: AwsRequest) -> Kind:
    return _KINDS[request.service]


def _asked_for(kind: Kind, request: AwsRequest, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the items that have the attributes of the request."""
    params = request.params
    if params.get("Filters"):
        # Both services have the parameter and know no filter.
        raise AwsError("InvalidParameterValue", f"Unrecognized filter name: {params['Filters'][0].get('Name')}")
    wanted = {
        key: params[key] for key in (kind.type_key, "ProductDescription", "OfferingType") if params.get(key) is not None
    }
    if params.get("MultiAZ") is not None:
        wanted["MultiAZ"] = params["MultiAZ"]
    if params.get("Duration") is not None:
        duration = str(params["Duration"])
        if duration not in (*_DURATIONS, *map(str, _DURATIONS.values())):
            raise AwsError("InvalidParameterValue", f"Invalid duration: {duration}")
        wanted["Duration"] = _DURATIONS.get(duration) or int(duration)
    return [item for item in items if all(item[key] == value for key, value in wanted.items())]


def _answer(request: AwsRequest, key: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    size = int(request.params.get("MaxRecords") or 100)
    if not 20 <= size <= 100:
        message = f"Invalid value {size} for MaxRecords. Must be between 20 and 100"
        raise AwsError("InvalidParameterValue", message)
    refused = AwsError("InvalidParameterValue", "Invalid marker.")
    shown, following = page(items, request.params.get("Marker"), size, refused)
    return {key: shown, "Marker": following}


@answers("rds", "DescribeReservedDBInstancesOfferings")
@answers("elasticache", "DescribeReservedCacheNodesOfferings")
def describe_offerings(request: AwsRequest) -> object:
    """Offerings by their attributes, in pages."""
    kind = _kind(request)
    known = offerings(kind.service, request.region)
    name = request.params.get(kind.offering_id_key)
    found = [_offering(kind, request.region, name)] if name else list(known.values())
    return _answer(request, f"{kind.offering_noun}s", _asked_for(kind, request, found))


def _offering(kind: Kind, region: str, name: str) -> dict[str, Any]:
    found = offerings(kind.service, region).get(name)
    if found is None:
        raise AwsError(f"{kind.offering_noun}NotFound", f"Specified offering does not exist: {name}")
    return found


def _owned(request: AwsRequest) -> list[dict[str, Any]]:
    """What was bought in the region, with what time did to it."""
    bought = [
        item
        for (service, region, _), item in RESERVED.items()
        if (service, region) == (request.service, request.region)
    ]
    for item in bought:
        if item["State"] == "active" and end_of(item["StartTime"], item["Duration"]) <= now():
            item["State"] = "retired"
    return bought


@answers("rds", "PurchaseReservedDBInstancesOffering")
@answers("elasticache", "PurchaseReservedCacheNodesOffering")
def purchase(request: AwsRequest) -> object:
    """Buy under an id of one's own; without one, every call buys anew."""
    kind, params = _kind(request), request.params
    offering = _offering(kind, request.region, params[kind.offering_id_key])
    count = int(params.get(kind.count_key, 1))
    if count < 1:
        raise AwsError("InvalidParameterValue", f"Invalid value {count} for {kind.count_key}. Must be at least 1")
    name = str(params.get(kind.id_key) or f"ri-{now():%Y-%m-%d-%H-%M-%S}-{secrets.token_hex(4)}").lower()
    if not _ID.fullmatch(name) or len(name) > _ID_LIMIT:
        raise AwsError("InvalidParameterValue", f"The parameter {kind.id_key} is not a valid identifier.")
    if (kind.service, request.region, name) in RESERVED:
        raise AwsError(f"{kind.noun}AlreadyExists", f"Reservation {name} already exists.")
    if sum(item[kind.count_key] for item in _owned(request) if item["State"] != "retired") + count > kind.quota:
        raise AwsError(f"{kind.noun}QuotaExceeded", "Request would exceed the quota of reservations.")
    reserved = {
        **offering,
        kind.id_key: name,
        kind.count_key: count,
        "StartTime": now(),
        kind.arn_key: f"arn:aws:{kind.service}:{request.region}:{ACCOUNT}:{kind.arn_kind}:{name}",
        **({"LeaseId": secrets.token_hex(10)} if kind is _RDS else {}),
        "_tags": {str(tag["Key"]): str(tag.get("Value") or "") for tag in params.get("Tags") or []},
    }
    RESERVED[kind.service, request.region, name] = reserved
    start_payment(f"{kind.service}/{request.region}/{name}", reserved)
    return {kind.noun: dict(reserved)}


@answers("rds", "DescribeReservedDBInstances")
@answers("elasticache", "DescribeReservedCacheNodes")
def describe(request: AwsRequest) -> object:
    """All that were bought, in pages, whatever became of them."""
    kind, params = _kind(request), request.params
    mine = _owned(request)
    name = params.get(kind.id_key)
    if name:
        mine = [item for item in mine if item[kind.id_key] == str(name).lower()]
        if not mine:
            raise AwsError(f"{kind.noun}NotFound", f"{kind.noun} {name} not found.")
    for key in (kind.offering_id_key, "LeaseId"):
        if params.get(key):
            mine = [item for item in mine if item.get(key) == params[key]]
    found = _answer(request, f"{kind.noun}s", [dict(item) for item in _asked_for(kind, request, mine)])
    for shown in found[f"{kind.noun}s"]:
        name = shown[kind.id_key]
        seen(f"{kind.service}/{request.region}/{name}", RESERVED[kind.service, request.region, name])
    return found


def _named(request: AwsRequest) -> dict[str, Any] | None:
    kind = _kind(request)
    arn = str(request.params.get("ResourceName") or "")
    return next((item for item in RESERVED.values() if item.get(kind.arn_key) == arn), None)


@answers("rds", "ListTagsForResource")
@answers("elasticache", "ListTagsForResource")
def list_tags(request: AwsRequest) -> object:
    """The tags of a reservation; those of everything else are moto's."""
    reserved = _named(request)
    if reserved is None:
        return NotImplemented
    return {"TagList": [{"Key": key, "Value": value} for key, value in reserved["_tags"].items()]}


@answers("rds", "AddTagsToResource")
@answers("elasticache", "AddTagsToResource")
def add_tags(request: AwsRequest) -> object:
    """Tag a reservation."""
    reserved = _named(request)
    if reserved is None:
        return NotImplemented
    reserved["_tags"] |= {str(tag["Key"]): str(tag.get("Value") or "") for tag in request.params.get("Tags") or []}
    return {} if request.service == "rds" else list_tags(request)
