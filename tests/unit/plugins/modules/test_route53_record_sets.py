# SPDX-License-Identifier: GPL-3.0-or-later
"""The module route53_record_sets against moto."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import route53_record_sets

RECORDS: list[dict[str, Any]] = [
    {"name": "api-server.lab.internal", "type": "A", "ttl": 30, "values": ["10.20.0.6", "10.20.0.5"]},
    {"name": "broker.lab.internal", "type": "A", "ttl": 30, "values": ["10.20.0.7"]},
]


@pytest.fixture
def zone_id(aws: Any) -> str:
    zone = aws.client("route53").create_hosted_zone(Name="lab.internal", CallerReference="1")
    return str(zone["HostedZone"]["Id"].split("/")[-1])


def run(aws: Any, zone_id: str, records: list[dict[str, Any]], check: bool = False, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(route53_record_sets, check=check, zone_id=zone_id, records=records, **params)
    return result


def names(aws: Any, zone_id: str) -> set[str]:
    found = aws.client("route53").list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    return {record["Name"] for record in found if record["Type"] == "A"}


def test_all_records_are_set_in_one_change(aws: Any, zone_id: str) -> None:
    assert run(aws, zone_id, RECORDS)["changed"]
    assert aws.writes == ["ChangeResourceRecordSets"]
    assert names(aws, zone_id) == {"api-server.lab.internal.", "broker.lab.internal."}


def test_a_second_run_writes_nothing(aws: Any, zone_id: str) -> None:
    run(aws, zone_id, RECORDS, purge=True)
    assert not run(aws, zone_id, RECORDS, purge=True)["changed"]
    assert aws.writes == []


def test_the_name_of_a_host_that_is_gone_goes_too(aws: Any, zone_id: str) -> None:
    run(aws, zone_id, RECORDS)
    result = aws.settles(partial(run, aws, zone_id, RECORDS[:1], purge=True), ["ChangeResourceRecordSets"])
    assert result["changes"] == [
        {"name": "broker.lab.internal. A", "current": "broker.lab.internal. A 30 10.20.0.7", "desired": ""}
    ]
    assert names(aws, zone_id) == {"api-server.lab.internal."}


def test_records_that_are_not_named_stay_without_purge(aws: Any, zone_id: str) -> None:
    run(aws, zone_id, RECORDS)
    assert not run(aws, zone_id, RECORDS[:1])["changed"]


def test_check_mode_writes_nothing(aws: Any, zone_id: str) -> None:
    assert run(aws, zone_id, RECORDS, check=True)["changed"]
    assert aws.writes == []
    run(aws, zone_id, RECORDS)
    assert not run(aws, zone_id, RECORDS, check=True)["changed"]
    aws.settles(partial(run, aws, zone_id, [{**RECORDS[0], "ttl": 60}], purge=True), ["ChangeResourceRecordSets"])


def test_another_age_or_value_replaces_the_record(aws: Any, zone_id: str) -> None:
    run(aws, zone_id, RECORDS)
    changed = [{**RECORDS[0], "ttl": 60}, {**RECORDS[1], "values": ["10.20.0.8"]}]
    result = aws.settles(partial(run, aws, zone_id, changed), ["ChangeResourceRecordSets"])
    (request,) = aws.asked("ChangeResourceRecordSets")
    assert [change["Action"] for change in request["ChangeBatch"]["Changes"]] == ["UPSERT", "UPSERT"]
    assert result["diff"][1] == {
        "before_header": "broker.lab.internal. A",
        "after_header": "broker.lab.internal. A",
        "before": "broker.lab.internal. A 30 10.20.0.7\n",
        "after": "broker.lab.internal. A 30 10.20.0.8\n",
    }


def test_what_was_purged_is_not_purged_again(aws: Any, zone_id: str) -> None:
    run(aws, zone_id, RECORDS)
    result = aws.settles(partial(run, aws, zone_id, [], purge=True), ["ChangeResourceRecordSets"])
    assert [entry["after"] for entry in result["diff"]] == ["", ""]
    kept = aws.client("route53").list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    assert {record["Type"] for record in kept} == {"NS", "SOA"}


def test_an_alias_is_compared_without_capitals_and_dots(aws: Any, zone_id: str) -> None:
    alias = {"zone_id": "Z32O12XQLNTSW2", "dns_name": "Lab-Airflow-1.eu-west-1.elb.amazonaws.com"}
    record = [{"name": "airflow.lab.internal", "type": "A", "alias": alias}]
    aws.settles(partial(run, aws, zone_id, record), ["ChangeResourceRecordSets"])


def test_a_zone_that_is_not_there_is_said(aws: Any) -> None:
    result = run(aws, "Z0000", RECORDS)
    assert result["failed"]
    assert "Z0000" in result["msg"]
