# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The body of the three modules that buy reservations."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError, aws_call
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.ledger import BucketLedger
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.purchase import Buyer, Order
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.shops import BUYING, SHOPS

SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "settled"], "default": "present"},
    "ledger_bucket": {"type": "str"},
    "environment": {"type": "str"},
    "type": {"type": "str"},
    "product": {"type": "str"},
    "count": {"type": "int"},
    "claimed": {"type": "int", "default": 0},
    "years": {"type": "int", "choices": [1, 3]},
    "payment": {"type": "str", "choices": ["No Upfront", "Partial Upfront", "All Upfront"]},
    "currency": {"type": "str", "default": "USD"},
    "price_limit": {"type": "str"},
    "max_count": {"type": "int", "default": 20},
    "offering_id": {"type": "str", "default": ""},
    "tags": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "int", "default": 300},
}
_NEEDED = ["environment", "type", "product", "count", "years", "payment", "price_limit"]
_OPTIONAL = ("zone", "tenancy", "offering_class", "multi_az", "monthly_quota")


class SystemClock:
    """Time that goes on while the machine sleeps, where the system has such a clock."""

    _clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> float:
        """Seconds since some moment."""
        return time.clock_gettime(self._clock)

    def today(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@aws_call("ask which account this is")
def _account(client: Any) -> str:
    return str(client.get_caller_identity()["Account"])


def order_of(params: dict[str, Any]) -> Order:
    """The order that a module's options mean. Raises ValueError with a sentence for what can't be meant."""
    for name, least in (("count", 1), ("claimed", 0), ("max_count", 1)):
        if params[name] < least:
            raise ValueError(f"{name} is {params[name]}, but must be {least} or more.")
    try:
        limit = Decimal(params["price_limit"])
    except InvalidOperation:
        limit = Decimal("NaN")
    if not limit.is_finite() or limit <= 0:
        raise ValueError(f"price_limit is '{params['price_limit']}', but must be an amount above nought, like 1234.50.")
    return Order(
        price_limit=limit,
        **{name: params[name] for name in _NEEDED if name != "price_limit"},
        **{name: params[name] for name in ("claimed", "currency", "max_count", "offering_id", "tags")},
        **{name: params[name] for name in _OPTIONAL if name in params},
    )


def _warn(module: AnsibleAWSModule, warnings: list[str]) -> None:
    for warning in warnings:
        module.warn(warning)


def run(service: str, more: dict[str, Any]) -> None:
    """Be the module of a service; C(more) are options of its own."""
    module = AnsibleAWSModule(
        argument_spec={**SPEC, **more}, required_if=[("state", "present", _NEEDED)], supports_check_mode=True
    )
    params = module.params
    write = not module.check_mode
    once = {**(params.get("aws_config") or {}), **BUYING}
    warnings: list[str] = []
    try:
        order = order_of(params) if params["state"] == "present" else None
        account = _account(module.client("sts"))
        bucket = params["ledger_bucket"] or f"freehold-reservations-{account}-{module.region}"
        buyer = Buyer(
            SHOPS[service](module.client(service), module.client(service, aws_config=once)),
            BucketLedger(module.client("s3"), bucket, account, service),
            SystemClock(),
            params["wait_timeout"],
            warnings,
        )
        if order is None:
            settled = buyer.settle(write)[1]
            result: dict[str, Any] = {"changed": bool(settled), "settled": settled, "bought": []}
        else:
            result = buyer.ensure(order, write)
    except FreeholdError as error:
        _warn(module, warnings)
        module.fail_json_aws_error(error)
    except ValueError as error:
        module.fail_json(msg=str(error))
    _warn(module, warnings)
    module.exit_json(**result, ledger_bucket=bucket)
