# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many normalized units an instance size is worth.

The table of EC2: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html#ri-normalization-factor. RDS and
ElastiCache use the same numbers for the sizes they have:
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithReservedDBInstances.html,
https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/CacheNodes.Reserved.html.

Everything here counts in twentieths of a unit: the smallest numbers there are, a quarter of a unit (nano) and a fifth
of that less (Valkey), are then whole ones, and nothing is ever rounded.
"""

from __future__ import annotations

import re

TWENTIETHS = 20

_SIZES = {
    "nano": 0.25,
    "micro": 0.5,
    "small": 1,
    "medium": 2,
    "large": 4,
    "xlarge": 8,
    "2xlarge": 16,
    "3xlarge": 24,
    "4xlarge": 32,
    "6xlarge": 48,
    "8xlarge": 64,
    "9xlarge": 72,
    "10xlarge": 80,
    "12xlarge": 96,
    "16xlarge": 128,
    "18xlarge": 144,
    "24xlarge": 192,
    "32xlarge": 256,
    "48xlarge": 384,
    "56xlarge": 448,
    "112xlarge": 896,
}

# Bare metal counts as the largest virtual size of its family; AWS lists these. Of the others nothing is written down.
_METAL = {
    32: "a1",
    96: "m5zn x2iezn z1d",
    128: "c6g c6gd i3 m6g m6gd r6g r6gd x2gd",
    144: "c5n",
    192: "c5 c5d i3en m5 m5d m5dn m5n r5 r5b r5d r5dn r5n",
    256: "c6i c6id m6i m6id r6d r6id",
    448: "u-18tb1 u-24tb1",
    896: "u-6tb1 u-9tb1 u-12tb1",
}
_METAL_OF_FAMILY = {family: units for units, families in _METAL.items() for family in families.split()}
_METAL_SIZE = re.compile(r"metal-(\d+)xl")


def split_type(name: str) -> tuple[str, str]:
    """Family and size of V(t4g.medium), V(db.t4g.medium) or V(cache.t4g.micro); the family keeps its prefix.

    Raises ValueError for what is no instance type.
    """
    family, dot, size = name.rpartition(".")
    if not dot or not family or not size or family in ("db", "cache"):
        raise ValueError(f"'{name}' is not an instance type like t4g.medium, db.t4g.medium or cache.t4g.micro")
    return family, size


def twentieths(name: str) -> int | None:
    """What one instance of a type is worth, or None for a size for which AWS names no factor.

    A bare metal size that says its virtual counterpart (V(metal-48xl)) is worth as much as that.
    """
    family, size = split_type(name)
    counterpart = _METAL_SIZE.fullmatch(size)
    if counterpart:
        size = f"{counterpart[1]}xlarge"
    units = _METAL_OF_FAMILY.get(family) if size == "metal" else _SIZES.get(size)
    return None if units is None else int(units * TWENTIETHS)


def units(amount: int) -> float:
    """Twentieths as the units that AWS shows."""
    return amount / TWENTIETHS
