# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 instances: a container with systemd each, booted as a machine boots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab import names
from lab.reconciler import networks
from lab.reconciler.containers import (
    ContainerSpec,
    Found,
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
# What EC2 keeps of a machine's console: the last 64 KiB.
_CONSOLE_BYTES = 65536
_HOST_KEYS_END = "-----END SSH HOST KEY KEYS-----"


def container_name(instance_id: str) -> str:
    """The container of an instance."""
    return f"{names.PREFIX}-{instance_id}"


def docker_volume(instance_id: str) -> str:
    """The volume under /var/lib/docker: overlay on overlay would be slow."""
    return f"{names.PREFIX}-{instance_id}-docker"


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
            return _stopped(identifier, listed)
        network = networks.require(instance["vpc_id"], world)
        spec = _spec(instance, item["cidr"], item["region"], network, world)
        if listed is None:
            ensure_volume(docker_volume(identifier), self.name, identifier, world.epoch)
        container, _ = ensure(spec, world.epoch, listed)
        console = _console(container)
        observed = {"instances": {identifier: {"state": "running", "console": console}}}
        return Outcome(observed, again=5.0 if _HOST_KEYS_END in console else 0.5)

    def remove(self, identifier: str) -> None:
        if remove_container(container_name(identifier)):
            log(f"{container_name(identifier)}: removed")
        remove_volume(docker_volume(identifier))


def _stopped(identifier: str, listed: Found | None) -> Outcome:
    found = find(Instances.name, identifier) if listed and listed.state == "running" else listed
    if found and found.state == "running":
        stop_container(found.id, _SHUTDOWN_SECONDS)
        log(f"{container_name(identifier)}: stopped")
    return Outcome({"instances": {identifier: {"state": "stopped"}}})


def _spec(instance: Instance, cidr: str, region: str, network: str, world: Round) -> ContainerSpec:
    identifier = instance["id"]
    volumes = {docker_volume(identifier): ("/var/lib/docker", "rw")}
    if not world.settings.kernel_nfs:
        # For the mount.nfs4 stand-in alone; see host/mount_nfs4.py.
        volumes[names.FILE_SYSTEMS_VOLUME] = ("/var/lib/freehold-lab/efs", "rw")
    # No machine gets more than the lab's machine has to give; several together may still want too much.
    memory = min(instance["memory_mib"] or world.settings.memory_mib, world.settings.memory_mib)
    return ContainerSpec(
        kind=Instances.name,
        id=identifier,
        name=container_name(identifier),
        image=world.settings.host_image,
        command=(),
        network=network,
        ip=instance["private_ip"],
        hostname="ip-" + instance["private_ip"].replace(".", "-"),
        environment={
            "FREEHOLD_RESOLVER": reserved_address(cidr, 2),
            "FREEHOLD_SEARCH": f"{region}.compute.internal",
        },
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


def _console(container: str) -> str:
    text = engine().logs(container, tail=2000)
    return text[-_CONSOLE_BYTES:].decode(errors="replace").replace("\r\n", "\n")
