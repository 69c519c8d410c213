# SPDX-License-Identifier: GPL-3.0-or-later
"""What a virtual machine is started with, and how its container becomes a wire."""

from __future__ import annotations

import base64
import importlib.util
import ipaddress
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from lab import images

SOURCE = images.FILES / "machine" / "boot.py"


@pytest.fixture(scope="module")
def boot() -> ModuleType:
    """The program, which is no part of the package: it runs in the container alone."""
    specification = importlib.util.spec_from_file_location("freehold_machine_boot", SOURCE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def here(boot: ModuleType) -> Any:
    return boot.Place(ipaddress.IPv4Interface("10.21.1.9/16"), "10.21.0.1")


@pytest.fixture
def guest(boot: ModuleType) -> Any:
    environment = {
        "FREEHOLD_RESOLVER": "10.21.0.2",
        "FREEHOLD_SEARCH": "eu-west-1.compute.internal",
        "FREEHOLD_MEMORY_MIB": "4096",
        "FREEHOLD_DISK_GIB": "20",
        "FREEHOLD_INSTANCE_ID": "i-1",
        "FREEHOLD_INSTANCE_TYPE": "t3.medium",
    }
    return boot.Guest.from_environment(environment)


@pytest.fixture
def line(boot: ModuleType, here: Any, guest: Any) -> str:
    return " ".join(boot.command_line(here, guest))


def test_the_guest_has_the_address_that_docker_gave(line: str) -> None:
    assert " ip=10.21.1.9::10.21.0.1:255.255.0.0::ens5:off " in line
    assert ",mac=06:42:0a:15:01:09," in line


def test_the_guest_asks_the_resolver_of_its_vpc(boot: ModuleType, guest: Any, line: str) -> None:
    # One line, of which systemd-tmpfiles makes two.
    entry = "nameserver 10.21.0.2\\nsearch eu-west-1.compute.internal\\n\n"
    assert boot.resolver(guest) == f"f+ /etc/resolv.conf 0644 root root - {entry}"
    # In the command line there is no blank in it.
    encoded = line.partition("systemd.set_credential_binary=tmpfiles.extra:")[2].split()[0]
    assert base64.b64decode(encoded).decode() == boot.resolver(guest)


def test_cloud_init_finds_itself_on_ec2(boot: ModuleType, guest: Any, line: str) -> None:
    identity = boot.hardware_uuid(guest)
    assert identity.startswith("ec2")
    assert f",uuid={identity},serial={identity} " in line


def test_every_machine_has_an_identity_of_its_own(boot: ModuleType, guest: Any) -> None:
    assert boot.hardware_uuid(guest) == boot.hardware_uuid(guest)
    assert boot.hardware_uuid(guest) != boot.hardware_uuid(replace(guest, instance_id="i-2"))


def test_the_container_keeps_no_address_and_leads_the_guests_to_it(boot: ModuleType, here: Any) -> None:
    commands = [" ".join(command) for command in boot.wire(here)]
    assert "ip address flush dev eth0" in commands
    assert "ip route replace 10.21.1.9/32 dev tap0" in commands
    assert "ip route replace default via 10.21.0.1 dev eth0" in commands
    assert "ip route replace 169.254.169.254/32 dev eth0" in commands


def test_the_wire_takes_no_hop_and_gives_one_back_only_once(boot: ModuleType) -> None:
    rules = [line.split() for line in boot.unseen().splitlines() if " set " in line]
    assert [(int(rule[2]), int(rule[-1])) for rule in rules] == [(hops, hops + 1) for hops in range(8, 0, -1)]
