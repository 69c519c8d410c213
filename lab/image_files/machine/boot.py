# SPDX-License-Identifier: GPL-3.0-or-later
"""Process 1 of a virtual machine's container: gives the container's address to the guest, and runs it in qemu.

The container becomes the wire between the VPC and the guest. It keeps no address: it answers for the guest's by proxy
ARP and forwards packets, which therefore pass the hooks where the lab's security groups are.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What the image brings, and the instance's own disk: a volume.
IMAGE = Path("/machine")
DISK = Path("/disk")
_FILES = ("root.ext4", "vmlinuz", "initrd.img")
_MONITOR = Path("/run/monitor")
_METADATA = "169.254.169.254"
_PROCESSORS = 2
# Packets with fewer hops to go are those whose hops somebody counts.
_NEAR = 8


@dataclass(frozen=True)
class Place:
    """The guest's place in the network, which docker gave to the container."""

    address: ipaddress.IPv4Interface
    gateway: str


@dataclass(frozen=True)
class Guest:
    """What the guest is given, by the environment of the container."""

    resolver: str
    search: str
    memory_mib: int
    disk_gib: int
    instance_id: str
    instance_type: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Guest:
        """Read it. Raises KeyError when a variable is missing."""
        return cls(
            resolver=environment["FREEHOLD_RESOLVER"],
            search=environment["FREEHOLD_SEARCH"],
            memory_mib=int(environment["FREEHOLD_MEMORY_MIB"]),
            disk_gib=int(environment["FREEHOLD_DISK_GIB"]),
            instance_id=environment["FREEHOLD_INSTANCE_ID"],
            instance_type=environment["FREEHOLD_INSTANCE_TYPE"],
        )


