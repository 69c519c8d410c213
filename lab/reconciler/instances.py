# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 instances: a container with systemd each, booted as a machine boots, or one with a virtual machine in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab import names
from lab.reconciler import networks
from lab.reconciler.containers import (
    ContainerSpec,
    Found,
    NotReady,
    engine,
    ensure,
    ensure_volume,
    find,
    remove_container,
    remove_volume,
    stop_container,
)
from lab.reconciler.kind import Kind, Outcome, Round
from lab.reconciler.log import log
from lab.reconciler.snapshot import Instance, Snapshot, reserved_address, vpc_cidrs

# systemd has so long to stop its units, as long as EC2 gives a machine before it pulls the plug.
_SHUTDOWN_SECONDS = 120
# Emulated processors are slower by this much, and qemu wants memory beside the guest's.
_EMULATION = 5
_EMULATOR_MIB = 512
# The root disk of virtual machines, whatever size the API was asked for; it takes what is written to it.
_DISK_GIB = 20
# What EC2 keeps of a machine's console: the last 64 KiB.
_CONSOLE_BYTES = 65536
_HOST_KEYS_END = "-----END SSH HOST KEY KEYS-----"


def container_name(instance_id: str) -> str:
    """The container of an instance."""
    return f"{names.PREFIX}-{instance_id}"


def docker_volume(instance_id: str) -> str:
    """The volume under /var/lib/docker: overlay on overlay would be slow."""
    return f"{names.PREFIX}-{instance_id}-docker"


def root_volume(instance_id: str) -> str:
    """The volume of a virtual machine's root disk, which outlives a stop but not the instance."""
    return f"{names.PREFIX}-{instance_id}-root"


def is_virtual(instance: Instance) -> bool:
    """Whether the instance was launched from the image of virtual machines."""
    return instance["image_id"] == names.VIRTUAL_MACHINE_IMAGE


class Instances(Kind):
    """The instances."""

    name = "instance"

    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        cidrs = vpc_cidrs(snapshot)
        return {
            instance["id"]: {
                "instance": instance,
                "cidr": cidrs[instance["vpc_id"]],
                "region": snapshot["region"],
            }
            for instance in snapshot["instances"]
            if instance["vpc_id"] in cidrs
        }

    def ensure(self, identifier: str, item: Mapping[str, Any], world: Round) -> Outcome:
        instance: Instance = item["instance"]
        listed = world.containers.get((self.name, identifier))
        if instance["state"] == "terminated":
            self.remove(identifier)
            return Outcome({"instances": {identifier: {"state": "terminated"}}})
        if instance["state"] == "stopped":
            return _stopped(instance, listed)
        network = networks.require(instance["vpc_id"], world)
        if is_virtual(instance):
            if not world.settings.machine_image and listed is None:
                raise NotReady("this lab has no virtual machines yet: python -m lab up --virtual-machines")
            spec, volume = virtual_spec(instance, item["cidr"], item["region"], network, world), root_volume(identifier)
        else:
            spec, volume = _spec(instance, item["cidr"], item["region"], network, world), docker_volume(identifier)
        if listed is None:
            ensure_volume(volume, self.name, identifier, world.epoch)
        container, _ = ensure(spec, world.epoch, listed)
        console = _console(container)
        observed = {"instances": {identifier: {"state": "running", "console": console}}}
        return Outcome(observed, again=5.0 if _HOST_KEYS_END in console else 0.5)

    def remove(self, identifier: str) -> None:
        if remove_container(container_name(identifier)):
            log(f"{container_name(identifier)}: removed")
        remove_volume(docker_volume(identifier))
        remove_volume(root_volume(identifier))


def _stopped(instance: Instance, listed: Found | None) -> Outcome:
    identifier = instance["id"]
    found = find(Instances.name, identifier) if listed and listed.state == "running" else listed
    if found and found.state == "running":
        stop_container(found.id, _SHUTDOWN_SECONDS * (_EMULATION if is_virtual(instance) else 1))
        log(f"{container_name(identifier)}: stopped")
    return Outcome({"instances": {identifier: {"state": "stopped"}}})


def _spec(instance: Instance, cidr: str, region: str, network: str, world: Round) -> ContainerSpec:
    identifier = instance["id"]
    volumes = {docker_volume(identifier): ("/var/lib/docker", "rw")}
    if not world.settings.kernel_nfs:
        # For the mount.nfs4 stand-in alone; see host/mount_nfs4.py.
        volumes[names.FILE_SYSTEMS_VOLUME] = ("/var/lib/freehold-lab/efs", "rw")
    memory = _memory(instance, world)
    return ContainerSpec(
        kind=Instances.name,
        id=identifier,
        name=container_name(identifier),
        image=world.settings.host_image,
        command=(),
        network=network,
        ip=instance["private_ip"],
        hostname=_hostname(instance),
        environment=_resolver(cidr, region),
        volumes=volumes,
        capabilities=world.settings.capabilities,
        memory_mib=memory,
        tty=True,
        restart=False,
        stop_signal="SIGRTMIN+3",
        host_config={
            "cgroupns": "private",
            "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
            "tmpfs": {"/run": "mode=755", "/run/lock": "", "/tmp": "exec,mode=1777"},  # noqa: S108  the host's own
            "shm_size": f"{memory // 2}m",
        },
        made_from=identifier,
        # A machine keeps the image that it was launched from.
        follows_image=False,
    )


def virtual_spec(instance: Instance, cidr: str, region: str, network: str, world: Round) -> ContainerSpec:
    """The container of a virtual machine; see image_files/machine/boot.py."""
    identifier = instance["id"]
    memory = _memory(instance, world)
    return ContainerSpec(
        kind=Instances.name,
        id=identifier,
        name=container_name(identifier),
        image=world.settings.machine_image,
        command=(),
        network=network,
        ip=instance["private_ip"],
        hostname=_hostname(instance),
        environment={
            **_resolver(cidr, region),
            "FREEHOLD_MEMORY_MIB": str(memory),
            "FREEHOLD_DISK_GIB": str(_DISK_GIB),
            "FREEHOLD_INSTANCE_ID": identifier,
            "FREEHOLD_INSTANCE_TYPE": instance["instance_type"],
        },
        volumes={root_volume(identifier): ("/disk", "rw")},
        # To hand its address on to the guest, and nothing of what container hosts need.
        capabilities=("NET_ADMIN",),
        memory_mib=memory + _EMULATOR_MIB,
        tty=True,
        restart=False,
        host_config={
            "devices": ["/dev/net/tun:/dev/net/tun:rwm"],
            "sysctls": {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.proxy_arp": "1"},
        },
        made_from=identifier,
        # A machine keeps the image that it was launched from.
        follows_image=False,
    )


def _memory(instance: Instance, world: Round) -> int:
    # No machine gets more than the lab's machine has to give; several together may still want too much.
    return min(instance["memory_mib"] or world.settings.memory_mib, world.settings.memory_mib)


def _hostname(instance: Instance) -> str:
    return "ip-" + instance["private_ip"].replace(".", "-")


def _resolver(cidr: str, region: str) -> dict[str, str]:
    return {"FREEHOLD_RESOLVER": reserved_address(cidr, 2), "FREEHOLD_SEARCH": f"{region}.compute.internal"}


def _console(container: str) -> str:
    text = engine().logs(container, tail=2000)
    return text[-_CONSOLE_BYTES:].decode(errors="replace").replace("\r\n", "\n")
