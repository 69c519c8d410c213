# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's things are called. All carry the label `freehold.lab`, so any clone can remove any lab."""

from __future__ import annotations

import os
from pathlib import Path

LABEL = "freehold.lab"
EPOCH_LABEL = "freehold.lab.epoch"
KIND_LABEL = "freehold.lab.kind"
ID_LABEL = "freehold.lab.id"
# A hash of everything the thing was made from: another hash, another thing.
SPEC_LABEL = "freehold.lab.spec"

PREFIX = "freehold-lab"
NETWORK = "freehold-lab"
API_CONTAINER = "freehold-lab-api"
RECONCILER_CONTAINER = "freehold-lab-reconciler"
REGISTRY_CONTAINER = "freehold-lab-registry"

STATE_VOLUME = "freehold-lab-state"
FILE_SYSTEMS_VOLUME = "freehold-lab-efs"
LOAD_BALANCERS_VOLUME = "freehold-lab-load-balancers"

API_PORT = 4566
REGISTRY_PORT = 4567
TUNNEL_PORT = 4568
HTTP_PORT = 80
HTTPS_PORT = 443

# What the role network makes unless told otherwise; the lab warns where that cannot work.
DEFAULT_VPC = "10.20.0.0/16"

# The machine image (lab/api/amis.json) whose instances are virtual machines with a kernel of their own.
VIRTUAL_MACHINE_IMAGE = "ami-0deb1300000000f0a"

# Kinds of the lab's own two containers; all other kinds come and go with what the API holds.
CONTROL_KIND = "control"


def state_directory() -> Path:
    """Where the lab leaves what people and playbooks need: the CA's certificate, credentials, the launch key."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "freehold-lab"
