# SPDX-License-Identifier: GPL-3.0-or-later
"""From an Application Load Balancer's listeners, rules and target groups to HAProxy's configuration. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from lab.reconciler.snapshot import Action, HealthCheck, Listener, LoadBalancer, Rule, TargetGroup

# AWS's default idle timeout of a load balancer.
_IDLE_SECONDS = 60

_GLOBAL = """\
global
    user haproxy
    group haproxy
    stats socket unix@./admin.sock mode 600 level admin expose-fd listeners
    server-state-file states
    # The first check of a new target comes at once, not after a part of its interval.
    max-spread-checks 500
    hard-stop-after 60s
    maxconn 2000
    ssl-default-bind-options ssl-min-ver TLSv1.2
    log stdout format raw local0 warning

defaults
    mode http
    log global
    option dontlognull
    # A load balancer of AWS does not try another target when one refuses the connection.
    retries 0
    timeout connect 10s
    timeout client {idle}s
    timeout server {idle}s
    timeout http-request 60s
    timeout tunnel 3600s
    load-server-state-from-file global
"""


def name_of(arn: str) -> str:
    """A short name for a thing with an ARN, safe in a configuration and in a path."""
    words = re.sub(r"[^A-Za-z0-9-]", "-", arn.split(":")[-1].split("/")[-2] if "/" in arn else arn)[:40]
    return f"{words}-{hashlib.sha256(arn.encode()).hexdigest()[:8]}"


def certificate_file(arn: str) -> str:
    """Where the certificate of an ARN stands, below the load balancer's directory."""
    return f"certs/{name_of(arn)}.pem"


def used_target_groups(load_balancer: LoadBalancer, groups: Iterable[TargetGroup]) -> list[TargetGroup]:
    """The target groups that any action of the load balancer forwards to."""
    used: set[str] = set()
    for listener in load_balancer["listeners"]:
        for action in _all_actions(listener):
            used.update(arn for arn, _ in _forward_weights(action))
    return [group for group in groups if group["arn"] in used]


def render(load_balancer: LoadBalancer, groups: Iterable[TargetGroup]) -> str:
    """haproxy.cfg of one load balancer; paths in it are relative to its directory."""
    used = used_target_groups(load_balancer, groups)
    known = {group["arn"]: group for group in used}
    parts = [_GLOBAL.format(idle=_IDLE_SECONDS)]
    for listener in sorted(load_balancer["listeners"], key=lambda item: item["port"]):
        parts.append(_frontend(listener, known))
    if not load_balancer["listeners"]:
        # HAProxy ends without a listener; an ALB without one is a normal sight.
        parts.append("frontend none\n    bind unix@./none.sock\n    http-request return status 503\n")
    parts += [_backend(group) for group in sorted(used, key=lambda item: item["arn"])]
    return "\n".join(parts)


def servers(groups: Iterable[TargetGroup]) -> list[tuple[str, str, str, int]]:
    """All servers of the configuration: backend, server, address, port."""
    return [
        (name_of(group["arn"]), server_name(target["id"], target["port"]), target["ip"], target["port"])
        for group in groups
        for target in group["targets"]
        if target["ip"]
    ]


def server_name(target_id: str, port: int) -> str:
    """The name of a target in the configuration and in the statistics."""
    return f"{target_id}:{port}"


def _all_actions(listener: Listener) -> list[Action]:
    actions = list(listener["default_actions"])
    for rule in listener["rules"]:
        actions += rule.get("actions") or rule.get("Actions") or []
    return actions


