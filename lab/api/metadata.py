# SPDX-License-Identifier: GPL-3.0-or-later
"""What the instance metadata service knows of an instance: its tree of names, user data, sessions and role credentials.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.api import backends
from lab.api.iam.policy import Question, Verdict, judge, parse
from lab.api.services.instances import public_key, user_data_base64
from lab.api.settings import ACCOUNT
from lab.api.state import Lab

_EC2 = "ec2.amazonaws.com"
_ROLE_SESSION = timedelta(hours=6)
# New credentials are handed out at least this long before the old ones expire, as AWS does.
_ROLE_RENEWAL = timedelta(minutes=5)


class NotFound(Exception):
    """There is no such metadata."""


class _Listing(dict[str, Any]):
    """A directory whose listing is not just its names."""

    def __init__(self, entries: dict[str, Any], lines: list[str]) -> None:
        super().__init__(entries)
        self.lines = lines


@dataclass
class _Token:
    instance: str
    expires: float


class Metadata:
    """Everything an instance can read about itself. Holds the lab's lock while it looks."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._tokens: dict[str, _Token] = {}
        self._credentials: dict[str, tuple[Any, datetime]] = {}

    def instance_at(self, address: str) -> Any | None:
        """The instance with this private address that is not terminated."""
        for instance in backends.ec2().all_instances():
            if instance.state in ("terminated", "shutting-down"):
                continue
            if any(interface.private_ip_address == address for interface in instance.nics.values()):
                return instance
        return None

    def new_token(self, instance: Any, seconds: int) -> str:
        """A session token for one instance."""
        now = time.monotonic()
        self._tokens = {name: token for name, token in self._tokens.items() if token.expires > now}
        name = base64.b64encode(secrets.token_bytes(41)).decode()
        self._tokens[name] = _Token(instance.id, now + seconds)
        return name

    def valid(self, instance: Any, name: str) -> bool:
        """Whether a token belongs to the instance and is still good."""
        token = self._tokens.get(name)
        return token is not None and token.instance == instance.id and token.expires > time.monotonic()

    def read(self, instance: Any, path: str) -> str | bytes:
        """The text at a path below the version. Raises NotFound."""
        parts = [part for part in path.split("/") if part]
        if not parts:
            return "dynamic\nmeta-data\nuser-data"
        if parts == ["user-data"]:
            return self._user_data(instance)
        trees = {"meta-data": self._meta_data, "dynamic": self._dynamic}
        if parts[0] not in trees:
            raise NotFound(path)
        node: Any = trees[parts[0]](instance)
        for part in parts[1:]:
            if not isinstance(node, dict) or part not in node:
                raise NotFound(path)
            node = node[part]
        if callable(node):
            node = node()
        if isinstance(node, _Listing):
            return "\n".join(node.lines)
        if isinstance(node, dict):
            return "\n".join(f"{name}/" if isinstance(value, dict) else name for name, value in node.items())
        return str(node)

    def _user_data(self, instance: Any) -> bytes:
        encoded = user_data_base64(instance)
        if not encoded:
            raise NotFound("user-data")
        return base64.b64decode(encoded)

    def _dynamic(self, instance: Any) -> dict[str, Any]:
        document = {
            "accountId": ACCOUNT,
            "architecture": instance.architecture,
            "availabilityZone": instance.placement.zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": instance.image_id,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "kernelId": None,
            "pendingTime": instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "privateIp": instance.private_ip,
            "ramdiskId": None,
            "region": self.lab.settings.region,
            "version": "2017-09-30",
        }
        return {"instance-identity": {"document": json.dumps(document, indent=2)}}

    def _meta_data(self, instance: Any) -> dict[str, Any]:
        interface = instance.nics[0]
        groups = "\n".join(sorted(group.name for group in interface.group_set))
        tree: dict[str, Any] = {
            "ami-id": instance.image_id,
            "ami-launch-index": str(instance.ami_launch_index),
            "ami-manifest-path": "(unknown)",
            "block-device-mapping": {"ami": instance.root_device_name, "root": instance.root_device_name},
            "hostname": instance.private_dns_name,
            "iam": self._iam(instance),
            "instance-action": "none",
            "instance-id": instance.id,
            "instance-life-cycle": "on-demand",
            "instance-type": instance.instance_type,
            "local-hostname": instance.private_dns_name,
            "local-ipv4": instance.private_ip,
            "mac": interface.mac_address,
            "network": {"interfaces": {"macs": {n.mac_address: self._mac(n) for n in instance.nics.values()}}},
            "placement": {
                "availability-zone": instance.placement.zone,
                "availability-zone-id": self._zone_id(instance.placement.zone),
                "region": self.lab.settings.region,
            },
            "profile": "default-hvm",
            "public-keys": self._public_keys(instance),
            "reservation-id": self._reservation(instance),
            "security-groups": groups,
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }
        if interface.public_ip:
            tree["public-ipv4"] = interface.public_ip
            tree["public-hostname"] = instance.public_dns_name
        if instance.metadata_options.instance_metadata_tags == "enabled":
            tree["tags"] = {"instance": {tag["key"]: tag["value"] for tag in instance.get_tags()}}
        return {name: value for name, value in tree.items() if value != {}}

    def _mac(self, interface: Any) -> dict[str, Any]:
        vpc = backends.ec2().vpcs[interface.vpc_id]
        tree = {
            "device-number": str(interface.device_index),
            "interface-id": interface.id,
            "local-hostname": interface.instance.private_dns_name,
            "local-ipv4s": interface.private_ip_address,
            "mac": interface.mac_address,
            "owner-id": ACCOUNT,
            "security-group-ids": "\n".join(sorted(group.id for group in interface.group_set)),
            "security-groups": "\n".join(sorted(group.name for group in interface.group_set)),
            "subnet-id": interface.subnet.id,
            "subnet-ipv4-cidr-block": interface.subnet.cidr_block,
            "vpc-id": interface.vpc_id,
            "vpc-ipv4-cidr-block": vpc.cidr_block,
            "vpc-ipv4-cidr-blocks": vpc.cidr_block,
        }
        if interface.public_ip:
            tree["public-ipv4s"] = interface.public_ip
            tree["ipv4-associations"] = {interface.public_ip: interface.private_ip_address}
        return tree

    def _zone_id(self, name: str) -> str:
        zones = backends.ec2().describe_availability_zones()
        return next((str(zone.zone_id) for zone in zones if zone.name == name), "")

    def _reservation(self, instance: Any) -> str:
        reservations = backends.ec2().reservations.values()
        return next((str(r.id) for r in reservations if instance in r.instances), "")

    def _public_keys(self, instance: Any) -> dict[str, Any]:
        key = public_key(instance)
        if key is None:
            return {}
        return _Listing({"0": {"openssh-key": key + "\n"}}, [f"0={instance.key_name}"])

    def _role(self, instance: Any) -> tuple[Any, Any] | None:
        profile_arn = (instance.iam_instance_profile or {}).get("Arn")
        for profile in backends.iam().instance_profiles.values():
            if profile.arn == profile_arn and profile.roles:
                return profile, profile.roles[0]
        return None

    def _iam(self, instance: Any) -> dict[str, Any]:
        found = self._role(instance)
        if found is None:
            return {}
        profile, role = found
        info = {
            "Code": "Success",
            "LastUpdated": _time(datetime.now(UTC)),
            "InstanceProfileArn": profile.arn,
            "InstanceProfileId": profile.id,
        }
        return {
            "info": json.dumps(info, indent=2),
            "security-credentials": {role.name: lambda: json.dumps(self._role_credentials(instance, role), indent=2)},
        }

    def _role_credentials(self, instance: Any, role: Any) -> dict[str, Any]:
        """Temporary credentials of the instance's role from STS, kept until shortly before they expire."""
        now = datetime.now(UTC)
        asked = Question("sts:AssumeRole", role.arn, {}, principals=frozenset({_EC2}))
        if judge([parse(role.assume_role_policy_document)], asked) is not Verdict.ALLOWED:
            words = "EC2 cannot assume the role. Please see documentation."
            return {"Code": "AssumeRoleUnauthorizedAccess", "Message": words, "LastUpdated": _time(now)}
        kept = self._credentials.get(instance.id)
        if kept is None or kept[0].role_arn != role.arn or now + _ROLE_RENEWAL > kept[1]:
            assumed = backends.sts().assume_role(
                region_name=self.lab.settings.region,
                role_session_name=instance.id,
                role_arn=role.arn,
                policy=None,
                duration=int(_ROLE_SESSION.total_seconds()),
                external_id=None,
            )
            kept = (assumed, now + _ROLE_SESSION)
            self._credentials[instance.id] = kept
        assumed, expires = kept
        return {
            "Code": "Success",
            "LastUpdated": _time(expires - _ROLE_SESSION),
            "Type": "AWS-HMAC",
            "AccessKeyId": assumed.access_key_id,
            "SecretAccessKey": assumed.secret_access_key,
            "Token": assumed.session_token,
            "Expiration": _time(expires),
        }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
