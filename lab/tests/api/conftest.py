# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab API in this process on free ports; every test gets a network of its own."""

from __future__ import annotations

import configparser
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config

from lab import dns, imds
from lab.api import operator, services, state
from lab.api.gateway import Gateway
from lab.api.servers import serve
from lab.api.settings import Settings

REGION = "eu-west-1"
IMAGES = {"x86_64": "ami-0deb130000000ad64", "arm64": "ami-0deb13000000a4264"}
TYPES = {"x86_64": "t3.medium", "arm64": "t4g.medium"}


@dataclass
class RunningLab:
    """What a test needs to talk to the API."""

    lab: state.Lab
    url: str
    https_port: int
    dns_port: int
    imds_port: int
    key: str
    secret: str

    def client(self, service: str, **kwargs: Any) -> Any:
        """A boto3 client of the operator, or with other credentials."""
        config = Config(retries={"max_attempts": 1}).merge(kwargs.pop("config", Config()))
        given = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret, **kwargs}
        make: Any = boto3.client  # its overloads want literal service names
        return make(service, region_name=REGION, endpoint_url=self.url, config=config, **given)

    def admin(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Call an /_lab path with the token."""
        headers = {"X-Freehold-Lab-Token": self.lab.admin_token}
        return requests.request(method, f"{self.url}{path}", headers=headers, timeout=10, **kwargs)

    def observe(self, **report: Any) -> None:
        """Report as the reconciler does."""
        self.admin("POST", "/_lab/observed", json=report).raise_for_status()

    def snapshot(self) -> dict[str, Any]:
        """What should be real."""
        taken: dict[str, Any] = self.admin("GET", "/_lab/snapshot").json()
        return taken


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """The API, started once: moto's memory is global to the process."""
    directory: Path = tmp_path_factory.mktemp("state")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        os.environ.pop(name)
    assert services.__all__
    lab = state.start(Settings(state=directory, bind="127.0.0.1", registry_url="http://127.0.0.1:9"))
    operator.create(lab)
    gateway = Gateway(lab)
    http = serve(gateway, "127.0.0.1", 0)
    https = serve(gateway, "127.0.0.1", 0, lab.authority)
    credentials = configparser.ConfigParser()
    credentials.read(directory / "credentials")
    yield RunningLab(
        lab=lab,
        url=f"http://127.0.0.1:{http.port}",
        https_port=https.port,
        dns_port=dns.serve(lab, "127.0.0.1", 0, upstreams=[]),
        imds_port=imds.serve(lab, "127.0.0.1", 0),
        key=credentials["default"]["aws_access_key_id"],
        secret=credentials["default"]["aws_secret_access_key"],
    )
    http.shutdown()
    https.shutdown()


@dataclass
class Network:
    """A VPC with two subnets in two zones and one security group."""

    vpc_id: str
    prefix: str
    subnet_ids: list[str]
    group_id: str


_numbers = itertools.count(30)


@pytest.fixture
def network(running: RunningLab) -> Network:
    """A new VPC."""
    ec2 = running.client("ec2")
    prefix = f"10.{next(_numbers)}"
    vpc_id = ec2.create_vpc(CidrBlock=f"{prefix}.0.0/16")["Vpc"]["VpcId"]
    subnet_ids = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"{prefix}.{number}.0/24", AvailabilityZone=f"{REGION}{letter}")[
            "Subnet"
        ]["SubnetId"]
        for number, letter in enumerate("ab", 1)
    ]
    group_id = ec2.create_security_group(GroupName=f"test-{prefix}", Description="test", VpcId=vpc_id)["GroupId"]
    return Network(vpc_id, prefix, subnet_ids, group_id)


@pytest.fixture
def launch(running: RunningLab, network: Network) -> Callable[..., Any]:
    """Run instances of this machine's architecture in the first subnet."""
    architecture = services.instances.machine_architecture()

    def run(**kwargs: Any) -> Any:
        given = {
            "ImageId": IMAGES[architecture],
            "InstanceType": TYPES[architecture],
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": network.subnet_ids[0],
            "SecurityGroupIds": [network.group_id],
            **kwargs,
        }
        return running.client("ec2").run_instances(**given)["Instances"]

    return run
