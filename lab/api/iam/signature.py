# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS Signature Version 4, checked: a right key with a wrong secret is refused.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote

from lab.api.request import AwsRequest

_ALGORITHM = "AWS4-HMAC-SHA256"
# How far a caller's clock may be off.
_SKEW = timedelta(minutes=15)
_UNSIGNED = "UNSIGNED-PAYLOAD"


class BadSignature(Exception):
    """The signature is not that of the secret key, or the content is not what was signed."""


class Expired(Exception):
    """The signature was good once, or will be."""


@dataclass(frozen=True)
class _Given:
    scope: str
    signed_headers: list[str]
    signature: str
    date: str
    lifetime: timedelta
    presigned: bool


def check(request: AwsRequest, secret_key: str, now: datetime | None = None) -> None:
    """Raise BadSignature or Expired unless the request was signed with this secret."""
    given = _read(request)
    now = now or datetime.now(UTC)
    signed_at = datetime.strptime(given.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if signed_at - _SKEW > now or now > signed_at + given.lifetime:
        raise Expired(f"Signature expired: {given.date} is not within reach of {now:%Y%m%dT%H%M%SZ}")
    canonical = _canonical_request(request, given)
    text = "\n".join([_ALGORITHM, given.date, given.scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret_key}".encode()
    for part in given.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    wanted = hmac.new(key, text.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(wanted, given.signature):
        raise BadSignature


def _read(request: AwsRequest) -> _Given:
    header = str(request.environ.get("HTTP_AUTHORIZATION", ""))
    if header.startswith(_ALGORITHM):
        parts = dict(re.findall(r"(Credential|SignedHeaders|Signature)=([^,\s]+)", header))
        date = request.environ.get("HTTP_X_AMZ_DATE", "")
        lifetime, presigned = _SKEW, False
    else:
        query = dict(parse_qsl(str(request.environ.get("QUERY_STRING", "")), keep_blank_values=True))
        names = ("Credential", "SignedHeaders", "Signature")
        parts = {name: query[f"X-Amz-{name}"] for name in names if f"X-Amz-{name}" in query}
        date = query.get("X-Amz-Date", "")
        seconds = query.get("X-Amz-Expires", "900")
        lifetime, presigned = timedelta(seconds=int(seconds) if seconds.isdigit() else 0), True
    if len(parts) < 3 or not re.fullmatch(r"\d{8}T\d{6}Z", str(date)):
        raise BadSignature
    return _Given(
        scope=parts["Credential"].partition("/")[2],
        signed_headers=parts["SignedHeaders"].split(";"),
        signature=parts["Signature"],
        date=str(date),
        lifetime=lifetime,
        presigned=presigned,
    )


def _canonical_request(request: AwsRequest, given: _Given) -> str:
    environ = request.environ
    target = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "/"))
    path = re.sub(r"^https?://[^/]+", "", target).partition("?")[0] or "/"
    headers = {name: _header(environ, name) for name in given.signed_headers}
    return "\n".join(
        [
            str(environ["REQUEST_METHOD"]),
            _canonical_path(request, path),
            _canonical_query(str(environ.get("QUERY_STRING", ""))),
            *(f"{name}:{' '.join(value.split())}" for name, value in headers.items()),
            "",
            ";".join(given.signed_headers),
            _payload_hash(request, given),
        ]
    )


def _canonical_path(request: AwsRequest, path: str) -> str:
    if request.signing_name == "s3":
        return path
    # Every other service signs the path encoded once more, and without empty segments.
    normal = posixpath.normpath(path).replace("//", "/")
    if path.endswith("/") and not normal.endswith("/"):
        normal += "/"
    return quote(normal, safe="/~")


def _canonical_query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    encoded = [
        (quote(unquote(name.replace("+", " ")), safe="~"), quote(unquote(value.replace("+", " ")), safe="~"))
        for name, _, value in pairs
        if name != "X-Amz-Signature"
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _payload_hash(request: AwsRequest, given: _Given) -> str:
    declared = str(request.environ.get("HTTP_X_AMZ_CONTENT_SHA256", ""))
    if given.presigned and request.signing_name == "s3":
        return declared or _UNSIGNED
    actual = hashlib.sha256(request.body).hexdigest()
    if not declared:
        return actual
    if re.fullmatch(r"[0-9a-f]{64}", declared) and declared != actual:
        raise BadSignature
    return declared


def _header(environ: Mapping[str, object], name: str) -> str:
    key = name.upper().replace("-", "_")
    return str(environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", ""))
