# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ec2_security_groups against moto."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import ec2_security_groups

TAGS = {"freehold:environment": "lab"}
GROUPS: dict[str, Any] = {
    "load_balancer": {
        "description": "In front",
        "ingress": [{"ports": [80, 443], "cidrs": ["198.51.100.0/24"], "description": "Clients"}],
        "egress": [{"ports": [8080], "groups": ["webserver"]}],
    },
    "webserver": {"description": "Behind", "ingress": [{"ports": [8080], "groups": ["load_balancer"]}]},
}


@pytest.fixture
def vpc_id(aws: Any) -> str:
    return str(aws.client("ec2").create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"])


def run(aws: Any, vpc_id: str, groups: dict[str, Any] = GROUPS, check: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = aws.run(
        ec2_security_groups, check=check, vpc_id=vpc_id, name_prefix="lab-", groups=groups, tags=TAGS
    )
    return result


def groups_of(aws: Any, vpc_id: str) -> dict[str, Any]:
    found = aws.client("ec2").describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
    return {group["GroupName"]: group for group in found["SecurityGroups"]}


def test_groups_that_name_each_other_are_made_in_one_call(aws: Any, vpc_id: str) -> None:
    result = run(aws, vpc_id)
    found = groups_of(aws, vpc_id)
    assert result["changed"]
    assert set(result["security_groups"]) == {"load_balancer", "webserver"}
    ingress = found["lab-webserver"]["IpPermissions"]
    assert [pair["GroupId"] for rule in ingress for pair in rule["UserIdGroupPairs"]] == [
        found["lab-load-balancer"]["GroupId"]
    ]


def test_a_new_group_loses_the_way_out_that_aws_gives_it(aws: Any, vpc_id: str) -> None:
    run(aws, vpc_id)
    assert groups_of(aws, vpc_id)["lab-webserver"]["IpPermissionsEgress"] == []


def test_a_second_run_writes_nothing(aws: Any, vpc_id: str) -> None:
    run(aws, vpc_id)
    result = run(aws, vpc_id)
    assert not result["changed"]
    assert aws.writes == []


def test_a_rule_added_by_hand_is_taken_away_and_reported(aws: Any, vpc_id: str) -> None:
    group_id = run(aws, vpc_id)["security_groups"]["webserver"]["id"]
    aws.client("ec2").authorize_security_group_ingress(
        GroupId=group_id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    result = aws.settles(partial(run, aws, vpc_id), ["RevokeSecurityGroupIngress"])
    assert [change["name"] for change in result["changes"]] == ["lab-webserver ingress"]
    assert "tcp 22 0.0.0.0/0" in result["changes"][0]["current"]
    assert "tcp 22 0.0.0.0/0" not in result["changes"][0]["desired"]
    assert len(groups_of(aws, vpc_id)["lab-webserver"]["IpPermissions"]) == 1


def test_check_mode_says_what_it_would_make_and_writes_nothing(aws: Any, vpc_id: str) -> None:
    result = run(aws, vpc_id, check=True)
    assert result["changed"]
    assert result["security_groups"] == {}
    assert {change["name"] for change in result["changes"]} == {
        "lab-load-balancer ingress",
        "lab-load-balancer egress",
        "lab-webserver ingress",
    }
    assert aws.writes == []


def test_another_description_of_a_rule_is_changed_in_place(aws: Any, vpc_id: str) -> None:
    run(aws, vpc_id)
    renamed = {**GROUPS, "load_balancer": {**GROUPS["load_balancer"]}}
    renamed["load_balancer"]["ingress"] = [{**GROUPS["load_balancer"]["ingress"][0], "description": "People"}]
    aws.settles(partial(run, aws, vpc_id, renamed), ["UpdateSecurityGroupRuleDescriptionsIngress"])


def test_check_mode_says_what_it_would_take_away_and_leaves_it(aws: Any, vpc_id: str) -> None:
    run(aws, vpc_id)
    assert not run(aws, vpc_id, check=True)["changed"]
    closed = {**GROUPS, "webserver": {"description": "Behind"}}
    would = run(aws, vpc_id, closed, check=True)
    assert len(groups_of(aws, vpc_id)["lab-webserver"]["IpPermissions"]) == 1
    did = aws.settles(partial(run, aws, vpc_id, closed), ["RevokeSecurityGroupIngress"])
    assert did["diff"] == would["diff"]
    assert did["diff"] == [
        {
            "before_header": "lab-webserver ingress",
            "after_header": "lab-webserver ingress",
            "before": "tcp 8080 load_balancer\n",
            "after": "",
        }
    ]


def test_a_new_rule_comes_before_the_old_one_goes(aws: Any, vpc_id: str) -> None:
    run(aws, vpc_id)
    ingress = [{"ports": [8443], "groups": ["load_balancer"]}]
    moved = {**GROUPS, "webserver": {"description": "Behind", "ingress": ingress}}
    aws.settles(partial(run, aws, vpc_id, moved), ["AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"])


def test_a_new_group_carries_its_name_and_the_environment(aws: Any, vpc_id: str) -> None:
    run(aws, vpc_id)
    tags = groups_of(aws, vpc_id)["lab-load-balancer"]["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {**TAGS, "Name": "lab-load-balancer"}


def test_what_ec2_refuses_is_said(aws: Any) -> None:
    assert run(aws, "vpc-0123456789abcdef0")["msg"].startswith("The security groups can't be made")


def test_a_group_of_somebody_else_is_refused(aws: Any, vpc_id: str) -> None:
    aws.client("ec2").create_security_group(GroupName="lab-webserver", Description="x", VpcId=vpc_id)
    result = run(aws, vpc_id)
    assert result["failed"]
    assert "lab-webserver" in result["msg"]
    assert "environment_name" in result["msg"]
    assert aws.writes == []


def test_a_rule_that_names_no_group_is_refused(aws: Any, vpc_id: str) -> None:
    wrong = {"webserver": {"description": "x", "ingress": [{"ports": [8080], "groups": ["balancer"]}]}}
    result = run(aws, vpc_id, wrong, check=True)
    assert result["failed"]
    assert "'balancer'" in result["msg"]
