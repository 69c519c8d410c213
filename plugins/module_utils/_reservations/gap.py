# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which reservations would close a fleet's gap, and what of it is less than one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from ansible_collections.freehold.airflow.plugins.module_utils._reservations.matching import Match, Need
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import Reservation, Service
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.rules import is_flexible, worth
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.units import split_type

_Group = tuple[Service, str, str, str, int]


def closing(found: Match) -> list[Reservation]:
    """The regional reservations that cover what is open of ours, and not one that would have nothing to cover.

    Where sizes are flexible, all are of the smallest size that is open: those fit whatever the fleet becomes, and a
    rest smaller than one stays open. A database with a standby then takes two. Elsewhere, as many as there are
    instances.
    """
    return [replace(one, count=amount // worth(one)) for one, amount in _open(found) if amount >= worth(one)]


def rests(found: Match) -> list[tuple[Reservation, int]]:
    """What stays open beside that, in twentieths of a unit, each with the smallest one that is too large."""
    return [(one, amount % worth(one)) for one, amount in _open(found) if amount % worth(one)]


def _open(found: Match) -> list[tuple[Reservation, int]]:
    """How much of ours is open where reservations can be shared, each with one of the smallest size that is."""
    groups: dict[_Group, list[Need]] = defaultdict(list)
    for need in found.needs:
        if need.usage.ours and need.open:
            groups[_group(need)].append(need)
    told = []
    for (service, _family, product, tenancy, copies), needs in sorted(groups.items()):
        smallest = min(needs, key=lambda need: (worth(need.usage) // need.usage.copies, need.usage.type)).usage.type
        one = Reservation("", service, smallest, product, tenancy=tenancy, copies=copies, state="wanted")
        told.append((one, sum(need.open for need in needs)))
    return told


def _group(need: Need) -> _Group:
    usage = need.usage
    if is_flexible(usage.service, usage.type, usage.product, usage.tenancy):
        return usage.service, split_type(usage.type)[0], usage.product, usage.tenancy, 1
    return usage.service, usage.type, usage.product, usage.tenancy, usage.copies
