# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rds_orderable_instance_info; moto offers no PostgreSQL, so the offers are ours."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import rds_orderable_instance_info

OPERATION = "DescribeOrderableDBInstanceOptions"
OFFERS = [
    {"DBInstanceClass": "db.t4g.medium", "EngineVersion": version, "StorageType": storage, "MultiAZCapable": True}
    for version in ("16.10", "17.6", "17.5")
    for storage in ("gp2", "gp3")
]
SMALL = {"DBInstanceClass": "db.t3.micro", "EngineVersion": "17.6", "StorageType": "gp2", "MultiAZCapable": False}


@pytest.fixture(autouse=True)
def offers(aws: Any) -> None:
    """Let AWS offer them on two pages, the small class, which it was not asked for, among them."""
    aws.answers[OPERATION] = [
        {"OrderableDBInstanceOptions": [*OFFERS[:3], SMALL], "Marker": "more"},
        {"OrderableDBInstanceOptions": OFFERS[3:]},
    ]


def run(aws: Any, **params: Any) -> dict[str, Any]:
    wanted = {"engine_version": "17", "db_instance_class": "db.t4g.medium", **params}
    result: dict[str, Any] = aws.run(rds_orderable_instance_info, **wanted)
    return result


def test_the_versions_of_every_page_are_returned(aws: Any) -> None:
    assert run(aws, multi_az=True)["engine_versions"] == ["17.5", "17.6"]
    asked = {"Engine": "postgres", "DBInstanceClass": "db.t4g.medium", "Vpc": True}
    assert aws.asked(OPERATION) == [asked, {**asked, "Marker": "more"}]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"db_instance_class": "db.t9.mega"}, "RDS does not offer the class db.t9.mega for postgres"),
        ({"engine_version": "18"}, "RDS does not offer postgres 18 on db.t4g.medium"),
        ({"storage_type": "io2"}, "RDS does not offer io2 storage on db.t4g.medium"),
        ({"db_instance_class": "db.t3.micro"}, "RDS does not offer gp3 storage on db.t3.micro"),
        ({"db_instance_class": "db.t3.micro", "storage_type": "gp2", "multi_az": True}, "database_multi_az"),
    ],
)
def test_what_can_not_be_had_is_one_sentence(aws: Any, params: dict[str, Any], said: str) -> None:
    result = run(aws, **params)
    assert result["failed"]
    assert said in result["msg"]
    assert "database_" in result["msg"]


@pytest.mark.parametrize("code", ["InvalidParameterCombination", "InvalidParameterValue"])
def test_a_class_that_aws_does_not_know_is_one_that_it_does_not_offer(aws: Any, code: str) -> None:
    aws.refusals[OPERATION] = code
    said = "RDS does not offer the class db.t4g.medium for postgres; change database_instance_class."
    result = run(aws)
    assert (result["failed"], result["msg"]) == (True, said)


def test_a_refused_question_is_not_taken_for_a_missing_offer(aws: Any) -> None:
    aws.refusals[OPERATION] = "AccessDenied"
    result = run(aws)
    assert result["failed"]
    assert "Failed to ask RDS for its instance classes" in result["msg"]
    assert "AccessDenied" in result["msg"]
