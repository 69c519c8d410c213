# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker as its clients find it: TLS and password or nothing, no message lost, no command that loses some."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest

UNITS = ("valkey-server.service",)
NAME = "broker.molecule.internal"
Client = Callable[..., Any]


@pytest.fixture(scope="module")
def password(secret_values: dict[str, str]) -> str:
    """The only user's."""
    return secret_values["freehold/molecule/broker_password"]


@pytest.fixture(scope="module")
def client(machine: Any, password: str) -> Client:
    """A client as the components are: by name, over TLS, with the certificate pinned and the password."""

    def ask(*words: str, auth: str = password, options: str = "--tls --cacert /etc/valkey/server.pem") -> str:
        secret = shlex.quote(auth)
        command = f"valkey-cli -h {NAME} {options} {shlex.join(words)}"
        done = machine.told(f"export VALKEYCLI_AUTH={secret} REDISCLI_AUTH={secret}; {command}", "sh")
        return str(done.stdout).strip()

    return ask


def facts(client: Client, section: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in client("INFO", section).splitlines() if ":" in line)


def test_the_broker_runs_after_a_boot_and_whenever_it_ends(machine: Any) -> None:
    unit = machine.unit("valkey-server.service", "ActiveState", "UnitFileState", "Restart", "User", "Type")
    assert unit == {
        "ActiveState": "active", "UnitFileState": "enabled", "Restart": "always", "User": "valkey", "Type": "notify",
    }  # fmt: skip


def test_it_listens_on_loopback_and_the_private_address_alone(machine: Any) -> None:
    found = {address for address in machine.listening() if address.endswith(":6379")}
    assert found == {"127.0.0.1:6379", f"{machine.private}:6379"}


def test_only_who_carries_the_right_security_group_reaches_it(kept_out: Callable[[str, int], None]) -> None:
    kept_out("broker", 6379)


def test_it_answers_who_has_the_password(client: Client) -> None:
    assert client("PING") == "PONG"


def test_it_answers_nobody_without_the_password(client: Client) -> None:
    assert "NOAUTH" in client("PING", auth="")
    assert "WRONGPASS" in client("PING", auth="guess") or "NOAUTH" in client("PING", auth="guess")


def test_it_speaks_no_plain_text(client: Client) -> None:
    assert "PONG" not in client("PING", options="")


def test_it_speaks_no_old_tls(machine: Any) -> None:
    ask = f"openssl s_client -connect {NAME}:6379 -CAfile /etc/valkey/server.pem -verify_return_error -brief"
    machine.fails(f"{ask} -tls1_1 -cipher DEFAULT@SECLEVEL=0 </dev/null")
    for version in ("tls1_2", "tls1_3"):
        assert "Verification: OK" in machine.run(f"{ask} -{version} </dev/null 2>&1")


def test_its_certificate_passes_pythons_strict_verification_under_its_name(machine: Any) -> None:
    program = (
        "import socket, ssl; context = ssl.create_default_context(cafile='/etc/valkey/server.pem');"
        " context.verify_flags |= ssl.VERIFY_X509_STRICT;"
        f" print(context.wrap_socket(socket.create_connection(('{NAME}', 6379)), server_hostname='{NAME}').version())"
    )
    assert machine.run("python3 -c %s", program) == "TLSv1.3"


def test_the_key_and_the_users_are_the_servers_alone(host: Any) -> None:
    for name in ("server.key", "server.pem", "users.acl", "valkey.conf"):
        file = host.file(f"/etc/valkey/{name}")
        assert file.group == "valkey" and file.mode == 0o640, name


def test_the_password_is_not_on_the_host(machine: Any, password: str) -> None:
    look = "grep --recursive --files-with-matches --fixed-strings --file=- /etc /var/lib/valkey"
    assert machine.told(password, look).returncode == 1
    # What would find it finds what is there.
    assert "/etc/valkey/valkey.conf" in machine.told("maxmemory-policy noeviction", look).stdout


@pytest.mark.parametrize(
    "words", [("FLUSHALL",), ("FLUSHDB",), ("SWAPDB", "0", "1"), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("ACL", "LIST")]
)
def test_clients_can_do_nothing_that_loses_messages_or_shows_settings(client: Client, words: tuple[str, ...]) -> None:
    assert "NOPERM" in client(*words)


def test_a_full_broker_refuses_and_drops_nothing(client: Client) -> None:
    memory = facts(client, "memory")
    assert memory["maxmemory"] == str(256 * 1024 * 1024)
    assert memory["maxmemory_policy"] == "noeviction"
    assert client("SET", "molecule-kept", "here") == "OK"
    try:
        client("SETRANGE", "molecule-large", str(256 * 1024 * 1024), "x")
        assert "OOM" in client("SET", "molecule-refused", "x")
        assert client("GET", "molecule-kept") == "here"
    finally:
        client("DEL", "molecule-large", "molecule-kept")


def test_what_was_queued_a_second_ago_survives_a_kill(machine: Any, client: Client) -> None:
    persistence = facts(client, "persistence")
    assert persistence["aof_enabled"] == "1"
    # An interrupted verify leaves its own.
    client("DEL", "molecule-queue")
    assert client("RPUSH", "molecule-queue", "message") == "1"
    # everysec: when the offset on disk has reached the one in memory.
    machine.until("the message is on disk", lambda: client("WAITAOF", "1", "0", "5000").split()[:1] == ["1"], 15)
    killed = machine.unit("valkey-server.service", "MainPID")["MainPID"]
    machine.run("kill -KILL %s", killed)
    machine.until("systemd starts it again", lambda: client("PING") == "PONG")
    assert machine.unit("valkey-server.service", "MainPID")["MainPID"] != killed
    assert client("LPOP", "molecule-queue") == "message"


def test_its_log_is_in_the_journal(machine: Any) -> None:
    assert "Ready to accept connections" in machine.run("journalctl --unit=valkey-server.service --output=cat")
