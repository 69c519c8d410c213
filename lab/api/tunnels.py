# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tunnel service of EC2 Instance Connect Endpoints needs of the API: who may, from where, to which host."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from lab import tunnel
from lab.api import backends
from lab.api.iam import principals
from lab.api.iam.policy import Question, Verdict, judge
from lab.api.services.connect_endpoints import ENDPOINTS, described
from lab.api.settings import ACCOUNT
from lab.api.state import Lab

_ACTION = "ec2-instance-connect:OpenTunnel"


def serve(lab: Lab, bind: str, port: int) -> tunnel.TunnelServer:
    """Start the service in the background."""
    server = tunnel.TunnelServer(Account(lab), Addresses().hold, lab.log)
    server.start(bind, port)
    return server


class Account(tunnel.Directory):
    """The account's endpoints, hosts and keys."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def endpoint(self, endpoint_id: str) -> tunnel.Endpoint | None:
        """The endpoint with this id."""
        with self._lab.lock:
            self._lab.lifecycle.settle()
            region = self._lab.settings.region
            known = ENDPOINTS.get((region, endpoint_id))
            interface = backends.ec2().enis.get(known["NetworkInterfaceIds"][0]) if known else None
        if known is None or interface is None:
            return None
        return tunnel.Endpoint(
            id=endpoint_id,
            region=region,
            state=known["State"],
            address=interface.private_ip_address,
            reaches=lambda address: self._is_host(known["VpcId"], address),
        )

    def credentials(self, access_key: str) -> tunnel.Credentials | None:
        """What belongs to the key of a user or of a role's session."""
        with self._lab.lock:
            principal = principals.find(access_key)
        if principal is None:
            return None
        return tunnel.Credentials(principal.secret_key, principal.session_token, principal.expires)

    def authorize(self, access_key: str, wanted: tunnel.Tunnel) -> None:
        """Judge the caller's policies.

        https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2instanceconnect.html
        """
        if not self._lab.settings.enforce_iam:
            return
        endpoint = wanted.endpoint
        arn = f"arn:aws:ec2:{endpoint.region}:{ACCOUNT}:instance-connect-endpoint/{endpoint.id}"
        with self._lab.lock:
            principal = principals.find(access_key)
            tags = described(ENDPOINTS[endpoint.region, endpoint.id])["Tags"]
        if principal is None:
            raise tunnel.Refused("AccessDeniedException", "The access key is gone.", HTTPStatus.FORBIDDEN)
        context = {
            **principal.context,
            "aws:RequestedRegion": endpoint.region,
            **{f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in tags},
            "ec2-instance-connect:remotePort": str(wanted.port),
            "ec2-instance-connect:privateIpAddress": wanted.address,
            "ec2-instance-connect:maxTunnelDuration": str(wanted.seconds),
        }
        question = Question(_ACTION, arn, context)
        if any(
            judge(policies, question) is not Verdict.ALLOWED for policies in (principal.policies, *principal.limits)
        ):
            raise tunnel.Refused(
                "AccessDeniedException",
                f"User: {principal.arn} is not authorized to perform: {_ACTION} on resource: {arn} because no"
                f" identity-based policy allows the {_ACTION} action",
                HTTPStatus.FORBIDDEN,
            )

    def _is_host(self, vpc_id: str, address: str) -> bool:
        with self._lab.lock:
            return any(
                instance.vpc_id == vpc_id
                and instance._state.name in ("pending", "running")
                and address in [nic.private_ip_address for nic in instance.nics.values()]
                for instance in backends.ec2().all_instances()
            )


class Addresses:
    """Addresses of endpoints on this container's interfaces, each for as long as a tunnel comes from it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: Counter[str] = Counter()

    @contextlib.contextmanager
    def hold(self, endpoint: tunnel.Endpoint) -> Iterator[str]:
        """Have the endpoint's address. Raises OSError when the VPC has no network here yet."""
        address = endpoint.address
        with self._lock:
            if not self._users[address]:
                _ip("address", "replace", f"{address}/32", "dev", _device(address))
            self._users[address] += 1
        try:
            yield address
        finally:
            with self._lock:
                self._users[address] -= 1
                if not self._users[address]:
                    # The network is gone with its VPC, or takes the address away from whoever gets it next.
                    with contextlib.suppress(OSError):
                        _ip("address", "del", f"{address}/32", "dev", _device(address))


def _device(address: str) -> str:
    """The interface in whose network this address is."""
    wanted = ipaddress.ip_address(address)
    for interface in json.loads(_ip("-4", "address", "show")):
        for own in interface["addr_info"]:
            network = ipaddress.ip_network(f"{own['local']}/{own['prefixlen']}", strict=False)
            if wanted in network and network.num_addresses > 1:
                return str(interface["ifname"])
    raise OSError(f"no network of this machine holds {address}")


def _ip(*arguments: Any) -> str:
    done = subprocess.run(["ip", "-json", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
