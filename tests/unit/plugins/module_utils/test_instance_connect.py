# SPDX-License-Identifier: GPL-3.0-or-later
"""What the way to private hosts decides by itself; with a tunnel service and SSH servers: lab/tests/tunnel."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils import instance_connect as subject
from botocore.credentials import Credentials

ENDPOINT = subject.Endpoint("eice-0123456789abcdef0", "wss://eice.example.invalid")
NOBODY = subject.Connection()


class Session:
    """The parts of a botocore session that signing needs."""

    def __init__(self, credentials: Credentials | None, region: str | None = "eu-west-1") -> None:
        self._credentials = credentials
        self._region = region

    def get_credentials(self) -> Credentials | None:
        return self._credentials

    def get_config_variable(self, name: str) -> Any:
        return {"region": self._region}.get(name)


def test_the_signed_url_carries_what_aws_asks_for() -> None:
    session = Session(Credentials("AKIAIOSFODNN7EXAMPLE", "secret", "token"))
    url = urlsplit(subject.signed_url(NOBODY, session, ENDPOINT, "10.20.1.5", 22, 1800))
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (url.scheme, url.netloc, url.path) == ("wss", "eice.example.invalid", "/openTunnel")
    assert query["instanceConnectEndpointId"] == ENDPOINT.id
    assert query["privateIpAddress"] == "10.20.1.5"
    assert query["remotePort"] == "22"
    assert query["maxTunnelDuration"] == "1800"
    assert query["X-Amz-Expires"] == "60"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert query["X-Amz-Security-Token"] == "token"
    today = datetime.now(UTC).strftime("%Y%m%d")
    assert query["X-Amz-Credential"] == f"AKIAIOSFODNN7EXAMPLE/{today}/eu-west-1/ec2-instance-connect/aws4_request"


@pytest.mark.parametrize(
    ("session", "sentence"),
    [
        (Session(None), "No AWS credentials were found: log in, or name a profile in freehold_aws_connection."),
        (Session(Credentials("a", "b"), None), "No AWS region is set: name it in environment_region."),
    ],
)
def test_what_is_missing_for_a_signature_is_named(session: Session, sentence: str) -> None:
    with pytest.raises(subject.TunnelError, match=f"^{sentence}$"):
        subject.signed_url(NOBODY, session, ENDPOINT, "10.20.1.5", 22)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("ExpiredToken", "Your AWS session has expired: log in again, for example with `aws sso login --profile dev`."),
        (
            "RequestExpired",
            "Your AWS session has expired: log in again, for example with `aws sso login --profile dev`.",
        ),
        ("AuthFailure", "AWS does not know the access key used to look (AuthFailure: because)"),
        ("UnauthorizedOperation", "AWS denies you to look (because)"),
        ("AccessDeniedException", "AWS denies you to look (because)"),
        ("InvalidParameter", "Could not look (InvalidParameter: because)"),
    ],
)
def test_an_aws_error_becomes_one_sentence(code: str, sentence: str) -> None:
    connection = subject.Connection(profile="dev")
    assert subject.refusal({"Code": code, "Message": "because\n"}, "look", connection) == sentence


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"ErrorCode":"InvalidParameter","Message":"no"}', {"Code": "InvalidParameter", "Message": "no"}),
        (b"<html>502</html>", {"Code": "unexpected answer", "Message": "<html>502</html>"}),
        (b"[]", {"Code": "unexpected answer", "Message": "[]"}),
        (b"", {"Code": "unexpected answer", "Message": ""}),
    ],
)
def test_whatever_answers_a_refused_upgrade_is_readable(body: bytes, error: dict[str, str]) -> None:
    assert subject._error_document(body) == error


def candidate(name: str, address: str) -> subject.Candidate:
    return subject.Candidate(name, address, frozenset(name.split("-")[:1]))


def test_schedulers_come_first_then_names_and_who_failed_lately_comes_last() -> None:
    hosts = [
        candidate("worker-1", "10.0.0.1"),
        candidate("scheduler-2", "10.0.0.2"),
        candidate("scheduler-1", "10.0.0.3"),
        candidate("webserver-1", "10.0.0.4"),
    ]

    def names(distrusted: dict[str, float]) -> list[str]:
        return [host.name for host in subject.in_order(hosts, distrusted, now=1000.0)]

    assert names({}) == ["scheduler-1", "scheduler-2", "webserver-1", "worker-1"]
    assert names({"10.0.0.3": 990.0}) == ["scheduler-2", "webserver-1", "worker-1", "scheduler-1"]
    assert names({"10.0.0.3": 800.0})[0] == "scheduler-1"


def test_a_socket_lives_beside_the_configuration_where_the_path_is_short_enough(tmp_path: Path) -> None:
    short, long = Path("/tmp/x"), tmp_path / ("long" * 20)  # noqa: S108 - only its length matters
    assert subject._socket_directory(short) == short
    elsewhere = subject._socket_directory(long)
    assert elsewhere != long
    assert elsewhere.stat().st_mode & 0o777 == 0o700
    elsewhere.rmdir()


def test_a_socket_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    long = tmp_path / ("long" * 20)
    directory = subject._socket_directory(long)
    directory.chmod(0o777)
    with pytest.raises(subject.TunnelError, match="others may enter it: remove it"):
        subject._socket_directory(long)
    directory.rmdir()


@pytest.mark.parametrize(
    "arguments",
    [
        ["tunnel", "--host", "10.0.0.1"],
        ["jump", "--config", "x", "10.0.0.1"],
        ["tunnel", "--host", "10.0.0.1", "--environment", "lab", "--max-seconds", "3601"],
        [],
    ],
)
def test_an_incomplete_command_line_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        subject.parse(arguments)


def test_a_jump_over_a_standing_connection_imports_nothing_slow() -> None:
    program = (
        "import sys; sys.argv[1:] = ['jump', '--environment', 'x', '--config', '/nowhere/ssh_config', 'host'];"
        f"sys.path.insert(0, {str(Path(subject.__file__).parent)!r});"
        "import instance_connect; instance_connect.parse();"
        "print(sorted({'botocore', 'websockets', 'asyncio', 'ssl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
