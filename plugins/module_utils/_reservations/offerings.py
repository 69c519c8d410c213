# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Offerings of the three services in one form, with what they cost over their whole term."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.reading import platform

# "A year is defined as 31536000 seconds (365 days)":
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-reserved-instances.html
YEAR_SECONDS = 31536000
_ID_KEYS = ("ReservedInstancesOfferingId", "ReservedDBInstancesOfferingId", "ReservedCacheNodesOfferingId")
_TYPE_KEYS = ("InstanceType", "DBInstanceClass", "CacheNodeType")


def _money(value: Any) -> Decimal:
    """An amount as AWS wrote it, without what binary numbers add to it."""
    return Decimal(str(value or 0))


def hourly_price(offering: Mapping[str, Any]) -> Decimal:
    """What every hour of the term costs, used or not.

    The recurring charges; C(UsagePrice) belongs to offerings that are no longer sold, and is nought for the others:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReservedInstancesOffering.html. Raises ValueError for a
    charge that comes at other times.
    """
    total = _money(offering.get("UsagePrice"))
    for charge in offering.get("RecurringCharges") or []:
        # RDS and ElastiCache have names of their own for both.
        frequency = charge.get("Frequency", charge.get("RecurringChargeFrequency"))
        if frequency != "Hourly":
            raise ValueError(f"an offering charges '{frequency}' and not by the hour")
        total += _money(charge.get("Amount", charge.get("RecurringChargeAmount")))
    return total


def described(service: str, offering: Mapping[str, Any]) -> dict[str, Any]:
    """One offering; C(total) is for one reservation over its whole term, to the cent.

    C(currency) is empty for ElastiCache, which does not say it.
    """
    hourly, upfront = hourly_price(offering), _money(offering.get("FixedPrice"))
    total = upfront + hourly * int(offering["Duration"]) / 3600
    return {
        "id": next(offering[key] for key in _ID_KEYS if key in offering),
        "service": service,
        "type": next(offering[key] for key in _TYPE_KEYS if key in offering),
        "product": platform(offering["ProductDescription"]),
        "scope": offering.get("Scope", "Region"),
        "zone": offering.get("AvailabilityZone") or "",
        "tenancy": offering.get("InstanceTenancy", "default"),
        "offering_class": offering.get("OfferingClass", "standard"),
        "multi_az": bool(offering.get("MultiAZ", False)),
        "years": int(offering["Duration"]) // YEAR_SECONDS,
        "payment": offering["OfferingType"],
        "currency": offering.get("CurrencyCode", ""),
        "upfront": float(upfront),
        "hourly": float(hourly),
        "total": float(total.quantize(Decimal("0.01"))),
    }


def request(params: Mapping[str, Any]) -> dict[str, Any]:
    """The request that asks a service for the offerings that the module's options mean."""
    service, years, payment = params["service"], params.get("years"), params.get("payment")
    asked: dict[str, Any] = {"ProductDescription": params["product"]}
    if payment:
        asked["OfferingType"] = payment
    if service == "ec2":
        zone = params.get("zone")
        asked |= {
            "InstanceType": params["type"],
            "InstanceTenancy": params["tenancy"],
            "OfferingClass": params["offering_class"],
            "Filters": [{"Name": "scope", "Values": ["Availability Zone" if zone else "Region"]}],
        }
        if zone:
            asked["AvailabilityZone"] = zone
        if years:
            asked |= {"MinDuration": years * YEAR_SECONDS, "MaxDuration": years * YEAR_SECONDS}
        return asked
    if years:
        asked["Duration"] = str(years)
    if service == "rds":
        return {**asked, "DBInstanceClass": params["type"], "MultiAZ": params["multi_az"]}
    return {**asked, "CacheNodeType": params["type"]}


def matches(offering: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether an offering is really what was asked for; a purchase must never rest on a filter that was ignored."""
    wanted = {
        "type": params["type"],
        "product": params["product"],
        "years": params.get("years") or offering["years"],
        "payment": params.get("payment") or offering["payment"],
        "zone": params.get("zone") or "",
        "scope": "Availability Zone" if params.get("zone") else "Region",
        "tenancy": params["tenancy"],
        "offering_class": params["offering_class"],
        "multi_az": params["multi_az"],
    }
    return all(offering[key] == value for key, value in wanted.items())
