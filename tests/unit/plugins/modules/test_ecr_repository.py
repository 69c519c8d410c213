# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ecr_repository against moto."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import ecr_repository

TAGS = {"freehold:environment": "lab"}
KEEP = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 20},
            "action": {"type": "expire"},
        }
    ]
}


def run(aws: Any, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(
        ecr_repository, name="freehold-lab/airflow", **{"lifecycle_policy": KEEP, "tags": TAGS, **params}
    )
    return result


def test_a_new_repository_is_immutable_scanned_and_tagged(aws: Any) -> None:
    result = run(aws)
    (found,) = aws.client("ecr").describe_repositories()["repositories"]
    tags = aws.client("ecr").list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert {"Key": "freehold:environment", "Value": "lab"} in tags
    assert result["repository"]["uri"] == found["repositoryUri"]


@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_writes_nothing(aws: Any, check: bool) -> None:
    run(aws)
    assert not run(aws, check=check)["changed"]
    assert aws.writes == []


def test_check_mode_creates_nothing(aws: Any) -> None:
    result = run(aws, check=True)
    assert result["changed"]
    assert result["repository"]["uri"] is None
    assert aws.writes == []


def test_what_somebody_changed_is_set_right_and_named(aws: Any) -> None:
    run(aws)
    aws.client("ecr").put_image_tag_mutability(repositoryName="freehold-lab/airflow", imageTagMutability="MUTABLE")
    result = aws.settles(partial(run, aws), ["PutImageTagMutability"])
    assert result["differences"] == [{"name": "mutability", "current": "MUTABLE", "desired": "IMMUTABLE"}]


def test_a_repository_of_somebody_else_is_left_alone(aws: Any) -> None:
    aws.client("ecr").create_repository(repositoryName="freehold-lab/airflow")
    assert run(aws)["failed"]
    assert aws.writes == []


def test_scanning_that_somebody_switched_off_is_switched_on(aws: Any) -> None:
    run(aws)
    aws.client("ecr").put_image_scanning_configuration(
        repositoryName="freehold-lab/airflow", imageScanningConfiguration={"scanOnPush": False}
    )
    result = aws.settles(partial(run, aws), ["PutImageScanningConfiguration"])
    assert [difference["name"] for difference in result["differences"]] == ["scanning"]


def test_mutable_tags_are_set_only_when_asked_for(aws: Any) -> None:
    run(aws)
    result = aws.settles(partial(run, aws, immutable=False), ["PutImageTagMutability"])
    assert result["differences"] == [{"name": "mutability", "current": "IMMUTABLE", "desired": "MUTABLE"}]
    assert aws.asked("PutImageTagMutability") == [
        {"repositoryName": "freehold-lab/airflow", "imageTagMutability": "MUTABLE"}
    ]


def test_scanning_can_be_left_to_others(aws: Any) -> None:
    run(aws, scan_on_push=False)
    assert [request["imageScanningConfiguration"] for request in aws.asked("CreateRepository")] == [
        {"scanOnPush": False}
    ]
    assert not run(aws, scan_on_push=False)["changed"]
    assert aws.writes == []


def test_another_lifecycle_is_written_once_and_none_leaves_it_alone(aws: Any) -> None:
    run(aws, lifecycle_policy=None)
    result = aws.settles(partial(run, aws), ["PutLifecyclePolicy"])
    assert result["differences"] == [{"name": "lifecycle_policy", "current": None, "desired": KEEP}]
    assert not run(aws, lifecycle_policy=None)["changed"]


def test_missing_tags_are_added_and_those_of_others_stay(aws: Any) -> None:
    run(aws)
    result = aws.settles(partial(run, aws, tags={**TAGS, "team": "data"}), ["TagResource"])
    assert result["differences"] == [{"name": "tags", "current": {"team": None}, "desired": {"team": "data"}}]
    assert not run(aws)["changed"]


def test_a_key_of_ones_own_encrypts(aws: Any) -> None:
    run(aws, kms_key_id="alias/mine")
    (found,) = aws.client("ecr").describe_repositories()["repositories"]
    assert found["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": "alias/mine"}
