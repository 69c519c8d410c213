# SPDX-License-Identifier: GPL-3.0-or-later
"""Let data start the next DAG: the second one runs whenever the first has written the asset, at no set time.

Learn from it: the producer names the asset as its outlet and attaches facts about it; the consumer has the asset as its
schedule and reads those facts from the event that started it. Neither knows the other's name. Unpause both, trigger the
producer, and look at *Assets* in the menu.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from airflow.sdk import Asset, Metadata, dag, task

log = logging.getLogger(__name__)

PRICES = Asset(name="freehold_example_prices", uri="freehold://example/prices")


@task(outlets=[PRICES])
def write_prices() -> Iterator[Metadata]:
    """Write the day's prices, and say with the event how many there are."""
    prices = {"apple": 30, "pear": 45, "quince": 80}
    # In real life: write them to S3 here, and let the event carry the object's key.
    yield Metadata(PRICES, extra={"rows": len(prices)})


@task
def read_prices(triggering_asset_events: dict[Any, Any]) -> int:
    """Say which event started this run and return the number of rows it promised."""
    rows = 0
    for asset, events in triggering_asset_events.items():
        for event in events:
            log.info("%s was written by %s with %s", asset, event.source_dag_id, event.extra)
            rows += event.extra["rows"]
    return rows


@dag(schedule=None, tags=["freehold", "example"], doc_md=__doc__)
def freehold_example_asset_producer() -> None:
    """Write the asset."""
    write_prices()


@dag(schedule=[PRICES], tags=["freehold", "example"], doc_md=__doc__)
def freehold_example_asset_consumer() -> None:
    """Read the asset, after every write of it."""
    read_prices()


freehold_example_asset_producer()
freehold_example_asset_consumer()
