# SPDX-License-Identifier: GPL-3.0-or-later
"""EFS file systems: an NFS 4 server behind TLS each, at the addresses of its mount targets."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import names
from lab.reconciler import networks
from lab.reconciler.addresses import Addresses
from lab.reconciler.containers import ContainerSpec, File, NotReady, ensure, execute, remove_container
from lab.reconciler.kind import Kind, Outcome, Round
from lab.reconciler.log import log
from lab.reconciler.snapshot import FileSystem, Snapshot, home_of, vpc_cidrs

# To take further addresses, and to open files by handle, which is how an NFS server finds them again.
_CAPABILITIES = ("NET_ADMIN", "DAC_READ_SEARCH")
_INNER_PORT = 12049
_BY_ADDRESS = "by-address"

# NFS over one TCP port, version 4 alone, no rpcbind. EFS does not squash root either. The server remembers neither
# attributes nor lists of directories: hosts that are containers write behind its back, and what a client sees late must
# be that client's own doing.
_GANESHA = """
NFS_CORE_PARAM {{
    Bind_addr = 127.0.0.1;
    NFS_Port = {port};
    Protocols = 4;
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Enable_UDP = false;
    # Asking for it needs SYS_RESOURCE, which some machines withhold.
    Allow_Set_Io_Flusher_Fail = true;
}}
NFSv4 {{
    Graceless = true;
    Minor_Versions = 0, 1;
    Only_Numeric_Owners = true;
    RecoveryRoot = /var/lib/nfs/ganesha;
}}
EXPORT {{
    Export_Id = 1;
    Path = /efs/{identifier};
    Pseudo = /;
    Protocols = 4;
    Transports = TCP;
    Access_Type = RW;
    Squash = No_Root_Squash;
    SecType = sys;
    Attr_Expiration_Time = 0;
    FSAL {{ Name = VFS; }}
}}
MDCACHE {{ Dir_Chunk = 0; }}
NFS_KRB5 {{ Active_krb5 = false; }}
LOG {{ Default_Log_Level = WARN; }}
"""

_STUNNEL = """
foreground = yes
pid =
debug = warning
[nfs]
accept = 0.0.0.0:2049
connect = 127.0.0.1:{port}
cert = /etc/freehold/server.pem
sslVersionMin = TLSv1.2
"""

# Asks the server as a client would: TLS, then NFS 4 for the handle of the export's root.
_PROBE = """
import socket, ssl, struct, sys
context = ssl.create_default_context(cafile="/etc/freehold/ca.pem")
root = struct.pack(">5I", 0, 0, 2, 24, 10)  # no tag, minor version 0, two operations: PUTROOTFH, GETFH
who = struct.pack(">5I", 0, 0, 0, 0, 0)  # AUTH_SYS: stamp, no machine name, uid 0, gid 0, no groups
call = struct.pack(">8I", 1, 0, 2, 100003, 4, 1, 1, len(who)) + who + struct.pack(">2I", 0, 0) + root
with socket.create_connection((sys.argv[1], 2049), timeout=5) as plain:
    with context.wrap_socket(plain, server_hostname=sys.argv[2]) as tunnel:
        tunnel.sendall(struct.pack(">I", 0x80000000 | len(call)) + call)
        answer = tunnel.recv(512)
