# SPDX-License-Identifier: GPL-3.0-or-later
"""What `lab up` found out about the machine, handed over in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The reconciler's whole configuration."""

    api_url: str
    host_image: str
    services_image: str
    # Of virtual machines; empty in a lab that was started without them.
    machine_image: str
    # Capabilities that a host gets beside docker's default ones.
    capabilities: tuple[str, ...]
    # Whether the machine's kernel can mount NFS; if not, hosts see the file systems' directories.
    kernel_nfs: bool
    memory_mib: int
    state: Path = Path("/state")
    load_balancers: Path = Path("/lb")
    file_systems: Path = Path("/efs")

    def environment(self) -> dict[str, str]:
        """The variables that `from_environment` reads."""
        return {
            "FREEHOLD_API_URL": self.api_url,
            "FREEHOLD_HOST_IMAGE": self.host_image,
            "FREEHOLD_SERVICES_IMAGE": self.services_image,
            "FREEHOLD_MACHINE_IMAGE": self.machine_image,
            "FREEHOLD_CAPABILITIES": ",".join(self.capabilities),
            "FREEHOLD_KERNEL_NFS": "1" if self.kernel_nfs else "0",
            "FREEHOLD_MEMORY_MIB": str(self.memory_mib),
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read what `environment` wrote. Raises KeyError when a variable is missing."""
        env = os.environ if environment is None else environment
        return cls(
            api_url=env["FREEHOLD_API_URL"],
            host_image=env["FREEHOLD_HOST_IMAGE"],
            services_image=env["FREEHOLD_SERVICES_IMAGE"],
            machine_image=env["FREEHOLD_MACHINE_IMAGE"],
            capabilities=tuple(name for name in env["FREEHOLD_CAPABILITIES"].split(",") if name),
            kernel_nfs=env["FREEHOLD_KERNEL_NFS"] == "1",
            memory_mib=int(env["FREEHOLD_MEMORY_MIB"]),
        )
