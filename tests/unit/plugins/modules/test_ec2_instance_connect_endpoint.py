# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ec2_instance_connect_endpoint. moto does not know these endpoints, so EC2's answers are written here."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.modules import ec2_instance_connect_endpoint

TAGS = {"freehold:environment": "lab"}
VPCS = {"subnet-1": "vpc-1", "subnet-1b": "vpc-1", "subnet-2": "vpc-2"}


class Endpoints:
    """The part of EC2 that keeps endpoints; they need one look by id to get ready or to be gone.

    Stands for C(aws.answers), which holds every request against botocore's model of it.
    """

    def __init__(self, aws: Any) -> None:
        self.aws = aws
        self.endpoints: dict[str, dict[str, Any]] = {}
        # What becomes of an endpoint that is being made or deleted.
        self.ends = {"create-in-progress": "create-complete", "delete-in-progress": "delete-complete"}
        self.reason = ""

    def __contains__(self, operation: str) -> bool:
        return operation.endswith(("InstanceConnectEndpoint", "InstanceConnectEndpoints"))

    def __getitem__(self, operation: str) -> dict[str, Any]:
        return getattr(self, operation)(self.aws.asked(operation)[-1])  # type: ignore[no-any-return]

    def CreateInstanceConnectEndpoint(self, params: dict[str, Any]) -> dict[str, Any]:
        number = len(self.endpoints) + 1
        endpoint = {
            "InstanceConnectEndpointId": f"eice-{number}",
            "State": "create-in-progress",
            "DnsName": f"eice-{number}.example.com",
            "VpcId": VPCS[params["SubnetId"]],
            "SubnetId": params["SubnetId"],
            "SecurityGroupIds": params["SecurityGroupIds"] or ["sg-default"],
            "PreserveClientIp": params.get("PreserveClientIp", False),
            "Tags": params["TagSpecifications"][0]["Tags"],
        }
        self.endpoints[f"eice-{number}"] = endpoint
        return {"InstanceConnectEndpoint": dict(endpoint)}

    def DescribeInstanceConnectEndpoints(self, params: dict[str, Any]) -> dict[str, Any]:
        if ids := params.get("InstanceConnectEndpointIds"):
            found = [dict(self.endpoints[one]) for one in ids]
            for one in ids:
                endpoint = self.endpoints[one]
                endpoint["State"] = self.ends.get(endpoint["State"], endpoint["State"])
                endpoint["StateMessage"] = self.reason
            return {"InstanceConnectEndpoints": found}
        fields = {"vpc-id": "VpcId", "state": "State"}
        return {
            "InstanceConnectEndpoints": [
                dict(endpoint)
                for endpoint in self.endpoints.values()
                if all(endpoint[fields[wanted["Name"]]] in wanted["Values"] for wanted in params["Filters"])
            ]
        }

    def DeleteInstanceConnectEndpoint(self, params: dict[str, Any]) -> dict[str, Any]:
        endpoint = self.endpoints[params["InstanceConnectEndpointId"]]
        endpoint["State"] = "delete-in-progress"
        return {"InstanceConnectEndpoint": dict(endpoint)}


@pytest.fixture
def endpoints(aws: Any, waited: list[float]) -> Endpoints:
    fake = Endpoints(aws)
    aws.answers = fake
    return fake


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(AnsibleAWSModule, "warn", lambda _module, text: said.append(text))
    return said


def run(aws: Any, check: bool = False, **params: Any) -> dict[str, Any]:
    given = {"vpc_id": "vpc-1", "subnet_id": "subnet-1", "security_group_ids": ["sg-1"], "tags": TAGS, **params}
    result: dict[str, Any] = aws.run(ec2_instance_connect_endpoint, check=check, **given)
    return result


