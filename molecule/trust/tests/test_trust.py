# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers trust: one pinned certificate, and the authorities that vouch for the database."""

from __future__ import annotations

from typing import Any


def test_containers_may_read_the_certificates_and_nobody_else_may_write_them(host: Any) -> None:
    directory = host.file("/etc/freehold")
    assert (directory.user, directory.group, directory.mode) == ("root", "root", 0o755)
    for name in ("broker-ca.pem", "rds-ca.pem"):
        file = host.file(f"/etc/freehold/{name}")
        assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    assert sorted(host.file("/etc/freehold").listdir()) == ["broker-ca.pem", "rds-ca.pem"]


def test_the_pinned_certificate_is_the_one_that_was_given(machine: Any) -> None:
    assert machine.run("openssl x509 -in /etc/freehold/broker-ca.pem -noout -subject") == "subject=CN=broker.example"


def test_only_certificates_are_there(machine: Any) -> None:
    assert "PRIVATE KEY" not in machine.run("cat /etc/freehold/*")


def test_the_authorities_vouch_for_the_database_and_for_its_name(machine: Any, aws: Any) -> None:
    database = aws("rds").describe_db_instances(DBInstanceIdentifier="freehold-molecule")["DBInstances"][0]["Endpoint"]
    said = machine.run(
        "openssl s_client -starttls postgres -connect %s -CAfile /etc/freehold/rds-ca.pem -no-CApath -no-CAstore"
        " -verify_return_error -verify_hostname %s -brief </dev/null 2>&1",
        f"{database['Address']}:{database['Port']}",
        database["Address"],
    )
    assert "Verification: OK" in said


def test_the_pinned_certificate_does_not_vouch_for_the_database(machine: Any, aws: Any) -> None:
    database = aws("rds").describe_db_instances(DBInstanceIdentifier="freehold-molecule")["DBInstances"][0]["Endpoint"]
    machine.fails(
        "openssl s_client -starttls postgres -connect %s -CAfile /etc/freehold/broker-ca.pem -no-CApath -no-CAstore"
        " -verify_return_error -brief </dev/null",
        f"{database['Address']}:{database['Port']}",
    )
