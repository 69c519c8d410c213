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
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._common import aws_call
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import MULTI_AZ

# What prices can be asked of. The first three are what reservations are sold for.
SERVICES = (
    "ec2",
    "rds",
    "elasticache",
    "ebs",
    "rds_storage",
    "load_balancer",
    "nat_gateway",
    "public_ipv4",
    "mwaa",
)
HOUR, GIB_MONTH = "hour", "GiB-month"
# AWS's months have 730 hours: https://aws.amazon.com/calculator/calculator-assumptions/
MONTH_HOURS = Decimal(730)

_UNITS = {"hrs": HOUR, "hours": HOUR, "hour": HOUR, "gb-mo": GIB_MONTH, "gb-month": GIB_MONTH}
_EC2_SYSTEMS = {"Linux/UNIX": "Linux", "Red Hat Enterprise Linux": "RHEL", "SUSE Linux": "SUSE", "Windows": "Windows"}
_RDS_ENGINES = {"postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}
_CACHE_ENGINES = {"valkey": "Valkey", "redis": "Redis", "memcached": "Memcached"}
_DEPLOYMENTS = {1: "Single-AZ", MULTI_AZ: "Multi-AZ"}
_MWAA_PARTS = ("environment", "worker", "scheduler", "webserver")
# Usage types begin with a short name of the region (EU-, USE1-, APN1-), but for the oldest region's. What begins with
# another word is another product: TS-LoadBalancerUsage is a trust store's.
_REGION = r"^(?:(?!TS-)[A-Z]+\d*-)?"


@dataclass(frozen=True)
class Product:
    """How one product is found: the attributes AWS is asked for, and what its answer must say beyond them.

    ``usage`` fits the usage type; the same attributes also belong to products beside the one meant (extended support,
    a reserved but unused capacity), and those have other usage types. ``engines`` are the engines that fit, where the
    product has one.
    """

    code: str
    usage: re.Pattern[str]
    unit: str = HOUR
    attributes: Mapping[str, str] = field(default_factory=dict)
    engines: tuple[str, ...] = ()

    def fits(self, found: Mapping[str, Any]) -> bool:
        """Whether a product of the price list is this one."""
        attributes = found["product"]["attributes"]
        engine = attributes.get("databaseEngine")
        return bool(self.usage.search(attributes.get("usagetype", ""))) and (
            not self.engines or engine is None or engine in self.engines
        )


def _usage(pattern: str) -> re.Pattern[str]:
    return re.compile(_REGION + pattern + "$", re.IGNORECASE if "Airflow" in pattern else 0)


def product_of(wanted: Mapping[str, Any], region: str) -> Product | None:
    """The product that an item means, or None for one whose price is not known how to look up.

    I(wanted) has C(service), C(type), C(product) and C(copies); instances are those of the shared tenancy.
    """
    service, name, product = wanted["service"], str(wanted.get("type", "")), str(wanted.get("product", ""))
    deployment = _DEPLOYMENTS.get(int(wanted.get("copies", 1)))
    here, quoted = {"regionCode": region}, re.escape(name)
    typed = {**here, "instanceType": name}
    if service == "ec2" and product in _EC2_SYSTEMS:
        shared = {"tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
        attributes = {**typed, **shared, "operatingSystem": _EC2_SYSTEMS[product]}
        return Product("AmazonEC2", _usage(f"BoxUsage:{quoted}"), attributes=attributes)
    if service == "rds" and product in _RDS_ENGINES and deployment:
        attributes = {**typed, "databaseEngine": _RDS_ENGINES[product], "deploymentOption": deployment}
        return Product("AmazonRDS", _usage(f"(?:Multi-AZ|Instance)Usage:{quoted}"), attributes=attributes)
    if service == "elasticache" and product in _CACHE_ENGINES:
        attributes = {**typed, "cacheEngine": _CACHE_ENGINES[product]}
        return Product("AmazonElastiCache", _usage(f"NodeUsage:{quoted}"), attributes=attributes)
    if service == "ebs":
        return Product(
            "AmazonEC2", _usage(rf"EBS:VolumeUsage\.{quoted}"), GIB_MONTH, attributes={**here, "volumeApiName": name}
        )
    if service == "rds_storage" and name == "gp3" and product in _RDS_ENGINES and deployment:
        attributes = {**here, "volumeType": "General Purpose-GP3", "deploymentOption": deployment}
        usage = _usage("RDS:(?:Multi-AZ-)?GP3-Storage")
        return Product("AmazonRDS", usage, GIB_MONTH, attributes, engines=("Any", _RDS_ENGINES[product]))
    if service == "load_balancer":
        attributes = {**here, "productFamily": "Load Balancer-Application"}
        return Product("AWSELB", _usage("LoadBalancerUsage"), attributes=attributes)
    if service == "nat_gateway":
        return Product("AmazonEC2", _usage("NatGateway-Hours"), attributes={**here, "productFamily": "NAT Gateway"})
    if service == "public_ipv4":
        return Product("AmazonVPC", _usage("PublicIPv4:InUseAddress"), attributes=here)
    if service == "mwaa" and name.startswith("mw1.") and product in _MWAA_PARTS:
        size = re.escape(name.removeprefix("mw1."))
        # The list has one product for each class and part, and nothing else in its attributes that is documented.
        part = "web-?server" if product == "webserver" else product
        return Product("AmazonMWAA", _usage(f"Airflow-{size}{part}"), attributes=here)
    return None


@aws_call("read the price list", retry=("ThrottlingException",))
def products(client: Any, wanted: Product) -> list[dict[str, Any]]:
    """The products with these attributes, read from the text that the price list has for each."""
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.attributes.items()]
    pages = client.get_paginator("get_products").paginate(ServiceCode=wanted.code, Filters=filters)
    return [json.loads(text) for page in pages for text in page["PriceList"]]


def price(found: Iterable[Mapping[str, Any]], wanted: Product) -> dict[str, Any] | None:
    """What one unit costs, its currency, the list's date and version, or None when there is no such product.

    Raises ValueError when more than one price is left, because then none of them may be called the price.
    """
    prices = {
        (currency, Decimal(amount), str(item.get("publicationDate", "")), str(item.get("version", "")))
        for item in found
        if wanted.fits(item)
        for term in item.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if _UNITS.get(str(dimension["unit"]).lower()) == wanted.unit
        for currency, amount in dimension["pricePerUnit"].items()
    }
    if not prices:
        return None
    if len(prices) > 1:
        raise ValueError(f"the price list has {len(prices)} prices for it")
    currency, amount, published, version = next(iter(prices))
    return {
        "amount": float(amount),
        "unit": wanted.unit,
        "currency": currency,
        "published": published,
        "version": version,
    }