def test_an_endpoint_is_made_as_wanted_and_awaited(aws: Any, endpoints: Endpoints, waited: list[float]) -> None:
    result = run(aws, security_group_ids=["sg-1", "sg-2"], preserve_client_ip=True)
    assert result["changed"]
    assert result["endpoint"] == {
        "id": "eice-1",
        "state": "create-complete",
        "dns_name": "eice-1.example.com",
        "subnet_id": "subnet-1",
    }
    assert waited == [5]
    assert aws.asked("CreateInstanceConnectEndpoint") == [
        {
            "SubnetId": "subnet-1",
            "SecurityGroupIds": ["sg-1", "sg-2"],
            "PreserveClientIp": True,
            "TagSpecifications": [
                {
                    "ResourceType": "instance-connect-endpoint",
                    "Tags": [{"Key": "freehold:environment", "Value": "lab"}],
                }
            ],
        }
    ]


def test_instances_see_the_endpoint_s_address_unless_told_otherwise(aws: Any, endpoints: Endpoints) -> None:
    run(aws)
    assert [request["PreserveClientIp"] for request in aws.asked("CreateInstanceConnectEndpoint")] == [False]


def test_it_need_not_be_awaited(aws: Any, endpoints: Endpoints) -> None:
    assert run(aws, wait=False)["endpoint"]["state"] == "create-in-progress"


@pytest.mark.parametrize("check", [False, True])
def test_a_second_run_writes_nothing_and_has_nothing_to_say(
    aws: Any, endpoints: Endpoints, warnings: list[str], check: bool
) -> None:
    run(aws)
    assert not run(aws, check=check)["changed"]
    assert aws.writes == []
    assert warnings == []


def test_check_mode_makes_nothing(aws: Any, endpoints: Endpoints) -> None:
    assert run(aws, check=True)["changed"]
    assert aws.writes == []


@pytest.mark.parametrize("state", ["present", "absent"])
def test_of_two_vpcs_only_the_endpoint_of_ours_is_looked_at(aws: Any, endpoints: Endpoints, state: str) -> None:
    run(aws)
    run(aws, vpc_id="vpc-2", subnet_id="subnet-2")
    result = run(aws, vpc_id="vpc-2", subnet_id="subnet-2", state=state)
    assert result["changed"] == (state == "absent")
    assert result["endpoint"].get("id") == (None if state == "absent" else "eice-2")
    deleted = [{"InstanceConnectEndpointId": "eice-2"}] if state == "absent" else []
    assert aws.asked("DeleteInstanceConnectEndpoint") == deleted
    assert aws.asked("CreateInstanceConnectEndpoint") == []
    assert endpoints.endpoints["eice-1"]["State"] == "create-complete"


def test_our_endpoint_is_deleted_and_its_end_awaited(aws: Any, endpoints: Endpoints, waited: list[float]) -> None:
    run(aws)
    waited.clear()
    aws.settles(partial(run, aws, state="absent"), ["DeleteInstanceConnectEndpoint"])
    assert endpoints.endpoints["eice-1"]["State"] == "delete-complete"
    assert waited == [5]


def test_the_endpoint_of_somebody_else_is_used_and_never_deleted(
    aws: Any, endpoints: Endpoints, warnings: list[str]
) -> None:
    run(aws, subnet_id="subnet-1b", tags={"freehold:environment": "other"})
    assert run(aws)["endpoint"]["id"] == "eice-1"
    assert aws.writes == []
    assert not run(aws, state="absent")["changed"]
    assert aws.writes == []
    assert warnings == []


def test_check_mode_deletes_nothing(aws: Any, endpoints: Endpoints) -> None:
    run(aws)
    assert run(aws, state="absent", check=True)["changed"]
    assert aws.writes == []


