# SPDX-License-Identifier: GPL-3.0-or-later
"""Which instances are virtual machines, and what their containers are made from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from lab import names
from lab.reconciler import instances, networks
from lab.reconciler.containers import NotReady
from lab.reconciler.instances import Instances
from lab.reconciler.kind import Round
from lab.reconciler.settings import Settings
from lab.reconciler.snapshot import Instance

SETTINGS = Settings("http://api", "host:1", "services:1", "machine:1", ("SYS_ADMIN",), False, 8000)
WORLD = Round(SETTINGS, cast(Any, None), cast(Any, {"epoch": "first"}), {}, {networks.network_name("vpc-1"): "id"})


def instance(image: str) -> Instance:
    return {
        "id": "i-1", "state": "running", "private_ip": "10.21.1.9", "public_ip": None, "subnet_id": "subnet-1",
        "vpc_id": "vpc-1", "hostname": "ip-10-21-1-9.eu-west-1.compute.internal", "image_id": image,
        "instance_type": "t3.medium", "memory_mib": 4096, "security_groups": [],
    }  # fmt: skip


def test_only_instances_of_the_image_of_virtual_machines_are_some() -> None:
    assert instances.is_virtual(instance(names.VIRTUAL_MACHINE_IMAGE))
    assert not instances.is_virtual(instance("ami-0deb130000000ad64"))


def test_a_virtual_machine_has_its_address_and_a_disk_that_outlives_its_container() -> None:
    spec = instances.virtual_spec(instance(names.VIRTUAL_MACHINE_IMAGE), "10.21.0.0/16", "eu-west-1", "net", WORLD)
    assert (spec.image, spec.ip, spec.id) == ("machine:1", "10.21.1.9", "i-1")
    assert spec.volumes == {"freehold-lab-i-1-root": ("/disk", "rw")}
    assert spec.environment["FREEHOLD_RESOLVER"] == "10.21.0.2"


def test_a_virtual_machine_has_its_memory_and_qemu_some_beside() -> None:
    spec = instances.virtual_spec(instance(names.VIRTUAL_MACHINE_IMAGE), "10.21.0.0/16", "eu-west-1", "net", WORLD)
    assert spec.environment["FREEHOLD_MEMORY_MIB"] == "4096"
    assert spec.memory_mib is not None
    assert spec.memory_mib > 4096


def test_a_virtual_machine_needs_fewer_capabilities_than_a_container_host() -> None:
    spec = instances.virtual_spec(instance(names.VIRTUAL_MACHINE_IMAGE), "10.21.0.0/16", "eu-west-1", "net", WORLD)
    assert spec.capabilities == ("NET_ADMIN",)
    assert "security_opt" not in spec.host_config


def test_a_lab_without_virtual_machines_says_how_to_get_them() -> None:
    world = replace(WORLD, settings=replace(SETTINGS, machine_image=""))
    item = {"instance": instance(names.VIRTUAL_MACHINE_IMAGE), "cidr": "10.21.0.0/16", "region": "eu-west-1"}
    with pytest.raises(NotReady, match="lab up --virtual-machines"):
        Instances().ensure("i-1", item, world)
