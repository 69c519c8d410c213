# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's reserved instances: offerings with sample prices, purchases without client token, states, the monthly quota."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, timedelta
from functools import cache
from typing import Any

from moto.ec2.models import tags
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import answers
from lab.api.patching import wraps
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

_ZONES = "abc"
_PLATFORM = "Linux/UNIX"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ri-limits.html: regional ones of a region, zonal ones of a zone.
_MONTHLY_QUOTA = 20
_MONTH_SECONDS = 2592000
# "up to three years in advance": https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ri-market-concepts-buying.html
_LONGEST_QUEUE = timedelta(days=3 * 365)
# By region and id, in the order of purchase.
RESERVED: dict[tuple[str, str], dict[str, Any]] = {}
EC2_PREFIX_TO_RESOURCE["uuid4"] = "reserved-instances"


@wraps(tags, "get_prefix")
def get_prefix(original: Callable[[str], str], resource_id: str) -> str:
    """What kind of id it is; moto knows those of reserved instances without hyphens only, and AWS's have them."""
    return original(resource_id.replace("-", "")) if resource_id.count("-") == 4 else original(resource_id)


@cache
def offerings(region: str) -> dict[str, dict[str, Any]]:
    """What is sold in a region, by id: AWS's own, and one of another customer on the marketplace."""
    found = []
    for type_name, hourly in on_demand("ec2"):
        for offering_class, discounts in prices("ec2")["discounts"].items():
            for price in term_prices(hourly, discounts):
                for zone in ("", *(f"{region}{letter}" for letter in _ZONES)):
                    name = offering_id(region, type_name, offering_class, price.years, price.payment, zone)
                    found.append(
                        {
                            "ReservedInstancesOfferingId": name,
                            "InstanceType": type_name,
                            "ProductDescription": _PLATFORM,
                            "InstanceTenancy": "default",
                            "OfferingClass": offering_class,
                            "OfferingType": price.payment,
                            "Duration": price.duration,
                            "FixedPrice": price.upfront,
                            "UsagePrice": 0.0,
                            "CurrencyCode": "USD",
                            "Marketplace": False,
                            "Scope": "Availability Zone" if zone else "Region",
                            **({"AvailabilityZone": zone} if zone else {}),
                            "RecurringCharges": [{"Amount": price.hourly, "Frequency": "Hourly"}],
                            "PricingDetails": [],
                        }
                    )
    resold = {
        **next(item for item in found if item["InstanceType"] == "t3.medium" and item["Scope"] == "Region"),
        "ReservedInstancesOfferingId": offering_id(region, "marketplace"),
        "OfferingType": "All Upfront",
        "Duration": 7 * _MONTH_SECONDS,
        "FixedPrice": 20.0,
        "RecurringCharges": [],
        "Marketplace": True,
        "PricingDetails": [{"Count": 1, "Price": 20.0}],
    }
    return {item["ReservedInstancesOfferingId"]: item for item in [*found, resold]}


_OFFERING_FILTERS = {
    "availability-zone": "AvailabilityZone",
    "duration": "Duration",
    "fixed-price": "FixedPrice",
    "instance-type": "InstanceType",
    "marketplace": "Marketplace",
    "product-description": "ProductDescription",
    "reserved-instances-offering-id": "ReservedInstancesOfferingId",
    "scope": "Scope",
    "usage-price": "UsagePrice",
}
_RESERVED_FILTERS = {
    "availability-zone": "AvailabilityZone",
    "duration": "Duration",
    "end": "End",
    "fixed-price": "FixedPrice",
    "instance-type": "InstanceType",
    "product-description": "ProductDescription",
    "reserved-instances-id": "ReservedInstancesId",
    "scope": "Scope",
    "start": "Start",
    "state": "State",
    "usage-price": "UsagePrice",
}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filtered(items: list[dict[str, Any]], request: AwsRequest, known: dict[str, str]) -> list[dict[str, Any]]:
    for entry in request.params.get("Filters") or []:
        name, values = str(entry["Name"]), [str(value) for value in entry.get("Values") or []]
        if name.startswith("tag:"):
            wanted = [{"Key": name.removeprefix("tag:"), "Value": value} for value in values]
            items = [item for item in items if any(tag in wanted for tag in item.get("Tags", []))]
        elif name in known:
            items = [item for item in items if _text(item.get(known[name], "")) in values]
        else:
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return items


