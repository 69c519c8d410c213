# SPDX-License-Identifier: GPL-3.0-or-later
"""The module price_list_info; moto has no price list, so the products are ours, in AWS's form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.modules import price_list_info
from botocore.stub import Stubber

HOST = {"service": "ec2", "type": "t4g.large", "product": "Linux/UNIX"}


def product(usage_type: str, price: str = "0.0736000000", currency: str = "USD", unit: str = "Hrs") -> str:
    """One product as the price list writes it."""
    dimension = {"unit": unit, "pricePerUnit": {currency: price}}
    return json.dumps(
        {
            "product": {"attributes": {"usagetype": usage_type}},
            "terms": {"OnDemand": {"S.T": {"priceDimensions": {"S.T.D": dimension}}}},
            "version": "20261120101500",
            "publicationDate": "2026-11-20T00:00:00Z",
        }
    )


@pytest.fixture
def pricing(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """The stubber of the client that the module gets, which must be one of the price list's region."""
    stubber = Stubber(aws.client("pricing"))
    stubber.activate()

    def client(_module: Any, service: str, region: str) -> Any:
        assert (service, region) == ("pricing", "us-east-1")
        return stubber.client

    monkeypatch.setattr(AnsibleAWSModule, "client", client)
    return stubber


def answer(pricing: Stubber, *products: str, asked: dict[str, Any] | None = None) -> None:
    pricing.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": list(products)}, asked)


def test_the_price_of_a_host_is_that_of_the_region_and_the_shared_tenancy(aws: Any, pricing: Stubber) -> None:
    wanted = {
        "regionCode": "eu-west-1",
        "instanceType": "t4g.large",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "operatingSystem": "Linux",
    }
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    answer(pricing, product("EU-BoxUsage:t4g.large"), asked={"ServiceCode": "AmazonEC2", "Filters": filters})
    found = aws.run(price_list_info, items=[HOST])
    price = {
        "amount": 0.0736,
        "unit": "hour",
        "currency": "USD",
        "published": "2026-11-20T00:00:00Z",
        "version": "20261120101500",
        "region": "eu-west-1",
    }
    assert [{**item, "read": ""} for item in found["prices"]] == [{**HOST, "copies": 1, **price, "read": ""}]
    assert found["unknown"] == []
    assert aws.writes == []


def test_what_is_asked_twice_is_read_once(aws: Any, pricing: Stubber) -> None:
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    assert len(aws.run(price_list_info, items=[HOST, HOST])["prices"]) == 1


def test_the_price_may_be_on_the_second_page(aws: Any, pricing: Stubber) -> None:
    first = {"FormatVersion": "aws_v1", "PriceList": [product("EU-UnusedBox:t4g.large", "0.01")], "NextToken": "more"}
    pricing.add_response("get_products", first)
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    assert [item["amount"] for item in aws.run(price_list_info, items=[HOST])["prices"]] == [0.0736]


def test_extended_support_is_not_the_price_of_the_node(aws: Any, pricing: Stubber) -> None:
    node = {"service": "elasticache", "type": "cache.t4g.micro", "product": "valkey"}
    extended = product("EU-ExtendedSupport-Yr1Yr2-NodeUsage-:cache.t4g.micro", "0.01")
    answer(pricing, extended, product("EU-NodeUsage:cache.t4g.micro", "0.0128"))
    assert [item["amount"] for item in aws.run(price_list_info, items=[node])["prices"]] == [0.0128]


def test_a_database_with_a_standby_has_a_price_of_its_own(aws: Any, pricing: Stubber) -> None:
    database = {"service": "rds", "type": "db.t4g.medium", "product": "postgresql", "copies": 2}
    wanted = {"regionCode": "eu-west-1", "instanceType": "db.t4g.medium"}
    wanted |= {"databaseEngine": "PostgreSQL", "deploymentOption": "Multi-AZ"}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    asked = {"ServiceCode": "AmazonRDS", "Filters": filters}
    answer(pricing, product("EU-Multi-AZUsage:db.t4g.medium", "0.142"), asked=asked)
    assert [item["amount"] for item in aws.run(price_list_info, items=[database])["prices"]] == [0.142]


@pytest.mark.parametrize(
    ("products", "why"),
    [
        ([], "the price list of eu-west-1 does not have it"),
        ([product("EU-BoxUsage:t4g.large", unit="Quantity")], "does not have it"),
        ([product("EU-BoxUsage:t4g.xlarge")], "does not have it"),
        ([product("EU-BoxUsage:t4g.large"), product("EU-BoxUsage:t4g.large", "0.08")], "2 prices"),
    ],
)
def test_what_has_no_price_or_several_is_never_guessed(
    aws: Any, pricing: Stubber, products: list[str], why: str
) -> None:
    answer(pricing, *products)
    found = aws.run(price_list_info, items=[HOST])
    assert found["prices"] == []
    assert why in found["unknown"][0]["why"]


def test_what_can_not_be_looked_up_is_told_without_asking(aws: Any, pricing: Stubber) -> None:
    odd = {"service": "rds", "type": "db.m5.large", "product": "sqlserver-se(li)"}
    found = aws.run(price_list_info, items=[odd])
    assert "not known here" in found["unknown"][0]["why"]
    assert aws.operations == []


