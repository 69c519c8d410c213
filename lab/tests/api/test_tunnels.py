# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API tells the tunnel service of Instance Connect Endpoints; the service itself: lab/tests/tunnel."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from lab import tunnel
from lab.api import tunnels
from lab.tests.api.conftest import Network, RunningLab


@pytest.fixture
def account(running: RunningLab) -> tunnels.Account:
    return tunnels.Account(running.lab)


@pytest.fixture
def endpoint_id(running: RunningLab, network: Network) -> str:
    made = running.client("ec2").create_instance_connect_endpoint(
        SubnetId=network.subnet_ids[0], SecurityGroupIds=[network.group_id]
    )
    return str(made["InstanceConnectEndpoint"]["InstanceConnectEndpointId"])


def known(account: tunnels.Account, endpoint_id: str) -> tunnel.Endpoint:
    found = account.endpoint(endpoint_id)
    assert found is not None
    return found


def test_a_new_endpoint_is_usable_and_has_an_address_in_its_subnet(
    account: tunnels.Account, endpoint_id: str, network: Network
) -> None:
    endpoint = known(account, endpoint_id)
    assert endpoint.state == "create-complete"
    assert endpoint.address.startswith(f"{network.prefix}.1.")


def test_an_endpoint_that_does_not_exist_or_was_deleted_is_unknown(
    running: RunningLab, account: tunnels.Account, endpoint_id: str
) -> None:
    assert account.endpoint("eice-0000000000000000f") is None
    running.client("ec2").delete_instance_connect_endpoint(InstanceConnectEndpointId=endpoint_id)
    assert account.endpoint(endpoint_id) is None


def test_an_endpoint_reaches_the_running_hosts_of_its_vpc_alone(
    running: RunningLab, account: tunnels.Account, endpoint_id: str, network: Network, launch: Callable[..., Any]
) -> None:
    ec2 = running.client("ec2")
    endpoint = known(account, endpoint_id)
    (host,) = launch()
    assert endpoint.reaches(host["PrivateIpAddress"])
    # Not itself, not an address of nobody, and not what is no address.
    for other in (endpoint.address, f"{network.prefix}.1.250", "127.0.0.1", "host"):
        assert not endpoint.reaches(other)
    vpc = ec2.create_vpc(CidrBlock=f"{network.prefix}.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"{network.prefix}.9.0/24")["Subnet"]["SubnetId"]
    (stranger,) = launch(SubnetId=subnet, SecurityGroupIds=[])
    assert not endpoint.reaches(stranger["PrivateIpAddress"])
    ec2.terminate_instances(InstanceIds=[host["InstanceId"]])
    assert not endpoint.reaches(host["PrivateIpAddress"])


@pytest.fixture
def nobody(running: RunningLab) -> str:
    """The access key of a user without policies."""
    iam = running.client("iam")
    name = f"tunnel-nobody-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    return str(iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"])


def allow(running: RunningLab, access_key: str, condition: dict[str, Any]) -> None:
    iam = running.client("iam")
    user = iam.get_access_key_last_used(AccessKeyId=access_key)["UserName"]
    statement = {
        "Effect": "Allow",
        "Action": "ec2-instance-connect:OpenTunnel",
        "Resource": "*",
        "Condition": condition,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="tunnel", PolicyDocument=document)


def test_the_operator_may_open_tunnels(running: RunningLab, account: tunnels.Account, endpoint_id: str) -> None:
    assert account.credentials(running.key) == tunnel.Credentials(running.secret)
    account.authorize(running.key, tunnel.Tunnel(known(account, endpoint_id), "10.0.0.1", 22, 3600))


def test_who_has_no_permission_may_not(account: tunnels.Account, endpoint_id: str, nobody: str) -> None:
    wanted = tunnel.Tunnel(known(account, endpoint_id), "10.0.0.1", 22, 3600)
    with pytest.raises(
        tunnel.Refused, match=r"is not authorized to perform: ec2-instance-connect:OpenTunnel on resource"
    ):
        account.authorize(nobody, wanted)


def test_the_conditions_of_a_policy_hold(
    running: RunningLab, account: tunnels.Account, endpoint_id: str, nobody: str
) -> None:
    endpoint = known(account, endpoint_id)
    allow(
        running,
        nobody,
        {
            "NumericEquals": {"ec2-instance-connect:remotePort": "22"},
            "IpAddress": {"ec2-instance-connect:privateIpAddress": "10.0.1.0/24"},
            "NumericLessThanEquals": {"ec2-instance-connect:maxTunnelDuration": "1800"},
        },
    )
    account.authorize(nobody, tunnel.Tunnel(endpoint, "10.0.1.5", 22, 1800))
    for wanted in (
        tunnel.Tunnel(endpoint, "10.0.1.5", 3389, 1800),
        tunnel.Tunnel(endpoint, "10.0.2.5", 22, 1800),
        tunnel.Tunnel(endpoint, "10.0.1.5", 22, 3600),
    ):
        with pytest.raises(tunnel.Refused, match="AccessDeniedException"):
            account.authorize(nobody, wanted)


def test_an_unknown_key_belongs_to_nobody(account: tunnels.Account) -> None:
    assert account.credentials("AKIAUNKNOWN") is None
