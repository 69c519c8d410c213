# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finding what carries an environment's tag, service by service.

Every finder takes a client and the environment's name and returns AWS's own descriptions, with a dict ``tags``.
Where a service shows no tags in its lists, candidates are chosen by our naming and then proved by their tags. The
Resource Groups Tagging API would be one call for most of this, but it lags behind by up to minutes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule has refused to start without botocore.
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.freehold.airflow.plugins.module_utils._common import ENVIRONMENT_TAG, FreeholdError, tag_dict
from ansible_collections.freehold.airflow.plugins.module_utils._environment.clients import Clients

Found = list[dict[str, Any]]
Finder = Callable[[Any, str], Found]

# ACM lists only RSA certificates of up to 2048 bits unless told otherwise.
_KEY_TYPES = ["RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"]


def _pages(client: Any, operation: str, key: str, **request: Any) -> Found:
    found: Found = client.get_paginator(operation).paginate(**request).build_full_result().get(key, [])
    return found


def _tagged(found: Iterable[dict[str, Any]], tags_of: Callable[[dict[str, Any]], dict[str, str]], name: str) -> Found:
    """Those of ``found`` that carry the environment's tag, each with its tags."""
    with_tags = ({**item, "tags": tags_of(item)} for item in found)
    return [item for item in with_tags if item["tags"].get(ENVIRONMENT_TAG) == name]


def _side_by_side(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(function, items))


def ec2_finder(operation: str, key: str) -> Finder:
    """EC2 filters by tag itself."""

    def find(client: Any, name: str) -> Found:
        found = _pages(client, operation, key, Filters=[{"Name": f"tag:{ENVIRONMENT_TAG}", "Values": [name]}])
        return [{**item, "tags": tag_dict(item.get("Tags"))} for item in found]

    return find


def instances(client: Any, name: str) -> Found:
    """Instances that are not gone."""
    states = ["pending", "running", "stopping", "stopped", "shutting-down"]
    reservations = _pages(
        client,
        "describe_instances",
        "Reservations",
        Filters=[
            {"Name": f"tag:{ENVIRONMENT_TAG}", "Values": [name]},
            {"Name": "instance-state-name", "Values": states},
        ],
    )
    found = [instance for reservation in reservations for instance in reservation["Instances"]]
    return [{**instance, "tags": tag_dict(instance.get("Tags"))} for instance in found]


def key_pairs(client: Any, name: str) -> Found:
    found = client.describe_key_pairs(Filters=[{"Name": f"tag:{ENVIRONMENT_TAG}", "Values": [name]}])["KeyPairs"]
    return [{**item, "tags": tag_dict(item.get("Tags"))} for item in found]


def file_systems(client: Any, name: str) -> Found:
    return _tagged(
        _pages(client, "describe_file_systems", "FileSystems"), lambda item: tag_dict(item.get("Tags")), name
    )


def databases(client: Any, name: str) -> Found:
    return _tagged(
        _pages(client, "describe_db_instances", "DBInstances"), lambda item: tag_dict(item.get("TagList")), name
    )


def database_groups(operation: str, key: str, name_key: str, arn_key: str) -> Finder:
    """Subnet groups and parameter groups, whose tags are asked for one by one."""

    def find(client: Any, name: str) -> Found:
        candidates = [item for item in _pages(client, operation, key) if item[name_key].startswith(f"freehold-{name}")]
        tags = _side_by_side(
            lambda item: tag_dict(client.list_tags_for_resource(ResourceName=item[arn_key])["TagList"]), candidates
        )
        return _tagged(candidates, lambda item: tags[candidates.index(item)], name)

    return find


def caches(operation: str, key: str, id_key: str) -> Finder:
    """ElastiCache replication groups and subnet groups, whose tags are asked for one by one."""

    def find(client: Any, name: str) -> Found:
        candidates = [item for item in _pages(client, operation, key) if item[id_key].startswith(f"freehold-{name}")]
        tags = _side_by_side(
            lambda item: tag_dict(client.list_tags_for_resource(ResourceName=item["ARN"])["TagList"]), candidates
        )
        return _tagged(candidates, lambda item: tags[candidates.index(item)], name)

    return find


def elbv2_finder(operation: str, key: str, arn_key: str) -> Finder:
    """Load balancers and target groups; DescribeTags takes twenty at a time."""

    def find(client: Any, name: str) -> Found:
        found = _pages(client, operation, key)
        arns = [item[arn_key] for item in found]
        batches = [arns[start : start + 20] for start in range(0, len(arns), 20)]
        tags = {
            description["ResourceArn"]: tag_dict(description["Tags"])
            for answer in _side_by_side(lambda batch: client.describe_tags(ResourceArns=batch), batches)
            for description in answer["TagDescriptions"]
        }
        return _tagged(found, lambda item: tags.get(item[arn_key], {}), name)

    return find


