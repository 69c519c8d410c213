# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the host's containers trust: the broker by its own certificate, the database by the authorities of RDS."""

from __future__ import annotations

from typing import Any

import pytest

UNITS = ("valkey-server.service",)
BROKER = "broker.molecule.internal"


@pytest.fixture(scope="module")
def database(aws: Any) -> str:
    """The database's name."""
    (found,) = aws("rds").describe_db_instances(DBInstanceIdentifier="freehold-molecule")["DBInstances"]
    return str(found["Endpoint"]["Address"])


def test_everybody_may_read_what_is_trusted_and_root_alone_may_change_it(machine: Any, host: Any) -> None:
    directory = host.file("/etc/freehold")
    assert (directory.user, directory.group, directory.mode) == ("root", "root", 0o755)
    for name in ("broker-ca.pem", "rds-ca.pem"):
        file = host.file(f"/etc/freehold/{name}")
        assert (file.user, file.group, file.mode) == ("root", "root", 0o644), name
    assert machine.run("ls /etc/freehold").split() == ["broker-ca.pem", "rds-ca.pem"]


def test_no_private_key_is_where_every_container_looks(machine: Any) -> None:
    machine.fails("grep --recursive 'PRIVATE KEY' /etc/freehold")


def test_the_brokers_certificate_is_pinned_as_the_broker_shows_it(machine: Any) -> None:
    shown = machine.run(f"openssl s_client -connect {BROKER}:6379 </dev/null 2>/dev/null | openssl x509")
    assert machine.run("openssl x509 -in /etc/freehold/broker-ca.pem") == shown


def test_the_broker_passes_verification_by_what_is_pinned_and_by_nothing_else(machine: Any) -> None:
    ask = (
        f"openssl s_client -connect {BROKER}:6379 -verify_return_error -verify_hostname {BROKER} -brief </dev/null 2>&1"
    )
    assert "Verification: OK" in machine.run(f"{ask} -no-CApath -no-CAstore -CAfile /etc/freehold/broker-ca.pem")
    machine.fails(f"{ask} -no-CApath -no-CAstore -CAfile /etc/freehold/rds-ca.pem")


def test_the_database_passes_verification_by_the_authorities_of_rds(machine: Any, database: str) -> None:
    ask = (
        f"openssl s_client -starttls postgres -connect {database}:5432 -verify_return_error"
        f" -verify_hostname {database} -brief </dev/null 2>&1 -no-CApath -no-CAstore"
    )
    assert "Verification: OK" in machine.run(f"{ask} -CAfile /etc/freehold/rds-ca.pem")
    machine.fails(f"{ask} -CAfile /etc/freehold/broker-ca.pem")
