#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""mount.nfs and mount.nfs4 on a lab host.

Where the kernel can mount NFS, this hands over to nfs-common's own program. Where it cannot, the last inch is a
stand-in: the file system's server is asked over the network as a client would (through the TLS tunnel that the mount
names), and only when it answers is the directory that it exports bound to the mount point. The address that answered
decides which directory that is.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import re
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

# Mounted by the reconciler: the data of all file systems, and by-address/<mount target's address> -> <file system>.
EXPORTS = Path("/var/lib/freehold-lab/efs")
TUNNELS = Path("/etc/stunnel")
# nfs-common's one program for all; it goes by the name that it is called by.
REAL_PROGRAM = Path("/usr/sbin/mount.nfs.real")
FAILED = 32  # mount(8): mount failure
USAGE = 1

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME, MS_NODIRATIME, MS_BIND = (
    0x1, 0x2, 0x4, 0x8, 0x20, 0x400, 0x800, 0x1000,
)  # fmt: skip
FLAGS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
}
# What nfs(5) knows; a misspelt option must fail here as it does on a real client.
KNOWN = frozenset(
    re.findall(
        r"\w+",
        """
            vers nfsvers minorversion proto port rsize wsize hard soft softerr timeo retrans retry noresvport
            resvport sec fsc nofsc ac noac acregmin acregmax acdirmin acdirmax actimeo bg fg sharecache nosharecache
            lookupcache nconnect max_connect clientaddr migration nomigration local_lock addr mountproto mountport
            mountvers nolock lock intr nointr tcp udp rdirplus nordirplus trunkdiscovery notrunkdiscovery xprtsec
            cto nocto write rw ro suid nosuid dev nodev exec noexec atime noatime diratime nodiratime relatime
            norelatime strictatime defaults remount sync async mand nomand _netdev nofail auto noauto user nouser
            users owner group
        """,
    )
)


@dataclass(frozen=True)
class Request:
    """One mount as the command line asks for it."""

    program: str
    source: str
    target: str
    options: dict[str, str] = field(default_factory=dict)
    fake: bool = False

    @property
    def host(self) -> str:
        """The server's name in `host:/path`."""
        return self.source.rpartition(":")[0].strip("[]")

    @property
    def path(self) -> str:
        """The exported path in `host:/path`."""
        return self.source.rpartition(":")[2]


def fail(request: Request, reason: str) -> NoReturn:
    """End as mount.nfs does."""
    print(f"{request.program}: {reason}", file=sys.stderr)
    sys.exit(FAILED)


def parse(arguments: list[str]) -> Request:
    """Read `mount.nfs4 source target [-sfnvrw] [-o options]`."""
    program = Path(arguments[0]).name
    names: list[str] = []
    options: dict[str, str] = {}
    fake = False
    rest = iter(arguments[1:])
    for word in rest:
        if word == "-o":
            for option in next(rest, "").split(","):
                name, _, value = option.partition("=")
                if name:
                    options[name] = value
        elif word.startswith("-"):
            fake = fake or "f" in word
            if "r" in word:
                options["ro"] = ""
        else:
            names.append(word)
    if len(names) != 2:
        print(f"usage: {program} remotetarget dir [-rvVwfnsh] [-o nfsoptions]", file=sys.stderr)
        sys.exit(USAGE)
    request = Request(program, names[0], names[1], options, fake)
    if not re.fullmatch(r"(\[[^\]]+\]|[^:/]+):/.*", request.source):
        fail(request, f"remote share not in 'host:dir' format: {request.source}")
    for name in options:
        if name not in KNOWN and not name.startswith(("x-", "comment")):
            fail(request, "an incorrect mount option was specified")
    return request


def kernel_mounts_nfs(libc: ctypes.CDLL) -> bool:
    """Whether this kernel has an NFS client; trying to mount makes it load its module, if it has one."""
    libc.mount(b"none", b"/proc", b"nfs4", 0, None)
    return any(line.split()[-1] == "nfs4" for line in Path("/proc/filesystems").read_text().splitlines())


def tunnel_server(port: int) -> str | None:
    """The host that the TLS tunnel accepting on this local port connects to."""
    for path in sorted(TUNNELS.glob("**/*.conf")):
        section: dict[str, str] = {}
        for line in [*path.read_text().splitlines(), "[end]"]:
            text = line.split(";")[0].split("#")[0].strip()
            if text.startswith("["):
                if section.get("accept", "").rpartition(":")[2] == str(port):
                    return section.get("connect", "").rpartition(":")[0]
                section = {}
            elif "=" in text:
                name, _, value = text.partition("=")
                section[name.strip().lower()] = value.strip()
    return None


