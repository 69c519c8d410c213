# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata service says to an instance who it is, and to nobody else."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest

from lab.api import backends
from lab.tests.api.conftest import RunningLab

_TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


class Host:
    """An instance that asks from its own address; here that is one of the loopback's."""

    def __init__(self, running: RunningLab, address: str) -> None:
        self._port = running.imds_port
        self._address = address

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5, source_address=(self._address, 0))
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def token(self) -> dict[str, str]:
        status, token = self.ask("PUT", "/latest/api/token", _TTL)
        assert status == 200
        return {"X-aws-ec2-metadata-token": token}

    def read(self, path: str) -> str:
        status, text = self.ask("GET", f"/latest/{path}", self.token())
        assert status == 200, path
        return text


@pytest.fixture
def host(running: RunningLab, launch: Callable[..., Any], request: pytest.FixtureRequest) -> tuple[Any, Host]:
    """An instance with key, profile and user data."""
    ec2, iam = running.client("ec2"), running.client("iam")
    name = request.node.name[:40]
    key = ec2.create_key_pair(KeyName=name, KeyType="ed25519")["KeyName"]
    trust = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    instance = launch(
        KeyName=key,
        IamInstanceProfile={"Name": name},
        UserData="#cloud-config\nhostname: x\n",
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
    )[0]
    # The loopback has a whole network of addresses; the instance gets one of them to ask from.
    address = f"127.77.{len(running.lab.consoles) % 250}.{hash(name) % 250 + 1}"
    model = backends.ec2().get_instance(instance["InstanceId"])
    model.nics[0].private_ip_address = address
    return instance, Host(running, address)


def test_it_tells_an_instance_what_cloud_init_asks(host: tuple[Any, Host], running: RunningLab) -> None:
    instance, asker = host
    name = instance["InstanceId"]
    assert asker.read("meta-data/instance-id") == name
    assert asker.read("meta-data/placement/availability-zone") == "eu-west-1a"
    assert asker.read("meta-data/placement/region") == "eu-west-1"
    assert asker.read("meta-data/local-hostname").endswith(".eu-west-1.compute.internal")
    assert asker.read("meta-data/public-keys/").startswith("0=")
    assert asker.read("meta-data/public-keys/0/openssh-key").startswith("ssh-ed25519 ")
    mac = asker.read("meta-data/network/interfaces/macs/").rstrip("/")
    assert asker.read(f"meta-data/network/interfaces/macs/{mac}/subnet-id") == instance["SubnetId"]
    assert asker.read("user-data") == "#cloud-config\nhostname: x\n"
    document = json.loads(asker.read("dynamic/instance-identity/document"))
    assert (document["instanceId"], document["region"]) == (name, "eu-west-1")
    assert asker.ask("GET", "/2021-03-23/meta-data/ami-id", asker.token())[1] == instance["ImageId"]
    assert asker.ask("GET", "/latest/meta-data/spot/termination-time", asker.token())[0] == 404
    taken = next(entry for entry in running.snapshot()["instances"] if entry["id"] == name)
    assert base64.b64decode(taken["user_data"]).startswith(b"#cloud-config")
    assert taken["hop_limit"] == 1


def test_version_one_is_refused_where_tokens_are_required(host: tuple[Any, Host]) -> None:
    _, asker = host
    assert asker.ask("GET", "/latest/meta-data/instance-id")[0] == 401
    assert asker.ask("GET", "/latest/meta-data/instance-id", {"X-aws-ec2-metadata-token": "x"})[0] == 401
    assert asker.ask("PUT", "/latest/api/token")[0] == 400
    assert asker.ask("PUT", "/latest/api/token", {**_TTL, "X-Forwarded-For": "10.0.0.1"})[0] == 403


def test_nobody_else_is_told_anything(host: tuple[Any, Host], running: RunningLab) -> None:
    _, asker = host
    stranger = Host(running, "127.0.0.1")
    assert stranger.ask("PUT", "/latest/api/token", _TTL)[0] == 404
    assert stranger.ask("GET", "/latest/meta-data/", asker.token())[0] == 404


def test_the_roles_credentials_work_and_are_the_roles(host: tuple[Any, Host], running: RunningLab) -> None:
    instance, asker = host
    role = asker.read("meta-data/iam/security-credentials/")
    got = json.loads(asker.read(f"meta-data/iam/security-credentials/{role}"))
    assert json.loads(asker.read(f"meta-data/iam/security-credentials/{role}")) == got
    session = {
        "aws_access_key_id": got["AccessKeyId"],
        "aws_secret_access_key": got["SecretAccessKey"],
        "aws_session_token": got["Token"],
    }
    arn = running.client("sts", **session).get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::123456789012:assumed-role/{role}/{instance['InstanceId']}"
    running.client("ec2", **session).describe_vpcs()


def test_the_token_travels_no_further_than_the_hop_limit(host: tuple[Any, Host], running: RunningLab) -> None:
    _, asker = host
    # A socket that accepts packets with a longer way to go only.
    with socket.socket() as channel:
        channel.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_MINTTL", 21), 2)
        channel.settimeout(1)
        channel.bind((asker._address, 0))
        channel.connect(("127.0.0.1", running.imds_port))
        request = "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n"
        channel.sendall(request.encode())
        with pytest.raises(TimeoutError):
            channel.recv(1)
