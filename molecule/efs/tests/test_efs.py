# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared file system on a host: mounted at boot over verified TLS; a host boots without it just as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

UNITS = ("srv-freehold.mount", "stunnel@efs.service")
MOUNT, TUNNEL = UNITS


def server(machine: Any) -> str:
    return str(machine.run("sed -n 's/^connect = //p' /etc/stunnel/efs.conf"))


@pytest.fixture
def unmounted(machine: Any) -> Iterator[None]:
    """The time without the mount."""
    machine.run("systemctl stop srv-freehold.mount")
    yield
    machine.run("systemctl start srv-freehold.mount")


def test_it_is_mounted_and_will_be_after_a_boot(machine: Any) -> None:
    unit = machine.unit(MOUNT, "ActiveState", "UnitFileState", "Where")
    assert unit["ActiveState"] == "active"
    assert unit["UnitFileState"] == "enabled"
    assert unit["Where"] == "/srv/freehold"
    machine.run("mountpoint --quiet /srv/freehold")


def test_the_mount_is_in_order_behind_its_tunnel(machine: Any) -> None:
    unit = machine.unit(MOUNT, "Requires", "After", "Before", "WantedBy", "RequiredBy", "TimeoutUSec")
    assert TUNNEL in unit["Requires"].split()
    assert {TUNNEL, "network-online.target"} <= set(unit["After"].split())
    assert "remote-fs.target" in unit["Before"].split()
    assert "multi-user.target" in unit["WantedBy"].split()
    assert unit.get("RequiredBy", "") == ""
    assert unit["TimeoutUSec"] == "1min"


@pytest.mark.usefixtures("unmounted")
def test_the_mount_goes_through_the_tunnel_and_waits_for_a_server_that_is_away(machine: Any) -> None:
    # Of what is mounted systemd shows what the kernel says, which here is the lab's stand-in.
    shown = machine.unit(MOUNT, "What", "Type", "Options")
    options = set(shown.pop("Options").split(","))
    assert shown == {"What": "127.0.0.1:/", "Type": "nfs4"}
    assert options == {
        "nfsvers=4.1", "rsize=1048576", "wsize=1048576", "hard", "timeo=600", "retrans=2", "noresvport", "_netdev",
        "port=20049",
    }  # fmt: skip


def test_what_one_host_writes_is_there(machine: Any) -> None:
    machine.run("sh -c 'echo molecule > /srv/freehold/molecule && sync /srv/freehold/molecule'")
    machine.run("systemctl restart srv-freehold.mount")
    assert machine.run("cat /srv/freehold/molecule") == "molecule"
    machine.run("rm /srv/freehold/molecule")


def test_no_port_mapper_listens(machine: Any) -> None:
    for unit in ("rpcbind.socket", "rpcbind.service"):
        assert machine.unit(unit, "LoadState", "ActiveState") == {"LoadState": "masked", "ActiveState": "inactive"}
    assert not [address for address in machine.listening("tcp", "udp") if address.endswith(":111")]


def test_the_tunnel_is_this_hosts_alone_and_never_stops_trying(machine: Any) -> None:
    assert {a for a in machine.listening() if a.endswith(":20049")} == {"127.0.0.1:20049"}
    unit = machine.unit(TUNNEL, "Restart", "RestartUSec", "StartLimitIntervalUSec", "ActiveState")
    assert unit == {
        "Restart": "always", "RestartUSec": "2s", "StartLimitIntervalUSec": "0", "ActiveState": "active",
    }  # fmt: skip


def test_the_server_is_verified_by_name_and_authority(machine: Any) -> None:
    ask = "openssl s_client -brief -verify_return_error -connect %s </dev/null 2>&1"
    assert "Verification: OK" in machine.run(ask + " -CAfile /etc/ssl/certs/ca-certificates.crt", server(machine))
    # The same settings on another port, once as they are and once with another name.
    for name, said in (
        (server(machine).partition(":")[0], "Certificate accepted"),
        ("other.example", "Rejected by CERT"),
    ):
        settings = f"sed -e 's/20049/20059/' -e 's/^checkHost = .*/checkHost = {name}/' /etc/stunnel/efs.conf"
        machine.run(f"{settings} > /run/molecule-stunnel.conf")
        began = machine.now()
        machine.run("systemd-run --quiet --collect --unit=molecule-stunnel stunnel4 /run/molecule-stunnel.conf")
        try:
            machine.until(f"the tunnel listens, asking for {name}", lambda: "127.0.0.1:20059" in machine.listening())
            machine.until(f"{said}: {name}", lambda began=began, said=said: said in words_of_a_tunnel(machine, began))
        finally:
            machine.host.run("systemctl stop molecule-stunnel.service")


def words_of_a_tunnel(machine: Any, began: float) -> str:
    """Connect, for that is when it looks at its server, and return what it has said."""
    # The server says nothing before it is asked.
    machine.host.run("timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.1/20059; cat <&3'")
    return str(machine.said("molecule-stunnel.service", began))


def test_a_killed_tunnel_comes_back_and_the_mount_with_it(machine: Any) -> None:
    killed = machine.unit(TUNNEL, "MainPID")["MainPID"]
    machine.run("kill -KILL %s", killed)
    machine.until("the tunnel is back", lambda: machine.unit(TUNNEL, "MainPID")["MainPID"] not in {killed, "0"})
    machine.until("the mount is back by itself", lambda: machine.is_active(MOUNT))
    machine.run("mountpoint --quiet /srv/freehold")


@pytest.mark.usefixtures("unmounted")
def test_nobody_can_write_where_the_file_system_should_be(machine: Any) -> None:
    assert machine.run("stat --format=%s /srv/freehold", "%a %U") == "0 root"
    machine.fails("setpriv --reuid=50000 --regid=0 --clear-groups touch /srv/freehold/lost")


def test_a_host_boots_without_its_file_system_which_its_next_user_mounts(machine: Any, closed: Any) -> None:
    with closed("filesystem"):
        machine.reboot()
        assert machine.unit(MOUNT, "ActiveState")["ActiveState"] != "active"
        machine.fails("mountpoint --quiet /srv/freehold")
        assert machine.unit("ssh.service", "ActiveState")["ActiveState"] == "active"
    machine.until(
        "a unit that wants it gets it", lambda: machine.host.run("systemctl start srv-freehold.mount").rc == 0
    )
    machine.run("mountpoint --quiet /srv/freehold")