# The last two words: the call was accepted, NFS4_OK.
sys.exit(0 if len(answer) >= 32 and answer[24:32] == bytes(8) else "the root of the file system is not exported")
"""


def container_name(identifier: str) -> str:
    """The container of a file system."""
    return f"{names.PREFIX}-efs-{identifier}"


class FileSystems(Kind):
    """The file systems. One without mount targets is real as soon as its directory is there."""

    name = "file_system"

    def __init__(self, root: Path, addresses: Addresses) -> None:
        self._root = root
        self._addresses = addresses
        self._lock = threading.Lock()
        # File system -> container and addresses that were proved to answer.
        self._proved: dict[str, tuple[str, frozenset[str]]] = {}

    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        cidrs = vpc_cidrs(snapshot)
        wanted: dict[str, Any] = {}
        for file_system in snapshot["file_systems"]:
            vpc_id = home_of(file_system, snapshot)
            wanted[file_system["id"]] = {
                "file_system": file_system,
                "vpc_id": vpc_id,
                "cidr": cidrs.get(vpc_id or ""),
            }
        return wanted

    def ensure(self, identifier: str, item: Mapping[str, Any], world: Round) -> Outcome:
        file_system: FileSystem = item["file_system"]
        (self._root / identifier).mkdir(parents=True, exist_ok=True)
        addresses = [target["ip"] for target in file_system["mount_targets"]]
        listed = world.containers.get((self.name, identifier))
        available = Outcome({"file_systems": {identifier: {"state": "available"}}})
        if not addresses:
            self._link(identifier, [])
            if listed:
                remove_container(listed.id)
                log(f"{container_name(identifier)}: no mount target is left, removed; the data stays")
            return available
        network = networks.require(item["vpc_id"] or "", world)
        # The container keeps the address that it began with for as long as that is a mount target.
        held = listed.addresses.get(network) if listed else None
        first = held if held in addresses else addresses[0]
        ordered = [first, *(address for address in addresses if address != first)]
        container, fresh = ensure(_spec(item, network, first, world), world.epoch, listed)
        self._addresses.ensure(container, item["cidr"], ordered, fresh)
        with self._lock:
            proved = self._proved.get(identifier) == (container, frozenset(addresses)) and not fresh
        if not proved:
            for address in addresses:
                _prove(container, address, file_system["dns_name"])
            with self._lock:
                self._proved[identifier] = (container, frozenset(addresses))
            log(f"{container_name(identifier)}: NFS answers behind TLS at {', '.join(ordered)}")
        self._link(identifier, addresses)
        return available

    def _link(self, identifier: str, addresses: list[str]) -> None:
        """Tell the mount stand-in on the hosts which file system answers at an address."""
        directory = self._root / _BY_ADDRESS
        directory.mkdir(parents=True, exist_ok=True)
        target = Path("..") / identifier
        for link in directory.iterdir():
            if link.readlink() == target and link.name not in addresses:
                link.unlink(missing_ok=True)
        for address in addresses:
            link = directory / address
            if not link.is_symlink() or link.readlink() != target:
                link.unlink(missing_ok=True)
                link.symlink_to(target)

    def remove(self, identifier: str) -> None:
        removed = remove_container(container_name(identifier))
        self._link(identifier, [])
        if re.fullmatch(r"fs-[0-9a-z]+", identifier):
            shutil.rmtree(self._root / identifier, ignore_errors=True)
        if removed:
            log(f"{container_name(identifier)}: removed with its data")


def _prove(container: str, address: str, name: str) -> None:
    code, output = execute(container, ["python3", "-c", _PROBE, address, name])
    if code != 0:
        raise NotReady(f"NFS does not answer at {address} yet: {output[-200:]}")


def _spec(item: Mapping[str, Any], network: str, first: str, world: Round) -> ContainerSpec:
    file_system: FileSystem = item["file_system"]
    identifier, name = file_system["id"], file_system["dns_name"]
    certificate = world.authority.issue([name, f"*.{name}"])
    return ContainerSpec(
        kind=FileSystems.name,
        id=identifier,
        name=container_name(identifier),
        image=world.settings.services_image,
        command=("/opt/freehold/file-system",),
        network=network,
        ip=first,
        environment={"FREEHOLD_FILE_SYSTEM": identifier},
        volumes={names.FILE_SYSTEMS_VOLUME: ("/efs", "rw")},
        files={
            "/etc/freehold/ganesha.conf": File(_GANESHA.format(port=_INNER_PORT, identifier=identifier).encode()),
            "/etc/freehold/stunnel.conf": File(_STUNNEL.format(port=_INNER_PORT).encode()),
            "/etc/freehold/server.pem": File(certificate.key_pem + certificate.chain_pem, 0o600),
            "/etc/freehold/ca.pem": File(world.authority.certificate_pem),
        },
        capabilities=_CAPABILITIES,
        # Docker's filter of system calls keeps name_to_handle_at from everybody but SYS_ADMIN.
        host_config={"security_opt": ["seccomp=unconfined"]},
        made_from=[identifier, name, _GANESHA, _STUNNEL, "seccomp=unconfined"],
    )
