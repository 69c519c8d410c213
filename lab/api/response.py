# SPDX-License-Identifier: GPL-3.0-or-later
"""Results and errors written in the protocol of the service that was asked."""

from __future__ import annotations

import re
import uuid
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from moto.core.model import OperationModel
from moto.core.serialize import SerializationContext, XFormedAttributePicker, get_serializer_class
from moto.core.utils import get_service_model

from lab.api.errors import AwsError
from lab.api.request import AwsRequest

Headers = list[tuple[str, str]]

# The errors that all services share stand in no model of theirs; moto wonders at each.
warnings.filterwarnings("ignore", message=r"Exception\(AwsError\) with code")

_ERROR_CODES = re.compile(r"<Code>([^<]+)</Code>|\"(?:__type|[cC]ode)\"\s*:\s*\"(?:[^\"#]*#)?([^\"]+)\"")


@dataclass
class Response:
    """A complete HTTP answer."""

    status: int
    body: bytes = b""
    headers: Headers = field(default_factory=list)

    @property
    def error_code(self) -> str | None:
        """The AWS error code of an answer that is an error."""
        if self.status < 400:
            return None
        named = next((value for name, value in self.headers if name.lower() == "x-amzn-errortype"), None)
        match = _ERROR_CODES.search(self.body[:2000].decode("utf-8", "replace"))
        found = (match.group(1) or match.group(2)) if match else named
        return found.rpartition("#")[2].partition(":")[0] if found else str(self.status)


def result(request: AwsRequest, value: object) -> Response:
    """Write what an operation returns: a dict (or object) in the shape of the service's model."""
    return _serialize(request, value)


def error(request: AwsRequest, failure: AwsError) -> Response:
    """Write a refusal."""
    try:
        response = _serialize(request, failure)
    except Exception:  # no model knows this service; AWS itself would answer such a name by nothing at all
        body = f'{{"__type": "{failure.code}", "message": "{failure.message}"}}'.encode()
        response = Response(400, body, [("Content-Type", "application/x-amz-json-1.1")])
    if failure.status is not None:
        response.status = failure.status
    return response


def _serialize(request: AwsRequest, value: object) -> Response:
    model = get_service_model(request.service)
    known = request.operation in model.operation_names
    operation = model.operation_model(request.operation) if known else OperationModel({}, model, request.operation)
    request_id = str(uuid.uuid4())
    serializer = get_serializer_class(request.service, request.protocol)(
        operation_model=operation,
        context=SerializationContext(request_id=request_id),
        value_picker=XFormedAttributePicker(),
    )
    written: dict[str, Any] = serializer.serialize(value)
    body = written["body"]
    headers = [(str(name), str(content)) for name, content in written["headers"].items()]
    return Response(
        status=int(written["status_code"]),
        body=body if isinstance(body, bytes) else str(body).encode(),
        headers=[*headers, ("x-amzn-RequestId", request_id)],
    )


def from_wsgi(status: str, headers: Iterable[tuple[str, str]], body: bytes) -> Response:
    """The answer of a WSGI application."""
    return Response(status=int(status.split(" ", 1)[0]), body=body, headers=list(headers))


def phrase(status: int) -> str:
    """The words of an HTTP status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
