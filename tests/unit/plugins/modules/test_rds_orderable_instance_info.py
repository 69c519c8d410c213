# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rds_orderable_instance_info; moto offers no PostgreSQL, so the offers are ours."""

from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils import _rds as api
from ansible_collections.freehold.airflow.plugins.modules import rds_orderable_instance_info

OFFERS = [
    {"DBInstanceClass": "db.t4g.medium", "EngineVersion": version, "StorageType": storage, "MultiAZCapable": True}
    for version in ("16.10", "17.5", "17.6")
    for storage in ("gp2", "gp3")
] + [{"DBInstanceClass": "db.t3.micro", "EngineVersion": "17.6", "StorageType": "gp2", "MultiAZCapable": False}]


@pytest.fixture(autouse=True)
def offers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        api,
        "list_orderable_options",
        lambda _client, _engine, wanted: [offer for offer in OFFERS if offer["DBInstanceClass"] == wanted],
    )


def run(aws: Any, **params: Any) -> dict[str, Any]:
    wanted = {"engine_version": "17", "db_instance_class": "db.t4g.medium", **params}
    result: dict[str, Any] = aws.run(rds_orderable_instance_info, **wanted)
    return result


def test_the_versions_on_offer_are_returned(aws: Any) -> None:
    assert run(aws, multi_az=True)["engine_versions"] == ["17.5", "17.6"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"db_instance_class": "db.t9.mega"}, "does not offer the class db.t9.mega"),
        ({"engine_version": "18"}, "does not offer postgres 18"),
        ({"db_instance_class": "db.t3.micro"}, "gp3"),
        ({"db_instance_class": "db.t3.micro", "storage_type": "gp2", "multi_az": True}, "database_multi_az"),
    ],
)
def test_what_can_not_be_had_is_one_sentence(aws: Any, params: dict[str, Any], said: str) -> None:
    result = run(aws, **params)
    assert result["failed"]
    assert said in result["msg"]
    assert "database_" in result["msg"]