def _get(value: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """A field of the ELBv2 API, whose snapshot may spell it FieldName or field_name."""
    if name in value:
        return value[name]
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return value.get(snake, default)


def _forward_weights(action: Action) -> list[tuple[str, int]]:
    if _get(action, "Type") != "forward":
        return []
    arn = _get(action, "TargetGroupArn")
    groups = _get(_get(action, "ForwardConfig") or {}, "TargetGroups") or []
    if groups:
        return [(_get(group, "TargetGroupArn"), int(_get(group, "Weight") or 1)) for group in groups]
    return [(arn, 1)] if arn else []


def _frontend(listener: Listener, groups: Mapping[str, TargetGroup]) -> str:
    port = listener["port"]
    bind = f"    bind 0.0.0.0:{port}"
    if listener["protocol"] == "HTTPS":
        files = " ".join(f"crt {certificate_file(arn)}" for arn in listener["certificate_arns"])
        bind += f" ssl {files} alpn h2,http/1.1"
    scheme = listener["protocol"].lower()
    lines = [
        f"frontend port-{port}",
        bind,
        "    option forwardfor",
        # AWS overwrites these two and appends to X-Forwarded-For.
        f"    http-request set-header X-Forwarded-Proto {scheme}",
        f"    http-request set-header X-Forwarded-Port {port}",
        '    http-request set-var-fmt(txn.query) "?%[query]" if { query -m len gt 0 }',
    ]
    choices: list[str] = []
    for index, rule in enumerate(_in_order(listener["rules"])):
        acls, condition = _conditions(rule, f"p{port}r{index}")
        lines += acls
        choices += _act(_get(rule, "Actions") or [], condition, listener, groups)
    choices += _act(listener["default_actions"], "", listener, groups)
    return "\n".join([*lines, *choices, "    use_backend %[var(txn.backend)]"]) + "\n"


def _in_order(rules: Iterable[Rule]) -> list[Rule]:
    numbered = [rule for rule in rules if str(_get(rule, "Priority")) != "default"]
    return sorted(numbered, key=lambda rule: int(_get(rule, "Priority")))


def _conditions(rule: Rule, prefix: str) -> tuple[list[str], str]:
    """The acl lines of a rule, and the condition that joins them; values of one condition are alternatives."""
    acls: list[str] = []
    names: list[str] = []
    for number, condition in enumerate(_get(rule, "Conditions") or []):
        name = f"{prefix}c{number}"
        acls += [f"    acl {name} {test}" for test in _tests(condition)]
        names.append(name)
    return acls, " ".join(names)


def _tests(condition: Mapping[str, Any]) -> list[str]:
    kind = _get(condition, "Field")

    def values(config: str) -> list[str]:
        return _get(_get(condition, config) or {}, "Values") or _get(condition, "Values") or []

    if kind == "path-pattern":
        return [f"path -m reg {_pattern(value)}" for value in values("PathPatternConfig")]
    if kind == "host-header":
        return [f"req.hdr(host),field(1,:) -m reg -i {_pattern(value)}" for value in values("HostHeaderConfig")]
    if kind == "http-request-method":
        return [f"method {_quoted(value)}" for value in values("HttpRequestMethodConfig")]
    if kind == "source-ip":
        return [f"src {_quoted(value)}" for value in values("SourceIpConfig")]
    if kind == "http-header":
        header = _get(_get(condition, "HttpHeaderConfig") or {}, "HttpHeaderName")
        return [f"req.hdr({header}) -m reg -i {_pattern(value)}" for value in values("HttpHeaderConfig")]
    if kind == "query-string":
        return [f"query -m reg -i {_query_pattern(value)}" for value in values("QueryStringConfig")]
    raise ValueError(f"a rule has a condition that the lab does not know: {kind}")


def _pattern(value: str) -> str:
    """A pattern of the ELBv2 API (* and ?) as an anchored regular expression."""
    expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in value)
    return _quoted(f"^{expression}$")


def _query_pattern(value: Any) -> str:
    if isinstance(value, str):
        return _pattern(f"*{value}*")
    key, wanted = _get(value, "Key"), _get(value, "Value")
    return _pattern(f"*{key}={wanted}*" if key else f"*{wanted}*")


def _quoted(value: str) -> str:
    """A word of HAProxy's configuration: in single quotes nothing but the quote is special."""
    return "'" + str(value).replace("'", "'\\''") + "'"


def _text(value: str) -> str:
    """A text that may have several lines: in double quotes, where these letters are special."""
    special = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(special.get(letter, letter) for letter in value) + '"'


def _act(actions: Iterable[Action], condition: str, listener: Listener, groups: Mapping[str, TargetGroup]) -> list[str]:
    clause = f" if {condition}" if condition else ""
    # The last action decides (the ones before it authenticate, which the lab does not do).
    ordered = sorted(actions, key=lambda action: int(_get(action, "Order") or 1))
    if not ordered:
        return []
    action = ordered[-1]
    kind = _get(action, "Type")
    if kind == "redirect":
        return [_redirect(_get(action, "RedirectConfig") or {}, clause, listener)]
    if kind == "fixed-response":
        return [_fixed_response(_get(action, "FixedResponseConfig") or {}, clause)]
    weights = [(arn, weight) for arn, weight in _forward_weights(action) if arn in groups and weight > 0]
    if not weights:
        return [f"    http-request return status 503{clause}"]
    return _forward(weights, condition)


