# SPDX-License-Identifier: GPL-3.0-or-later
"""The mount.nfs4 stand-in of container hosts."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.image_files.host import mount_nfs4 as stand_in


def test_the_command_line_of_mount_is_understood() -> None:
    request = stand_in.parse(["/sbin/mount.nfs4", "127.0.0.1:/", "/srv/efs", "-v", "-o", "rw,nfsvers=4.1,port=20049"])
    assert (request.program, request.host, request.path, request.target) == ("mount.nfs4", "127.0.0.1", "/", "/srv/efs")
    assert request.options == {"rw": "", "nfsvers": "4.1", "port": "20049"}


@pytest.mark.parametrize(
    ("source", "options", "complaint"),
    [
        ("127.0.0.1:/", "rw,hrad", "incorrect mount option"),
        ("/dev/sda", "rw", "not in 'host:dir' format"),
    ],
)
def test_a_mistake_fails_as_it_does_on_a_real_client(
    source: str, options: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        stand_in.parse(["mount.nfs4", source, "/srv/efs", "-o", options])
    assert ended.value.code == 32
    assert complaint in capsys.readouterr().err


class Server:
    """Answers one RPC call."""

    def __init__(self) -> None:
        self.state = self.status = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            transaction = connection.recv(512)[4:8]
            reply = transaction + struct.pack(">6I", 1, 0, 0, 0, self.state, self.status)
            connection.sendall(struct.pack(">I", 0x80000000 | len(reply)) + reply)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.listener.close()


def test_a_server_that_gives_its_root_is_an_nfs_server(server: Server) -> None:
    stand_in.ask_nfs_server("127.0.0.1", server.port, timeout=5)


def test_a_server_of_another_program_is_none(server: Server) -> None:
    server.state = 1
    with pytest.raises(OSError, match="Protocol not supported"):
        stand_in.ask_nfs_server("127.0.0.1", server.port, timeout=5)


def test_a_server_that_does_not_give_its_root_denies_access(server: Server) -> None:
    server.status = 13
    with pytest.raises(OSError, match="access denied"):
        stand_in.ask_nfs_server("127.0.0.1", server.port, timeout=5)


def test_the_tunnel_names_the_file_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "efs.conf").write_text(
        "foreground = yes\n[other]\naccept = 127.0.0.1:1\nconnect = a.example:2049\n"
        "; a comment\n[efs]\nclient = yes\naccept = 127.0.0.1:20049\nconnect = fs-1.efs.example:2049 ; here\n"
    )
    monkeypatch.setattr(stand_in, "TUNNELS", tmp_path)
    assert stand_in.tunnel_server(20049) == "fs-1.efs.example"
    assert stand_in.tunnel_server(2049) is None


def test_a_path_cannot_leave_the_file_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fs-1" / "dags").mkdir(parents=True)
    (tmp_path / "fs-2").mkdir()
    (tmp_path / "by-address").mkdir()
    (tmp_path / "by-address" / "127.0.0.1").symlink_to("../fs-1")
    monkeypatch.setattr(stand_in, "EXPORTS", tmp_path)
    inside = stand_in.Request("mount.nfs4", "127.0.0.1:/dags", "/mnt")
    assert stand_in.exported_directory(inside, "127.0.0.1") == tmp_path / "fs-1" / "dags"
    with pytest.raises(SystemExit):
        stand_in.exported_directory(stand_in.Request("mount.nfs4", "127.0.0.1:/../fs-2", "/mnt"), "127.0.0.1")
