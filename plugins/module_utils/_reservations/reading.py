# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AWS's descriptions, as the info modules return them (snake_case, times in ISO 8601), as usage and reservations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import (
    MULTI_AZ,
    SINGLE,
    Price,
    Reservation,
    Usage,
)

Described = Mapping[str, Any]

# Reservations made for EC2-Classic said whether they were for a VPC; all instances have long been in one.
_VPC_SUFFIX = " (Amazon VPC)"
_ENGINE_PRODUCTS = {"postgres": "postgresql"}
_LICENCES = {"license-included": "(li)", "bring-your-own-license": "(byol)", "marketplace-license": "(marketplace)"}


def moment(value: Any) -> datetime | None:
    """A time that AWS or a module wrote, with a time zone; None for nothing."""
    if not value:
        return None
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def platform(described: str) -> str:
    """A platform as instances and reservations both say it.

    An instance says it in C(platform_details), a reservation in C(product_description); a discount needs both alike:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ri-market-concepts-buying.html#ri-choosing-platform
    """
    return described.removesuffix(_VPC_SUFFIX)


def database_product(engine: str, licence: str) -> str:
    """The product of a reservation that fits an engine (C(sqlserver-se)) under a licence (C(license-included)).

    Engine, edition and licence must be equal:
    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithReservedDBInstances.html
    """
    name = _ENGINE_PRODUCTS.get(engine, engine)
    licensed = name.startswith(("oracle", "sqlserver", "db2"))
    return name + _LICENCES.get(licence, f"({licence})") if licensed else name


def reserved_database_product(described: str) -> str:
    """The same product as a reservation says it, with or without blanks."""
    return described.lower().replace(" (", "(").replace(" ", "-")


def ec2_usage(instance: Described, account: str = "", ours: bool = False) -> Usage | None:
    """An instance that runs, or None for one that no reservation can pay for.

    Stopped ones cost nothing, spot instances and capacity blocks have prices of their own, and on a dedicated host the
    host is paid ("applied to the running On-Demand Instances":
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html).
    """
    placement = instance.get("placement") or {}
    tenancy = placement.get("tenancy") or "default"
    alive = (instance.get("state") or {}).get("name") in ("pending", "running")
    if not alive or instance.get("instance_lifecycle") or tenancy == "host":
        return None
    return Usage(
        name=instance["instance_id"],
        service="ec2",
        type=instance["instance_type"],
        product=platform(instance.get("platform_details") or "Linux/UNIX"),
        zone=placement.get("availability_zone") or "",
        tenancy=tenancy,
        account=account,
        ours=ours,
    )


def rds_usage(database: Described, account: str = "", ours: bool = False) -> Usage | None:
    """A database that is billed, or None for one that is stopped, serverless or still being made.

    The members of a Multi-AZ cluster are instances of their own in RDS's list, so that each is counted alone.
    """
    type_name = database.get("db_instance_class") or ""
    stopped = database.get("db_instance_status") in ("stopped", "creating", "deleting", "failed")
    if stopped or type_name in ("", "db.serverless"):
        return None
    return Usage(
        name=database["db_instance_identifier"],
        service="rds",
        type=type_name,
        product=database_product(database["engine"], database.get("license_model") or ""),
        copies=MULTI_AZ if database.get("multi_az") else SINGLE,
        account=account,
        ours=ours,
    )


def cache_usage(cluster: Described, account: str = "", ours: bool = False) -> list[Usage]:
    """The nodes of a cache; a member of a replication group is a cache with one node in ElastiCache's list."""
    if cluster.get("cache_cluster_status") in ("creating", "deleting", "deleted", "create-failed"):
        return []
    return [
        Usage(
            name=f"{cluster['cache_cluster_id']}/{number}",
            service="elasticache",
            type=cluster["cache_node_type"],
            product=cluster["engine"],
            account=account,
            ours=ours,
        )
        for number in range(1, int(cluster.get("num_cache_nodes") or 1) + 1)
    ]


def reserved_price(described: Described) -> Price | None:
    """What one of a purchase costs, or None where AWS does not tell, or charges at other times than every hour."""
    charges = described.get("recurring_charges")
    seconds = int(described.get("duration") or 0)
    if (charges is None and described.get("fixed_price") is None) or not seconds:
        return None
    hourly = _money(described.get("usage_price"))
    for charge in charges or []:
        # RDS and ElastiCache have names of their own for both.
        if charge.get("frequency", charge.get("recurring_charge_frequency")) != "Hourly":
            return None
        hourly += _money(charge.get("amount", charge.get("recurring_charge_amount")))
    return Price(
        upfront=_money(described.get("fixed_price")),
        hourly=hourly,
        hours=Decimal(seconds) / 3600,
        currency=described.get("currency_code") or "",
    )


def _money(value: Any) -> Decimal:
    """An amount as AWS wrote it, without what binary numbers add to it."""
    return Decimal(str(value or 0))


def ec2_reservation(described: Described, account: str = "") -> Reservation:
    """A reserved instance."""
    zonal = described.get("scope") != "Region"
    return Reservation(
        id=described["reserved_instances_id"],
        service="ec2",
        type=described["instance_type"],
        product=platform(described["product_description"]),
        count=int(described["instance_count"]),
        # A scope that is not said counts as the narrow one; without a zone it then fits nothing.
        zone=(described.get("availability_zone") or "unknown") if zonal else "",
        tenancy=described.get("instance_tenancy") or "default",
        account=account,
        state=described["state"],
        start=moment(described.get("start")),
        end=moment(described.get("end")),
        price=reserved_price(described),
    )


def rds_reservation(described: Described, account: str = "") -> Reservation:
    """A reserved DB instance."""
    return Reservation(
        id=described["reserved_db_instance_id"],
        service="rds",
        type=described["db_instance_class"],
        product=reserved_database_product(described["product_description"]),
        count=int(described["db_instance_count"]),
        copies=MULTI_AZ if described.get("multi_az") else SINGLE,
        account=account,
        state=described["state"],
        start=moment(described.get("start_time")),
        end=moment(described.get("end")),
        price=reserved_price(described),
    )


def cache_reservation(described: Described, account: str = "") -> Reservation:
    """A reserved cache node."""
    return Reservation(
        id=described["reserved_cache_node_id"],
        service="elasticache",
        type=described["cache_node_type"],
        product=described["product_description"],
        count=int(described["cache_node_count"]),
        account=account,
        state=described["state"],
        start=moment(described.get("start_time")),
        end=moment(described.get("end")),
        price=reserved_price(described),
    )


# By service, as the modules that read reservations answer.
RESERVATION_READERS = {"ec2": ec2_reservation, "rds": rds_reservation, "elasticache": cache_reservation}
