# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request asks for: service, operation, parameters and caller, by AWS's own service models."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import NotFound, get_service_router
from moto.core.utils import get_service_model

Environ = dict[str, Any]

# The name in the credential scope where it is not the name of botocore's model.
_MODEL_BY_SIGNING_NAME = {
    "elasticfilesystem": "efs",
    "monitoring": "cloudwatch",
    "tagging": "resourcegroupstaggingapi",
    "email": "ses",
    "states": "stepfunctions",
}
_ELB_VERSION = "2012-06-01"
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
# Operations whose names do not begin with an English verb of reading, but which change nothing.
_READ_OPERATIONS = {"AssumeRole", "AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "DecodeAuthorizationMessage"}
_UNSIGNED_ACTIONS = ("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML")
_READ_VERBS = re.compile(
    r"^(Describe|List|Get|Head|BatchGet|BatchCheck|BatchDescribe|Search|Query|Scan|Select|Lookup|Check|Test|Validate"
    r"|Estimate|Simulate|Preview|Filter|Decrypt|Verify|Count|Discover|Detect)(?![a-z])"
)


@dataclass
class AwsRequest:
    """One request, understood as far as the models know it."""

    environ: Environ
    body: bytes
    service: str
    signing_name: str
    region: str
    access_key: str | None
    session_token: str | None
    operation: str | None = None
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The caller's address."""
        return str(self.environ.get("REMOTE_ADDR", ""))

    @property
    def writes(self) -> bool:
        """Whether the operation is meant to change something; a dry run is not."""
        return self.operation is not None and is_write(self.operation) and not self.params.get("DryRun")

    @property
    def protocol(self) -> str:
        """How errors and results are written: ec2, query, json, rest-json or rest-xml."""
        if not _known(self.service):
            return "json"
        return str(determine_request_protocol(get_service_model(self.service), self.environ.get("CONTENT_TYPE")))

    def rewind(self) -> Environ:
        """The environ with the body to be read again."""
        self.environ["wsgi.input"] = io.BytesIO(self.body)
        self.environ["CONTENT_LENGTH"] = str(len(self.body))
        self.environ.pop("HTTP_TRANSFER_ENCODING", None)
        return self.environ


def is_write(operation: str) -> bool:
    """Tell by its name whether an operation changes something; logging in does not."""
    return operation not in _READ_OPERATIONS and not _READ_VERBS.match(operation)


def read_request(environ: Environ, default_region: str) -> AwsRequest:
    """Read the body and find service, operation and parameters; what no model knows stays None."""
    body = _read_body(environ)
    query = parse_qs(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
    scope = _credential_scope(environ, query)
    if scope is not None:
        access_key, region, signing_name = scope
    else:
        unsigned = _from_action(body, default_region) or _from_host(environ, default_region)
        access_key, region, signing_name = None, *unsigned
    request = AwsRequest(
        environ=environ,
        body=body,
        service=_model_name(signing_name, body, query),
        signing_name=signing_name,
        region=region,
        access_key=access_key,
        session_token=environ.get("HTTP_X_AMZ_SECURITY_TOKEN") or _first(query, "X-Amz-Security-Token"),
    )
    _find_operation(request)
    return request


def _read_body(environ: Environ) -> bytes:
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        return bytes(stream.read())
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return bytes(stream.read(length)) if length else b""


def _credential_scope(environ: Environ, query: Mapping[str, list[str]]) -> tuple[str, str, str] | None:
    """Access key, region and service of a signature in the header or in a presigned URL."""
    match = re.search(r"Credential=([^,\s]+)", str(environ.get("HTTP_AUTHORIZATION", "")))
    credential = match.group(1) if match else _first(query, "X-Amz-Credential")
    if not credential or credential.count("/") < 4:
        return None
    access_key, _, region, service, _ = credential.rsplit("/", 4)
    return access_key, region, service.lower()


def _from_action(body: bytes, default_region: str) -> tuple[str, str] | None:
    """Region and service of the requests that bring a token of somebody else instead of a signature."""
    action = _first(parse_qs(body.decode("latin-1")), "Action") if body.startswith(b"Action=") else None
    return (default_region, "sts") if action in _UNSIGNED_ACTIONS else None


def _from_host(environ: Environ, default_region: str) -> tuple[str, str]:
    """Region and service of `[bucket.]service[.region].amazonaws.com`."""
    host = str(environ.get("HTTP_HOST", "")).partition(":")[0].lower()
    labels = host.removesuffix(".amazonaws.com").split(".")
    if not host.endswith(".amazonaws.com"):
        return default_region, "s3"
    if len(labels) > 1 and _REGION.fullmatch(labels[-1]):
        return labels[-1], labels[-2]
    return default_region, labels[-1]


def _model_name(signing_name: str, body: bytes, query: Mapping[str, list[str]]) -> str:
    if signing_name == "elasticloadbalancing":
        classic = f"Version={_ELB_VERSION}".encode() in body or _first(query, "Version") == _ELB_VERSION
        return "elb" if classic else "elbv2"
    return _MODEL_BY_SIGNING_NAME.get(signing_name, signing_name)


@functools.cache
def _known(service: str) -> bool:
    try:
        get_service_model(service)
    except Exception:  # moto and botocore raise several kinds for a name that they do not know
        return False
    return True


def _find_operation(request: AwsRequest) -> None:
    if not _known(request.service):
        return
    wrapped = Request(request.rewind())
    try:
        model, uri_params = get_service_router(request.service).match(wrapped)
    except (NotFound, NotImplementedError):
        # A query for an operation that the model lacks still has a name.
        request.operation = wrapped.values.get("Action") or _target(request.environ)
        return
    request.operation = str(model.name)
    parser = PROTOCOL_PARSERS[request.protocol](model, map_type=dict)
    parsed = parser.parse(
        {
            "method": wrapped.method,
            "values": wrapped.values,
            "headers": wrapped.headers,
            # An object's content is nobody's parameter.
            "body": b"" if request.service == "s3" and request.operation in _S3_DATA else request.body,
            "url_path": wrapped.path,
            "url_params": uri_params,
        }
    )
    request.params = dict(parsed or {})


_S3_DATA = {"PutObject", "UploadPart"}


def _target(environ: Environ) -> str | None:
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    return target.rpartition(".")[2] or None


def _first(query: Mapping[str, list[str]], name: str) -> str | None:
    values = query.get(name)
    return values[0] if values else None
