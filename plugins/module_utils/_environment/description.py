# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was found, in the words of this collection. Pure: no calls."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._environment.discovery import Found, only_vpc

IMAGE_TAG = "freehold:image"
DUTIES_TAG = "freehold:duties"


def _first(found: Found) -> dict[str, Any] | None:
    return found[0] if found else None


def _short_name(tags: dict[str, str], name: str, default: str) -> str:
    """'webserver' for what is called '<environment>-webserver'."""
    return tags.get("Name", default).removeprefix(f"{name}-")


def describe_subnets(found: Found) -> list[dict[str, Any]]:
    return sorted(
        (
            {
                "id": subnet["SubnetId"],
                "zone": subnet["AvailabilityZone"],
                "cidr": subnet["CidrBlock"],
                "kind": subnet["tags"].get("freehold:subnet", ""),
            }
            for subnet in found
        ),
        key=lambda subnet: IPv4Network(subnet["cidr"]),
    )


def describe_instances(found: Found) -> list[dict[str, Any]]:
    return sorted(
        (
            {
                "id": instance["InstanceId"],
                "name": instance["tags"].get("Name", ""),
                "duties": [duty for duty in instance["tags"].get(DUTIES_TAG, "").split(",") if duty],
                "state": instance["State"]["Name"],
                "private_ip": instance.get("PrivateIpAddress"),
                "zone": instance["Placement"]["AvailabilityZone"],
                "instance_type": instance["InstanceType"],
                "ssh_host_key": instance["tags"].get("freehold:ssh-host-key", ""),
            }
            for instance in found
        ),
        key=lambda instance: (instance["name"], instance["id"]),
    )


def describe_file_system(found: Found, region: str) -> dict[str, Any] | None:
    file_system = _first(found)
    return file_system and {
        "id": file_system["FileSystemId"],
        "dns_name": f"{file_system['FileSystemId']}.efs.{region}.amazonaws.com",
        "state": file_system["LifeCycleState"],
    }


def describe_database(found: Found) -> dict[str, Any] | None:
    database = _first(found)
    if database is None:
        return None
    endpoint = database.get("Endpoint") or {}
    return {
        "identifier": database["DBInstanceIdentifier"],
        "endpoint": endpoint.get("Address"),
        "port": endpoint.get("Port"),
        "status": database["DBInstanceStatus"],
        "engine_version": database["EngineVersion"],
        "name": database.get("DBName"),
        "user": database.get("MasterUsername"),
    }


def describe_broker(found: Found, name: str) -> dict[str, Any]:
    """The replication group if there is one, else the name under which the broker on a host answers."""
    cache = _first(found)
    if cache is None:
        return {"kind": "host", "endpoint": f"broker.{name}.internal", "port": 6379, "status": None}
    groups = cache.get("NodeGroups") or [{}]
    endpoint = groups[0].get("PrimaryEndpoint") or {}
    return {
        "kind": "elasticache",
        "endpoint": endpoint.get("Address"),
        "port": endpoint.get("Port"),
        "status": cache["Status"],
    }


def describe_load_balancer(found: Found) -> dict[str, Any] | None:
    balancer = _first(found)
    return balancer and {
        "arn": balancer["LoadBalancerArn"],
        "name": balancer["LoadBalancerName"],
        "dns_name": balancer["DNSName"],
        "zone_id": balancer["CanonicalHostedZoneId"],
        "state": balancer["State"]["Code"],
    }


def describe(found: dict[str, Found], name: str, region: str) -> dict[str, Any]:
    """The environment as environment_info returns it."""
    vpc = only_vpc(found, name)
    repository, bucket, certificate = (_first(found[kind]) for kind in ("repository", "bucket", "certificate"))
    digest = repository["tags"].get(IMAGE_TAG) if repository else None
    return {
        "name": name,
        "region": region,
        "found": any(found.values()),
        "vpc": vpc and {"id": vpc["VpcId"], "cidr": vpc["CidrBlock"]},
        "subnets": describe_subnets(found["subnet"]),
        "security_groups": {
            _short_name(group["tags"], name, group["GroupName"]): group["GroupId"] for group in found["security_group"]
        },
        "instances": describe_instances(found["instance"]),
        "file_system": describe_file_system(found["file_system"], region),
        "database": describe_database(found["database"]),
        "broker": describe_broker(found["cache"], name),
        "load_balancer": describe_load_balancer(found["load_balancer"]),
        "log_bucket": bucket and bucket["Name"],
        "repository": repository and {"name": repository["repositoryName"], "uri": repository["repositoryUri"]},
        "image_reference": f"{repository['repositoryUri']}@{digest}" if repository and digest else None,
        "url": f"https://{certificate['DomainName']}" if certificate else None,
        "secrets_prefix": f"freehold/{name}",
    }