def ask_nfs_server(host: str, port: int, timeout: float) -> None:
    """Ask for the handle of the root (RFC 7530: PUTROOTFH, GETFH). Raises OSError when no NFS 4 server gives it."""
    root = struct.pack(">5I", 0, 0, 2, 24, 10)  # no tag, minor version 0, two operations
    who = struct.pack(">5I", 0, 0, 0, 0, 0)  # AUTH_SYS: stamp, no machine name, uid 0, gid 0, no groups
    call = struct.pack(">8I", 0x46524545, 0, 2, 100003, 4, 1, 1, len(who)) + who + struct.pack(">2I", 0, 0) + root
    with socket.create_connection((host, port), timeout=timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(struct.pack(">I", 0x80000000 | len(call)) + call)
        answer = b""
        while len(answer) < 32:
            part = connection.recv(512)
            if not part:
                raise ConnectionResetError("Connection reset by peer")
            answer += part
    # fragment mark, transaction, REPLY, accepted, verifier (2 words), SUCCESS, NFS4_OK
    words = struct.unpack(">8I", answer[:32])
    if words[1:4] != (0x46524545, 1, 0) or words[6] != 0:
        raise OSError("Protocol not supported")
    if words[7] != 0:
        raise OSError("access denied by server")


def wait_for_server(request: Request, host: str, port: int) -> None:
    """Ask until the server answers, for as long as mount.nfs would (nfs(5), `retry`: two minutes)."""
    deadline = time.monotonic() + 60 * float(request.options.get("retry") or 2)
    pause = 0.5
    while True:
        try:
            ask_nfs_server(host, port, timeout=10)
            return
        except OSError as error:
            if time.monotonic() + pause > deadline:
                fail(request, f"mount system call failed: {error.strerror or error}")
        time.sleep(pause)
        pause = min(pause * 2, 5)


def exported_directory(request: Request, server: str) -> Path:
    """The directory behind the address that the server's name stands for."""
    try:
        addresses = {str(item[4][0]) for item in socket.getaddrinfo(server, 2049, socket.AF_INET)}
    except OSError:
        fail(request, f"Failed to resolve server {server}: Name or service not known")
    for address in sorted(addresses):
        root = EXPORTS / "by-address" / address
        if root.exists():
            directory = Path(f"{root.resolve()}/{request.path.lstrip('/')}").resolve()
            if not directory.is_relative_to(root.resolve()) or not directory.is_dir():
                fail(request, f"mounting {request.source} failed, reason given by server: No such file or directory")
            return directory
    fail(request, f"access denied by server while mounting {request.source}")


def is_loopback(host: str) -> bool:
    """Whether a mount of this host goes through a local tunnel."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def system_mount(libc: ctypes.CDLL, request: Request, source: str, flags: int) -> None:
    """mount(2), failing as mount.nfs does."""
    if libc.mount(source.encode(), request.target.encode(), b"none", ctypes.c_ulong(flags), None) != 0:
        fail(request, f"mount system call failed: {os.strerror(ctypes.get_errno())}")


def main() -> None:
    """Mount what the command line asks for."""
    libc = ctypes.CDLL(None, use_errno=True)
    if kernel_mounts_nfs(libc) and REAL_PROGRAM.exists():
        os.execv(REAL_PROGRAM, sys.argv)  # noqa: S606  the same command line, no shell
    request = parse(sys.argv)
    flags = sum({FLAGS[name] for name in request.options if name in FLAGS})
    if "remount" not in request.options:
        if not Path(request.target).is_dir():
            fail(request, f"mount point {request.target} does not exist")
        port = int(request.options.get("port") or 2049)
        server = request.host
        if is_loopback(server):
            found = tunnel_server(port)
            if not found:
                fail(request, f"Connection refused (no TLS tunnel of /etc/stunnel accepts on port {port})")
            server = found
        wait_for_server(request, request.host, port)
        directory = exported_directory(request, server)
        if request.fake:
            return
        system_mount(libc, request, str(directory), MS_BIND)
    system_mount(libc, request, "none", MS_BIND | MS_REMOUNT | flags)


if __name__ == "__main__":
    main()
