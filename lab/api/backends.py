# SPDX-License-Identifier: GPL-3.0-or-later
"""moto's memory of the lab's account and region, service by service."""

from __future__ import annotations

from typing import Any

from moto.acm.models import acm_backends
from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends
from moto.efs.models import efs_backends
from moto.elasticache.models import elasticache_backends
from moto.elbv2.models import elbv2_backends
from moto.iam.models import iam_backends
from moto.rds.models import rds_backends
from moto.route53.models import route53_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import sts_backends

from lab.api.settings import ACCOUNT
from lab.api.state import current

_PARTITION = "aws"


def _region(region: str | None) -> str:
    return region or current().settings.region


def ec2(region: str | None = None) -> Any:
    """Instances, networks, addresses."""
    return ec2_backends[ACCOUNT][_region(region)]


def rds(region: str | None = None) -> Any:
    """Databases."""
    return rds_backends[ACCOUNT][_region(region)]


def elasticache(region: str | None = None) -> Any:
    """Caches."""
    return elasticache_backends[ACCOUNT][_region(region)]


def efs(region: str | None = None) -> Any:
    """File systems."""
    return efs_backends[ACCOUNT][_region(region)]


def elbv2(region: str | None = None) -> Any:
    """Load balancers and target groups."""
    return elbv2_backends[ACCOUNT][_region(region)]


def acm(region: str | None = None) -> Any:
    """Certificates."""
    return acm_backends[ACCOUNT][_region(region)]


def ecr(region: str | None = None) -> Any:
    """Image repositories."""
    return ecr_backends[ACCOUNT][_region(region)]


def secretsmanager(region: str | None = None) -> Any:
    """Secrets."""
    return secretsmanager_backends[ACCOUNT][_region(region)]


def route53() -> Any:
    """Hosted zones."""
    return route53_backends[ACCOUNT][_PARTITION]


def iam() -> Any:
    """Users, roles, policies, keys."""
    return iam_backends[ACCOUNT][_PARTITION]


def sts() -> Any:
    """Temporary credentials."""
    return sts_backends[ACCOUNT][_PARTITION]


def s3() -> Any:
    """Buckets."""
    return s3_backends[ACCOUNT][_PARTITION]
