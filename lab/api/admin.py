# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own paths under /_lab: what should be real, what was observed, a summary, sessions, tokens and faults.

They need the admin token.
"""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from lab.api import backends, snapshot
from lab.api.faults import Faults
from lab.api.request import Environ
from lab.api.request_log import RequestLog
from lab.api.response import Response
from lab.api.services import web_identity
from lab.api.services.sessions import expire
from lab.api.state import Lab

TOKEN_HEADER = "X-Freehold-Lab-Token"  # noqa: S105  (the header's name)


class Admin:
    """Answers /_lab/health, status, snapshot, observed, expired, identity-token and faults."""

    def __init__(self, lab: Lab, log: RequestLog, faults: Faults) -> None:
        self.lab = lab
        self.log = log
        self.faults = faults

    def answer(self, environ: Environ) -> Response:
        """Answer one request. The health path alone needs no token; it says nothing but that the server is up."""
        route = (environ["REQUEST_METHOD"], environ["PATH_INFO"].rstrip("/"))
        if route == ("GET", "/_lab/health"):
            return _json({"epoch": self.lab.epoch})
        token = str(environ.get("HTTP_X_FREEHOLD_LAB_TOKEN", ""))
        if not hmac.compare_digest(token.encode(), self.lab.admin_token.encode()):
            return _json({"error": f"the header {TOKEN_HEADER} must hold the lab's admin token"}, HTTPStatus.FORBIDDEN)
        if route == ("GET", "/_lab/snapshot"):
            return self._snapshot(environ)
        if route == ("GET", "/_lab/status"):
            return self._status()
        if route == ("POST", "/_lab/observed"):
            return self._observed(environ)
        if route == ("POST", "/_lab/expired"):
            return self._expired(environ)
        if route == ("POST", "/_lab/identity-token"):
            return self._identity_token(environ)
        if route == ("POST", "/_lab/faults"):
            return self._ask_for_fault(environ)
        return _json({"error": f"no such path: {route[0]} {route[1]}"}, HTTPStatus.NOT_FOUND)

    def _snapshot(self, environ: Environ) -> Response:
        """The snapshot; 304 when the caller has it already (?epoch=...&revision=...)."""
        query = parse_qs(str(environ.get("QUERY_STRING", "")))
        with self.lab.lock:
            self.lab.lifecycle.settle()
            known = query.get("epoch") == [self.lab.epoch] and query.get("revision") == [str(self.lab.revision)]
            if known:
                return Response(HTTPStatus.NOT_MODIFIED)
            return _json(snapshot.take(self.lab))

    def _status(self) -> Response:
        with self.lab.lock:
            self.lab.lifecycle.settle()
            taken = snapshot.take(self.lab)
            summary = {
                "epoch": self.lab.epoch,
                "revision": self.lab.revision,
                "region": self.lab.settings.region,
                "pending": [f"{kind} {name}" for kind, name in self.lab.lifecycle.pending()],
                "requests": dict(self.log.counts),
                "counts": {key: len(value) for key, value in taken.items() if isinstance(value, list)},
                "instances": [
                    {
                        "id": instance.id,
                        "name": next((tag["value"] for tag in instance.get_tags() if tag["key"] == "Name"), ""),
                        "state": instance.state,
                        "private_ip": instance.nics[0].private_ip_address if instance.nics else None,
                    }
                    for instance in backends.ec2().all_instances()
                ],
            }
        return _json(summary)

    def _observed(self, environ: Environ) -> Response:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        try:
            report = json.loads(environ["wsgi.input"].read(length))
            with self.lab.lock:
                self._take(report)
        except (ValueError, TypeError, AttributeError, KeyError) as bad:
            return _json({"error": f"not a report: {bad!r}"}, HTTPStatus.BAD_REQUEST)
        return _json({"revision": self.lab.revision})

    def _expired(self, environ: Environ) -> Response:
        """Let the session of an access key ({"access_key": ...}) end now instead of in fifteen minutes or more."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        try:
            access_key = str(json.loads(environ["wsgi.input"].read(length))["access_key"])
        except (ValueError, TypeError, KeyError) as bad:
            return _json({"error": f"no access_key: {bad!r}"}, HTTPStatus.BAD_REQUEST)
        with self.lab.lock:
            if not expire(access_key):
                return _json({"error": f"no session has the access key {access_key}"}, HTTPStatus.NOT_FOUND)
        return _json({"expired": access_key})

    def _identity_token(self, environ: Environ) -> Response:
        """A token of the lab's OpenID Connect issuer with the claims asked for: what GitHub gives a workflow's job."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        try:
            claims = dict(json.loads(environ["wsgi.input"].read(length)))
            return _json({"value": web_identity.identity_token({"sub": claims["sub"], "aud": claims["aud"], **claims})})
        except (ValueError, TypeError, KeyError) as bad:
            return _json({"error": f"no claims with sub and aud: {bad!r}"}, HTTPStatus.BAD_REQUEST)

    def _ask_for_fault(self, environ: Environ) -> Response:
        """Let the next requests of an operation fail: {"operation": ..., "kind": ..., "times": 1}."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        try:
            asked = json.loads(environ["wsgi.input"].read(length))
            self.faults.ask(str(asked["operation"]), str(asked["kind"]), int(asked.get("times", 1)))
        except (ValueError, TypeError, KeyError) as bad:
            return _json({"error": f"not a fault: {bad}"}, HTTPStatus.BAD_REQUEST)
        return _json(asked)

    def _take(self, report: dict[str, dict[str, Any]]) -> None:
        lab, lifecycle = self.lab, self.lab.lifecycle
        for name, seen in (report.get("instances") or {}).items():
            if seen.get("console") is not None:
                lab.consoles[name] = str(seen["console"])
            if seen.get("state"):
                lifecycle.observe("instance", name, str(seen["state"]))
        for kind, key in (("database", "databases"), ("cache", "caches")):
            for name, seen in (report.get(key) or {}).items():
                lifecycle.observe(kind, name, str(seen.get("status") or seen.get("state")))
        for name, seen in (report.get("file_systems") or {}).items():
            self._take_file_system(name, str(seen.get("state") or seen.get("status")))
        for name, seen in (report.get("load_balancers") or {}).items():
            lifecycle.observe("load_balancer", name, str(seen.get("state")))
        for arn, targets in (report.get("targets") or {}).items():
            if lab.target_health.get(arn) != targets:
                lab.target_health[arn] = targets

    def _take_file_system(self, name: str, state: str) -> None:
        """The reconciler reports a file system as a whole: its mount targets with it."""
        file_system = backends.efs().file_systems_by_id.get(name)
        if file_system is None:
            return
        for target in file_system.iter_mount_targets():
            self.lab.lifecycle.observe("mount_target", target.mount_target_id, state)


def _json(value: object, status: int = HTTPStatus.OK) -> Response:
    body = json.dumps(value, default=str).encode()
    return Response(status, body, [("Content-Type", "application/json")])
