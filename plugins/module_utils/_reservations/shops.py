# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The three services that sell reservations, each by its own names. The one place from which a purchase is sent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule has refused to start without botocore.
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        NoCredentialsError,
        ParamValidationError,
    )

from ansible_collections.freehold.airflow.plugins.module_utils._common import tag_list
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import api, offerings, reading
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import (
    MULTI_AZ,
    SINGLE,
    Reservation,
    Service,
)
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.purchase import (
    Intent,
    Kind,
    NotBought,
    Offering,
    Order,
    Unclear,
)

# One try, and an answer within a minute: whatever comes of it, nothing is sent again.
BUYING = {"retries": {"total_max_attempts": 1, "mode": "standard"}, "connect_timeout": 10, "read_timeout": 60}

# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_THROTTLED = (
    "EC2ThrottledException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "SlowDown",
)
_DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
_QUOTAS = ("ReservedInstancesLimitExceeded", "ReservedDBInstanceQuotaExceeded", "ReservedCacheNodeQuotaExceeded")
_GONE = (
    "InvalidReservedInstancesOfferingId",
    "ReservedDBInstancesOfferingNotFound",
    "ReservedCacheNodesOfferingNotFound",
)
_TAKEN = ("ReservedDBInstanceAlreadyExists", "ReservedCacheNodeAlreadyExists")


def verdict(error: Exception, action: str) -> NotBought | Unclear:
    """What an error says of a purchase: refused for sure, or unclear. In doubt it is unclear."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "")).removesuffix("Fault")
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        sentences = {
            _THROTTLED: "AWS throttles requests and took no purchase; nothing was bought. Run it again in a minute.",
            _DENIED: f"The permission {action} is missing; nothing was bought.",
            _QUOTAS: "The purchase is beyond a quota of the account; nothing was bought.",
            _GONE: "The offering is not sold any more; nothing was bought.",
        }
        for codes, sentence in sentences.items():
            if code in codes:
                return NotBought(message=sentence, exception=error)
        # The id is made for one intent, so that whoever took it was this purchase.
        if code not in _TAKEN and 400 <= status < 500 and status != 408:
            return NotBought(message="AWS refused the purchase; nothing was bought", exception=error)
    elif isinstance(error, (NoCredentialsError, ParamValidationError, EndpointConnectionError, ConnectTimeoutError)):
        return NotBought(message="The purchase could not be sent; nothing was bought", exception=error)
    return Unclear(message=f"AWS did not answer clearly ({error}).", exception=error)


class _Shop:
    """What the services have in common. C(buyer) is a client that tries once, see BUYING."""

    service: Service
    named = True
    _operation: str
    _read_offerings: Callable[..., api.Described]

    def __init__(self, reader: Any, buyer: Any) -> None:
        self._reader = reader
        self._buyer = buyer

    def kind(self, fields: Mapping[str, Any]) -> Kind:
        """What an order or an intent is for."""
        copies = MULTI_AZ if fields["multi_az"] else SINGLE
        return fields["type"], self._product(fields["product"]), fields["zone"], fields["tenancy"], copies

    def _product(self, product: str) -> str:
        return product

    def offerings(self, order: Order) -> list[Offering]:
        """What AWS itself sells for an order."""
        asked = offerings.request({"service": self.service, **order.terms()})
        return [offerings.described(self.service, item) for item in type(self)._read_offerings(self._reader, **asked)]

    def offering(self, name: str) -> Offering | None:
        """One offering by its id, with C(marketplace); None when it is not sold."""
        found = self._by_id(name)
        if not found:
            return None
        marketplace = bool(found[0].get("Marketplace"))
        return {**offerings.described(self.service, found[0]), "marketplace": marketplace}

    def _by_id(self, name: str) -> api.Described:
        raise NotImplementedError

    def purchase(self, intent: Intent, in_time: Callable[[], None]) -> str:
        """Buy once and return the id; call C(in_time) when the request is signed. Raises NotBought or Unclear."""

        def look_at_the_clock(**_: Any) -> None:
            in_time()

        # After the signature: credentials are fetched for it, which may take minutes. A pause between this look and the
        # wire only makes the signature older, and AWS refuses one that is too old.
        event = f"before-send.{self.service}.{self._operation}"
        self._buyer.meta.events.register(event, look_at_the_clock)
        try:
            return self._send(intent)
        except (ClientError, BotoCoreError) as error:
            raise verdict(error, f"{self.service}:{self._operation}") from error
        finally:
            self._buyer.meta.events.unregister(event, look_at_the_clock)

    def _send(self, intent: Intent) -> str:
        raise NotImplementedError

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Tags came with the purchase."""


class InstanceShop(_Shop):
    """EC2: no client token, no id of one's own, no tags at the purchase."""

    service: Service = "ec2"
    named = False
    _operation = "PurchaseReservedInstancesOffering"
    _read_offerings = staticmethod(api.instance_offerings)

    def owned(self) -> list[Reservation]:
        """All reserved instances of the region."""
        return [reading.ec2_reservation(item) for item in api.reserved_instances(self._reader)]

    def _product(self, product: str) -> str:
        return reading.platform(product)

    def _by_id(self, name: str) -> api.Described:
        return api.instance_offering(self._reader, name)

    def _send(self, intent: Intent) -> str:
        answer = self._buyer.purchase_reserved_instances_offering(
            ReservedInstancesOfferingId=intent["offering"], InstanceCount=intent["count"]
        )
        return str(answer["ReservedInstancesId"])

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Tag it now, since the purchase takes no tags."""
        api.tag_reserved_instances(self._reader, name, tags)


class DatabaseShop(_Shop):
    """RDS."""

    service: Service = "rds"
    _operation = "PurchaseReservedDBInstancesOffering"
    _read_offerings = staticmethod(api.database_offerings)

    def owned(self) -> list[Reservation]:
        """All reserved DB instances of the region."""
        return [reading.rds_reservation(item) for item in api.reserved_databases(self._reader)]

    def _product(self, product: str) -> str:
        return reading.reserved_database_product(product)

    def _by_id(self, name: str) -> api.Described:
        return api.database_offering(self._reader, name)

    def _send(self, intent: Intent) -> str:
        answer = self._buyer.purchase_reserved_db_instances_offering(
            ReservedDBInstancesOfferingId=intent["offering"],
            ReservedDBInstanceId=intent["name"],
            DBInstanceCount=intent["count"],
            Tags=tag_list(intent["tags"]),
        )
        return str(answer["ReservedDBInstance"]["ReservedDBInstanceId"])


class NodeShop(_Shop):
    """ElastiCache."""

    service: Service = "elasticache"
    _operation = "PurchaseReservedCacheNodesOffering"
    _read_offerings = staticmethod(api.node_offerings)

    def owned(self) -> list[Reservation]:
        """All reserved cache nodes of the region."""
        return [reading.cache_reservation(item) for item in api.reserved_nodes(self._reader)]

    def _by_id(self, name: str) -> api.Described:
        return api.node_offering(self._reader, name)

    def _send(self, intent: Intent) -> str:
        answer = self._buyer.purchase_reserved_cache_nodes_offering(
            ReservedCacheNodesOfferingId=intent["offering"],
            ReservedCacheNodeId=intent["name"],
            CacheNodeCount=intent["count"],
            Tags=tag_list(intent["tags"]),
        )
        return str(answer["ReservedCacheNode"]["ReservedCacheNodeId"])


SHOPS: dict[str, type[InstanceShop | DatabaseShop | NodeShop]] = {
    "ec2": InstanceShop,
    "rds": DatabaseShop,
    "elasticache": NodeShop,
}