@answers("ec2", "DescribeReservedInstancesOfferings")
def describe_offerings(request: AwsRequest) -> object:
    """Offerings by their attributes, in pages; the marketplace's too, unless told otherwise."""
    params = request.params
    known = offerings(request.region)
    wanted = params.get("ReservedInstancesOfferingIds") or []
    for name in wanted:
        _offering(request.region, name)
    found = [known[name] for name in wanted] or list(known.values())
    for key in ("InstanceType", "ProductDescription", "InstanceTenancy", "OfferingClass", "OfferingType"):
        if params.get(key):
            found = [item for item in found if item[key] == params[key]]
    if params.get("AvailabilityZone"):
        found = [item for item in found if item.get("AvailabilityZone") == params["AvailabilityZone"]]
    shortest, longest = params.get("MinDuration") or _MONTH_SECONDS, params.get("MaxDuration") or 3 * YEAR_SECONDS
    found = [item for item in found if int(shortest) <= item["Duration"] <= int(longest)]
    if params.get("IncludeMarketplace") is False:
        found = [item for item in found if not item["Marketplace"]]
    found = _filtered(found, request, _OFFERING_FILTERS)
    refused = AwsError("InvalidPaginationToken", "The specified pagination token is invalid.")
    shown, following = page(found, params.get("NextToken"), int(params.get("MaxResults") or 100), refused)
    return {"ReservedInstancesOfferings": shown, "NextToken": following}


def _offering(region: str, name: str) -> dict[str, Any]:
    found = offerings(region).get(name)
    if found is None:
        message = f"The specified Reserved Instances offering ID '{name}' does not exist."
        raise AwsError("InvalidReservedInstancesOfferingId", message)
    return found


@answers("ec2", "PurchaseReservedInstancesOffering")
def purchase(request: AwsRequest) -> object:
    """Buy: every call buys anew, since there is no client token, and nothing is tagged."""
    params = request.params
    if params.get("DryRun"):
        raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
    offering = _offering(request.region, params["ReservedInstancesOfferingId"])
    count = int(params["InstanceCount"])
    if count < 1:
        raise AwsError("InvalidParameterValue", f"Invalid value '{count}' for instanceCount. Value must be at least 1.")
    if offering["Marketplace"]:
        raise AwsError("ReservedInstancesUnavailable", "The requested Reserved Instances are not available.")
    zone, bought_at = offering.get("AvailabilityZone", ""), now()
    # The parser gives the time as it was sent, in UTC, without saying so.
    start = params["PurchaseTime"].replace(tzinfo=UTC) if params.get("PurchaseTime") else bought_at
    if start < bought_at or start > bought_at + _LONGEST_QUEUE or (zone and start > bought_at):
        # Only regional ones can be queued.
        raise AwsError("InvalidParameterValue", f"Invalid value '{start.isoformat()}' for purchaseTime.")
    this_month = [
        reserved["InstanceCount"]
        for (region, _), reserved in RESERVED.items()
        if region == request.region
        and reserved.get("AvailabilityZone", "") == zone
        and (reserved["_bought"].year, reserved["_bought"].month) == (bought_at.year, bought_at.month)
    ]
    if sum(this_month) + count > _MONTHLY_QUOTA:
        message = "Your current quota does not allow you to purchase the required number of reserved instances."
        raise AwsError("ReservedInstancesLimitExceeded", message)
    name = str(uuid.uuid4())
    reserved = {
        **{key: value for key, value in offering.items() if key not in ("Marketplace", "PricingDetails")},
        "_bought": bought_at,
        "ReservedInstancesId": name,
        "InstanceCount": count,
        "Start": start,
        "End": end_of(start, offering["Duration"]),
        "State": "queued",
    }
    RESERVED[request.region, name] = reserved
    if start == bought_at:
        start_payment(name, reserved)
    return {"ReservedInstancesId": name}


