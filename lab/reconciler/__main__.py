# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m lab.reconciler`: the reconciler until SIGTERM."""

from __future__ import annotations

import os
import signal
import sys

from lab import ca
from lab.reconciler.addresses import Addresses
from lab.reconciler.api import ApiClient
from lab.reconciler.caches import Caches
from lab.reconciler.databases import Databases
from lab.reconciler.file_systems import FileSystems
from lab.reconciler.firewall import Firewall
from lab.reconciler.instances import Instances
from lab.reconciler.load_balancers import LoadBalancers
from lab.reconciler.log import log
from lab.reconciler.loop import Loop
from lab.reconciler.networks import Networks
from lab.reconciler.registry import Registry
from lab.reconciler.settings import Settings


def main() -> int:
    """Run the loop. A SIGTERM may come at any point: nothing is remembered that labels do not say."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    settings = Settings.from_environment()
    addresses = Addresses()
    kinds = [
        Networks(),
        Registry(),
        Instances(),
        Databases(),
        Caches(),
        FileSystems(settings.file_systems, addresses),
        LoadBalancers(settings.load_balancers, addresses),
        Firewall(),
    ]
    log("reconciler started")
    Loop(settings, ca.load(settings.state), ApiClient(settings.api_url, settings.state), kinds).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
