# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be changed from outside: environment variables, read once at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lab import names

# moto's own account; everything in the lab belongs to it.
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Settings:
    """Ports, paths and switches of one API process."""

    state: Path
    region: str = "eu-west-1"
    bind: str = "0.0.0.0"  # noqa: S104  (inside its own container; only 4566 is published, on the machine's loopback)
    http_port: int = 4566
    https_port: int = 443
    dns_port: int = 53
    metadata_port: int = 80
    tunnel_port: int = names.TUNNEL_PORT
    registry_url: str = "http://freehold-lab-registry:5000"
    # 0 means: ready as soon as it is real. 1 means AWS's own times, 1/60 one second for each of its minutes.
    delay_scale: float = 0.0
    # Without a reconciler nothing becomes real. Then the API may call its resources ready by itself (tests of roles).
    unattended: bool = False
    # Judge every request by the caller's policies, as AWS does.
    enforce_iam: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read LAB_* variables; a port of 0 switches its server off. Raises ValueError on what is no number."""
        env = os.environ if environment is None else environment
        return cls(
            state=Path(env.get("LAB_STATE", "/state")),
            region=env.get("LAB_REGION", cls.region),
            bind=env.get("LAB_BIND", cls.bind),
            http_port=int(env.get("LAB_HTTP_PORT", cls.http_port)),
            https_port=int(env.get("LAB_HTTPS_PORT", cls.https_port)),
            dns_port=int(env.get("LAB_DNS_PORT", cls.dns_port)),
            metadata_port=int(env.get("LAB_IMDS_PORT", cls.metadata_port)),
            tunnel_port=int(env.get("LAB_TUNNEL_PORT", cls.tunnel_port)),
            registry_url=env.get("LAB_REGISTRY_URL", cls.registry_url).rstrip("/"),
            delay_scale=float(Fraction(env.get("LAB_AWS_DELAYS", "0"))),
            unattended=env.get("LAB_UNATTENDED", "") == "1",
            enforce_iam=env.get("LAB_IAM", "on") != "off",
        )
