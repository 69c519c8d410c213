# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret outside Secrets Manager: in no file, process list, container setting, journal, nor in Ansible's output."""

from __future__ import annotations

import json
import subprocess

import docker
import pytest
from docker.models.containers import Container

from lab.api.iam.permissions import permission

from .conftest import ARTIFACTS, ENDPOINT, ROOT, Requests, Site, lab_session, machines

# Where programs leave things. The image layers below /var/lib/docker/overlay2 are the image's own content.
PLACES = "/etc /home /opt /root /run /srv /tmp /var/log /var/lib/cloud /var/lib/docker/containers /var/lib/valkey"

SEARCH = f"""
cat > /dev/shm/needles
grep -rlFf /dev/shm/needles {PLACES} 2>/dev/null
grep -lFf /dev/shm/needles /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null
docker ps -aq | xargs -r docker inspect | grep -oFf /dev/shm/needles | sed 's/.*/docker inspect/'
journalctl --no-pager --output=cat | grep -oFf /dev/shm/needles | sed 's/.*/journal/'
rm /dev/shm/needles
true
"""


@pytest.fixture(scope="module")
def secrets(site: Site) -> list[str]:
    """Every secret value of the environment, and the passwords inside the composed ones."""
    client = lab_session().client("secretsmanager", endpoint_url=ENDPOINT)
    names = [
        secret["Name"] for page in client.get_paginator("list_secrets").paginate() for secret in page["SecretList"]
    ]
    values = [client.get_secret_value(SecretId=name)["SecretString"] for name in names]
    assert len(values) >= 9
    return [needle for value in values for needle in needles(value)]


def needles(value: str) -> list[str]:
    """What of a secret to look for: a key of many lines by those that no other key has."""
    lines = value.strip().splitlines()
    # The first and the last say that it is a key, the second begins alike in all keys of a kind.
    return lines[2:-1] if len(lines) > 1 else lines


def hosts(engine: docker.DockerClient) -> list[Container]:
    return engine.containers.list(filters={"label": ["freehold.lab=1", "freehold.lab.kind=instance"]})


def search(container: Container, needles: list[str]) -> list[str]:
    """Return where on a host one of ``needles`` stands; they go in by standard input, so the search leaves no trace."""
    done = subprocess.run(
        ["docker", "exec", "-i", str(container.id), "sh", "-c", SEARCH],
        input="\n".join(needles) + "\n",
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
        timeout=120,
    )
    return done.stdout.split()


def test_a_planted_secret_is_found(site: Site, engine: docker.DockerClient) -> None:
    host = hosts(engine)[0]
    host.exec_run(["sh", "-c", "echo planted-needle-1 > /etc/planted"])
    try:
        assert any("/etc/planted" in place for place in search(host, ["planted-needle-1"]))
    finally:
        host.exec_run(["rm", "/etc/planted"])


def test_no_secret_stands_on_any_host(secrets: list[str], engine: docker.DockerClient) -> None:
    found = hosts(engine)
    assert len(found) == 4
    assert {host.name: search(host, secrets) for host in found} == {host.name: [] for host in found}


def test_ansible_printed_no_secret(secrets: list[str]) -> None:
    printed = (ARTIFACTS / "commands.log").read_text(encoding="utf-8")
    # `make password` is the one command whose purpose it is.
    printed = (
        printed.split("$ make --silent password")[0]
        + printed.split("$ make --silent password")[-1].partition("\n=> ")[2]
    )
    assert [secret[:3] for secret in secrets if secret in printed] == []


def test_the_request_log_holds_no_secret(secrets: list[str], requests_log: object) -> None:
    everything = json.dumps(requests_log.all())  # type: ignore[attr-defined]
    assert [secret[:3] for secret in secrets if secret in everything] == []


def test_the_operator_asks_for_nothing_outside_the_policies_of_the_docs(site: Site, requests_log: Requests) -> None:
    # Who one is, everybody may ask; roles are only assumed by tests, hosts are only stopped by tests, and reservations
    # bought by those of another file.
    bought = ("ec2:PurchaseReserved", "elasticache:PurchaseReserved", "rds:PurchaseReserved")
    free = ("sts:", "ec2:StopInstances", *bought)
    operator = lab_session().get_credentials()
    assert operator is not None
    sent = {
        permission(request["service"], request["operation"])
        for request in requests_log.all()
        if request["access_key"] == operator.access_key
    }
    assert {name for name in sent - in_policies() if not name.startswith(free)} == set()


def in_policies() -> set[str]:
    """Every action of the policies that docs/quickstart-aws.md tells an operator to have."""
    documents = [json.loads(path.read_text()) for path in (ROOT / "docs").glob("operator-policy-*.json")]
    given = [statement["Action"] for document in documents for statement in document["Statement"]]
    return {name for entry in given for name in ([entry] if isinstance(entry, str) else entry)}


def test_nothing_of_a_worker_can_read_the_database_password(site: Site, engine: docker.DockerClient) -> None:
    worker = machines(engine)["lab-worker-1"]
    program = (
        "import boto3; client = boto3.client('secretsmanager');"
        "client.get_secret_value(SecretId='freehold/lab/config/sql_alchemy_conn')"
    )
    code, output = worker.exec_run(["docker", "exec", "airflow-worker", "python", "-c", program])
    assert code != 0
    assert b"AccessDenied" in output, output
