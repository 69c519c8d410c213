# SPDX-License-Identifier: GPL-3.0-or-later
"""Reserved instances, DB instances and cache nodes: sold as AWS sells them, with all that can go wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from moto.s3.models import S3Backend

from lab.api.services import reserved_instances, reserved_nodes
from lab.tests.api.conftest import REGION, RunningLab

pytestmark = pytest.mark.filterwarnings(r"ignore:Exception\(AwsError\)")
YEAR = 31536000


@pytest.fixture(autouse=True)
def nothing_owned() -> Iterator[None]:
    """Quotas count what a test bought and nothing else."""
    yield
    reserved_instances.RESERVED.clear()
    reserved_nodes.RESERVED.clear()


@pytest.fixture
def ec2(running: RunningLab) -> Any:
    return running.client("ec2")


def code(call: Callable[..., Any], **kwargs: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**kwargs)
    return str(caught.value.response["Error"]["Code"])


def offering(ec2: Any, **wanted: Any) -> dict[str, Any]:
    """The one offering of a t4g.medium for a year without upfront payment, or another."""
    asked = {
        "InstanceType": "t4g.medium",
        "ProductDescription": "Linux/UNIX",
        "OfferingClass": "standard",
        "OfferingType": "No Upfront",
        "IncludeMarketplace": False,
        "MaxDuration": YEAR,
        "Filters": [{"Name": "scope", "Values": ["Region"]}],
        **wanted,
    }
    found = ec2.describe_reserved_instances_offerings(**asked)["ReservedInstancesOfferings"]
    assert len(found) == 1
    only: dict[str, Any] = found[0]
    return only


def buy(ec2: Any, count: int = 1, **wanted: Any) -> str:
    name = offering(ec2, **wanted)["ReservedInstancesOfferingId"]
    bought = ec2.purchase_reserved_instances_offering(ReservedInstancesOfferingId=name, InstanceCount=count)
    return str(bought["ReservedInstancesId"])


def owned(ec2: Any, name: str) -> dict[str, Any]:
    (found,) = ec2.describe_reserved_instances(ReservedInstancesIds=[name])["ReservedInstances"]
    only: dict[str, Any] = found
    return only


def test_an_offering_has_all_that_aws_says_of_one(ec2: Any) -> None:
    found = offering(ec2, OfferingType="Partial Upfront")
    assert found["Scope"] == "Region"
    assert "AvailabilityZone" not in found
    assert (found["Duration"], found["CurrencyCode"], found["InstanceTenancy"]) == (YEAR, "USD", "default")
    assert found["FixedPrice"] > 0
    (charge,) = found["RecurringCharges"]
    assert charge["Frequency"] == "Hourly"
    assert charge["Amount"] > 0
    zonal = offering(ec2, Filters=[{"Name": "availability-zone", "Values": [f"{REGION}a"]}])
    assert (zonal["Scope"], zonal["AvailabilityZone"]) == ("Availability Zone", f"{REGION}a")


def test_offerings_come_in_pages_and_the_marketplace_unless_told_otherwise(ec2: Any) -> None:
    def pages(**asked: Any) -> list[dict[str, Any]]:
        paginator = ec2.get_paginator("describe_reserved_instances_offerings")
        found: list[dict[str, Any]] = paginator.paginate(InstanceType="t3.medium", **asked).build_full_result()[
            "ReservedInstancesOfferings"
        ]
        return found

    everything = pages(PaginationConfig={"PageSize": 7})
    ids = [item["ReservedInstancesOfferingId"] for item in everything]
    assert len(set(ids)) == len(ids) > 14
    resold = [item for item in everything if item["Marketplace"]]
    assert len(resold) == 1
    assert [item for item in pages(IncludeMarketplace=False) if item["Marketplace"]] == []
    taken = ec2.purchase_reserved_instances_offering
    name = resold[0]["ReservedInstancesOfferingId"]
    assert code(taken, ReservedInstancesOfferingId=name, InstanceCount=1) == "ReservedInstancesUnavailable"


def test_a_purchase_is_pending_before_it_is_active(ec2: Any) -> None:
    name = buy(ec2, 2)
    first = owned(ec2, name)
    assert (first["State"], first["InstanceCount"], first["Scope"]) == ("payment-pending", 2, "Region")
    assert first["End"] - first["Start"] == timedelta(seconds=YEAR)
    assert owned(ec2, name)["State"] == "active"


def test_every_call_buys_anew(ec2: Any) -> None:
    assert buy(ec2) != buy(ec2)
    assert len(ec2.describe_reserved_instances()["ReservedInstances"]) == 2


def test_a_dry_run_buys_nothing(ec2: Any) -> None:
    name = offering(ec2)["ReservedInstancesOfferingId"]
    call = ec2.purchase_reserved_instances_offering
    assert code(call, ReservedInstancesOfferingId=name, InstanceCount=1, DryRun=True) == "DryRunOperation"
    assert ec2.describe_reserved_instances()["ReservedInstances"] == []


def test_the_monthly_quota_counts_instances_regional_and_zonal_apart(ec2: Any) -> None:
    buy(ec2, 20)
    call = ec2.purchase_reserved_instances_offering
    regional = offering(ec2)["ReservedInstancesOfferingId"]
    assert code(call, ReservedInstancesOfferingId=regional, InstanceCount=1) == "ReservedInstancesLimitExceeded"
    zonal = {"Filters": [{"Name": "availability-zone", "Values": [f"{REGION}a"]}]}
    buy(ec2, 20, **zonal)
    name = offering(ec2, **zonal)["ReservedInstancesOfferingId"]
    assert code(call, ReservedInstancesOfferingId=name, InstanceCount=1) == "ReservedInstancesLimitExceeded"
    assert len(ec2.describe_reserved_instances()["ReservedInstances"]) == 2


@pytest.mark.parametrize("count", [0, -1])
def test_no_less_than_one_can_be_bought(ec2: Any, count: int) -> None:
    name = offering(ec2)["ReservedInstancesOfferingId"]
    call = ec2.purchase_reserved_instances_offering
    assert code(call, ReservedInstancesOfferingId=name, InstanceCount=count) == "InvalidParameterValue"


def test_what_is_not_there_is_refused(ec2: Any) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    call = ec2.purchase_reserved_instances_offering
    assert code(call, ReservedInstancesOfferingId=unknown, InstanceCount=1) == "InvalidReservedInstancesOfferingId"
    describe = ec2.describe_reserved_instances
    assert code(describe, ReservedInstancesIds=[unknown]) == "InvalidReservedInstancesId"
    assert code(describe, Filters=[{"Name": "colour", "Values": ["red"]}]) == "InvalidParameterValue"


def test_a_queued_purchase_can_be_taken_back_and_an_active_one_not(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = offering(ec2)["ReservedInstancesOfferingId"]
    later = datetime.now(UTC) + timedelta(days=30)
    call = ec2.purchase_reserved_instances_offering
    queued, kept = (
        call(ReservedInstancesOfferingId=name, InstanceCount=1, PurchaseTime=later)["ReservedInstancesId"]
        for _ in range(2)
    )
    assert owned(ec2, queued)["State"] == "queued"
    bought = buy(ec2)
    answer = ec2.delete_queued_reserved_instances(ReservedInstancesIds=[queued, bought])
    assert [item["ReservedInstancesId"] for item in answer["SuccessfulQueuedPurchaseDeletions"]] == [queued]
    assert [item["ReservedInstancesId"] for item in answer["FailedQueuedPurchaseDeletions"]] == [bought]
    assert owned(ec2, queued)["State"] == "queued-deleted"
    monkeypatch.setattr(reserved_instances, "now", lambda: later + timedelta(minutes=1))
    assert [owned(ec2, kept)["State"] for _ in range(2)] == ["payment-pending", "active"]
    much_later = later + timedelta(days=365)
    monkeypatch.setattr(reserved_instances, "now", lambda: much_later)
    assert owned(ec2, kept)["State"] == "retired"


def test_zonal_ones_and_past_or_far_times_can_not_be_queued(ec2: Any) -> None:
    call = ec2.purchase_reserved_instances_offering
    regional = offering(ec2)["ReservedInstancesOfferingId"]
    zonal = offering(ec2, Filters=[{"Name": "availability-zone", "Values": [f"{REGION}a"]}])
    now = datetime.now(UTC)
    for name, when in [
        (zonal["ReservedInstancesOfferingId"], now + timedelta(days=1)),
        (regional, now - timedelta(days=1)),
        (regional, now + timedelta(days=1200)),
    ]:
        asked = {"ReservedInstancesOfferingId": name, "InstanceCount": 1, "PurchaseTime": when}
        assert code(call, **asked) == "InvalidParameterValue"


def test_tags_come_afterwards(ec2: Any) -> None:
    name, other = buy(ec2), buy(ec2)
    ec2.create_tags(Resources=[name], Tags=[{"Key": "freehold:environment", "Value": "lab"}])
    assert owned(ec2, name)["Tags"] == [{"Key": "freehold:environment", "Value": "lab"}]
    tagged = [{"Name": "tag:freehold:environment", "Values": ["lab"]}]
    found = ec2.describe_reserved_instances(Filters=tagged)["ReservedInstances"]
    assert [item["ReservedInstancesId"] for item in found] == [name]
    [tag] = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["reserved-instances"]}])["Tags"]
    assert (tag["ResourceId"], tag["ResourceType"], tag["Value"]) == (name, "reserved-instances", "lab")
    ec2.delete_tags(Resources=[name], Tags=[{"Key": "freehold:environment"}])
    assert owned(ec2, name).get("Tags", []) == owned(ec2, other).get("Tags", []) == []


# ---- RDS and ElastiCache --------------------------------------------------------------------------------------------

KINDS = [
    ("rds", "db_instances", "DBInstance", "DBInstanceClass", "db.t4g.medium", "postgresql", 40),
    ("elasticache", "cache_nodes", "CacheNode", "CacheNodeType", "cache.t4g.micro", "valkey", 300),
]


class Shop:
    """One of the two services by the names of its operations."""

    def __init__(self, client: Any, plural: str, noun: str, type_key: str, type_name: str, product: str) -> None:
        self.client, self.noun = client, noun
        self.describe = getattr(client, f"describe_reserved_{plural}")
        self.offerings = getattr(client, f"describe_reserved_{plural}_offerings")
        self.purchase = getattr(client, f"purchase_reserved_{plural}_offering")
        self.paginator = client.get_paginator(f"describe_reserved_{plural}_offerings")
        self.wanted = {
            type_key: type_name,
            "ProductDescription": product,
            "Duration": "1",
            "OfferingType": "No Upfront",
        }

    def offering(self) -> dict[str, Any]:
        found: dict[str, Any] = self.offerings(**self.wanted)[f"Reserved{self.noun}sOfferings"][0]
        return found

    def buy(self, name: str, count: int = 1, **more: Any) -> dict[str, Any]:
        asked = {
            f"Reserved{self.noun}sOfferingId": self.offering()[f"Reserved{self.noun}sOfferingId"],
            f"Reserved{self.noun}Id": name,
            f"{self.noun}Count": count,
            **more,
        }
        bought: dict[str, Any] = self.purchase(**asked)[f"Reserved{self.noun}"]
        return bought

    def owned(self, **wanted: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.describe(**wanted)[f"Reserved{self.noun}s"]
        return found


@pytest.fixture(params=KINDS, ids=["rds", "elasticache"])
def shop(running: RunningLab, request: pytest.FixtureRequest) -> tuple[Shop, int]:
    service, *names, quota = request.param
    return Shop(running.client(service), *names), quota


def test_a_reservation_is_bought_under_an_id_that_can_not_be_bought_again(shop: tuple[Shop, int]) -> None:
    store, _ = shop
    bought = store.buy("Mine", 2)
    assert bought["State"] == "payment-pending"
    assert bought[f"Reserved{store.noun}Id"] == "mine"
    assert bought[f"{store.noun}Count"] == 2
    with pytest.raises(ClientError) as caught:
        store.buy("mine")
    assert caught.value.response["Error"]["Code"] == f"Reserved{store.noun}AlreadyExists"
    assert [store.owned()[0]["State"] for _ in range(2)] == ["payment-pending", "active"]
    assert len(store.owned()) == 1


def test_what_was_bought_is_found_by_its_id_or_not_at_all(shop: tuple[Shop, int]) -> None:
    store, _ = shop
    store.buy("mine")
    assert len(store.owned(**{f"Reserved{store.noun}Id": "mine"})) == 1
    assert code(store.describe, **{f"Reserved{store.noun}Id": "yours"}) == f"Reserved{store.noun}NotFound"
    unknown = {f"Reserved{store.noun}sOfferingId": "00000000-0000-0000-0000-000000000000"}
    assert code(store.purchase, **unknown) == f"Reserved{store.noun}sOfferingNotFound"
    assert code(store.offerings, **unknown) == f"Reserved{store.noun}sOfferingNotFound"


def test_no_more_than_the_quota_and_no_less_than_one(shop: tuple[Shop, int]) -> None:
    store, quota = shop
    for count, expected in [(0, "InvalidParameterValue"), (quota + 1, f"Reserved{store.noun}QuotaExceeded")]:
        with pytest.raises(ClientError) as caught:
            store.buy("mine", count)
        assert caught.value.response["Error"]["Code"] == expected
    store.buy("mine", quota)


def test_tags_can_be_given_with_the_purchase_and_later(shop: tuple[Shop, int]) -> None:
    store, _ = shop
    bought = store.buy("mine", Tags=[{"Key": "a", "Value": "1"}])
    arn = bought.get("ReservedDBInstanceArn") or bought["ReservationARN"]
    store.client.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "b", "Value": "2"}])
    found = store.client.list_tags_for_resource(ResourceName=arn)["TagList"]
    assert {tag["Key"]: tag["Value"] for tag in found} == {"a": "1", "b": "2"}


def test_offerings_are_chosen_by_their_attributes_and_come_in_pages(shop: tuple[Shop, int]) -> None:
    store, _ = shop
    found = store.offering()
    assert (found["Duration"], found["OfferingType"], found["FixedPrice"]) == (YEAR, "No Upfront", 0)
    assert found["RecurringCharges"][0]["RecurringChargeFrequency"] == "Hourly"
    everything = store.paginator.paginate(PaginationConfig={"PageSize": 20}).build_full_result()
    ids = [item[f"Reserved{store.noun}sOfferingId"] for item in everything[f"Reserved{store.noun}sOfferings"]]
    assert len(set(ids)) == len(ids) > 40
    assert code(store.offerings, MaxRecords=10) == "InvalidParameterValue"
    assert code(store.offerings, Duration="2") == "InvalidParameterValue"


def test_databases_for_three_years_want_money_at_the_start_and_standbys_double(running: RunningLab) -> None:
    rds = running.client("rds")

    def found(**wanted: Any) -> list[dict[str, Any]]:
        asked = {"DBInstanceClass": "db.t4g.medium", "ProductDescription": "postgresql", "Duration": "3", **wanted}
        listed: list[dict[str, Any]] = rds.describe_reserved_db_instances_offerings(**asked)[
            "ReservedDBInstancesOfferings"
        ]
        return listed

    assert {item["OfferingType"] for item in found()} == {"Partial Upfront", "All Upfront"}
    single, pair = (found(MultiAZ=several, OfferingType="All Upfront")[0]["FixedPrice"] for several in (False, True))
    assert pair == pytest.approx(2 * single, abs=1)


# ---- faults on demand ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "bought", "seconds", "error"),
    [
        ("lost-before", 0, 20, ConnectionClosedError),
        ("lost-after", 1, 20, ConnectionClosedError),
        ("hang-after", 1, 2, ReadTimeoutError),
    ],
)
def test_a_purchase_can_lose_its_answer_before_and_after_it_took_effect(
    running: RunningLab, ec2: Any, kind: str, bought: int, seconds: int, error: type[Exception]
) -> None:
    asked = {"operation": "PurchaseReservedInstancesOffering", "kind": kind}
    running.admin("POST", "/_lab/faults", json=asked).raise_for_status()
    once = running.client("ec2", config=Config(retries={"total_max_attempts": 1}, read_timeout=seconds))
    with pytest.raises(error):
        buy(once)
    assert len(ec2.describe_reserved_instances()["ReservedInstances"]) == bought
    buy(once)
    assert len(ec2.describe_reserved_instances()["ReservedInstances"]) == bought + 1


def test_a_purchase_can_be_throttled_in_the_words_of_its_service(running: RunningLab, shop: tuple[Shop, int]) -> None:
    store, _ = shop
    operation = store.client.meta.method_to_api_mapping[store.purchase.__name__]
    for name in (operation, "PurchaseReservedInstancesOffering"):
        running.admin("POST", "/_lab/faults", json={"operation": name, "kind": "throttled"}).raise_for_status()
    once = {"config": Config(retries={"total_max_attempts": 1})}
    calm = running.client("ec2", **once)
    name = offering(calm)["ReservedInstancesOfferingId"]
    call = calm.purchase_reserved_instances_offering
    assert code(call, ReservedInstancesOfferingId=name, InstanceCount=1) == "RequestLimitExceeded"
    asked = {f"Reserved{store.noun}sOfferingId": "any"}
    once_store = running.client(store.client.meta.service_model.service_name, **once)
    assert code(getattr(once_store, store.purchase.__name__), **asked) == "Throttling"
    assert store.owned() == []


@pytest.mark.parametrize(
    "asked", [{}, {"operation": "a", "kind": "odd"}, {"operation": "a", "kind": "throttled", "times": 0}]
)
def test_a_fault_that_is_not_known_is_refused(running: RunningLab, asked: dict[str, Any]) -> None:
    assert running.admin("POST", "/_lab/faults", json=asked).status_code == 400


def test_of_many_who_write_an_object_that_must_not_be_there_one_wins(
    running: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever has looked waits until others could have, too.
    look = S3Backend.get_object
    others = threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        found = look(*args, **kwargs)
        others.wait(0.05)
        return found

    monkeypatch.setattr(S3Backend, "get_object", slow)
    s3 = running.client("s3")
    s3.create_bucket(Bucket="ledger", CreateBucketConfiguration={"LocationConstraint": REGION})

    def write(number: int) -> bool:
        try:
            s3.put_object(Bucket="ledger", Key=f"{number % 5}", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(40)))
    monkeypatch.undo()
    assert sum(won) == 5
    winners = {str(number % 5): str(number).encode() for number, first in enumerate(won) if first}
    assert {key: s3.get_object(Bucket="ledger", Key=key)["Body"].read() for key in winners} == winners


def test_nobody_buys_without_permission(running: RunningLab) -> None:
    iam = running.client("iam")
    iam.create_user(UserName="reader")
    policy = (
        '{"Version": "2012-10-17", "Statement":'
        ' [{"Effect": "Allow", "Action": "ec2:DescribeReserved*", "Resource": "*"}]}'
    )
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    credentials = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    reader = running.client("ec2", **credentials)
    name = offering(reader)["ReservedInstancesOfferingId"]
    call = reader.purchase_reserved_instances_offering
    assert code(call, ReservedInstancesOfferingId=name, InstanceCount=1) == "UnauthorizedOperation"
    assert code(call, ReservedInstancesOfferingId=name, InstanceCount=1, DryRun=True) == "UnauthorizedOperation"


def test_the_price_list_has_what_is_sold_and_a_reservation_is_cheaper(running: RunningLab, ec2: Any) -> None:
    pricing = running.client("pricing")

    def hours(service: str, **attributes: str) -> dict[str, float]:
        wanted = {"regionCode": REGION, **attributes}
        filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
        pages = pricing.get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
        found = [json.loads(text) for page in pages for text in page["PriceList"]]
        return {
            item["product"]["attributes"]["usagetype"]: float(dimension["pricePerUnit"]["USD"])
            for item in found
            for term in item["terms"]["OnDemand"].values()
            for dimension in term["priceDimensions"].values()
        }

    price = hours("AmazonEC2", instanceType="t4g.medium", capacitystatus="Used")["BoxUsage:t4g.medium"]
    assert offering(ec2)["RecurringCharges"][0]["Amount"] < price
    assert len(hours("AmazonElastiCache", instanceType="cache.t4g.micro", cacheEngine="Valkey")) == 2
    assert hours("AmazonRDS", instanceType="db.none") == {}
    assert code(pricing.get_products, ServiceCode="AmazonBraket") == "NotFoundException"
    # With its source and date in the sample's file.
    assert hours("AmazonMWAA", type="Worker")["Airflow-SmallWorker"] == 0.055
    assert hours("AWSELB")["LoadBalancerUsage"] == 0.0225
    assert hours("AWSELB", regionCode="mx-central-1") == {}
    assert hours("AmazonEC2", volumeApiName="gp3") == {"EBS:VolumeUsage.gp3": 0.08}
