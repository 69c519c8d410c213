# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a day's orders into a report: functions that hand data to each other, and one task for each of many things.

Learn from it: a task is a decorated function; what it returns is what the next one gets; ``expand`` makes as many tasks
as there are customers, which is known only when the run is under way. Look at the run's graph, then at the log of
``report``.
"""

from __future__ import annotations

import logging
from typing import TypedDict

from airflow.sdk import dag, task

log = logging.getLogger(__name__)


class Order(TypedDict):
    """One line of the day's orders; the amount is in cents."""

    customer: str
    cents: int


class Total(TypedDict):
    """What one customer spent."""

    customer: str
    orders: int
    cents: int


@task
def orders_by_customer() -> list[list[Order]]:
    """Return one list of orders for each customer. In real life: a query, or a file on S3."""
    orders = [
        Order(customer="Ada", cents=1250),
        Order(customer="Grace", cents=990),
        Order(customer="Ada", cents=300),
        Order(customer="Edsger", cents=4200),
    ]
    customers = sorted({order["customer"] for order in orders})
    return [[order for order in orders if order["customer"] == customer] for customer in customers]


@task(retries=2)
def total(orders: list[Order]) -> Total:
    """Add up one customer's orders; a failure is tried again for this customer only."""
    return Total(customer=orders[0]["customer"], orders=len(orders), cents=sum(order["cents"] for order in orders))


@task
def report(totals: list[Total]) -> int:
    """Write the report into the log and return the day's turnover in cents."""
    for line in sorted(totals, key=lambda one: -one["cents"]):
        log.info("%-10s %3d orders %10.2f", line["customer"], line["orders"], line["cents"] / 100)
    return sum(line["cents"] for line in totals)


@dag(schedule=None, tags=["freehold", "example"], doc_md=__doc__)
def freehold_example_taskflow() -> None:
    """Orders of the day, one total for each customer, one report."""
    report(total.expand(orders=orders_by_customer()))


freehold_example_taskflow()
