# SPDX-License-Identifier: GPL-3.0-or-later
"""The module s3_private_bucket against moto."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import s3_private_bucket

TAGS = {"freehold:environment": "lab"}
NAME = "freehold-lab-123456789012-logs"


def run(aws: Any, **params: Any) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(s3_private_bucket, **{"name": NAME, "expiration_days": 90, "tags": TAGS, **params})
    return result


def names(result: dict[str, Any]) -> list[str]:
    return [difference["name"] for difference in result["differences"]]


def test_a_new_bucket_is_closed_encrypted_and_tls_only(aws: Any) -> None:
    assert run(aws)["changed"]
    s3 = aws.client("s3")
    assert all(s3.get_public_access_block(Bucket=NAME)["PublicAccessBlockConfiguration"].values())
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=NAME)["Policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    (rule,) = s3.get_bucket_encryption(Bucket=NAME)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
    assert rule["Expiration"]["Days"] == 90


@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_writes_nothing(aws: Any, check: bool) -> None:
    run(aws)
    result = run(aws, check=check)
    assert not result["changed"], result["differences"]
    assert aws.writes == []


def test_check_mode_creates_nothing(aws: Any) -> None:
    assert names(run(aws, check=True)) == ["bucket"]
    assert aws.writes == []


def test_what_somebody_opened_is_closed_again(aws: Any) -> None:
    run(aws)
    aws.client("s3").delete_public_access_block(Bucket=NAME)
    assert names(aws.settles(partial(run, aws), ["PutPublicAccessBlock"])) == ["public_access"]


def test_rules_and_tags_of_others_stay(aws: Any) -> None:
    run(aws)
    s3 = aws.client("s3")
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 1}}
    ours = s3.get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
    s3.put_bucket_lifecycle_configuration(Bucket=NAME, LifecycleConfiguration={"Rules": [*ours, theirs]})
    s3.put_bucket_tagging(Bucket=NAME, Tagging={"TagSet": [{"Key": "team", "Value": "data"}]})
    tags = s3.get_bucket_tagging(Bucket=NAME)["TagSet"]
    tags.append({"Key": "freehold:environment", "Value": "lab"})
    s3.put_bucket_tagging(Bucket=NAME, Tagging={"TagSet": tags})
    wanted = partial(run, aws, expiration_days=30, tags={**TAGS, "Name": "lab-logs"})
    assert names(aws.settles(wanted, ["PutBucketTagging", "PutBucketLifecycleConfiguration"])) == ["tags", "lifecycle"]
    rules = s3.get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
    assert {rule["ID"]: rule["Expiration"]["Days"] for rule in rules} == {"theirs": 1, "freehold-expire": 30}
    assert {"Key": "team", "Value": "data"} in s3.get_bucket_tagging(Bucket=NAME)["TagSet"]


def test_a_bucket_of_another_environment_is_left_alone(aws: Any) -> None:
    run(aws, tags={"freehold:environment": "prod"})
    assert "belongs to the environment 'prod'" in run(aws)["msg"]
    assert aws.writes == []


def test_without_an_age_nothing_is_ever_deleted(aws: Any) -> None:
    run(aws)
    assert names(aws.settles(partial(run, aws, expiration_days=None), ["PutBucketLifecycleConfiguration"])) == [
        "lifecycle"
    ]
    (rule,) = aws.client("s3").get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
    assert "Expiration" not in rule


def test_a_key_of_ones_own_encrypts_and_may_be_changed(aws: Any) -> None:
    key, other = "alias/freehold", "alias/other"
    run(aws, kms_key_id=key)
    (rule,) = aws.client("s3").get_bucket_encryption(Bucket=NAME)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    assert rule["BucketKeyEnabled"]
    assert not run(aws, kms_key_id=key)["changed"]
    assert names(aws.settles(partial(run, aws, kms_key_id=other), ["PutBucketEncryption"])) == ["encryption"]


def test_uploads_that_were_given_up_are_removed(aws: Any) -> None:
    run(aws)
    assert names(aws.settles(partial(run, aws, incomplete_upload_days=2), ["PutBucketLifecycleConfiguration"])) == [
        "lifecycle"
    ]
    (rule,) = aws.client("s3").get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]
    assert (rule["Status"], rule["AbortIncompleteMultipartUpload"]) == ("Enabled", {"DaysAfterInitiation": 2})


def test_objects_belong_to_the_account_whoever_writes_them(aws: Any) -> None:
    run(aws)
    s3 = aws.client("s3")
    (rule,) = s3.get_bucket_ownership_controls(Bucket=NAME)["OwnershipControls"]["Rules"]
    assert rule["ObjectOwnership"] == "BucketOwnerEnforced"
    s3.put_bucket_ownership_controls(
        Bucket=NAME, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    )
    assert names(aws.settles(partial(run, aws), ["PutBucketOwnershipControls"])) == ["object_ownership"]


def test_a_bucket_that_an_interrupted_run_left_without_tags_is_finished(aws: Any) -> None:
    aws.client("s3").create_bucket(Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert "tags" in names(run(aws))
    assert not run(aws)["changed"]


def test_the_bucket_lies_in_the_region_that_was_asked_for(aws: Any) -> None:
    run(aws)
    (request,) = aws.asked("CreateBucket")
    assert request["CreateBucketConfiguration"] == {"LocationConstraint": "eu-west-1"}
