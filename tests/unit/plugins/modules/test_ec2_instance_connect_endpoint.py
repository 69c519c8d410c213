# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ec2_instance_connect_endpoint. moto does not know these endpoints, so EC2's answers are written here."""

from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.modules import ec2_instance_connect_endpoint
from botocore.client import BaseClient
from botocore.exceptions import ClientError

TAGS = {"freehold:environment": "lab"}


class Endpoints:
    """The part of EC2 that keeps endpoints; they need one look to get ready or to be gone."""

    def __init__(self) -> None:
        self.endpoints: list[dict[str, Any]] = []
        self.operations: list[str] = []
        self.end_state = "create-complete"

    @property
    def writes(self) -> list[str]:
        return [operation for operation in self.operations if not operation.startswith("Describe")]

    def call(self, _client: Any, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        self.operations.append(operation)
        return getattr(self, operation)(params)  # type: ignore[no-any-return]

    def CreateInstanceConnectEndpoint(self, params: dict[str, Any]) -> dict[str, Any]:
        endpoint = {
            "InstanceConnectEndpointId": "eice-1",
            "State": "create-in-progress",
            "SubnetId": params["SubnetId"],
            "SecurityGroupIds": params["SecurityGroupIds"],
            "Tags": params["TagSpecifications"][0]["Tags"],
        }
        self.endpoints.append(endpoint)
        return {"InstanceConnectEndpoint": dict(endpoint)}

    def DescribeInstanceConnectEndpoints(self, params: dict[str, Any]) -> dict[str, Any]:
        wanted = {entry["Name"]: entry["Values"] for entry in params.get("Filters", [])}
        found = [dict(entry) for entry in self.endpoints if entry["State"] in wanted.get("state", [entry["State"]])]
        for endpoint in self.endpoints:
            if endpoint["State"] == "create-in-progress":
                endpoint["State"] = self.end_state
        if "InstanceConnectEndpointIds" in params:
            self.endpoints = [entry for entry in self.endpoints if entry["State"] != "delete-in-progress"]
        return {"InstanceConnectEndpoints": found}

    def DeleteInstanceConnectEndpoint(self, _params: dict[str, Any]) -> dict[str, Any]:
        self.endpoints[0]["State"] = "delete-in-progress"
        return {"InstanceConnectEndpoint": self.endpoints[0]}


@pytest.fixture
def endpoints(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Endpoints:
    fake = Endpoints()

    def call(client: BaseClient, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        return fake.call(client, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    monkeypatch.setattr("botocore.waiter.time.sleep", lambda _seconds: None)
    return fake


def run(aws: Any, check: bool = False, **params: Any) -> dict[str, Any]:
    given = {"vpc_id": "vpc-1", "subnet_id": "subnet-1", "security_group_ids": ["sg-1"], "tags": TAGS, **params}
    result: dict[str, Any] = aws.run(ec2_instance_connect_endpoint, check=check, **given)
    return result


def test_an_endpoint_is_made_and_awaited(aws: Any, endpoints: Endpoints) -> None:
    result = run(aws)
    assert result["changed"]
    assert result["endpoint"]["state"] == "create-complete"


def test_it_need_not_be_awaited(aws: Any, endpoints: Endpoints) -> None:
    assert run(aws, wait=False)["endpoint"]["state"] == "create-in-progress"


def test_a_second_run_writes_nothing(aws: Any, endpoints: Endpoints) -> None:
    run(aws)
    endpoints.operations.clear()
    assert not run(aws)["changed"]
    assert endpoints.writes == []


def test_check_mode_makes_nothing(aws: Any, endpoints: Endpoints) -> None:
    assert run(aws, check=True)["changed"]
    assert endpoints.writes == []


def test_an_endpoint_that_can_not_be_made_is_said(aws: Any, endpoints: Endpoints) -> None:
    endpoints.end_state = "create-failed"
    result = run(aws)
    assert result["failed"]
    assert "does not get ready" in result["msg"]


def test_our_endpoint_is_deleted(aws: Any, endpoints: Endpoints) -> None:
    run(aws)
    assert run(aws, state="absent")["changed"]
    assert endpoints.endpoints == []
    assert not run(aws, state="absent")["changed"]


def test_the_endpoint_of_somebody_else_is_used_and_never_deleted(aws: Any, endpoints: Endpoints) -> None:
    run(aws, tags={"freehold:environment": "other"})
    endpoints.operations.clear()
    assert run(aws)["endpoint"]["id"] == "eice-1"
    assert not run(aws, state="absent")["changed"]
    assert endpoints.writes == []


def test_check_mode_deletes_nothing(aws: Any, endpoints: Endpoints) -> None:
    run(aws)
    endpoints.operations.clear()
    assert run(aws, state="absent", check=True)["changed"]
    assert endpoints.writes == []


def test_deletion_need_not_be_awaited(aws: Any, endpoints: Endpoints) -> None:
    run(aws)
    endpoints.operations.clear()
    assert run(aws, state="absent", wait=False)["changed"]
    assert endpoints.operations[-1] == "DeleteInstanceConnectEndpoint"


def test_other_security_groups_are_said_because_ec2_can_not_change_them(
    aws: Any, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleAWSModule, "warn", lambda _module, text: warnings.append(text))
    run(aws)
    assert warnings == []
    endpoints.operations.clear()
    assert not run(aws, security_group_ids=["sg-2"])["changed"]
    assert ["eice-1 has other security groups than" in warning for warning in warnings] == [True]
    assert endpoints.writes == []


def test_what_ec2_refuses_is_said(aws: Any, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_params: dict[str, Any]) -> dict[str, Any]:
        error: Any = {"Error": {"Code": "UnauthorizedOperation", "Message": "not yours"}}
        raise ClientError(error, "CreateInstanceConnectEndpoint")

    monkeypatch.setattr(endpoints, "CreateInstanceConnectEndpoint", refuse)
    assert run(aws)["msg"].startswith("The EC2 Instance Connect Endpoint can't be changed")
