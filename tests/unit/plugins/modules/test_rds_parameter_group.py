# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rds_parameter_group against moto."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import rds_parameter_group

TAGS = {"freehold:environment": "lab"}


def run(aws: Any, parameters: dict[str, str] | None = None, **params: Any) -> dict[str, Any]:
    wanted = {"rds.force_ssl": "1"} if parameters is None else parameters
    result: dict[str, Any] = aws.run(
        rds_parameter_group, **{"name": "lab", "family": "postgres17", "parameters": wanted, "tags": TAGS, **params}
    )
    return result


def parameters_of(aws: Any) -> dict[str, str]:
    found = aws.client("rds").describe_db_parameters(DBParameterGroupName="lab")["Parameters"]
    return {parameter["ParameterName"]: parameter["ParameterValue"] for parameter in found}


def test_a_new_group_has_the_parameters(aws: Any) -> None:
    assert run(aws)["changed"]
    assert parameters_of(aws) == {"rds.force_ssl": "1"}


@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_writes_nothing(aws: Any, check: bool) -> None:
    run(aws)
    assert not run(aws, check=check)["changed"]
    assert aws.writes == []


def test_check_mode_creates_nothing(aws: Any) -> None:
    assert run(aws, check=True)["changed"]
    assert aws.writes == []


def test_more_than_twenty_parameters_go_in_several_calls(aws: Any) -> None:
    run(aws, {f"parameter_{number}": "1" for number in range(45)})
    assert aws.writes.count("ModifyDBParameterGroup") == 3
    assert len(parameters_of(aws)) == 45


def test_another_family_is_refused(aws: Any) -> None:
    run(aws)
    assert "postgres17" in run(aws, family="postgres18")["msg"]


def test_a_group_of_somebody_else_is_left_alone(aws: Any) -> None:
    aws.client("rds").create_db_parameter_group(
        DBParameterGroupName="lab", DBParameterGroupFamily="postgres17", Description="theirs"
    )
    assert run(aws)["failed"]
    assert aws.writes == []


def test_missing_tags_are_added(aws: Any) -> None:
    run(aws)
    result = aws.settles(partial(run, aws, tags={**TAGS, "team": "data"}), ["AddTagsToResource"])
    assert result["differences"] == [{"name": "tag team", "current": None, "desired": "data"}]


def test_another_value_is_set_once(aws: Any) -> None:
    run(aws)
    result = aws.settles(partial(run, aws, {"rds.force_ssl": "0"}), ["ModifyDBParameterGroup"])
    assert result["differences"] == [{"name": "rds.force_ssl", "current": "1", "desired": "0"}]
    assert parameters_of(aws) == {"rds.force_ssl": "0"}
