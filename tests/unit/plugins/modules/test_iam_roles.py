# SPDX-License-Identifier: GPL-3.0-or-later
"""The module iam_roles against moto."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import iam_roles

TAGS = {"freehold:environment": "lab"}
NAME = "freehold-lab-worker"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::bucket/logs/*"]}],
}


def run(aws: Any, check: bool = False, **params: Any) -> dict[str, Any]:
    role = {"description": "Hosts", "policy": POLICY, **params.pop("role", {})}
    result: dict[str, Any] = aws.run(
        iam_roles, check=check, roles={NAME: role}, policy_name="freehold", tags=TAGS, **params
    )
    return result


def settles(aws: Any, parts: list[str], writes: list[str], **params: Any) -> None:
    """See that these parts are set right, once."""
    assert changed_parts(aws.settles(partial(run, aws, **params), writes)) == parts


def changed_parts(result: dict[str, Any]) -> list[str]:
    return [change["name"].removeprefix(f"{NAME} ") for change in result["changes"]]


def test_a_role_gets_its_policy_and_a_profile_of_its_name(aws: Any) -> None:
    assert changed_parts(run(aws)) == ["role", "policy", "instance profile"]
    iam = aws.client("iam")
    assert iam.get_role_policy(RoleName=NAME, PolicyName="freehold")["PolicyDocument"] == POLICY
    profile = iam.get_instance_profile(InstanceProfileName=NAME)["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == [NAME]


def test_role_and_profile_are_made_below_the_path_and_within_the_boundary(aws: Any) -> None:
    """A teardown finds roles by their path alone."""
    boundary = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    settles(
        aws,
        ["role", "policy", "instance profile"],
        ["CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile"],
        path="/freehold/lab/",
        permissions_boundary=boundary,
    )
    iam = aws.client("iam")
    role = iam.get_role(RoleName=NAME)["Role"]
    assert (role["Path"], role["PermissionsBoundary"]["PermissionsBoundaryArn"]) == ("/freehold/lab/", boundary)
    assert iam.get_instance_profile(InstanceProfileName=NAME)["InstanceProfile"]["Path"] == "/freehold/lab/"


def test_an_existing_role_keeps_its_path(aws: Any) -> None:
    run(aws)
    assert not run(aws, path="/freehold/lab/")["changed"]
    assert aws.writes == []


def test_only_ec2_may_take_the_role_on(aws: Any) -> None:
    run(aws)
    trust = aws.client("iam").get_role(RoleName=NAME)["Role"]["AssumeRolePolicyDocument"]
    assert [statement["Principal"] for statement in trust["Statement"]] == [{"Service": "ec2.amazonaws.com"}]


@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_writes_nothing(aws: Any, check: bool) -> None:
    run(aws)
    assert not run(aws, check=check)["changed"]
    assert aws.writes == []


def test_check_mode_shows_the_policy_of_a_role_that_does_not_exist_yet(aws: Any) -> None:
    result = run(aws, check=True)
    assert changed_parts(result) == ["role", "policy", "instance profile"]
    assert result["changes"][1]["desired"] == POLICY
    assert aws.writes == []


def test_what_was_added_by_hand_is_taken_away(aws: Any) -> None:
    run(aws)
    iam = aws.client("iam")
    wide = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=NAME, PolicyName="more", PolicyDocument=json.dumps(wide))
    iam.put_role_policy(RoleName=NAME, PolicyName="freehold", PolicyDocument=json.dumps(wide))
    arn = iam.create_policy(PolicyName="wide", PolicyDocument=json.dumps(wide))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=NAME, PolicyArn=arn)
    writes = ["PutRolePolicy", "DeleteRolePolicy", "DetachRolePolicy"]
    settles(aws, ["policy", "policy more", "managed policies"], writes)


def test_another_trust_is_set_right(aws: Any) -> None:
    run(aws)
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
        }
    )
    iam = aws.client("iam")
    iam.update_assume_role_policy(RoleName=NAME, PolicyDocument=trust)
    settles(aws, ["trust"], ["UpdateAssumeRolePolicy"])
    assert iam.get_role(RoleName=NAME)["Role"]["AssumeRolePolicyDocument"] == iam_roles.TRUST_EC2


def test_a_boundary_is_set_and_removed(aws: Any) -> None:
    boundary = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    run(aws)
    settles(aws, ["boundary"], ["PutRolePermissionsBoundary"], permissions_boundary=boundary)
    role = aws.client("iam").get_role(RoleName=NAME)["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    settles(aws, ["boundary"], ["DeleteRolePermissionsBoundary"])
    assert "PermissionsBoundary" not in aws.client("iam").get_role(RoleName=NAME)["Role"]


def test_a_profile_that_holds_another_role_is_set_right(aws: Any) -> None:
    run(aws)
    iam = aws.client("iam")
    iam.remove_role_from_instance_profile(InstanceProfileName=NAME, RoleName=NAME)
    iam.create_role(RoleName="other", AssumeRolePolicyDocument="{}")
    iam.add_role_to_instance_profile(InstanceProfileName=NAME, RoleName="other")
    assert run(aws, check=True)["changes"][0]["current"] == ["other"]
    settles(aws, ["instance profile"], ["RemoveRoleFromInstanceProfile", "AddRoleToInstanceProfile"])


def test_a_role_of_somebody_else_is_refused(aws: Any) -> None:
    aws.client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument="{}")
    result = run(aws)
    assert result["failed"]
    assert NAME in result["msg"]
    assert aws.writes == []


FEDERATED = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
            "Action": "sts:AssumeRoleWithWebIdentity",
        }
    ],
}


def test_a_role_with_a_trust_of_its_own_gets_no_instance_profile(aws: Any) -> None:
    assert changed_parts(run(aws, role={"trust": FEDERATED})) == ["role", "policy"]
    iam = aws.client("iam")
    assert iam.get_role(RoleName=NAME)["Role"]["AssumeRolePolicyDocument"] == FEDERATED
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert not run(aws, role={"trust": FEDERATED})["changed"]
    other = {**FEDERATED, "Statement": [{**FEDERATED["Statement"][0], "Condition": {}}]}  # type: ignore[dict-item]
    settles(aws, ["trust"], ["UpdateAssumeRolePolicy"], role={"trust": other})


def remove(aws: Any, check: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(iam_roles, check=check, roles={}, absent=[NAME], policy_name="freehold", tags=TAGS)
    return result


def test_a_role_that_is_not_wanted_any_more_goes_with_its_policies(aws: Any) -> None:
    assert not remove(aws)["changed"]
    run(aws)
    writes = ["RemoveRoleFromInstanceProfile", "DeleteInstanceProfile", "DeleteRolePolicy", "DeleteRole"]
    assert changed_parts(aws.settles(partial(remove, aws), writes)) == ["role"]
    assert aws.client("iam").list_roles()["Roles"] == []


def test_a_role_of_somebody_else_is_not_removed(aws: Any) -> None:
    aws.client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument="{}")
    assert not remove(aws)["changed"]
    assert aws.writes == []


def test_another_description_and_missing_tags_are_set_right(aws: Any) -> None:
    run(aws)
    aws.client("iam").untag_role(RoleName=NAME, TagKeys=["Name"])
    settles(aws, ["description", "tags"], ["UpdateRole", "TagRole"], role={"description": "Workers"})


def test_wanted_managed_policies_are_attached(aws: Any) -> None:
    arn = aws.client("iam").create_policy(PolicyName="p", PolicyDocument=json.dumps(POLICY))["Policy"]["Arn"]
    run(aws)
    settles(aws, ["managed policies"], ["AttachRolePolicy"], role={"managed_policies": [arn]})


def test_what_iam_refuses_is_said(aws: Any) -> None:
    result = run(aws, role={"policy": {"Version": "no"}})
    assert result["msg"].startswith("The IAM roles can't be made as wanted")