def _grown_older(name: str, reserved: dict[str, Any]) -> None:
    """What time does to it."""
    if reserved["State"] == "queued" and reserved["Start"] <= now():
        start_payment(name, reserved)
    if reserved["State"] == "active" and reserved["End"] <= now():
        reserved["State"] = "retired"


@answers("ec2", "DescribeReservedInstances")
def describe(request: AwsRequest) -> object:
    """All that were bought, whatever became of them, without pages."""
    params = request.params
    mine = {name: item for (region, name), item in RESERVED.items() if region == request.region}
    wanted = params.get("ReservedInstancesIds") or []
    for name in wanted:
        if name not in mine:
            message = f"The specified Reserved Instances ID '{name}' does not exist."
            raise AwsError("InvalidReservedInstancesId", message)
    for name, item in mine.items():
        _grown_older(name, item)
    tags = backends.ec2(request.region).tags
    found = [
        {**item, "Tags": [{"Key": key, "Value": value} for key, value in tags.get(name, {}).items()]}
        for name, item in mine.items()
        if not wanted or name in wanted
    ]
    for key in ("OfferingClass", "OfferingType"):
        if params.get(key):
            found = [item for item in found if item[key] == params[key]]
    found = _filtered(found, request, _RESERVED_FILTERS)
    for item in found:
        seen(item["ReservedInstancesId"], mine[item["ReservedInstancesId"]])
    return {"ReservedInstances": found}


@answers("ec2", "DeleteQueuedReservedInstances")
def delete_queued(request: AwsRequest) -> object:
    """Take back purchases whose time has not come; nothing else can be taken back."""
    deleted, failed = [], []
    for name in request.params["ReservedInstancesIds"]:
        reserved = RESERVED.get((request.region, name))
        if reserved is not None and reserved["State"] == "queued" and reserved["Start"] > now():
            reserved["State"] = "queued-deleted"
            deleted.append({"ReservedInstancesId": name})
        else:
            code = "reserved-instances-not-in-queued-state" if reserved else "reserved-instances-id-invalid"
            failed.append({"ReservedInstancesId": name, "Error": {"Code": code, "Message": f"{name} is not queued."}})
    return {"SuccessfulQueuedPurchaseDeletions": deleted, "FailedQueuedPurchaseDeletions": failed}


def _on_tags(request: AwsRequest, act: Callable[[Any, list[str], dict[str, str]], Any]) -> object:
    names = [str(name) for name in request.params.get("Resources") or []]
    ours = [name for name in names if (request.region, name) in RESERVED]
    if not ours:
        return NotImplemented
    if len(ours) < len(names):
        raise AwsError(
            "InvalidParameterValue", "The lab tags reserved instances and other things in different requests."
        )
    if request.params.get("DryRun"):
        raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
    given = {str(tag["Key"]): tag.get("Value") for tag in request.params.get("Tags") or []}
    act(backends.ec2(request.region), ours, given)
    return {}


@answers("ec2", "CreateTags")
def create_tags(request: AwsRequest) -> object:
    """Reserved instances can be tagged once they are there; moto does not take their ids."""
    return _on_tags(request, lambda ec2, names, tags: ec2.create_tags(names, {k: v or "" for k, v in tags.items()}))


@answers("ec2", "DeleteTags")
def delete_tags(request: AwsRequest) -> object:
    """Take tags away again."""
    return _on_tags(request, lambda ec2, names, tags: ec2.delete_tags(names, tags))
