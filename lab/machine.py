# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine is, as far as the lab depends on it, and the sentences for machines that it cannot run on."""

from __future__ import annotations

import ipaddress
import json
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import docker
from docker.errors import APIError, ContainerError

from lab import names
from lab.refusal import Refusal

# Four hosts with Airflow, a database and the rest were measured at 2.5 GB; their page cache wants some, too.
_LEAST_MEMORY_MIB = 5000
# Images take 3 GB, and every host's own copy of the Airflow image 0.8 GB.
_LEAST_DISK_GIB = 12
# How long a port may be nobody's while docker starts the container that publishes it.
_STARTING_SECONDS = 3.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# What a host needs to be a machine: systemd, an own docker engine, mounts, packet filters. Never --privileged, and
# nothing by which a host would reach the machine below: its devices, its clock, its kernel modules, its security
# policy. Docker's own default set comes on top.
_CAPABILITIES = (
    *("AUDIT_CONTROL", "AUDIT_READ", "DAC_READ_SEARCH", "IPC_LOCK", "IPC_OWNER", "LEASE", "LINUX_IMMUTABLE"),
    *("NET_ADMIN", "NET_BROADCAST", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_PTRACE", "SYS_RESOURCE"),
    *("SYS_TTY_CONFIG", "SYSLOG"),
)
# Their numbers in /proc/<pid>/status (linux/capability.h).
_NUMBERS = {
    "DAC_READ_SEARCH": 2,
    "LINUX_IMMUTABLE": 9,
    "NET_BROADCAST": 11,
    "NET_ADMIN": 12,
    "IPC_LOCK": 14,
    "IPC_OWNER": 15,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYS_BOOT": 22,
    "SYS_NICE": 23,
    "SYS_RESOURCE": 24,
    "SYS_TTY_CONFIG": 26,
    "LEASE": 28,
    "AUDIT_CONTROL": 30,
    "SYSLOG": 34,
    "AUDIT_READ": 37,
}
_TUN = Path("/dev/net/tun")
_NEEDED = {"NET_ADMIN", "SYS_ADMIN"}


@dataclass(frozen=True)
class Machine:
    """What was found."""

    architecture: str
    memory_mib: int
    cgroup_version: str
    kernel_nfs: bool
    capabilities: tuple[str, ...]


def refuse_the_unfit(client: docker.DockerClient) -> None:
    """Raise Refusal, with one sentence, on a machine that the lab cannot run on."""
    if platform.system() != "Linux":
        raise Refusal(f"The lab needs Linux, this is {platform.system()}: use a Linux machine or virtual machine.")
    if platform.machine() not in _ARCHITECTURES:
        raise Refusal(f"The lab runs on x86_64 and aarch64, this machine is {platform.machine()}.")
    info = client.info()
    options = " ".join(info.get("SecurityOptions") or [])
    if "rootless" in options:
        raise Refusal("The docker engine runs without root, so hosts get no network of their own: use a root one.")
    if "userns" in options:
        raise Refusal("The docker engine remaps users (userns-remap), so hosts cannot mount: switch that off.")
    if info.get("OSType") != "linux" or "Desktop" in str(info.get("OperatingSystem")):
        raise Refusal(
            "The docker engine runs in a virtual machine of Docker Desktop: use a docker engine of this machine."
        )
    memory = int(info["MemTotal"]) // 2**20
    if memory < _LEAST_MEMORY_MIB:
        raise Refusal(f"The lab needs {_LEAST_MEMORY_MIB} MiB of memory, this machine has {memory} MiB.")
    root = Path(str(info.get("DockerRootDir") or "/var/lib/docker"))
    while not os.access(root, os.R_OK) and root != root.parent:
        root = root.parent
    free = shutil.disk_usage(root).free // 2**30
    if free < _LEAST_DISK_GIB:
        raise Refusal(f"The lab needs {_LEAST_DISK_GIB} GiB of free disk for {root}, there are {free} GiB.")


def refuse_to_emulate() -> None:
    """Raise Refusal, with one sentence, on a machine that has no virtual machines."""
    if platform.machine() != "x86_64":
        raise Refusal(
            f"Virtual machines of the lab are x86_64, and so must be the machine: this is {platform.machine()}."
        )
    if not _TUN.is_char_device():
        raise Refusal(f"Virtual machines need {_TUN} for their network: load the kernel's module tun (modprobe tun).")


def refuse_taken_ports(client: docker.DockerClient) -> None:
    """Raise Refusal when another program has a port that the lab publishes on the loopback interface."""
    for port in (names.API_PORT, names.REGISTRY_PORT, names.TUNNEL_PORT, names.HTTP_PORT, names.HTTPS_PORT):
        # A container of ours that is just starting listens a moment before docker says that the port is its own.
        deadline = time.monotonic() + _STARTING_SECONDS
        while port not in _own_ports(client) and _listens(port):
            if time.monotonic() > deadline:
                raise Refusal(
                    f"Port {port} of 127.0.0.1 is taken by another program, and the lab needs it: end that program "
                    f"first (sudo ss -lntp 'sport = :{port}' names it)."
                )
            time.sleep(0.2)


def _own_ports(client: docker.DockerClient) -> set[int | None]:
    own: set[int | None] = set()
    for container in client.api.containers(filters={"label": names.KIND_LABEL}):
        own.update(port.get("PublicPort") for port in container.get("Ports") or [])
    return own


def network_in_the_way(client: docker.DockerClient) -> str | None:
    """A docker network, not the lab's, that overlaps the VPC which the lab's inventory makes."""
    wanted = ipaddress.IPv4Network(names.DEFAULT_VPC)
    for network in client.api.networks():
        if names.LABEL in (network.get("Labels") or {}):
            continue
        for pool in (network.get("IPAM") or {}).get("Config") or []:
            subnet = pool.get("Subnet") or ""
            block = ipaddress.IPv4Network(subnet) if "." in subnet else None
            if block is not None and block.overlaps(wanted):
                return str(network["Name"])
    return None


def _listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        return connection.connect_ex(("127.0.0.1", port)) == 0


def detect(client: docker.DockerClient, image: str, memory: Path) -> Machine:
    """Find out what hosts can have here, by trying with `image`; remembered in the file `memory` until a reboot."""
    info = client.info()
    key = [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), info["ID"], info["ServerVersion"]]
    # A lab of other code may want others.
    key.append(",".join(_CAPABILITIES))
    if memory.exists():
        kept = json.loads(memory.read_text())
        if kept["key"] == key:
            return Machine(**{**kept["machine"], "capabilities": tuple(kept["machine"]["capabilities"])})
    machine = Machine(
        architecture=_ARCHITECTURES[platform.machine()],
        memory_mib=int(info["MemTotal"]) // 2**20,
        cgroup_version=str(info.get("CgroupVersion") or "1"),
        kernel_nfs=_kernel_mounts_nfs(),
        capabilities=_grantable(client, image),
    )
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(json.dumps({"key": key, "machine": asdict(machine)}))
    return machine