def buckets(client: Any, name: str) -> Found:
    prefix = f"freehold-{name}-"
    candidates = [item for item in client.list_buckets()["Buckets"] if item["Name"].startswith(prefix)]

    def tags(item: dict[str, Any]) -> dict[str, str]:
        try:
            return tag_dict(client.get_bucket_tagging(Bucket=item["Name"])["TagSet"])
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchTagSet", "NoSuchBucket"):
                return {}
            raise

    return _tagged(candidates, tags, name)


def repositories(client: Any, name: str) -> Found:
    candidates = [
        item
        for item in _pages(client, "describe_repositories", "repositories")
        if item["repositoryName"].startswith(f"freehold-{name}/")
    ]
    return _tagged(
        candidates,
        lambda item: tag_dict(client.list_tags_for_resource(resourceArn=item["repositoryArn"])["tags"]),
        name,
    )


def certificates(client: Any, name: str) -> Found:
    found = _pages(client, "list_certificates", "CertificateSummaryList", Includes={"keyTypes": _KEY_TYPES})
    tags = dict(
        _side_by_side(
            lambda arn: (arn, tag_dict(client.list_tags_for_certificate(CertificateArn=arn).get("Tags"))),
            [item["CertificateArn"] for item in found],
        )
    )
    return _tagged(found, lambda item: tags[item["CertificateArn"]], name)


def hosted_zones(client: Any, name: str) -> Found:
    found = _pages(client, "list_hosted_zones", "HostedZones")
    ids = [item["Id"].rpartition("/")[2] for item in found]
    batches = [ids[start : start + 10] for start in range(0, len(ids), 10)]
    answers = _side_by_side(
        lambda batch: client.list_tags_for_resources(ResourceType="hostedzone", ResourceIds=batch), batches
    )
    tags = {
        entry["ResourceId"]: tag_dict(entry.get("Tags")) for answer in answers for entry in answer["ResourceTagSets"]
    }
    return _tagged(found, lambda item: tags.get(item["Id"].rpartition("/")[2], {}), name)


def secrets(client: Any, name: str) -> Found:
    found = _pages(client, "list_secrets", "SecretList", Filters=[{"Key": "tag-key", "Values": [ENVIRONMENT_TAG]}])
    return _tagged(found, lambda item: tag_dict(item.get("Tags")), name)


# kind: (service, finder)
FINDERS: dict[str, tuple[str, Finder]] = {
    "vpc": ("ec2", ec2_finder("describe_vpcs", "Vpcs")),
    "subnet": ("ec2", ec2_finder("describe_subnets", "Subnets")),
    "security_group": ("ec2", ec2_finder("describe_security_groups", "SecurityGroups")),
    "instance": ("ec2", instances),
    "file_system": ("efs", file_systems),
    "database": ("rds", databases),
    "cache": ("elasticache", caches("describe_replication_groups", "ReplicationGroups", "ReplicationGroupId")),
    "load_balancer": ("elbv2", elbv2_finder("describe_load_balancers", "LoadBalancers", "LoadBalancerArn")),
    "bucket": ("s3", buckets),
    "repository": ("ecr", repositories),
    "certificate": ("acm", certificates),
}


def discover(clients: Clients, name: str, finders: dict[str, tuple[str, Finder]]) -> dict[str, Found]:
    """Run all finders side by side; raise FreeholdError with the first failure, in the finders' order."""
    prepared = [(kind, clients[service], find) for kind, (service, find) in finders.items()]

    def run(entry: tuple[str, Any, Finder]) -> Found | Exception:
        _kind, client, find = entry
        try:
            return [item for item in find(client, name) if item["tags"].get(ENVIRONMENT_TAG) == name]
        except (ClientError, BotoCoreError) as error:
            return error

    with ThreadPoolExecutor(max_workers=len(prepared)) as pool:
        answers = list(pool.map(run, prepared))
    found: dict[str, Found] = {}
    for (kind, _client, _find), answer in zip(prepared, answers, strict=True):
        if isinstance(answer, Exception):
            raise clients.failure(answer, f"look for {kind.replace('_', ' ')}s") from answer
        found[kind] = answer
    return found


def only_vpc(found: dict[str, Found], name: str) -> dict[str, Any] | None:
    """The environment's VPC, or None; two of them are an error, because everything else hangs on it."""
    vpcs = found["vpc"]
    if len(vpcs) > 1:
        ids = ", ".join(sorted(vpc["VpcId"] for vpc in vpcs))
        raise FreeholdError(
            message=(
                f"Two VPCs or more ({ids}) carry the environment name '{name}', so it is unknown which one is meant;"
                " choose another environment_name, or remove the tag from the wrong one."
            )
        )
    return vpcs[0] if vpcs else None
