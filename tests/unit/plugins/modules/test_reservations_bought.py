# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that buy reservations: once, again, in check mode, and every answer that AWS may give.

The ledger is moto's S3. moto sells no reservations, so those answers are ours; botocore holds them against AWS's
models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._reservations import buying, shops
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.ledger import BucketLedger
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.purchase import NotBought
from ansible_collections.freehold.airflow.plugins.modules import (
    ec2_reserved_instances,
    elasticache_reserved_nodes,
    rds_reserved_instances,
)
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from botocore.stub import Stubber

BUCKET = "freehold-reservations-123456789012-eu-west-1"
YEAR = 31536000
NOW = datetime.now(UTC)


@dataclass
class Service:
    """One service: its module, what is asked of it, and AWS's words."""

    name: str
    module: ModuleType
    type: str
    product: str
    operation: str
    read: str
    offerings: str
    items: str
    sold: str
    offering: dict[str, Any]
    reserved: dict[str, Any]
    asked: dict[str, Any]
    answer: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)

    def params(self, **more: Any) -> dict[str, Any]:
        given = {
            "environment": "lab",
            "type": self.type,
            "product": self.product,
            "count": 2,
            "years": 1,
            "payment": "No Upfront",
            "price_limit": "1000",
            "tags": {"freehold:environment": "lab"},
            "wait_timeout": 0,
        }
        return {**given, **more}


TAGS = [{"Key": "freehold:environment", "Value": "lab"}]
HOURLY = [{"Amount": 0.02, "Frequency": "Hourly"}]
HOURLY_ELSEWHERE = [{"RecurringChargeAmount": 0.02, "RecurringChargeFrequency": "Hourly"}]
TERM = {"Duration": YEAR, "FixedPrice": 0.0, "UsagePrice": 0.0, "OfferingType": "No Upfront"}

EC2 = Service(
    name="ec2",
    module=ec2_reserved_instances,
    type="t4g.medium",
    product="Linux/UNIX",
    operation="purchase_reserved_instances_offering",
    read="describe_reserved_instances",
    offerings="describe_reserved_instances_offerings",
    items="ReservedInstances",
    sold="ReservedInstancesOfferings",
    offering={
        **TERM,
        "ReservedInstancesOfferingId": "offer-1",
        "InstanceType": "t4g.medium",
        "ProductDescription": "Linux/UNIX",
        "InstanceTenancy": "default",
        "Scope": "Region",
        "OfferingClass": "standard",
        "CurrencyCode": "USD",
        "Marketplace": False,
        "RecurringCharges": HOURLY,
    },
    reserved={
        "ReservedInstancesId": "ri-1",
        "InstanceType": "t4g.medium",
        "InstanceCount": 2,
        "ProductDescription": "Linux/UNIX",
        "InstanceTenancy": "default",
        "Scope": "Region",
        "State": "payment-pending",
        "Start": NOW,
    },
    asked={"ReservedInstancesOfferingId": "offer-1", "InstanceCount": 2},
    answer={"ReservedInstancesId": "ri-1"},
)
RDS = Service(
    name="rds",
    module=rds_reserved_instances,
    type="db.t4g.medium",
    product="postgresql",
    operation="purchase_reserved_db_instances_offering",
    read="describe_reserved_db_instances",
    offerings="describe_reserved_db_instances_offerings",
    items="ReservedDBInstances",
    sold="ReservedDBInstancesOfferings",
    offering={
        **TERM,
        "ReservedDBInstancesOfferingId": "offer-1",
        "DBInstanceClass": "db.t4g.medium",
        "ProductDescription": "postgresql",
        "MultiAZ": False,
        "CurrencyCode": "USD",
        "RecurringCharges": HOURLY_ELSEWHERE,
    },
    reserved={
        "ReservedDBInstanceId": "freehold-lab-token",
        "DBInstanceClass": "db.t4g.medium",
        "DBInstanceCount": 2,
        "ProductDescription": "postgresql",
        "MultiAZ": False,
        "State": "payment-pending",
        "StartTime": NOW,
        "Duration": YEAR,
    },
    asked={
        "ReservedDBInstancesOfferingId": "offer-1",
        "ReservedDBInstanceId": "freehold-lab-token",
        "DBInstanceCount": 2,
        "Tags": TAGS,
    },
    answer={"ReservedDBInstance": {"ReservedDBInstanceId": "freehold-lab-token"}},
)
ELASTICACHE = Service(
    name="elasticache",
    module=elasticache_reserved_nodes,
    type="cache.t4g.micro",
    product="valkey",
    operation="purchase_reserved_cache_nodes_offering",
    read="describe_reserved_cache_nodes",
    offerings="describe_reserved_cache_nodes_offerings",
    items="ReservedCacheNodes",
    sold="ReservedCacheNodesOfferings",
    offering={
        **TERM,
        "ReservedCacheNodesOfferingId": "offer-1",
        "CacheNodeType": "cache.t4g.micro",
        "ProductDescription": "valkey",
        "RecurringCharges": HOURLY_ELSEWHERE,
    },
    reserved={
        "ReservedCacheNodeId": "freehold-lab-token",
        "CacheNodeType": "cache.t4g.micro",
        "CacheNodeCount": 2,
        "ProductDescription": "valkey",
        "State": "payment-pending",
        "StartTime": NOW,
        "Duration": YEAR,
    },
    asked={
        "ReservedCacheNodesOfferingId": "offer-1",
        "ReservedCacheNodeId": "freehold-lab-token",
        "CacheNodeCount": 2,
        "Tags": TAGS,
    },
    answer={"ReservedCacheNode": {"ReservedCacheNodeId": "freehold-lab-token"}},
)
ALL = [EC2, RDS, ELASTICACHE]
PURCHASES = {
    "PurchaseReservedInstancesOffering",
    "PurchaseReservedDBInstancesOffering",
    "PurchaseReservedCacheNodesOffering",
}


