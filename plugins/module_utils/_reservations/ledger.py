# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Purchases written down in a bucket, in two objects each: the intent before, the outcome afterwards.

Both are written with C(If-None-Match: *), of which S3 lets only the first through, and lists are never behind:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html. Nothing is overwritten or deleted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError, aws_call
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.purchase import Entry, Intent

_KEY = re.compile(r"/(\d+)-(intent|outcome)\.json$")


class BucketLedger:
    """The ledger of one service; C(account) must own the bucket, so that nobody else's word counts."""

    def __init__(self, client: Any, bucket: str, account: str, service: str) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "ExpectedBucketOwner": account}
        self._service = service

    def last(self) -> Entry | None:
        """The latest purchase; None where there is no bucket yet."""
        numbers: dict[int, dict[str, Any]] = {}
        now = None
        for page in _pages(self._client, Prefix=f"{self._service}/", **self._where):
            now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
            for item in page.get("Contents", []):
                match = _KEY.search(item["Key"])
                if match:
                    numbers.setdefault(int(match[1]), {})[match[2]] = item
        if not numbers or now is None:
            return None
        number = max(numbers)
        found = numbers[number]
        if "intent" not in found:
            message = f"The ledger in the bucket {self._where['Bucket']} has no intent number {number}: it was changed."
            raise FreeholdError(message=message)
        intent = _get(self._client, Key=found["intent"]["Key"], **self._where)
        outcome = _get(self._client, Key=found["outcome"]["Key"], **self._where) if "outcome" in found else None
        # Both times are AWS's, whatever the clocks of the machines say.
        return Entry(number, intent, outcome, (now - found["intent"]["LastModified"]).total_seconds())

    def begin(self, number: int, intent: Intent) -> bool:
        """Take a number; True as well when a first try of this very call took it and its answer was lost."""
        key = self._key(number, "intent")
        if _create(self._client, Key=key, Body=_text(intent), **self._where):
            return True
        return bool(_get(self._client, Key=key, **self._where)["token"] == intent["token"])

    def settle(self, number: int, outcome: Mapping[str, Any]) -> None:
        """Write down how a purchase ended; what was written first stays."""
        _create(self._client, Key=self._key(number, "outcome"), Body=_text(outcome), **self._where)

    def _key(self, number: int, what: str) -> str:
        return f"{self._service}/{number:06d}-{what}.json"


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


@aws_call("read the ledger of purchases", missing=("NoSuchBucket",), default=[])
def _pages(client: Any, **request: Any) -> list[dict[str, Any]]:
    return list(client.get_paginator("list_objects_v2").paginate(**request))


@aws_call("read the ledger of purchases")
def _get(client: Any, **request: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.get_object(**request)["Body"].read())
    return found


@aws_call(
    "write down the purchase", missing=("PreconditionFailed",), default=False, retry=("ConditionalRequestConflict",)
)
def _create(client: Any, **request: Any) -> bool:
    """Write an object that must not be there; False when it is."""
    client.put_object(IfNoneMatch="*", ContentType="application/json", **request)
    return True
