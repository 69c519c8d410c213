# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prices on demand of AWS's price list: which product is meant, and what it says.

https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._common import aws_call
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import MULTI_AZ

SERVICE_CODES = {"ec2": "AmazonEC2", "rds": "AmazonRDS", "elasticache": "AmazonElastiCache"}
_EC2_SYSTEMS = {"Linux/UNIX": "Linux", "Red Hat Enterprise Linux": "RHEL", "SUSE Linux": "SUSE", "Windows": "Windows"}
_RDS_ENGINES = {"postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}
_CACHE_ENGINES = {"valkey": "Valkey", "redis": "Redis", "memcached": "Memcached"}


def attributes(wanted: Mapping[str, Any], region: str) -> dict[str, str] | None:
    """The attributes of the product in the price list, or None for one whose price is not known how to look up.

    I(wanted) has C(service), C(type), C(product) and C(copies), as matching has them; tenancy is the shared one.
    """
    common = {"regionCode": region, "instanceType": wanted["type"]}
    service, product, copies = wanted["service"], wanted["product"], int(wanted.get("copies", 1))
    if service == "ec2" and product in _EC2_SYSTEMS:
        shared = {"tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
        return {**common, **shared, "operatingSystem": _EC2_SYSTEMS[product]}
    if service == "rds" and product in _RDS_ENGINES and copies <= MULTI_AZ:
        deployment = "Multi-AZ" if copies == MULTI_AZ else "Single-AZ"
        return {**common, "databaseEngine": _RDS_ENGINES[product], "deploymentOption": deployment}
    if service == "elasticache" and product in _CACHE_ENGINES:
        return {**common, "cacheEngine": _CACHE_ENGINES[product]}
    return None


@aws_call("read the price list")
def products(client: Any, service: str, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    """The products with these attributes, read from the text that the price list has for each."""
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    pages = client.get_paginator("get_products").paginate(ServiceCode=SERVICE_CODES[service], Filters=filters)
    return [json.loads(text) for page in pages for text in page["PriceList"]]


def hourly_price(found: Iterable[Mapping[str, Any]], type_name: str) -> dict[str, Any] | None:
    """The price of an hour, its currency and the list's date, or None when there is no such product.

    The same attributes also belong to products beside the hour itself (extended support, for one); those have other
    usage types. Raises ValueError when more than one price is left, because then none of them may be called the price.
    """
    hour = re.compile(rf"(?:^|-)(?:BoxUsage|InstanceUsage|Multi-AZUsage|NodeUsage):{re.escape(type_name)}$")
    prices = {
        (currency, Decimal(amount), item.get("publicationDate", ""))
        for item in found
        if hour.search(item["product"]["attributes"].get("usagetype", ""))
        for term in item.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if dimension["unit"] == "Hrs"
        for currency, amount in dimension["pricePerUnit"].items()
    }
    if not prices:
        return None
    if len(prices) > 1:
        raise ValueError(f"the price list has {len(prices)} prices for an hour of {type_name}")
    currency, amount, published = next(iter(prices))
    return {"hourly": float(amount), "currency": currency, "published": published}
