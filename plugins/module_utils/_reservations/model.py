# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is matched with what: usage, which AWS bills by the hour, and reservations, which make hours cheaper."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

Service = Literal["ec2", "rds", "elasticache"]
Standing = Literal["active", "pending", "ended", "unknown"]

# How many instances a database has: alone, or with a standby. A Multi-AZ cluster has three.
SINGLE, MULTI_AZ = 1, 2

_PENDING = ("payment-pending", "queued")
_ENDED = ("retired", "payment-failed", "queued-deleted")


@dataclass(frozen=True)
class Usage:
    """One instance, database or cache node that runs, or is wanted, the whole time.

    ``product`` is the platform of EC2, engine and licence of RDS, or the engine of ElastiCache. ``copies`` is above one
    for a database with standbys. ``ours`` is False for what others run in the account.
    """

    name: str
    service: Service
    type: str
    product: str
    zone: str = ""
    tenancy: str = "default"
    copies: int = SINGLE
    account: str = ""
    ours: bool = True


@dataclass(frozen=True)
class Price:
    """What one reservation costs: at the start, and in each of the hours of its term.

    ``currency`` is empty where AWS does not say it (ElastiCache).
    """

    upfront: Decimal
    hourly: Decimal
    hours: Decimal
    currency: str = ""

    @property
    def amortised(self) -> Decimal:
        """What an hour costs when what was paid at the start is spread over the term."""
        return self.hourly + self.upfront / self.hours

    @property
    def total(self) -> Decimal:
        """What the whole term costs."""
        return self.upfront + self.hourly * self.hours


@dataclass(frozen=True)
class Reservation:
    """One purchase of ``count`` equal reservations.

    ``zone`` is empty for a regional one; ``price`` is none where it is not known.
    """

    id: str
    service: Service
    type: str
    product: str
    count: int = 1
    zone: str = ""
    tenancy: str = "default"
    copies: int = SINGLE
    account: str = ""
    state: str = "active"
    start: datetime | None = None
    end: datetime | None = None
    price: Price | None = None

    def standing(self, at: datetime) -> Standing:
        """What AWS's state and the term mean for the bill at a time.

        A reservation gives its discount while it is V(active); AWS shows one whose term is over as V(retired), and a
        list that was read before may still say V(active). V(payment-pending) and V(queued) have bought nothing yet.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReservedInstances.html
        """
        if self.state in _ENDED or (self.end is not None and self.end <= at):
            return "ended"
        if self.state in _PENDING or (self.state == "active" and self.start is not None and self.start > at):
            return "pending"
        return "active" if self.state == "active" else "unknown"

    def counts_at(self, later: datetime) -> bool:
        """Whether it will give its discount at a later time, if what is pending is paid."""
        if self.state not in ("active", *_PENDING):
            return False
        return (self.start is None or self.start <= later) and (self.end is None or later < self.end)
