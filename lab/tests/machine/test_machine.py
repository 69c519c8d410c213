# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that the lab refuses, each with a sentence that says why."""

from __future__ import annotations

import platform
import socket
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from lab import machine, names
from lab.refusal import Refusal


def engine(containers: list[Any] | None = None, networks: list[Any] | None = None, **info: Any) -> docker.DockerClient:
    """An engine that answers what a machine of the lab would, but for `info`."""
    answer = {
        "SecurityOptions": ["name=seccomp,profile=default"],
        "OSType": "linux",
        "OperatingSystem": "Debian",
        "MemTotal": 16 * 2**30,
        "DockerRootDir": "/",
        **info,
    }
    api = SimpleNamespace(containers=lambda **_: containers or [], networks=lambda: networks or [])
    return cast(docker.DockerClient, SimpleNamespace(info=lambda: answer, api=api))


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        ({"SecurityOptions": ["name=rootless"]}, "runs without root"),
        ({"SecurityOptions": ["name=userns"]}, "remaps users"),
        ({"OperatingSystem": "Docker Desktop"}, "Docker Desktop"),
        ({"MemTotal": 2 * 2**30}, "MiB of memory, this machine has 2048 MiB"),
    ],
)
def test_an_unfit_machine_is_refused(info: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        machine.refuse_the_unfit(engine(**info))


def test_another_system_or_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(Refusal, match="riscv64"):
        machine.refuse_the_unfit(engine())
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(Refusal, match="needs Linux"):
        machine.refuse_the_unfit(engine())


@pytest.fixture
def taken_port(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A port of the lab on which another program listens; the lab's other ports are free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        for name in ("API_PORT", "REGISTRY_PORT", "TUNNEL_PORT", "HTTP_PORT", "HTTPS_PORT"):
            monkeypatch.setattr(names, name, port)
        yield port


def test_a_port_that_another_program_has_is_named(taken_port: int) -> None:
    with pytest.raises(Refusal, match=f"Port {taken_port} of 127.0.0.1 is taken"):
        machine.refuse_taken_ports(engine())


def test_the_labs_own_ports_are_no_trouble(taken_port: int) -> None:
    machine.refuse_taken_ports(engine(containers=[{"Ports": [{"PublicPort": taken_port}]}]))


def test_a_network_in_the_environments_way_is_named() -> None:
    def network(name: str, subnet: str, **labels: str) -> dict[str, Any]:
        return {"Name": name, "Labels": labels, "IPAM": {"Config": [{"Subnet": subnet}]}}

    others = [network("far", "172.17.0.0/16"), network("six", "fd00::/64")]
    own = network("freehold-lab-vpc-1", names.DEFAULT_VPC, **{names.LABEL: "1"})
    assert machine.network_in_the_way(engine(networks=[*others, own])) is None
    assert machine.network_in_the_way(engine(networks=[*others, network("near", "10.20.128.0/24")])) == "near"
