# SPDX-License-Identifier: GPL-3.0-or-later
"""What an Application Load Balancer's settings become in HAProxy."""

from __future__ import annotations

from typing import Any, cast

import pytest

from lab.reconciler import haproxy
from lab.reconciler.snapshot import HealthCheck, Listener, LoadBalancer, TargetGroup

ARN = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/lab/1111"
WEB = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/2222"
OTHER = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/other/3333"
CERTIFICATE = "arn:aws:acm:eu-west-1:1:certificate/4444"


def listener(**changes: Any) -> Listener:
    values: Any = {
        "arn": f"{ARN}/listener",
        "port": 80,
        "protocol": "HTTP",
        "certificate_arns": [],
        "default_actions": [{"Type": "forward", "TargetGroupArn": WEB}],
        "rules": [],
    }
    return cast(Listener, {**values, **changes})


def balancer(*listeners: Listener) -> LoadBalancer:
    return {
        "arn": ARN,
        "name": "lab",
        "type": "application",
        "dns_name": "lab.elb.amazonaws.com",
        "scheme": "internet-facing",
        "vpc_id": "vpc-1",
        "ips": ["10.0.0.5"],
        "security_groups": [],
        "listeners": list(listeners),
    }


def group(arn: str = WEB, **check: Any) -> TargetGroup:
    health: Any = {
        "protocol": "HTTP",
        "path": "/health",
        "port": "traffic-port",
        "interval": 10,
        "timeout": 5,
        "healthy": 3,
        "unhealthy": 2,
        "matcher": "200",
    }
    return {
        "arn": arn,
        "protocol": "HTTP",
        "port": 8080,
        "health_check": cast(HealthCheck, {**health, **check}),
        "targets": [{"id": "i-1", "ip": "10.0.1.4", "port": 8080}],
    }


def lines_of(text: str, start: str) -> list[str]:
    """The lines of one section."""
    found: list[str] = []
    inside = False
    for line in text.splitlines():
        if line and not line.startswith(" "):
            inside = line == start
        elif inside and line:
            found.append(line.strip())
    return found


def test_a_forward_reaches_the_target_with_its_own_health_check() -> None:
    text = haproxy.render(balancer(listener()), [group()])
    backend = lines_of(text, f"backend {haproxy.name_of(WEB)}")
    assert "http-check expect status 200" in backend
    assert "timeout check 5s" in backend
    assert any("uri '/health'" in line for line in backend)
    assert "server i-1:8080 10.0.1.4:8080 check port 8080 inter 10s rise 3 fall 2" in backend


def test_a_health_check_may_have_its_own_port_and_a_range_of_codes() -> None:
    backend = haproxy.render(balancer(listener()), [group(port="9000", matcher="200-299,302")])
    assert "check port 9000" in backend
    assert "http-check expect status 200-299,302" in backend


def test_a_target_group_that_nobody_forwards_to_is_not_checked() -> None:
    assert haproxy.name_of(OTHER) not in haproxy.render(balancer(listener()), [group(), group(OTHER)])


def test_an_https_listener_shows_all_its_certificates() -> None:
    text = haproxy.render(balancer(listener(port=443, protocol="HTTPS", certificate_arns=[CERTIFICATE])), [group()])
    assert f"bind 0.0.0.0:443 ssl crt {haproxy.certificate_file(CERTIFICATE)} alpn h2,http/1.1" in text
    assert "http-request set-header X-Forwarded-Proto https" in text
    assert "http-request set-header X-Forwarded-Port 443" in text


@pytest.mark.parametrize(
    ("config", "location"),
    [
        (
            {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
            "https://%[req.hdr(host),field(1,:)]:443%[path]%[var(txn.query)]",
        ),
        (
            {"Protocol": "HTTPS", "Port": "8443", "Host": "x.#{host}", "StatusCode": "HTTP_301"},
            "https://x.%[req.hdr(host),field(1,:)]:8443%[path]%[var(txn.query)]",
        ),
        (
            {"Path": "/new", "Query": "", "StatusCode": "HTTP_301"},
            "http://%[req.hdr(host),field(1,:)]:80/new",
        ),
        (
            {"Query": "a=b&#{query}", "StatusCode": "HTTP_301"},
            "http://%[req.hdr(host),field(1,:)]:80%[path]?a=b&%[query]",
        ),
    ],
)
def test_a_redirect_fills_in_what_the_request_had(config: dict[str, str], location: str) -> None:
    action = {"Type": "redirect", "RedirectConfig": config}
    text = haproxy.render(balancer(listener(default_actions=[action])), [])
    assert f'http-request return status 301 hdr Location "{location}"' in text


def test_rules_stand_in_the_order_of_their_priority_before_the_default() -> None:
    def fixed(code: str) -> list[dict[str, Any]]:
        return [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": code}}]

    def path(value: str) -> list[dict[str, Any]]:
        return [{"Field": "path-pattern", "PathPatternConfig": {"Values": [value]}}]

    rules = [
        {"priority": 20, "conditions": path("/b*"), "actions": fixed("410")},
        {"priority": 3, "conditions": path("/execution/*"), "actions": fixed("403")},
    ]
    frontend = lines_of(haproxy.render(balancer(listener(rules=rules)), [group()]), "frontend port-80")
    acts = [line for line in frontend if line.startswith("http-request return") or "set-var(txn.backend)" in line]
    assert [act.split()[3] for act in acts[:2]] == ["403", "410"]
    assert haproxy.name_of(WEB) in acts[2]


def test_a_pattern_matches_the_whole_path_and_nothing_in_it_is_special_but_its_wildcards() -> None:
    rule = {
        "priority": 1,
        "conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a.b/*", "/c?"]}}],
        "actions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "403"}}],
    }
    text = haproxy.render(balancer(listener(rules=[rule])), [group()])
    assert "path -m reg '^/a\\.b/.*$'" in text
    assert "path -m reg '^/c.$'" in text


def test_conditions_of_one_rule_must_all_hold() -> None:
    rule = {
        "priority": 1,
        "conditions": [
            {"Field": "path-pattern", "Values": ["/x"]},
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["a.example", "b.example"]}},
        ],
        "actions": [{"Type": "forward", "TargetGroupArn": OTHER}],
    }
    text = haproxy.render(balancer(listener(rules=[rule])), [group(), group(OTHER)])
    assert f"str({haproxy.name_of(OTHER)}) if p80r0c0 p80r0c1 !{{ var(txn.backend) -m found }}" in text


def test_an_unknown_condition_is_an_error_and_not_a_rule_that_always_holds() -> None:
    rule = {"priority": 1, "conditions": [{"Field": "moon-phase"}], "actions": []}
    with pytest.raises(ValueError, match="moon-phase"):
        haproxy.render(balancer(listener(rules=[rule])), [])


def test_a_message_cannot_break_out_of_its_line() -> None:
    config = {"StatusCode": "503", "MessageBody": 'say "no"\n$HOME \\', "ContentType": "text/plain"}
    action = {"Type": "fixed-response", "FixedResponseConfig": config}
    text = haproxy.render(balancer(listener(default_actions=[action])), [])
    assert r'string "say \"no\"\n\$HOME \\"' in text


def test_a_forward_to_nothing_answers_as_a_load_balancer_without_targets() -> None:
    assert "http-request return status 503" in haproxy.render(balancer(listener()), [])
