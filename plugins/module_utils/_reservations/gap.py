# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which reservations would close a fleet's gap."""

from __future__ import annotations

from collections import defaultdict

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
    groups: dict[_Group, list[Need]] = defaultdict(list)
    for need in found.needs:
        if need.usage.ours and need.open:
            groups[_group(need)].append(need)
    wanted = []
    for (service, _family, product, tenancy, copies), needs in sorted(groups.items()):
        smallest = min(needs, key=lambda need: (worth(need.usage) // need.usage.copies, need.usage.type)).usage.type
        one = Reservation("", service, smallest, product, tenancy=tenancy, copies=copies)
        count = sum(need.open for need in needs) // worth(one)
        if count:
            wanted.append(
                Reservation("", service, smallest, product, count=count, tenancy=tenancy, copies=copies, state="wanted")
            )
    return wanted


def _group(need: Need) -> _Group:
    usage = need.usage
    if is_flexible(usage.service, usage.type, usage.product, usage.tenancy):
        return usage.service, split_type(usage.type)[0], usage.product, usage.tenancy, 1
    return usage.service, usage.type, usage.product, usage.tenancy, usage.copies