# ---- what nobody can reserve, and Amazon MWAA -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "code", "asked", "answers", "amount"),
    [
        (
            {"service": "ebs", "type": "gp3"},
            "AmazonEC2",
            {"volumeApiName": "gp3"},
            [("EU-EBS:VolumeUsage.gp3", "0.088", "GB-Mo"), ("EU-EBS:VolumeP-Throughput.gp3", "49.6", "GiBps-mo")],
            0.088,
        ),
        (
            {"service": "nat_gateway"},
            "AmazonEC2",
            {"productFamily": "NAT Gateway"},
            [("EU-NatGateway-Hours", "0.048", "Hrs"), ("EU-NatGateway-Bytes", "0.048", "GB")],
            0.048,
        ),
        (
            {"service": "load_balancer"},
            "AWSELB",
            {"productFamily": "Load Balancer-Application"},
            [
                ("EU-LoadBalancerUsage", "0.0252", "Hrs"),
                ("EU-TS-LoadBalancerUsage", "0.0056", "Hrs"),
                ("TS-LoadBalancerUsage", "0.0056", "Hrs"),
                ("EU-LCUUsage", "0.008", "LCU-Hrs"),
            ],
            0.0252,
        ),
        (
            {"service": "public_ipv4"},
            "AmazonVPC",
            {},
            [("EU-PublicIPv4:InUseAddress", "0.005", "Hrs"), ("EU-PublicIPv4:IdleAddress", "0.006", "Hrs")],
            0.005,
        ),
        (
            {"service": "rds_storage", "type": "gp3", "product": "postgresql", "copies": 2},
            "AmazonRDS",
            {"volumeType": "General Purpose-GP3", "deploymentOption": "Multi-AZ"},
            [("EU-RDS:Multi-AZ-GP3-Storage", "0.254", "GB-Mo"), ("EU-RDS:Multi-AZ-GP3-PIOPS", "0.04", "IOPS-Mo")],
            0.254,
        ),
        (
            {"service": "mwaa", "type": "mw1.large", "product": "worker"},
            "AmazonMWAA",
            {},
            [
                ("EUW1-Airflow-LargeWorker", "0.22", "Hours"),
                ("EUW1-Airflow-XLargeWorker", "0.44", "Hours"),
                ("EUW1-Airflow-LargeScheduler", "0.23", "Hours"),
            ],
            0.22,
        ),
    ],
)
def test_what_stands_beside_an_instance_is_told_apart_by_its_usage_type(
    aws: Any,
    pricing: Stubber,
    item: dict[str, Any],
    code: str,
    asked: dict[str, str],
    answers: list[tuple[str, str, str]],
    amount: float,
) -> None:
    wanted = {"regionCode": "eu-west-1", **asked}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    products = [product(usage, price, unit=unit) for usage, price, unit in answers]
    answer(pricing, *products, asked={"ServiceCode": code, "Filters": filters})
    found = aws.run(price_list_info, items=[item])["prices"]
    assert [(entry["service"], entry["amount"]) for entry in found] == [(item["service"], amount)]
    assert found[0]["unit"] == ("GiB-month" if "storage" in item["service"] or item["service"] == "ebs" else "hour")


def test_the_list_of_mwaa_is_read_once_for_all_of_its_parts(aws: Any, pricing: Stubber) -> None:
    parts = {"environment": "0.49", "worker": "0.055", "scheduler": "0.055", "webserver": "0.028"}
    names = {**{part: part.title() for part in parts}, "webserver": "WebServer"}
    listed = [product(f"Airflow-Small{names[part]}", amount, unit="Hours") for part, amount in parts.items()]
    answer(pricing, *listed)
    found = aws.run(
        price_list_info, items=[{"service": "mwaa", "type": "mw1.small", "product": part} for part in parts]
    )
    assert {item["product"]: str(item["amount"]) for item in found["prices"]} == parts
    assert aws.operations == ["GetProducts"]


def test_storage_of_another_engine_is_not_the_databases(aws: Any, pricing: Stubber) -> None:
    storage = {"service": "rds_storage", "type": "gp3", "product": "postgresql"}
    entries = []
    for engine, price in (("Any", "0.127"), ("SQL Server", "0.14"), ("PostgreSQL", "0.127")):
        entry = json.loads(product("EU-RDS:GP3-Storage", price, unit="GB-Mo"))
        entry["product"]["attributes"]["databaseEngine"] = engine
        entries.append(json.dumps(entry))
    answer(pricing, *entries)
    assert [item["amount"] for item in aws.run(price_list_info, items=[storage])["prices"]] == [0.127]


# ---- prices that were read before -----------------------------------------------------------------------------------


