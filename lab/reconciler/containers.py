# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers as the reconciler wants them: made from a specification, found again by their labels.

The labels are the only memory: whoever starts a new reconciler finds everything that the old one made.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import docker
from docker.errors import APIError, NotFound

from lab import names
from lab.reconciler.log import log

_local = threading.local()
_STOP_SECONDS = 10
_CONFLICT = 409


class NotReady(Exception):
    """Something else must be there first; the next round tries again."""


def engine() -> docker.APIClient:
    """This thread's connection to the docker engine."""
    client: docker.APIClient | None = getattr(_local, "engine", None)
    if client is None:
        client = docker.APIClient(base_url="unix:///var/run/docker.sock", version="auto", timeout=120)
        _local.engine = client
    return client


@dataclass(frozen=True)
class File:
    """A file that is put into a container before it starts."""

    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class ContainerSpec:
    """Everything that a container is made from."""

    kind: str
    id: str
    name: str
    image: str
    command: tuple[str, ...]
    network: str
    ip: str | None
    environment: Mapping[str, str] = field(default_factory=dict)
    # volume name -> (path, "rw" or "ro")
    volumes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    # container port -> port on the machine's loopback
    ports: Mapping[int, int] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    memory_mib: int | None = None
    # Anything else docker's host_config takes.
    host_config: Mapping[str, Any] = field(default_factory=dict)
    hostname: str | None = None
    tty: bool = False
    restart: bool = True
    stop_signal: str | None = None
    # What, when changed, calls for a new container. Certificates are issued anew each time and must not be in it.
    made_from: Any = None
    # Whether a new image calls for a new container, too.
    follows_image: bool = True

    def fingerprint(self) -> str:
        """A hash of `made_from`, the place in the network and, for most, the image."""
        image = self.image if self.follows_image else ""
        return fingerprint([self.made_from, image, self.command, self.network, self.ip])


def fingerprint(value: Any) -> str:
    """A short hash of a JSON-like value that does not depend on the order of its keys."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Found:
    """A container as docker lists it."""

    id: str
    name: str
    state: str
    labels: Mapping[str, str]
    addresses: Mapping[str, str]
    created: int

    @property
    def key(self) -> tuple[str, str]:
        """Kind and id of what the container stands for."""
        return self.labels.get(names.KIND_LABEL, ""), self.labels.get(names.ID_LABEL, "")

    @property
    def spec(self) -> str:
        """The fingerprint of what it was made from."""
        return self.labels.get(names.SPEC_LABEL, "")


def list_containers(**labels: str) -> list[Found]:
    """All of the lab's containers that carry these labels, in any state."""
    wanted = [names.LABEL, *(f"{name}={value}" for name, value in labels.items())]
    answer = engine().containers(all=True, filters={"label": wanted})
    return [_found(item) for item in answer]


def _found(item: Mapping[str, Any]) -> Found:
    networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
    return Found(
        id=item["Id"],
        name=(item.get("Names") or ["/"])[0].lstrip("/"),
        state=item["State"],
        labels=item.get("Labels") or {},
        addresses={name: network.get("IPAddress", "") for name, network in networks.items()},
        created=item.get("Created", 0),
    )


def find(kind: str, identifier: str) -> Found | None:
    """The container of one thing, as it is now."""
    found = list_containers(**{names.KIND_LABEL: kind, names.ID_LABEL: identifier})
    return found[0] if found else None


def ensure(spec: ContainerSpec, epoch: str, listed: Found | None) -> tuple[str, bool]:
    """Make the container exist and run; return its id and whether it was made or started now.

    `listed` is what the round's list says; nothing is asked when it is already as wanted.
    """
    wanted = spec.fingerprint()
    if listed and listed.spec == wanted and listed.state == "running":
        return listed.id, False
    found = find(spec.kind, spec.id)
    if found and (found.spec != wanted or found.state in ("created", "dead", "removing")):
        if found.spec != wanted:
            log(f"{spec.name}: made from other settings, making it anew")
            if found.state == "running":
                stop_container(found.id)
        remove_container(found.id)
        found = None
    if found and found.state == "running":
        return found.id, False
    if found and found.state == "restarting":
        raise NotReady(f"its program keeps ending; the last words: {last_words(found.id)}")
    if found:
        if found.state == "paused":
            engine().unpause(found.id)
        else:
            last = last_words(found.id) if found.state == "exited" and spec.restart else ""
            _start(found.id)
            log(f"{spec.name}: started again" + (f"; it had ended with: {last}" if last else ""))
        return found.id, True
    return _create(spec, epoch), True


def last_words(container: str) -> str:
    """The last line that a container wrote."""
    text = engine().logs(container, tail=3).decode(errors="replace").strip()
    return text.splitlines()[-1][:300] if text else ""


def _start(container: str) -> None:
    try:
        engine().start(container)
    except APIError as error:
        raise NotReady(f"docker cannot start it: {error.explanation}") from error


