# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ecr_repository against moto."""

from typing import Any

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


def test_a_second_run_writes_nothing(aws: Any) -> None:
    run(aws)
    assert not run(aws)["changed"]
    assert aws.writes == []


def test_check_mode_creates_nothing(aws: Any) -> None:
    result = run(aws, check=True)
    assert result["changed"]
    assert result["repository"]["uri"] is None
    assert aws.writes == []


def test_what_somebody_changed_is_set_right_and_named(aws: Any) -> None:
    run(aws)
    aws.client("ecr").put_image_tag_mutability(repositoryName="freehold-lab/airflow", imageTagMutability="MUTABLE")
    result = run(aws)
    assert result["differences"] == [{"name": "mutability", "current": "MUTABLE", "desired": "IMMUTABLE"}]
    assert aws.writes == ["PutImageTagMutability"]


def test_a_repository_of_somebody_else_is_left_alone(aws: Any) -> None:
    aws.client("ecr").create_repository(repositoryName="freehold-lab/airflow")
    assert run(aws)["failed"]
    assert aws.writes == []
