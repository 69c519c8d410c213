# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `python -m lab up | down | status | logs`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from docker.errors import DockerException

from lab.down import down
from lab.progress import Progress
from lab.refusal import Refusal
from lab.status import logs, status
from lab.up import up


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; refusals are one sentence on standard error and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m lab", description="The lab: an AWS look-alike on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start the lab; run again, it changes nothing")
    start.add_argument(
        "--virtual-machines", action="store_true", help="also build the image of instances with a kernel of their own"
    )
    remove = commands.add_parser("down", help="remove the lab and everything in it")
    remove.add_argument("--images", action="store_true", help="remove its images, too")
    commands.add_parser("status", help="show what the lab holds and runs")
    show = commands.add_parser("logs", help="show the log of a container, the reconciler's when none is named")
    show.add_argument("what", nargs="?", default="", help="a container, or an instance id (its console)")
    show.add_argument("--follow", "-f", action="store_true", help="go on showing what is added")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "up":
            up(Progress(), virtual_machines=chosen.virtual_machines)
        elif chosen.command == "down":
            down(Progress(), with_images=chosen.images)
        elif chosen.command == "status":
            return status()
        else:
            return logs(chosen.what, follow=chosen.follow)
    except Refusal as refusal:
        sys.stderr.write(f"lab: {refusal}\n")
        return 1
    except DockerException as error:
        sys.stderr.write(f"lab: the docker engine says: {error}\n")
        return 1
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("lab: interrupted; the same command continues where this one stopped\n")
        # Builds under way run in threads that would hold the process up.
        os._exit(130)
    return 0
