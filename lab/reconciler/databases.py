# SPDX-License-Identifier: GPL-3.0-or-later
"""RDS instances: a PostgreSQL server each, at its private address, with a certificate for its endpoint's name."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from lab import names
from lab.reconciler import networks
from lab.reconciler.containers import (
    ContainerSpec,
    File,
    NotReady,
    ensure,
    ensure_volume,
    execute,
    find,
    fingerprint,
    remove_container,
    remove_volume,
    started_at,
    stop_container,
)
from lab.reconciler.kind import Kind, Outcome, Round
from lab.reconciler.log import log
from lab.reconciler.snapshot import Database, Snapshot, vpc_cidrs

_GONE = ("deleting", "deleted")
_STOPPED = ("stopping", "stopped")
_CA_FILE = "/etc/freehold/ca.pem"


def container_name(identifier: str) -> str:
    """The container of a database."""
    return f"{names.PREFIX}-db-{identifier}"


class Databases(Kind):
    """The databases."""

    name = "database"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Container -> what it was proved to answer to: (its start, fingerprint of user, password and database).
        self._proved: dict[str, tuple[str, str]] = {}

    def wanted(self, snapshot: Snapshot) -> Mapping[str, Any]:
        return {
            database["id"]: database
            for database in snapshot["databases"]
            if database["status"] not in _GONE and database["vpc_id"] in vpc_cidrs(snapshot) and database["private_ip"]
        }

    def ensure(self, identifier: str, item: Database, world: Round) -> Outcome:
        listed = world.containers.get((self.name, identifier))
        if item["status"] in _STOPPED:
            found = find(self.name, identifier) if listed else None
            if found and found.state == "running":
                stop_container(found.id, 60)
                log(f"{container_name(identifier)}: stopped")
            return Outcome({"databases": {identifier: {"status": "stopped"}}})
        if not item["engine"].startswith("postgres"):
            log(f"{container_name(identifier)}: the lab has no {item['engine']}, only postgres")
            return Outcome({"databases": {identifier: {"status": "failed"}}}, again=3600)
        network = networks.require(item["vpc_id"] or "", world)
        if listed is None:
            ensure_volume(container_name(identifier), self.name, identifier, world.epoch)
        container, fresh = ensure(_spec(item, network, world), world.epoch, listed)
        self._prove(container, item, fresh)
        return Outcome({"databases": {identifier: {"status": "available"}}})

    def _prove(self, container: str, item: Database, fresh: bool) -> None:
        """Make sure that the master user can log in, by doing so over TLS."""
        login = fingerprint([item["master_username"], item["master_password"], item["db_name"], item["endpoint"]])
        with self._lock:
            known = self._proved.get(container)
        if known and known[1] == login and not fresh:
            return
        start = started_at(container)
        if known == (start, login):
            return
        if not _master_logs_in(container, item):
            environment = {
                "FREEHOLD_MASTER": item["master_username"],
                "FREEHOLD_MASTER_PASSWORD": item["master_password"],
                "FREEHOLD_DATABASE": item["db_name"] or "",
            }
            code, output = execute(container, ["/opt/freehold/database-master"], environment)
            if code != 0:
                raise NotReady(f"the server does not answer yet: {output[-200:]}")
            if not _master_logs_in(container, item):
                raise NotReady("the master user cannot log in over TLS yet")
            log(f"{container_name(item['id'])}: {item['master_username']} can log in over TLS")
        with self._lock:
            self._proved[container] = (start, login)

    def remove(self, identifier: str) -> None:
        removed = remove_container(container_name(identifier))
        remove_volume(container_name(identifier))
        if removed:
            log(f"{container_name(identifier)}: removed with its data")


def _master_logs_in(container: str, item: Database) -> bool:
    parameters = {
        "host": item["endpoint"],
        "hostaddr": item["private_ip"] or "",
        "port": str(item["port"]),
        "user": item["master_username"],
        "dbname": item["db_name"] or "postgres",
        "sslmode": "verify-full",
        "sslrootcert": _CA_FILE,
        "connect_timeout": "5",
    }
    connection = " ".join(f"{name}='{value}'" for name, value in parameters.items())
    code, _ = execute(
        container,
        ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--command=SELECT 1", connection],
        {"PGPASSWORD": item["master_password"]},
    )
    return code == 0


def _spec(item: Database, network: str, world: Round) -> ContainerSpec:
    certificate = world.authority.issue([item["endpoint"]])
    return ContainerSpec(
        kind=Databases.name,
        id=item["id"],
        name=container_name(item["id"]),
        image=world.settings.services_image,
        command=("/opt/freehold/database",),
        network=network,
        ip=item["private_ip"],
        environment={"FREEHOLD_FORCE_TLS": "1" if item["force_tls"] else "0", "FREEHOLD_PORT": str(item["port"])},
        volumes={container_name(item["id"]): ("/var/lib/freehold", "rw")},
        files={
            "/etc/freehold/server.crt": File(certificate.chain_pem),
            "/etc/freehold/server.key": File(certificate.key_pem, 0o600),
            _CA_FILE: File(world.authority.certificate_pem),
        },
        # PostgreSQL's fast shutdown: running queries end, nothing is lost.
        stop_signal="SIGINT",
        host_config={"shm_size": "256m"},
        made_from=[item["endpoint"], item["port"], item["force_tls"]],
    )