def _forward(weights: list[tuple[str, int]], condition: str) -> list[str]:
    """Choose a backend, and end the evaluation, so that a later rule cannot answer instead."""
    total = sum(weight for _, weight in weights)
    lines: list[str] = []
    passed = 0
    for position, (arn, weight) in enumerate(weights):
        passed += weight
        last = position == len(weights) - 1
        share = [] if last else [f"{{ rand({total}) lt {passed} }}"]
        clause = " ".join(["if", *([condition] if condition else []), "!{ var(txn.backend) -m found }", *share])
        lines.append(f"    http-request set-var(txn.backend) str({name_of(arn)}) {clause}")
    return [*lines, "    http-request allow if { var(txn.backend) -m found }"]


def _redirect(config: Mapping[str, Any], clause: str, listener: Listener) -> str:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html#redirect-actions"""
    protocol = (_get(config, "Protocol") or "#{protocol}").replace("#{protocol}", listener["protocol"]).lower()
    port = (_get(config, "Port") or "#{port}").replace("#{port}", str(listener["port"]))
    words = {"host": "%[req.hdr(host),field(1,:)]", "/path": "%[path]", "query": "%[query]"}

    def filled(text: str) -> str:
        return re.sub(
            r"(?:#\{(host|query)\}|(/)#\{(path)\})", lambda match: words["".join(filter(None, match.groups()))], text
        )

    host = filled(_get(config, "Host") or "#{host}")
    path = filled(_get(config, "Path") or "/#{path}")
    query = _get(config, "Query")
    query = "#{query}" if query is None else query
    # The port stands there even where it is the protocol's own: clients see https://host:443/ on AWS.
    location = f"{protocol}://{host}:{port}{path}"
    code = (_get(config, "StatusCode") or "HTTP_301").removeprefix("HTTP_")
    if query == "#{query}":
        location += "%[var(txn.query)]"
    elif query:
        location += "?" + filled(query)
    return f'    http-request return status {code} hdr Location "{location}"{clause}'


def _fixed_response(config: Mapping[str, Any], clause: str) -> str:
    status = int(_get(config, "StatusCode") or 503)
    body = _get(config, "MessageBody") or ""
    content_type = _get(config, "ContentType") or "text/plain"
    content = f" content-type {_quoted(content_type)} string {_text(body)}" if body else ""
    return f"    http-request return status {status}{content}{clause}"


def _backend(group: TargetGroup) -> str:
    check = group["health_check"]
    lines = [f"backend {name_of(group['arn'])}", "    balance roundrobin", *_check_lines(check)]
    tls = " ssl verify none" if group["protocol"] == "HTTPS" else ""
    for target in sorted(group["targets"], key=lambda item: (item["id"], item["port"])):
        if target["ip"]:
            lines.append(
                f"    server {server_name(target['id'], target['port'])} {target['ip']}:{target['port']}{tls} "
                f"{_server_check(check, target['port'], tls)}"
            )
    return "\n".join(lines) + "\n"


def _check_lines(check: HealthCheck) -> list[str]:
    path = quote(check["path"] or "/", safe="/%?&=+:@!$'()*,;~-._#")
    return [
        "    option httpchk",
        # AWS sends the target's address as Host, and this user agent.
        f"    http-check send meth GET uri {_quoted(path)} ver HTTP/1.1 hdr User-Agent ELB-HealthChecker/2.0 "
        "hdr Host localhost",
        f"    http-check expect {_expected(check['matcher'] or '200')}",
        f"    timeout check {check['timeout']}s",
    ]


def _expected(matcher: str) -> str:
    """HAProxy takes lists and ranges as AWS writes them: "200", "200,302", "200-299"."""
    return f"status {matcher.replace(' ', '')}"


def _server_check(check: HealthCheck, port: int, tls: str) -> str:
    probe = port if check["port"] in ("traffic-port", "", None) else int(check["port"])
    kind = " check-ssl verify none" if check["protocol"] == "HTTPS" and not tls else ""
    return f"check port {probe}{kind} inter {check['interval']}s rise {check['healthy']} fall {check['unhealthy']}"