class Account:
    """AWS's answers, told beforehand and in order; one client for reading and one that buys, as the modules have."""

    def __init__(self, aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aws = aws
        self.configs: list[dict[str, Any]] = []
        self.stubbers: dict[tuple[str, bool], Stubber] = {}
        aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

        def client(_module: Any, service: str, aws_config: dict[str, Any] | None = None) -> Any:
            if service in ("s3", "sts"):
                return aws.client(service)
            if aws_config is not None:
                self.configs.append(aws_config)
            return self.stub(service, buys=aws_config is not None).client

        monkeypatch.setattr(AnsibleAWSModule, "client", client)
        monkeypatch.setattr(AnsibleAWSModule, "warn", lambda _module, text: self.warnings.append(text))
        monkeypatch.setattr(
            "ansible_collections.freehold.airflow.plugins.module_utils._reservations.purchase.secrets.token_hex",
            lambda _size: "token",
        )
        self.warnings: list[str] = []

    def stub(self, service: str, buys: bool = False) -> Stubber:
        if (service, buys) not in self.stubbers:
            self.stubbers[service, buys] = Stubber(self.aws.client(service))
            self.stubbers[service, buys].activate()
        return self.stubbers[service, buys]

    def owns(self, of: Service, *items: dict[str, Any]) -> None:
        self.stub(of.name).add_response(of.read, {of.items: list(items)}, {})

    def sells(self, of: Service, *items: dict[str, Any], asked: dict[str, Any] | None = None) -> None:
        self.stub(of.name).add_response(of.offerings, {of.sold: list(items)}, asked)

    def takes(self, of: Service) -> None:
        self.stub(of.name, buys=True).add_response(of.operation, of.answer, of.asked)

    def shows(self, of: Service, **said: Any) -> None:
        """Show what was bought, and let it be tagged where that is not done by the purchase."""
        self.owns(of, {**of.reserved, **said})
        if of is EC2:
            self.stub("ec2").add_response("create_tags", {}, {"Resources": ["ri-1"], "Tags": TAGS})

    def refuses(self, of: Service, code: str, status: int = 400) -> None:
        stub = self.stub(of.name, buys=True)
        stub.add_client_error(of.operation, code, "AWS's own words", http_status_code=status)

    def loses(self, of: Service, error: Exception) -> None:
        """Let the purchase end in an error of the connection."""

        def lose(**_: Any) -> None:
            raise error

        name = shops.SHOPS[of.name]._operation
        self.stub(of.name, buys=True).client.meta.events.register(f"provide-client-params.{of.name}.{name}", lose)

    def run(self, of: Service, check: bool = False, **more: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.aws.run(of.module, check=check, **of.params(**more))
        return result

    @property
    def purchases(self) -> list[str]:
        return [operation for operation in self.aws.operations if operation in PURCHASES]

    def ledger(self) -> dict[str, Any]:
        s3 = self.aws.client("s3")
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return {key: json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in keys}

    def done(self) -> None:
        """Assert that all that was told was asked for."""
        for stub in self.stubbers.values():
            stub.assert_no_pending_responses()


@pytest.fixture
def account(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Give an account that owns nothing, with a ledger."""
    monkeypatch.setattr(buying.SystemClock, "sleep", lambda _clock, _seconds: None)
    made = Account(aws, monkeypatch)
    yield made
    made.done()


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.name)
def test_what_is_missing_is_bought_once_tagged_and_written_down(account: Account, of: Service) -> None:
    account.owns(of)
    account.sells(of, of.offering)
    account.takes(of)
    account.shows(of)
    result = account.run(of)
    assert result["changed"], result
    assert len(account.purchases) == 1
    (bought,) = result["bought"]
    assert (bought["count"], bought["total"], bought["currency"]) == (2, "350.40", "USD")
    assert bought["state"] == "payment-pending"
    assert account.warnings == []
    written = account.ledger()
    assert list(written) == [f"{of.name}/000001-intent.json", f"{of.name}/000001-outcome.json"]
    assert written[f"{of.name}/000001-outcome.json"] == {"bought": bought["id"]}
    assert account.configs == [shops.BUYING]
    assert result["ledger_bucket"] == BUCKET


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.name)
@pytest.mark.parametrize("check", [False, True])
def test_the_second_time_nothing_is_written(account: Account, of: Service, check: bool) -> None:
    account.owns(of, of.reserved)
    result = account.run(of, check=check)
    assert not result["changed"], result
    assert (result["owned"], result["wanted"], result["bought"]) == (2, 2, [])
    assert account.aws.writes == []


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.name)
def test_check_mode_says_what_would_be_bought_and_writes_nothing(account: Account, of: Service) -> None:
    account.owns(of)
    account.sells(of, of.offering)
    result = account.run(of, check=True)
    assert result["changed"]
    assert [(item["count"], item["total"]) for item in result["would_buy"]] == [(2, "350.40")]
    assert result["diff"] == {"before": {"owned": 0}, "after": {"owned": 2}}
    assert account.aws.writes == []
    assert account.ledger() == {}


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.name)
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("Throttling", "throttles requests and took no purchase"),
        ("AccessDenied", "AWS's own words"),
        ("InvalidParameterValue", "AWS refused the purchase; nothing was bought"),
    ],
)
def test_a_refused_purchase_is_written_down_as_none(account: Account, of: Service, code: str, words: str) -> None:
    account.owns(of)
    account.sells(of, of.offering)
    account.refuses(of, code)
    result = account.run(of)
    assert result["failed"]
    assert words in result["msg"]
    assert len(account.purchases) == 1
    assert account.ledger()[f"{of.name}/000001-outcome.json"]["bought"] is None


@pytest.mark.parametrize(
    ("of", "code", "words"),
    [
        (EC2, "UnauthorizedOperation", "The permission ec2:PurchaseReservedInstancesOffering is missing"),
        (RDS, "AccessDenied", "The permission rds:PurchaseReservedDBInstancesOffering is missing"),
        (ELASTICACHE, "AccessDenied", "The permission elasticache:PurchaseReservedCacheNodesOffering is missing"),
        (EC2, "ReservedInstancesLimitExceeded", "beyond a quota"),
        (RDS, "ReservedDBInstanceQuotaExceeded", "beyond a quota"),
        (ELASTICACHE, "ReservedCacheNodeQuotaExceededFault", "beyond a quota"),
        (EC2, "InvalidReservedInstancesOfferingId", "not sold any more"),
        (RDS, "ReservedDBInstancesOfferingNotFound", "not sold any more"),
        (ELASTICACHE, "ReservedCacheNodesOfferingNotFound", "not sold any more"),
        *(
            (EC2, code, "AWS throttles requests and took no purchase")
            for code in (
                "EC2ThrottledException",
                "RequestLimitExceeded",
                "RequestThrottled",
                "RequestThrottledException",
                "SlowDown",
                "ThrottledException",
                "Throttling",
                "ThrottlingException",
                "TooManyRequestsException",
            )
        ),
    ],
)
def test_a_refusal_is_told_in_plain_words(account: Account, of: Service, code: str, words: str) -> None:
    account.owns(of)
    account.sells(of, of.offering)
    account.refuses(of, code, 403)
    assert words in account.run(of)["msg"]


URL = "https://example.com"
LOST = [ConnectionClosedError(endpoint_url=URL), ReadTimeoutError(endpoint_url=URL)]


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.name)
@pytest.mark.parametrize("error", LOST, ids=["closed", "timed out"])
def test_a_lost_answer_to_a_purchase_that_took_effect_is_found_in_the_account(
    account: Account, of: Service, error: Exception
) -> None:
    account.owns(of)
    account.sells(of, of.offering)
    account.loses(of, error)
    account.shows(of)
    result = account.run(of)
    assert result["changed"], result
    assert len(account.purchases) == 1
    assert account.ledger()[f"{of.name}/000001-outcome.json"]["bought"] == result["bought"][0]["id"]


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.name)
def test_a_lost_answer_to_a_purchase_without_effect_is_never_followed_by_another(account: Account, of: Service) -> None:
    account.owns(of)
    account.sells(of, of.offering)
    account.loses(of, LOST[0])
    account.owns(of)
    result = account.run(of)
    assert result["failed"]
    assert "run this again an hour from now" in result["msg"]
    assert list(account.ledger()) == [f"{of.name}/000001-intent.json"]
    account.owns(of)
    result = account.run(of)
    assert "has no outcome yet" in result["msg"]
    assert account.purchases == []


def test_the_next_run_settles_a_purchase_without_buying(account: Account) -> None:
    account.owns(RDS)
    account.sells(RDS, RDS.offering)
    account.loses(RDS, LOST[0])
    account.owns(RDS)
    assert account.run(RDS)["failed"]
    for check in (True, False):
        account.owns(RDS, RDS.reserved)
        result = account.aws.run(RDS.module, check=check, state="settled")
        assert [item["id"] for item in result["settled"]] == ["freehold-lab-token"]
        assert len(account.ledger()) == (1 if check else 2)
    result = account.aws.run(RDS.module, state="settled")
    assert (result["changed"], result["settled"]) == (False, [])


def test_an_id_that_is_taken_was_taken_by_this_very_purchase(account: Account) -> None:
    account.owns(RDS)
    account.sells(RDS, RDS.offering)
    account.refuses(RDS, "ReservedDBInstanceAlreadyExists")
    account.owns(RDS, RDS.reserved)
    assert [item["id"] for item in account.run(RDS)["bought"]] == ["freehold-lab-token"]


@pytest.mark.parametrize("error", [NoCredentialsError(), EndpointConnectionError(endpoint_url=URL)])
def test_what_never_left_the_machine_bought_nothing(account: Account, error: Exception) -> None:
    account.owns(EC2)
    account.sells(EC2, EC2.offering)
    account.loses(EC2, error)
    assert "could not be sent; nothing was bought" in account.run(EC2)["msg"]
    assert account.ledger()["ec2/000001-outcome.json"]["bought"] is None


@pytest.mark.parametrize(("code", "status"), [("InternalError", 500), ("ServiceUnavailable", 503), ("Odd", 408)])
def test_an_error_of_aws_itself_is_no_refusal(account: Account, code: str, status: int) -> None:
    account.owns(EC2)
    account.sells(EC2, EC2.offering)
    account.refuses(EC2, code, status)
    account.owns(EC2)
    assert "is not known" in account.run(EC2)["msg"]
    assert list(account.ledger()) == ["ec2/000001-intent.json"]


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.name)
def test_the_clock_is_looked_at_after_the_signature_and_nothing_is_sent_too_late(
    aws: Any, of: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = aws.client(of.name)
    seen: list[str] = []
    sign = client._request_signer.sign

    def signed(*args: Any, **kwargs: Any) -> None:
        # Credentials are fetched in here, before the signature is dated.
        sign(*args, **kwargs)
        seen.append("signed")

    def too_late() -> None:
        seen.append("looked")
        raise NotBought(message="too late")

    monkeypatch.setattr(client._request_signer, "sign", signed)
    monkeypatch.setattr(client._endpoint.http_session, "send", lambda _request: seen.append("sent"))
    client.meta.events.register_last("before-send", lambda **_: seen.append("sent"))
    intent = {"offering": "offer-1", "count": 1, "name": "freehold-lab-token", "tags": {}}
    with pytest.raises(NotBought, match="too late"):
        shops.SHOPS[of.name](client, client).purchase(intent, too_late)
    assert seen == ["signed", "looked"]


def test_ec2_throttles_with_503_and_that_is_a_refusal(account: Account) -> None:
    account.owns(EC2)
    account.sells(EC2, EC2.offering)
    account.refuses(EC2, "RequestLimitExceeded", 503)
    assert "nothing was bought" in account.run(EC2)["msg"]


def test_an_earlier_reservation_of_the_same_kind_is_not_taken_for_the_lost_one(account: Account) -> None:
    old = {**EC2.reserved, "ReservedInstancesId": "ri-0", "State": "active"}
    account.owns(EC2, old)
    account.sells(EC2, EC2.offering)
    account.loses(EC2, LOST[0])
    account.owns(EC2, old)
    assert "is not known" in account.run(EC2, claimed=2)["msg"]


def test_tags_that_can_not_be_written_do_not_make_the_purchase_a_failure(account: Account) -> None:
    account.owns(EC2)
    account.sells(EC2, EC2.offering)
    account.stub("ec2", buys=True).add_response(EC2.operation, EC2.answer, EC2.asked)
    account.owns(EC2, EC2.reserved)
    account.stub("ec2").add_client_error("create_tags", "UnauthorizedOperation", "not authorized: ec2:CreateTags")
    assert account.run(EC2)["bought"][0]["id"] == "ri-1"
    assert "ec2:CreateTags" in account.warnings[0]
    assert account.ledger()["ec2/000001-outcome.json"] == {"bought": "ri-1"}


def test_what_could_not_be_written_down_is_told_of_a_refused_purchase_too(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise FreeholdError(message="S3 is away")

    monkeypatch.setattr(BucketLedger, "settle", fail)
    account.owns(EC2)
    account.sells(EC2, EC2.offering)
    account.refuses(EC2, "Throttling")
    assert "took no purchase" in account.run(EC2)["msg"]
    (warning,) = account.warnings
    assert warning.startswith("How purchase 1 ended is not written down; the next run does it: S3 is away")


# ---- the offering ---------------------------------------------------------------------------------------------------

REGIONAL = {"Filters": [{"Name": "scope", "Values": ["Region"]}]}
ZONAL = {"Filters": [{"Name": "scope", "Values": ["Availability Zone"]}], "AvailabilityZone": "eu-west-1a"}
ASKED_EC2 = {
    "IncludeMarketplace": False,
    "ProductDescription": "Linux/UNIX",
    "InstanceType": "t4g.medium",
    "InstanceTenancy": "default",
    "OfferingClass": "standard",
    "OfferingType": "No Upfront",
    "MinDuration": YEAR,
    "MaxDuration": YEAR,
    **REGIONAL,
}
ASKED_RDS = {
    "ProductDescription": "postgresql",
    "DBInstanceClass": "db.t4g.medium",
    "MultiAZ": False,
    "OfferingType": "No Upfront",
    "Duration": "1",
}
ASKED_NODES = {
    "ProductDescription": "valkey",
    "CacheNodeType": "cache.t4g.micro",
    "OfferingType": "No Upfront",
    "Duration": "1",
}
PLAIN = {"multi_az": False, "tenancy": "default", "zone": "", "offering_class": "standard"}
# A service, what is asked of its module beyond the defaults, how AWS must be asked for offerings then, and how AWS says
# the same of what it sells.
TERMS: list[tuple[Service, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (RDS, {"multi_az": True}, {**ASKED_RDS, "MultiAZ": True}, {"MultiAZ": True}),
    (
        EC2,
        {"tenancy": "dedicated"},
        {**ASKED_EC2, "InstanceTenancy": "dedicated"},
        {"InstanceTenancy": "dedicated"},
    ),
    (
        EC2,
        {"zone": "eu-west-1a"},
        {**ASKED_EC2, **ZONAL},
        {"Scope": "Availability Zone", "AvailabilityZone": "eu-west-1a"},
    ),
    (
        EC2,
        {"offering_class": "convertible"},
        {**ASKED_EC2, "OfferingClass": "convertible"},
        {"OfferingClass": "convertible"},
    ),
]


@pytest.mark.parametrize(
    ("of", "asked"), [(EC2, ASKED_EC2), (RDS, ASKED_RDS), (ELASTICACHE, ASKED_NODES)], ids=["ec2", "rds", "elasticache"]
)
def test_aws_is_asked_for_the_plainest_offering_unless_more_is_said(
    account: Account, of: Service, asked: dict[str, Any]
) -> None:
    account.owns(of)
    account.sells(of, of.offering, asked=asked)
    assert account.run(of, check=True)["changed"]


# AWS lets reservations of both classes pay for the same instances, so only the other terms tell them apart.
@pytest.mark.parametrize(("of", "given", "asked", "said"), TERMS[:3], ids=["standby", "dedicated", "zonal"])
def test_what_is_owned_on_other_terms_is_not_counted_and_bought_is_what_was_asked_for(
    account: Account, of: Service, given: dict[str, Any], asked: dict[str, Any], said: dict[str, Any]
) -> None:
    other = {**of.reserved, next(key for key in of.reserved if key.endswith("Id")): "other", "State": "active"}
    account.owns(of, other)
    account.sells(of, of.offering, {**of.offering, **said}, asked=asked)
    account.takes(of)
    account.shows(of, **said)
    result = account.run(of, **given)
    assert result["differences"][0]["current"] == 0
    assert [item["count"] for item in result["bought"]] == [2]
    assert account.warnings == []


@pytest.mark.parametrize(("of", "given", "asked", "said"), TERMS, ids=["standby", "dedicated", "zonal", "convertible"])
@pytest.mark.parametrize("named", ["", "offer-1"])
def test_an_offering_of_another_kind_is_never_bought_even_when_aws_returns_it(
    account: Account,
    of: Service,
    given: dict[str, Any],
    asked: dict[str, Any],
    said: dict[str, Any],
    named: str,
) -> None:
    account.owns(of)
    account.sells(of, of.offering, asked=asked)
    if named:
        account.sells(of, of.offering)
    message = account.run(of, **given, offering_id=named)["msg"]
    [(option, value)] = given.items()
    wrong = f"its {option.replace('_', ' ')} is '{PLAIN[option]}' and not '{value}'"
    assert (wrong if named else "AWS sells no reservation of") in message
    assert account.purchases == []
    assert account.ledger() == {}


def test_an_offering_that_was_named_is_bought_among_several(account: Account) -> None:
    account.owns(EC2)
    account.sells(EC2, {**EC2.offering, "ReservedInstancesOfferingId": "offer-0"}, EC2.offering)
    account.takes(EC2)
    account.shows(EC2)
    assert account.run(EC2, offering_id="offer-1")["bought"][0]["offering"] == "offer-1"


@pytest.mark.parametrize(
    ("sold", "words"),
    [
        ({"Marketplace": True, "Duration": 18144000}, "another customer's on the marketplace"),
        ({"Duration": 3 * YEAR}, "its years is '3' and not '1'"),
        ({"OfferingType": "All Upfront"}, "its payment is 'All Upfront' and not 'No Upfront'"),
    ],
)
def test_an_offering_on_other_terms_is_refused(account: Account, sold: dict[str, Any], words: str) -> None:
    account.owns(EC2)
    account.sells(EC2)
    account.stub("ec2").add_response(
        EC2.offerings, {EC2.sold: [{**EC2.offering, **sold}]}, {"ReservedInstancesOfferingIds": ["offer-1"]}
    )
    assert words in account.run(EC2, offering_id="offer-1")["msg"]
    assert account.purchases == []


@pytest.mark.parametrize(
    ("of", "code"),
    [
        (EC2, "InvalidReservedInstancesOfferingId"),
        (RDS, "ReservedDBInstancesOfferingNotFound"),
        (ELASTICACHE, "ReservedCacheNodesOfferingNotFound"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_offering_that_has_expired_is_refused(account: Account, of: Service, code: str) -> None:
    account.owns(of)
    account.sells(of)
    account.stub(of.name).add_client_error(
        of.offerings,
        code,
    )
    assert "is not sold, or not any more" in account.run(of, offering_id="offer-9")["msg"]
    assert account.purchases == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": 0}, "count is 0, but must be 1 or more"),
        ({"count": -1}, "count is -1"),
        ({"claimed": -1}, "claimed is -1"),
        ({"max_count": 0}, "max_count is 0"),
        ({"price_limit": "much"}, "price_limit is 'much'"),
        ({"price_limit": "NaN"}, "price_limit is 'NaN'"),
        ({"price_limit": "0"}, "price_limit is '0'"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_aws_is_asked(
    account: Account, given: dict[str, Any], words: str
) -> None:
    result = account.run(EC2, **given)
    assert result["failed"]
    assert words in result["msg"]
    assert account.aws.operations == []


# ---- the ledger -----------------------------------------------------------------------------------------------------


def test_without_a_bucket_nothing_is_bought(account: Account) -> None:
    account.owns(EC2)
    account.sells(EC2, EC2.offering)
    result = account.run(EC2, ledger_bucket="not-there")
    assert "Failed to write down the purchase" in result["msg"]
    assert account.purchases == []


def test_a_ledger_that_somebody_changed_is_not_trusted(account: Account) -> None:
    account.aws.client("s3").put_object(Bucket=BUCKET, Key="ec2/000007-outcome.json", Body=b"{}")
    assert "has no intent number 7: it was changed" in account.run(EC2)["msg"]


def test_the_ledgers_first_write_stays(account: Account) -> None:
    ledger = BucketLedger(account.aws.client("s3"), BUCKET, "123456789012", "ec2")
    assert ledger.last() is None
    assert ledger.begin(1, {"token": "mine"})
    assert not ledger.begin(1, {"token": "yours"})
    # What a client that repeats a request sees when the first answer was lost.
    assert ledger.begin(1, {"token": "mine"})
    ledger.settle(1, {"bought": "ri-1"})
    ledger.settle(1, {"bought": None})
    found = ledger.last()
    assert found is not None
    assert (found.number, found.intent, found.outcome) == (1, {"token": "mine"}, {"bought": "ri-1"})
    assert 0 <= found.age < 60