def test_deletion_need_not_be_awaited(aws: Any, endpoints: Endpoints) -> None:
    run(aws)
    assert run(aws, state="absent", wait=False)["changed"]
    assert aws.operations[-1] == "DeleteInstanceConnectEndpoint"


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({"security_group_ids": ["sg-2"]}, "security_group_ids"),
        ({"subnet_id": "subnet-1b"}, "subnet_id"),
        ({"preserve_client_ip": True}, "preserve_client_ip"),
        ({"preserve_client_ip": True, "subnet_id": "subnet-1b"}, "subnet_id, preserve_client_ip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_difference_is_said_and_left_as_it_is(
    aws: Any, endpoints: Endpoints, warnings: list[str], changes: dict[str, Any], different: str, check: bool
) -> None:
    run(aws)
    assert not run(aws, check=check, **changes)["changed"]
    (warning,) = warnings
    assert f"eice-1 was made with another {different} than wanted" in warning
    assert aws.writes == []


@pytest.mark.parametrize(
    ("made_with", "wanted"), [([], []), (["sg-1"], []), (["sg-1", "sg-2"], ["sg-2", "sg-1"])], ids=str
)
def test_groups_that_ec2_chose_and_groups_in_another_order_are_no_difference(
    aws: Any, endpoints: Endpoints, warnings: list[str], made_with: list[str], wanted: list[str]
) -> None:
    run(aws, security_group_ids=made_with)
    run(aws, security_group_ids=wanted)
    assert warnings == []


@pytest.mark.parametrize(
    ("state", "verb"), [("present", "create"), ("absent", "delete")], ids=["being made", "being deleted"]
)
@pytest.mark.parametrize("reason", ["The limit of interfaces is reached", ""], ids=["with a reason", "without"])
def test_what_fails_while_it_is_awaited_is_said_with_ec2_s_reason(
    aws: Any, endpoints: Endpoints, waited: list[float], state: str, verb: str, reason: str
) -> None:
    if state == "absent":
        run(aws)
    waited.clear()
    endpoints.ends[f"{verb}-in-progress"] = f"{verb}-failed"
    endpoints.reason = reason
    result = run(aws, state=state)
    assert result["failed"]
    assert result["msg"] == (
        f"The EC2 Instance Connect Endpoint eice-1 is {verb}-failed: {reason or 'EC2 gives no reason'}"
    )
    assert waited == [5]


@pytest.mark.parametrize(
    ("state", "verb"), [("present", "create"), ("absent", "delete")], ids=["being made", "being deleted"]
)
def test_the_wait_ends_after_the_given_time_and_says_which_option_prolongs_it(
    aws: Any, endpoints: Endpoints, waited: list[float], state: str, verb: str
) -> None:
    if state == "absent":
        run(aws)
    waited.clear()
    endpoints.ends.clear()
    result = run(aws, state=state, wait_timeout=15)
    assert result["failed"]
    assert result["msg"] == (
        f"The EC2 Instance Connect Endpoint eice-1 is still {verb}-in-progress after 15 seconds:"
        " raise hosts_wait_timeout, or run again later"
    )
    assert waited == [5, 5]


@pytest.mark.parametrize("operation", ["CreateInstanceConnectEndpoint", "DescribeInstanceConnectEndpoints"])
def test_what_ec2_refuses_is_said(aws: Any, endpoints: Endpoints, operation: str) -> None:
    aws.refusals[operation] = "UnauthorizedOperation"
    message = run(aws)["msg"]
    assert message.startswith("The EC2 Instance Connect Endpoint can't be changed: ")
    assert "UnauthorizedOperation" in message


def test_an_endpoint_that_may_not_be_awaited_is_said(
    aws: Any, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = endpoints.CreateInstanceConnectEndpoint

    def make(params: dict[str, Any]) -> dict[str, Any]:
        aws.refusals["DescribeInstanceConnectEndpoints"] = "UnauthorizedOperation"
        return made(params)

    monkeypatch.setattr(endpoints, "CreateInstanceConnectEndpoint", make)
    message = run(aws)["msg"]
    assert message.startswith("The EC2 Instance Connect Endpoint can't be changed: ")
    assert "UnauthorizedOperation" in message
