# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab does better than moto, one module a subject. Importing this package puts all of it in place."""

from __future__ import annotations

from lab.api.services import (
    addresses,
    buckets,
    cache_groups,
    caches,
    certificates,
    connect_endpoints,
    database_versions,
    databases,
    dependencies,
    file_systems,
    images,
    instances,
    load_balancers,
    networks,
    price_list,
    repositories,
    reserved_instances,
    reserved_nodes,
    secrets,
    sessions,
    web_identity,
    zones,
)

__all__ = [
    "addresses",
    "buckets",
    "cache_groups",
    "caches",
    "certificates",
    "connect_endpoints",
    "database_versions",
    "databases",
    "dependencies",
    "file_systems",
    "images",
    "instances",
    "load_balancers",
    "networks",
    "price_list",
    "repositories",
    "reserved_instances",
    "reserved_nodes",
    "secrets",
    "sessions",
    "web_identity",
    "zones",
]
