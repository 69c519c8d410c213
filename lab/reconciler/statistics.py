# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's own account of its servers: the statistics socket and the state file. The parsing is pure."""

from __future__ import annotations

import csv
import socket
from collections.abc import Iterable
from pathlib import Path

_TIMEOUT = 5.0
_STATE_HEADER = (
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port"
)

# Reasons of the ELBv2 API's DescribeTargetHealth, by HAProxy's check status.
_REASONS = {
    "L7STS": "Target.ResponseCodeMismatch",
    "L4TOUT": "Target.Timeout",
    "L6TOUT": "Target.Timeout",
    "L7TOUT": "Target.Timeout",
}

Health = dict[str, str]


def ask(admin_socket: Path, command: str) -> str:
    """Send one command to HAProxy's socket. Raises OSError when nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT)
        connection.connect(str(admin_socket))
        connection.sendall(f"{command}\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer.decode(errors="replace")


def target_health(statistics: str) -> dict[str, dict[str, Health]]:
    """Backend -> server -> {"state", "reason"} from the answer to `show stat`."""
    health: dict[str, dict[str, Health]] = {}
    for row in csv.DictReader(statistics.lstrip("# ").splitlines()):
        if row.get("svname") in (None, "FRONTEND", "BACKEND"):
            continue
        health.setdefault(row["pxname"], {})[row["svname"]] = _health(row)
    return health


def passed_first_check(statistics: str) -> list[tuple[str, str]]:
    """Backend and server of every new target that passed a check: AWS calls it healthy after that one.

    HAProxy wants as many as the healthy threshold says, which AWS applies only to targets that have failed.
    """
    return [
        (row["pxname"], row["svname"])
        for row in csv.DictReader(statistics.lstrip("# ").splitlines())
        if row.get("svname") not in (None, "FRONTEND", "BACKEND")
        and row["status"].startswith("DOWN")
        and row.get("check_status", "").lstrip("* ") in ("L7OK", "L4OK", "L6OK")
        and row.get("chkdown") == "0"
    ]


def _health(row: dict[str, str]) -> Health:
    # "* L4CON" marks a check under way that repeats the one before.
    check = row.get("check_status", "").lstrip("* ")
    if row["status"].startswith("UP"):
        return {"state": "healthy", "reason": ""}
    if check in ("", "INI", "UNK"):
        return {"state": "initial", "reason": "Elb.InitialHealthChecking"}
    return {"state": "unhealthy", "reason": _REASONS.get(check, "Target.FailedHealthChecks")}


def state_file(servers: Iterable[tuple[str, str, str, int]], running: str) -> str:
    """The state file for the next configuration: what runs keeps its health, a new server begins as down.

    HAProxy itself takes a new server for healthy until it fails; a load balancer of AWS sends nothing to a target
    before its first passed check. `running` is the answer to `show servers state`, or "".
    """
    known: dict[tuple[str, str], list[str]] = {}
    for line in running.splitlines():
        fields = line.split()
        if len(fields) > 5 and not line.startswith("#"):
            known[fields[1], fields[3]] = fields
    lines = ["1", _STATE_HEADER]
    for backend, name, address, port in servers:
        fields = known.get((backend, name)) or [
            *["1", backend, "1", name, address, "0", "0", "1", "1"],
            *["0", "1", "0", "0", "6", "0", "0", "0", "-", str(port), "-", "0", "0", "-", "-", "0"],
        ]
        lines.append(" ".join(fields))
    return "\n".join(lines) + "\n"