def run(*command: str, text: str | None = None) -> str:
    """Run a command that must succeed; return what it prints."""
    return subprocess.run(command, check=True, input=text, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def place() -> Place:
    """Look where docker put the container."""
    (device,) = json.loads(run("ip", "-json", "-4", "address", "show", "dev", "eth0"))
    (route,) = json.loads(run("ip", "-json", "-4", "route", "show", "default"))
    info = device["addr_info"][0]
    return Place(ipaddress.IPv4Interface(f"{info['local']}/{info['prefixlen']}"), route["gateway"])


def wire(here: Place) -> list[list[str]]:
    """The commands that make the container the guest's wire; ip_forward and proxy_arp are on already."""
    return [
        ["ip", "tuntap", "add", "dev", "tap0", "mode", "tap"],
        ["ip", "link", "set", "tap0", "up"],
        # With the address go the routes that it brought.
        ["ip", "address", "flush", "dev", "eth0"],
        ["ip", "route", "replace", str(here.address.network), "dev", "eth0"],
        ["ip", "route", "replace", "default", "via", here.gateway, "dev", "eth0"],
        ["ip", "route", "replace", f"{_METADATA}/32", "dev", "eth0"],
        ["ip", "route", "replace", f"{here.address.ip}/32", "dev", "tap0"],
    ]


def unseen() -> str:
    """nftables rules that give back the hop which forwarding takes: a wire is none.

    The metadata service lets the hop limit of an instance be the time to live of its answers, which is 1 mostly.
    """
    # The longest first, so that a packet fits one rule alone.
    longer = "\n        ".join(f"ip ttl {hops} ip ttl set {hops + 1}" for hops in range(_NEAR, 0, -1))
    return f"""
table ip freehold_wire {{
    chain pass {{
        type filter hook prerouting priority raw; policy accept;
        {longer}
    }}
}}
"""


def hardware_address(address: ipaddress.IPv4Address) -> str:
    """The guest's; by the same rule as docker's, and another than the container's own."""
    return "06:42:" + ":".join(f"{byte:02x}" for byte in address.packed)


def resolver(guest: Guest) -> str:
    """The line of tmpfiles.d(5) that makes /etc/resolv.conf, which docker writes for container hosts."""
    return f"f+ /etc/resolv.conf 0644 root root - nameserver {guest.resolver}\\nsearch {guest.search}\\n\n"


def hardware_uuid(guest: Guest) -> str:
    """By its beginning cloud-init knows an EC2 machine (DataSourceEc2.py), and systemd makes the machine's id of it."""
    digest = hashlib.sha256(guest.instance_id.encode()).hexdigest()
    return str(uuid.UUID(f"ec2{digest[:29]}"))


def kernel_command_line(here: Place, guest: Guest) -> str:
    """Of the guest."""
    address = here.address
    tmpfiles = base64.b64encode(resolver(guest).encode()).decode()
    return " ".join(
        [
            # A busy machine emulates the timer too late for the kernel to find it.
            "root=/dev/vda rw console=ttyS0 panic=10 no_timer_check",
            # A line of a service in the midst of the host keys would spoil them for whoever reads the console.
            "quiet systemd.show_status=0",
            # Set by the initial RAM disk, because cloud-init asks for its data before networkd starts; networkd keeps
            # it (systemd-network-generator(8)).
            f"ip={address.ip}::{here.gateway}:{address.network.netmask}::ens5:off network-config=disabled",
            f"systemd.set_credential_binary=tmpfiles.extra:{tmpfiles}",
        ]
    )


def command_line(here: Place, guest: Guest) -> list[str]:
    """The call of qemu. Its console is the container's output."""
    identity = hardware_uuid(guest)
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
        # No KVM: where the machine has it, it is mostly a nested one, under which Debian's kernel did not boot.
        *("-machine", "pc", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"),
        *("-smp", str(_PROCESSORS), "-m", f"{guest.memory_mib}M"),
        # With a table of qemu's own instead of its BIOS's, which does not say that this is a virtual machine.
        *("-smbios", "type=0,vendor=Amazon EC2,version=1.0"),
        *("-smbios", f"type=1,manufacturer=Amazon EC2,product={guest.instance_type},uuid={identity},serial={identity}"),
        *("-kernel", str(DISK / "vmlinuz"), "-initrd", str(DISK / "initrd.img")),
        *("-append", kernel_command_line(here, guest)),
        # Nothing waits for the machine's own disk: what a crash of the machine would lose is a lab.
        *("-drive", f"file={DISK / 'root.ext4'},format=raw,if=none,id=root,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=root,addr=0x4"),
        *("-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no"),
        # In the slot that makes it ens5, as on AWS.
        *("-device", f"virtio-net-pci,netdev=net,mac={hardware_address(here.address.ip)},addr=0x5,romfile="),
        *("-device", "virtio-rng-pci", "-serial", "stdio", "-qmp", f"unix:{_MONITOR},server=on,wait=off"),
    ]


def make_disk(gib: int) -> None:
    """The instance's own disk from the image, at its first boot; with its kernel, whose modules are on the disk."""
    if (DISK / "root.ext4").exists():
        return
    for name in reversed(_FILES):
        # Under its own name only when it is whole.
        copy = DISK / f"{name}.part"
        run("cp", "--sparse=always", str(IMAGE / name), str(copy))
        if name == "root.ext4":
            os.truncate(copy, gib * 2**30)
            run("resize2fs", str(copy))
        copy.rename(DISK / name)


def press_power_button() -> None:
    """Ask the guest to shut down, as EC2 does. Nothing happens where qemu does not listen yet."""
    try:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(_MONITOR))
            stream = monitor.makefile("rw")
            for command in ("qmp_capabilities", "system_powerdown"):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                while "return" not in json.loads(stream.readline()):
                    pass
    except (OSError, ValueError) as error:
        sys.stderr.write(f"The guest does not hear the power button: {error}\n")


def main(arguments: Sequence[str] = ()) -> int:
    """Boot the guest, and end when it has powered itself off."""
    guest = Guest.from_environment(os.environ)
    here = place()
    make_disk(guest.disk_gib)
    for command in wire(here):
        run(*command)
    run("nft", "--file", "-", text=unseen())
    _MONITOR.unlink(missing_ok=True)
    with subprocess.Popen([*command_line(here, guest), *arguments]) as machine:  # noqa: S603
        signal.signal(signal.SIGTERM, lambda *_: press_power_button())
        return machine.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
