# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger meets at the load balancer."""

from __future__ import annotations

import ssl

import pytest
import urllib3

from .conftest import HOST, Site


def test_plain_http_is_sent_to_https(site: Site) -> None:
    answer = urllib3.HTTPConnectionPool("127.0.0.1", 80).request(
        "GET", "/dags?x=1", headers={"Host": HOST}, redirect=False, timeout=10
    )
    assert answer.status == 301
    assert answer.headers["Location"] == f"https://{HOST}:443/dags?x=1"


def test_the_certificate_is_the_authoritys_and_names_the_host(site: Site) -> None:
    assert site.http().request("GET", "/api/v2/version").status == 200


def test_a_client_that_does_not_know_the_authority_refuses(site: Site) -> None:
    strangers = urllib3.HTTPSConnectionPool(
        "127.0.0.1", 443, server_hostname=HOST, ssl_context=ssl.create_default_context()
    )
    with pytest.raises(urllib3.exceptions.MaxRetryError, match="CERTIFICATE_VERIFY_FAILED"):
        strangers.request("GET", "/", headers={"Host": HOST}, retries=0)


@pytest.mark.parametrize("path", ["/execution", "/execution/", "/execution/health", "/execution/task-instances"])
def test_the_execution_api_is_not_reachable_from_outside(site: Site, path: str) -> None:
    assert site.http().request("GET", path).status in (403, 404)


@pytest.mark.parametrize("path", ["/api/v2/dags", "/api/v2/connections", "/api/v2/variables"])
def test_the_rest_api_demands_a_login(site: Site, path: str) -> None:
    assert site.http().request("GET", path).status == 401


def test_a_wrong_password_is_refused(site: Site) -> None:
    assert site.http().request("POST", "/auth/token", json={"username": "admin", "password": "x"}).status == 401
