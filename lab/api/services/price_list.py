# SPDX-License-Identifier: GPL-3.0-or-later
"""The price list's GetProducts: sample prices, the same in every region that is listed.

Of what reservations are sold for, of what an environment has beside it (disks, load balancer, NAT gateway, public
addresses), and of Amazon MWAA.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from lab.api.errors import AwsError
from lab.api.operations import answers
from lab.api.request import AwsRequest
from lab.api.services.reservation_terms import beside, offering_id, on_demand, page, prices

_RESERVABLE = {"AmazonEC2": "ec2", "AmazonRDS": "rds", "AmazonElastiCache": "elasticache"}
_SERVICES = (*_RESERVABLE, "AmazonMWAA", "AmazonVPC", "AWSELB")
# When the sample data was put together; see reservation_prices.json.
_PUBLISHED = "2026-07-01T00:00:00Z"
# AWS's list may lag behind a new region. Of this one the lab lists nothing, so that a plan without prices can be seen.
_UNLISTED = "mx-central-1"
_ENGINES = {"postgresql": "PostgreSQL", "valkey": "Valkey", "redis": "Redis", "memcached": "Memcached"}


def _variants(service: str, type_name: str, hourly: float) -> Iterator[tuple[str, dict[str, str], float]]:
    """Usage type, attributes and price of everything that has the type."""
    if service == "ec2":
        shared = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA"}
        yield f"BoxUsage:{type_name}", {**shared, "capacitystatus": "Used"}, hourly
        yield f"UnusedBox:{type_name}", {**shared, "capacitystatus": "UnusedCapacityReservation"}, hourly
        return
    for product, factor in prices(service)["products"].items():
        engine = _ENGINES[product]
        if service == "rds":
            single, pair = {"deploymentOption": "Single-AZ"}, {"deploymentOption": "Multi-AZ"}
            yield f"InstanceUsage:{type_name}", {"databaseEngine": engine, **single}, hourly * factor
            yield f"Multi-AZUsage:{type_name}", {"databaseEngine": engine, **pair}, hourly * factor * 2
        else:
            yield f"NodeUsage:{type_name}", {"cacheEngine": engine}, hourly * factor
            # AWS charges more for versions that are out of support, under the same attributes.
            yield f"ExtendedSupport-Yr1Yr2-NodeUsage-:{type_name}", {"cacheEngine": engine}, hourly * factor * 0.8


def _product(code: str, region: str, usage_type: str, unit: str, price: float, **attributes: str) -> dict[str, Any]:
    """One product in the price list's form."""
    sku = offering_id(region, usage_type, json.dumps(attributes, sort_keys=True))[:8].upper()
    dimension = {"unit": unit, "pricePerUnit": {"USD": f"{price:.10f}"}, "description": "sample data of the lab"}
    term = {"sku": sku, "priceDimensions": {f"{sku}.JRTCKXETXF.6YS6EN2CT7": dimension}}
    return {
        "product": {"sku": sku, "attributes": {"regionCode": region, "usagetype": usage_type, **attributes}},
        "serviceCode": code,
        "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term}},
        "version": "sample data of the lab",
        "publicationDate": _PUBLISHED,
    }


@cache
def _products(code: str, region: str) -> list[dict[str, Any]]:
    if region == _UNLISTED:
        return []
    service = _RESERVABLE.get(code)
    reservable = [
        _product(code, region, usage_type, "Hrs", price, instanceType=type_name, **attributes)
        for type_name, hourly in (on_demand(service) if service else [])
        for usage_type, attributes, price in _variants(service or "", type_name, hourly)
    ]
    return reservable + [
        _product(code, region, row["usagetype"], row["unit"], row["price"], **row["attributes"])
        for row in beside()
        if row["code"] == code
    ]


@answers("pricing", "GetProducts")
def get_products(request: AwsRequest) -> object:
    """Products by attributes that are equal, in pages; each is a text."""
    params = request.params
    if params["ServiceCode"] not in _SERVICES:
        raise AwsError("NotFoundException", f"Service {params['ServiceCode']} is not in the lab's price list.")
    filters = params.get("Filters") or []
    if any(entry["Type"] != "TERM_MATCH" for entry in filters):
        raise AwsError("InvalidParameterException", "The lab knows filters of the type TERM_MATCH only.")
    wanted = {entry["Field"]: entry["Value"] for entry in filters}
    # A list without end otherwise; the lab sells in the region that is asked for.
    region = wanted.get("regionCode", request.region)
    found = [
        item
        for item in _products(params["ServiceCode"], region)
        if all(item["product"]["attributes"].get(field) == value for field, value in wanted.items())
    ]
    refused = AwsError("InvalidNextTokenException", "The pagination token is invalid.")
    shown, following = page(found, params.get("NextToken"), int(params.get("MaxResults") or 100), refused)
    return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(item) for item in shown], "NextToken": following}
