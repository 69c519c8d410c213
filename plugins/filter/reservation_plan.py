# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an environment's reservations cover, and what AWS sells to cover the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._reservations import reading, words
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import MULTI_AZ, SINGLE, Usage
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.prices import MONTH_HOURS
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.report import coverage_report

Data = Mapping[str, Any]


def reservation_wanted(hosts: Iterable[Data], database: Data, broker: Data) -> list[dict[str, Any]]:
    """What a fleet will run, in the form of reservable_usage_info.

    I(hosts) is what fleet_hosts returns; I(database) has C(name), C(instance_class) and C(multi_az), I(broker) C(name),
    C(node_type) and C(nodes), which may be none.
    """
    wanted = [
        {
            "name": host["name"],
            "service": "ec2",
            "type": host["instance_type"],
            # The hosts run Debian, for which nobody is paid.
            "product": "Linux/UNIX",
            "zone": host["zone"],
        }
        for host in hosts
    ]
    wanted.append(
        {
            "name": database["name"],
            "service": "rds",
            "type": database["instance_class"],
            "product": "postgresql",
            "copies": MULTI_AZ if database["multi_az"] else SINGLE,
        }
    )
    wanted += [
        {
            "name": f"{broker['name']}/{number}",
            "service": "elasticache",
            "type": broker["node_type"],
            "product": "valkey",
        }
        for number in range(1, int(broker["nodes"]) + 1)
    ]
    return wanted


def reservation_report(
    wanted: Iterable[Data], running: Iterable[Data], reserved: Mapping[str, Iterable[Data]], now: str, days: int
) -> dict[str, Any]:
    """Match the wanted fleet, and what others run, with what the account owns.

    I(running) is what reservable_usage_info returns, of which our own is left out for what is wanted; I(reserved) are
    the answers of the three modules that read reservations, by service.
    """
    usages = [Usage(**{**item, "ours": True}) for item in wanted]
    usages += [Usage(**item) for item in running if not item["ours"]]
    owned = [reading.RESERVATION_READERS[service](item) for service, items in reserved.items() for item in items]
    at = reading.moment(now)
    if at is None:
        raise ValueError("a report needs a time")
    return coverage_report(usages, owned, at, int(days))


def reservation_offers(report: Data, offerings: Sequence[Sequence[Data]]) -> dict[str, Any]:
    """The report with C(offers): every way in which AWS sells what would close the gap.

    C(upfront), C(monthly) and C(total) are for all of the count, C(hourly) is for one of them. I(offerings) are the
    answers of reserved_offerings_info to each of C(closing), in its order.
    """
    offers = []
    for wanted, sold in zip(report["closing"], offerings, strict=True):
        for offering in sold:
            count = wanted["count"]
            offers.append(
                {
                    **{key: wanted[key] for key in words.OFFER_KEYS},
                    **{key: offering[key] for key in ("id", "years", "payment", "currency", "hourly")},
                    "upfront": _cents(_exact(offering["upfront"]) * count),
                    "monthly": _cents(_exact(offering["hourly"]) * count * MONTH_HOURS),
                    "total": _cents(_exact(offering["total"]) * count),
                }
            )
    return {**report, "offers": offers}


def _exact(amount: float) -> Decimal:
    return Decimal(str(amount))


def _cents(amount: Decimal) -> float:
    return float(amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


class FilterModule:
    """Jinja filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "reservation_offers": reservation_offers,
            "reservation_report": reservation_report,
            "reservation_wanted": reservation_wanted,
        }