def test_a_price_is_read_once_and_then_taken_from_the_file(aws: Any, pricing: Stubber, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "prices.json"
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    first = aws.run(price_list_info, items=[HOST], cache=str(cache))
    assert (first["cached"], first["cache_error"]) == (0, "")
    second = aws.run(price_list_info, items=[HOST], cache=str(cache))
    assert second["prices"] == first["prices"]
    assert second["cached"] == 1
    assert aws.operations == []
    assert list(cache.parent.iterdir()) == [cache]


def test_only_what_the_file_lacks_is_asked_for(aws: Any, pricing: Stubber, tmp_path: Path) -> None:
    cache, other = str(tmp_path / "prices.json"), {**HOST, "type": "t4g.nano"}
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    aws.run(price_list_info, items=[HOST], cache=cache)
    answer(pricing, product("EU-BoxUsage:t4g.nano", "0.0046"))
    assert len(aws.run(price_list_info, items=[HOST, other], cache=cache)["prices"]) == 2
    assert aws.operations == ["GetProducts"]
    assert aws.run(price_list_info, items=[HOST, other], cache=cache)["cached"] == 2


def test_what_has_no_price_is_asked_for_again(aws: Any, pricing: Stubber, tmp_path: Path) -> None:
    cache = str(tmp_path / "prices.json")
    for _ in range(2):
        answer(pricing)
        assert aws.run(price_list_info, items=[HOST], cache=cache)["unknown"]
        assert aws.operations == ["GetProducts"]


def test_check_mode_reads_and_leaves_no_file(aws: Any, pricing: Stubber, tmp_path: Path) -> None:
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    cache = tmp_path / "prices.json"
    assert aws.run(price_list_info, check=True, items=[HOST], cache=str(cache))["prices"]
    assert not cache.exists()


def changed(cache: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    held = json.loads(cache.read_text())
    change(held)
    cache.write_text(json.dumps(held))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cache: cache.write_text("{"),
        lambda cache: cache.write_bytes(b"\xff\xfe"),
        lambda cache: cache.write_text("[]"),
        lambda cache: changed(cache, lambda held: held.update(format=0)),
        lambda cache: changed(cache, lambda held: held["scope"].update(region="eu-west-2")),
        lambda cache: changed(cache, lambda held: held["scope"].update(endpoint="http://127.0.0.1:4566")),
        lambda cache: changed(cache, lambda held: held["prices"][0].update(amount="0.01")),
        lambda cache: changed(cache, lambda held: held["prices"][0].update(amount=-1)),
        lambda cache: changed(cache, lambda held: held["prices"][0].pop("currency")),
        lambda cache: changed(cache, lambda held: held["prices"][0].update(read="yesterday")),
        lambda cache: changed(cache, lambda held: held["prices"][0].update(read="2026-01-01T00:00:00+00:00")),
        lambda cache: changed(cache, lambda held: held["prices"][0].update(read="2999-01-01T00:00:00+00:00")),
    ],
)
def test_a_file_that_can_not_be_used_is_ignored_and_written_anew(
    aws: Any, pricing: Stubber, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    cache = tmp_path / "prices.json"
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    first = aws.run(price_list_info, items=[HOST], cache=str(cache))["prices"]
    spoil(cache)
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    found = aws.run(price_list_info, items=[HOST], cache=str(cache))
    assert aws.operations == ["GetProducts"]
    assert [item["amount"] for item in found["prices"]] == [item["amount"] for item in first]
    assert aws.run(price_list_info, items=[HOST], cache=str(cache))["cached"] == 1


def test_no_days_means_no_old_prices(aws: Any, pricing: Stubber, tmp_path: Path) -> None:
    cache = str(tmp_path / "prices.json")
    for _ in range(2):
        answer(pricing, product("EU-BoxUsage:t4g.large"))
        assert aws.run(price_list_info, items=[HOST], cache=cache, cache_days=0)["cached"] == 0
        assert aws.operations == ["GetProducts"]


def test_a_file_that_can_not_be_written_costs_nothing_but_the_next_reading(
    aws: Any, pricing: Stubber, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    found = aws.run(price_list_info, items=[HOST], cache=str(tmp_path / "file" / "prices.json"))
    assert found["prices"]
    assert "file" in found["cache_error"]


def test_a_file_that_can_not_be_replaced_leaves_no_draft_behind(aws: Any, pricing: Stubber, tmp_path: Path) -> None:
    cache = tmp_path / "prices.json"
    cache.mkdir()
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    found = aws.run(price_list_info, items=[HOST], cache=str(cache))
    assert found["prices"]
    assert "prices.json" in found["cache_error"]
    assert list(tmp_path.iterdir()) == [cache]


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDeniedException", "not authorized to perform: pricing:GetProducts"),
        ("ExpiredTokenException", "The security token included in the request is expired"),
    ],
)
def test_a_refusal_is_told_in_aws_words(aws: Any, pricing: Stubber, code: str, message: str) -> None:
    pricing.add_client_error("get_products", code, message)
    result = aws.run(price_list_info, items=[HOST])
    assert result["failed"]
    assert message in result["msg"]


def test_a_throttled_request_is_made_again(aws: Any, pricing: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    for _ in range(2):
        pricing.add_client_error("get_products", "ThrottlingException", "Rate exceeded", http_status_code=400)
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    assert aws.run(price_list_info, items=[HOST])["prices"]
    assert aws.operations == ["GetProducts"] * 3
    assert len(waited) == 2
