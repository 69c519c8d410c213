# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which reservation may be used for what, by AWS's documentation.

Every reservation belongs to one pool, and whatever runs draws on a few pools, one after the other. A pool is a tuple:
its turn (pools of an earlier turn are emptied first), then everything that must be equal.
"""

from __future__ import annotations

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import Reservation, Service, Usage
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.units import (
    TWENTIETHS,
    split_type,
    twentieths,
)

Pool = tuple[int, str, str, str, str, str]

# Reservations that fit less are used before those that fit more.
NARROW, WIDE = 0, 1

_FLEXIBLE_PLATFORM = "Linux/UNIX"
# "Instance size flexibility is not supported for": https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html
_RIGID_FAMILIES = (
    "g4ad",
    "g4dn",
    "g5",
    "g5g",
    "g6",
    "g6e",
    "g6f",
    "gr6",
    "gr6f",
    "hpc7a",
    "p5",
    "inf1",
    "inf2",
    "u7i-6tb",
    "u7i-8tb",
)
# Aurora's stand on a page of their own:
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_WorkingWithReservedDBInstances.html
_FLEXIBLE_ENGINES = ("mariadb", "mysql", "postgresql", "aurora-mysql", "aurora-postgresql")


def _ec2_is_flexible(family: str, product: str, tenancy: str) -> bool:
    """Whether a regional reservation of EC2 fits all sizes of its family.

    Linux/UNIX only (not RHEL, SUSE or Windows), default tenancy only, and not for some families:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html#ri-instance-size-flexibility-limitations
    """
    return product == _FLEXIBLE_PLATFORM and tenancy == "default" and family not in _RIGID_FAMILIES


def _rds_is_flexible(product: str) -> bool:
    """Whether a reserved DB instance fits all sizes of its family.

    MariaDB, MySQL, PostgreSQL and Aurora do, Oracle with one's own licence; SQL Server and Oracle with AWS's do not.
    Of Db2 AWS's page says both; here it does not, so that nothing is called covered that may not be.
    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithReservedDBInstances.html
    """
    return product in _FLEXIBLE_ENGINES or (product.startswith("oracle") and product.endswith("(byol)"))


def is_flexible(service: Service, type_name: str, product: str, tenancy: str = "default") -> bool:
    """Whether a regional reservation fits all sizes of its family.

    "All reserved nodes are size flexible": https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/CacheNodes.Reserved.html.
    A size for which AWS names no factor can only be matched with itself, whatever the service.
    """
    family = split_type(type_name)[0]
    if twentieths(type_name) is None:
        return False
    if service == "ec2":
        return _ec2_is_flexible(family, product, tenancy)
    return service == "elasticache" or _rds_is_flexible(product)


def _regional(item: Usage | Reservation) -> Pool:
    family = split_type(item.type)[0]
    if is_flexible(item.service, item.type, item.product, item.tenancy):
        return WIDE, item.service, family, item.product, item.tenancy, ""
    # Where sizes are not flexible, deployments (Single-AZ, Multi-AZ) aren't either.
    return WIDE, item.service, item.type, item.product, item.tenancy, str(item.copies)


def _zonal(item: Usage | Reservation) -> Pool:
    return NARROW, item.service, item.type, item.product, item.tenancy, item.zone


def _valkey(item: Usage | Reservation) -> Pool:
    return (NARROW, *_regional(item)[1:])


def pool_of(reservation: Reservation) -> Pool:
    """The pool that a reservation fills.

    A zonal reservation of EC2 fits its availability zone, type, platform and tenancy only
    (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html#apply-zonal-ri); a regional one all zones, and
    all sizes of its family where sizes are flexible.
    """
    if reservation.service == "ec2" and reservation.zone:
        return _zonal(reservation)
    if reservation.service == "elasticache" and reservation.product == "valkey":
        return _valkey(reservation)
    return _regional(reservation)


def pools_of(usage: Usage) -> list[Pool]:
    """The pools that something may draw on, in AWS's order.

    EC2: zonal reservations are used up before regional ones, whoever owns them
    (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html#ri-usage-ex4). ElastiCache: a Redis OSS
    reservation fits Valkey, too, but not the other way round
    (https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/CacheNodes.Reserved.html#reserved-nodes-upgrade-to-valkey);
    AWS does not say which of the two it takes first, and this order wastes nothing.
    """
    if usage.service == "ec2":
        return [*([_zonal(usage)] if usage.zone else []), _regional(usage)]
    if usage.service == "elasticache" and usage.product == "valkey":
        as_redis = Usage(usage.name, usage.service, usage.type, "redis", tenancy=usage.tenancy, copies=usage.copies)
        return [_valkey(usage), _regional(as_redis)]
    return [_regional(usage)]


def worth(item: Usage | Reservation) -> int:
    """Twentieths of a unit that one instance needs, or one reservation brings.

    A database with a standby takes twice the units, a cluster three times: one Single-AZ reservation covers half of a
    Multi-AZ database (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithReservedDBInstances.html).
    Valkey takes four fifths (https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/CacheNodes.Reserved.html). A size
    without a factor counts as one unit, since it is only ever compared with itself.
    """
    single = twentieths(item.type)
    total = (TWENTIETHS if single is None else single) * item.copies
    return total * 4 // 5 if item.service == "elasticache" and item.product == "valkey" else total
