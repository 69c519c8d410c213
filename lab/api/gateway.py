# SPDX-License-Identifier: GPL-3.0-or-later
"""The door that every AWS request comes through: understood, judged, answered by us or by moto, and logged."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from moto.backend_index import backend_url_patterns
from moto.moto_server.werkzeug_app import SIGNING_ALIASES, DomainDispatcherApplication, create_backend_app

from lab.api import response as responses
from lab.api.admin import Admin
from lab.api.errors import AwsError
from lab.api.faults import SILENCE_SECONDS, Faults, throttled
from lab.api.iam.gate import authorize
from lab.api.operations import ANSWERS, CHECKS, COMPLETIONS, UNLOCKED
from lab.api.request import AwsRequest, Environ, read_request
from lab.api.request_log import RequestLog
from lab.api.response import Response
from lab.api.state import Lab

StartResponse = Callable[..., Any]

_TRUST_STORE_HOST = "truststore.pki.rds.amazonaws.com"
# moto's own back door, which can forget everything.
_CLOSED_PATHS = ("/moto-api", "/favicon.ico")
# Object contents are long and independent of one another; moto's S3 takes care of itself.
_CONCURRENT = {("s3", "GetObject"), ("s3", "PutObject"), ("s3", "HeadObject"), ("s3", "UploadPart")}


# How the log shows a request that never arrived: HTTP has no such status.
_NO_ANSWER = Response(0)


class Gateway:
    """The WSGI application of the lab's API."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.log = RequestLog(lab.settings.state / "requests.jsonl")
        self.faults = Faults()
        self.admin = Admin(lab, self.log, self.faults)
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request."""
        path = str(environ.get("PATH_INFO", "/"))
        host = str(environ.get("HTTP_HOST", "")).partition(":")[0].lower()
        if path.startswith("/_lab"):
            answer = self._lab(environ)
        elif host == _TRUST_STORE_HOST:
            answer = self._trust_store(path)
        elif path.startswith(_CLOSED_PATHS):
            answer = Response(HTTPStatus.NOT_FOUND)
        else:
            answer = self._aws(environ)
        phrase = responses.phrase(answer.status)
        headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
        if environ.get("REQUEST_METHOD") == "HEAD":
            # Here the length is that of the object, not of the answer.
            headers = answer.headers
        else:
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {phrase}", headers)
        return [answer.body]

    def _lab(self, environ: Environ) -> Response:
        try:
            return self.admin.answer(environ)
        except Exception:  # the reconciler asks again; what went wrong stands in the log
            self.lab.log(traceback.format_exc())
            return Response(HTTPStatus.INTERNAL_SERVER_ERROR, b"see the lab's log\n")

    def _trust_store(self, path: str) -> Response:
        if path in ("/global/global-bundle.pem", f"/{self.lab.settings.region}/{self.lab.settings.region}-bundle.pem"):
            pem = self.lab.authority.certificate_pem
            return Response(HTTPStatus.OK, pem, [("Content-Type", "application/x-pem-file")])
        return Response(HTTPStatus.NOT_FOUND)

    def _aws(self, environ: Environ) -> Response:
        started = time.monotonic()
        request = read_request(environ, self.lab.settings.region)
        fault = self.faults.take(request)
        if fault == "lost-before":
            self.log.add(request, _NO_ANSWER, time.monotonic() - started)
            raise ConnectionAbortedError("asked for")
        try:
            if fault == "throttled":
                raise throttled(request)
            answer = self._respond(request)
        except AwsError as failure:
            answer = responses.error(request, failure)
        except NotImplementedError as missing:
            answer = responses.error(request, _not_in_the_lab(request, missing))
        except Exception as broken:  # a defect of the lab; no client should take it for AWS's and try again for minutes
            self.lab.log(traceback.format_exc())
            message = f"The lab failed at {request.operation}: {type(broken).__name__}: {broken}"
            answer = responses.error(request, AwsError("LabFailure", message, 400))
        self.log.add(request, answer, time.monotonic() - started)
        if fault == "hang-after":
            time.sleep(SILENCE_SECONDS)
        if fault in ("lost-after", "hang-after"):
            raise ConnectionAbortedError("asked for")
        return answer

    def _respond(self, request: AwsRequest) -> Response:
        key = (request.service, request.operation or "")
        if key in UNLOCKED:
            with self.lab.lock:
                authorize(self.lab, request)
            return responses.result(request, ANSWERS[key](request))
        if key in _CONCURRENT and not _conditional(request):
            with self.lab.lock:
                authorize(self.lab, request)
            return self._ask_moto(request)
        with self.lab.lock:
            authorize(self.lab, request)
            self.lab.lifecycle.settle()
            for check in CHECKS.get(key, ()):
                check(request)
            answer = ANSWERS.get(key)
            value = answer(request) if answer else NotImplemented
            response = self._ask_moto(request) if value is NotImplemented else responses.result(request, value)
            if response.status < 400:
                for complete in COMPLETIONS.get(key, ()):
                    complete(request)
            if request.writes:
                self.lab.touch()
            return response

    def _ask_moto(self, request: AwsRequest) -> Response:
        if not _moto_has(request.signing_name):
            raise NotImplementedError("nothing of this service is there")
        seen: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            seen.update(status=status, headers=headers)

        chunks = self._moto(request.rewind(), start_response)
        try:
            body = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return responses.from_wsgi(seen["status"], seen["headers"], body)


def _conditional(request: AwsRequest) -> bool:
    """Whether a write depends on what is there. moto looks first and writes then, which two could do at once."""
    return "HTTP_IF_NONE_MATCH" in request.environ or "HTTP_IF_MATCH" in request.environ


@functools.cache
def _moto_has(signing_name: str) -> bool:
    host = f"http://{SIGNING_ALIASES.get(signing_name, signing_name)}.eu-west-1.amazonaws.com"
    return any(pattern.match(host) for _, pattern in backend_url_patterns)


def _not_in_the_lab(request: AwsRequest, missing: NotImplementedError) -> AwsError:
    code = "InvalidAction" if request.protocol in ("ec2", "query", "rest-xml") else "UnknownOperationException"
    return AwsError(code, f"The lab does not know {request.service} {request.operation} ({missing}).", 400)
