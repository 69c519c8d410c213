# SPDX-License-Identifier: GPL-3.0-or-later
"""The module price_list_info; moto has no price list, so the products are ours, in AWS's form."""

import json
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
    price = {"hourly": 0.0736, "currency": "USD", "published": "2026-11-20T00:00:00Z", "region": "eu-west-1"}
    assert found["prices"] == [{**HOST, "copies": 1, **price}]
    assert found["unknown"] == []
    assert aws.writes == []


def test_what_is_asked_twice_is_read_once(aws: Any, pricing: Stubber) -> None:
    answer(pricing, product("EU-BoxUsage:t4g.large"))
    assert len(aws.run(price_list_info, items=[HOST, HOST])["prices"]) == 1


def test_extended_support_is_not_the_price_of_the_node(aws: Any, pricing: Stubber) -> None:
    node = {"service": "elasticache", "type": "cache.t4g.micro", "product": "valkey"}
    extended = product("EU-ExtendedSupport-Yr1Yr2-NodeUsage-:cache.t4g.micro", "0.01")
    answer(pricing, extended, product("EU-NodeUsage:cache.t4g.micro", "0.0128"))
    assert [item["hourly"] for item in aws.run(price_list_info, items=[node])["prices"]] == [0.0128]


def test_a_database_with_a_standby_has_a_price_of_its_own(aws: Any, pricing: Stubber) -> None:
    database = {"service": "rds", "type": "db.t4g.medium", "product": "postgresql", "copies": 2}
    wanted = {"regionCode": "eu-west-1", "instanceType": "db.t4g.medium"}
    wanted |= {"databaseEngine": "PostgreSQL", "deploymentOption": "Multi-AZ"}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    asked = {"ServiceCode": "AmazonRDS", "Filters": filters}
    answer(pricing, product("EU-Multi-AZUsage:db.t4g.medium", "0.142"), asked=asked)
    assert [item["hourly"] for item in aws.run(price_list_info, items=[database])["prices"]] == [0.142]


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


def test_without_permission_it_says_so(aws: Any, pricing: Stubber) -> None:
    pricing.add_client_error("get_products", "AccessDeniedException", "not authorized to perform: pricing:GetProducts")
    result = aws.run(price_list_info, items=[HOST])
    assert result["failed"]
    assert "pricing:GetProducts" in result["msg"]
