# SPDX-License-Identifier: GPL-3.0-or-later
"""Route 53: a zone that is made for a VPC is a private one, whatever else the request says."""

from __future__ import annotations

from typing import Any

from moto.route53.responses import Route53

from lab.api.patching import wraps


@wraps(Route53, "create_hosted_zone")
def _private_by_its_vpc(original: Any, response: Any) -> Any:
    if (response.params.get("VPC") or {}).get("VPCId"):
        response.params.setdefault("HostedZoneConfig", {})["PrivateZone"] = True
    return original(response)
