# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose roles were all taken away again: nothing of them runs or will, and what the roles say stays is there."""

from __future__ import annotations

from typing import Any

UNITS = ("airflow-worker.service", "srv-freehold.mount", "valkey-server.service")


def test_no_component_is_left(machine: Any) -> None:
    assert not machine.run("docker container ls --all --quiet")
    assert not machine.run("docker volume ls --quiet")
    # Its status is 1 where it finds none.
    assert not machine.host.run("systemctl list-unit-files --no-legend 'airflow-*' 'freehold-*'").stdout
    assert not machine.run("systemctl list-units --all --no-legend 'airflow-*' 'freehold-*'")


def test_no_file_of_the_components_is_left(machine: Any) -> None:
    left = machine.run("find /etc /usr/local -name '*airflow*' -o -name 'freehold-container' -o -name 'freehold-dags*'")
    assert left == ""


def test_the_kernels_settings_are_its_own_again(machine: Any) -> None:
    assert machine.run("sysctl --values net.ipv4.tcp_keepalive_time") == "7200"
    assert machine.run("sysctl --values net.ipv4.tcp_retries2") == "15"


def test_nothing_of_airflow_listens(machine: Any) -> None:
    ports = {address.rpartition(":")[2] for address in machine.listening("tcp", "udp")}
    assert not ports & {"8080", "8793", "8794", "8974", "6379", "20049"}


def test_the_file_system_is_not_mounted_and_will_not_be(machine: Any) -> None:
    machine.fails("mountpoint --quiet /srv/freehold")
    assert machine.unit("srv-freehold.mount", "LoadState")["LoadState"] == "not-found"
    assert machine.unit("stunnel@efs.service", "ActiveState", "UnitFileState") == {
        "ActiveState": "inactive", "UnitFileState": "disabled",
    }  # fmt: skip
    for path in ("/etc/stunnel/efs.conf", "/etc/systemd/system/stunnel@efs.service.d"):
        machine.fails("test -e %s", path)
    # What is not the role's own is as its package left it.
    assert machine.unit("rpcbind.socket", "LoadState", "UnitFileState") == {
        "LoadState": "loaded", "UnitFileState": "enabled",
    }  # fmt: skip


def test_the_broker_is_stopped_for_good_and_its_messages_and_certificate_stay(machine: Any) -> None:
    assert machine.unit("valkey-server.service", "ActiveState", "UnitFileState") == {
        "ActiveState": "inactive", "UnitFileState": "disabled",
    }  # fmt: skip
    for path in ("/var/lib/valkey/appendonlydir", "/etc/valkey/server.pem", "/etc/valkey/server.key"):
        machine.run("test -e %s", path)


def test_logs_and_copies_of_releases_stay(machine: Any) -> None:
    for name in ("api-server", "scheduler", "dag-processor", "triggerer", "worker"):
        machine.run("test -d %s", f"/var/log/airflow/{name}")
    assert machine.run("ls /var/lib/airflow/bundles/dags/releases")


def test_docker_goes_on(machine: Any) -> None:
    assert machine.is_active("docker.service")


def test_no_unit_of_the_host_has_failed(machine: Any) -> None:
    failed = machine.run("systemctl list-units --state=failed --plain --no-legend")
    assert failed == ""
