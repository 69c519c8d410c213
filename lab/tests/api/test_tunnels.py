# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API tells the tunnel service of Instance Connect Endpoints; the service itself: lab/tests/tunnel."""

from __future__ import annotations

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


def test_the_operator_may_open_tunnels_and_others_may_not(
    running: RunningLab, account: tunnels.Account, endpoint_id: str
) -> None:
    endpoint = known(account, endpoint_id)
    assert account.secret_key(running.key) == running.secret
    account.authorize(running.key, endpoint)
    iam = running.client("iam")
    iam.create_user(UserName="tunnel-nobody")
    key = iam.create_access_key(UserName="tunnel-nobody")["AccessKey"]["AccessKeyId"]
    with pytest.raises(tunnel.Refused, match="user/tunnel-nobody is not authorized to perform: ec2-instance-connect:"):
        account.authorize(key, endpoint)
    assert account.secret_key("AKIAUNKNOWN") is None