def _grantable(client: docker.DockerClient, image: str) -> tuple[str, ...]:
    """The capabilities that a container really gets. Some machines withhold one or two (SYS_RESOURCE, mostly)."""
    wanted = [name for name in _CAPABILITIES if name in bounding_set()]
    if _runs(client, image, wanted):
        return tuple(wanted)
    granted = [name for name in wanted if _runs(client, image, [name])]
    missing = _NEEDED - set(granted)
    if missing:
        raise Refusal(
            f"The docker engine cannot give a container the capability {' and '.join(sorted(missing))}, without which "
            "no host boots: use an engine that runs as root outside of any sandbox."
        )
    return tuple(granted)


def _runs(client: docker.DockerClient, image: str, capabilities: Iterable[str]) -> bool:
    try:
        client.containers.run(
            image,
            ["true"],
            cap_add=list(capabilities),
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            network_mode="none",
            labels={names.LABEL: "1", names.KIND_LABEL: "probe"},
            remove=True,
        )
    except (APIError, ContainerError):
        return False
    return True


def bounding_set() -> set[str]:
    """What this process, and so an engine beside it, could hand on at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            mask = int(line.split()[1], 16)
            return {name for name, number in _NUMBERS.items() if mask >> number & 1}
    return set(_NUMBERS)


def _kernel_mounts_nfs() -> bool:
    """Whether hosts can mount NFS for real; root may load the module, as the kernel itself would at a mount."""
    modprobe = shutil.which("modprobe", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if os.geteuid() == 0 and modprobe:
        subprocess.run([modprobe, "--quiet", "nfsv4"], check=False, capture_output=True, timeout=30)  # noqa: S603
    return any(line.split()[-1] == "nfs4" for line in Path("/proc/filesystems").read_text().splitlines())