def _create(spec: ContainerSpec, epoch: str) -> str:
    client = engine()
    began = time.monotonic()
    host_config = client.create_host_config(
        binds={volume: {"bind": path, "mode": mode} for volume, (path, mode) in spec.volumes.items()},
        port_bindings={port: ("127.0.0.1", published) for port, published in spec.ports.items()},
        cap_add=list(spec.capabilities),
        restart_policy={"Name": "unless-stopped"} if spec.restart else None,
        mem_limit=f"{spec.memory_mib}m" if spec.memory_mib else None,
        log_config=docker.types.LogConfig(type="json-file", config={"max-size": "4m", "max-file": "1"}),
        **spec.host_config,
    )
    endpoint = client.create_endpoint_config(ipv4_address=spec.ip) if spec.ip else client.create_endpoint_config()
    arguments: dict[str, Any] = {
        "image": spec.image,
        "command": list(spec.command) or None,
        "name": spec.name,
        "hostname": spec.hostname or spec.name[:63],
        "environment": dict(spec.environment),
        "labels": labels(spec.kind, spec.id, epoch, spec.fingerprint()),
        "ports": list(spec.ports),
        "host_config": host_config,
        "networking_config": {"EndpointsConfig": {spec.network: endpoint}},
        "tty": spec.tty,
        "stop_signal": spec.stop_signal,
    }
    try:
        container = client.create_container(**arguments)["Id"]
    except APIError as error:
        # A conflict of names is the rest of an interrupted run.
        if error.status_code != _CONFLICT:
            raise
        log(f"{spec.name}: a container of this name is in the way, removing it")
        remove_container(spec.name)
        container = client.create_container(**arguments)["Id"]
    try:
        if spec.files:
            put_files(container, spec.files)
        client.start(container)
    except APIError as error:
        # A container that never ran is of no use to anybody.
        remove_container(container)
        raise NotReady(f"docker cannot start it: {error.explanation}") from error
    log(f"{spec.name}: made and started in {time.monotonic() - began:.1f} s")
    return str(container)


def labels(kind: str, identifier: str, epoch: str, spec: str = "") -> dict[str, str]:
    """The labels of one thing."""
    return {
        names.LABEL: "1",
        names.EPOCH_LABEL: epoch,
        names.KIND_LABEL: kind,
        names.ID_LABEL: identifier,
        names.SPEC_LABEL: spec,
    }


def put_files(container: str, files: Mapping[str, File]) -> None:
    """Copy files into a container, running or not; missing directories are made."""
    engine().put_archive(container, "/", tar_of(files))


def tar_of(files: Mapping[str, File]) -> bytes:
    """A tar archive of files by absolute path, with their directories, all owned by root."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        directories: set[str] = set()
        for path, file in sorted(files.items()):
            parts = path.strip("/").split("/")
            for depth in range(2, len(parts)):
                directory = "/".join(parts[:depth])
                if directory not in directories:
                    directories.add(directory)
                    entry = tarfile.TarInfo(directory)
                    entry.type = tarfile.DIRTYPE
                    entry.mode = 0o755
                    archive.addfile(entry)
            entry = tarfile.TarInfo(path.strip("/"))
            entry.size = len(file.content)
            entry.mode = file.mode
            entry.mtime = int(time.time())
            archive.addfile(entry, io.BytesIO(file.content))
    return stream.getvalue()


def execute(container: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command in a running container; return its exit code and what it said."""
    client = engine()
    try:
        run = client.exec_create(container, list(command), environment=dict(environment or {}))
        output = client.exec_start(run["Id"])
        code = client.exec_inspect(run["Id"])["ExitCode"]
    except APIError as error:
        raise NotReady(f"docker cannot run a command in it: {error.explanation}") from error
    return int(code if code is not None else 1), output.decode(errors="replace").strip()


def remove_container(container: str) -> bool:
    """Remove a container with its anonymous volumes, whatever it does; say whether there was one."""
    try:
        engine().remove_container(container, force=True, v=True)
    except NotFound:
        return False
    except APIError as error:
        # Somebody else (an earlier try, docker itself) is removing it at this moment.
        if error.status_code != _CONFLICT:
            raise
    return True


def ensure_volume(name: str, kind: str, identifier: str, epoch: str) -> None:
    """Make a named volume; docker keeps one that is there."""
    engine().create_volume(name, labels=labels(kind, identifier, epoch))


def remove_volume(name: str) -> None:
    """Remove a named volume; it may be gone already."""
    try:
        engine().remove_volume(name, force=True)
    except NotFound:
        return


def stop_container(container: str, seconds: int = _STOP_SECONDS) -> None:
    """Stop a container as its image wants to be stopped."""
    engine().stop(container, timeout=seconds)


def started_at(container: str) -> str:
    """When the container was last started: another value, another network namespace."""
    return str(engine().inspect_container(container)["State"]["StartedAt"])
