# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab up`: from whatever is there to a lab that answers. Run again, it changes nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, NotFound

from lab import engine, images, machine, names
from lab.progress import Progress
from lab.reconciler.settings import Settings
from lab.refusal import Refusal

_API_SECONDS = 60.0
# What in the control image is not the API's: a change there must not cost the API its memory.
_OTHER_SOURCES = (
    "reconciler/",
    *("__main__.py", "cli.py", "up.py", "down.py", "status.py", "progress.py", "refusal.py", "names.py"),
    *("engine.py", "images.py", "machine.py"),
)
# Files of the state volume that people and playbooks need, and their modes.
_EXPORTED = {"ca.pem": 0o644, "credentials": 0o600, "admin-token": 0o600}
_REMOVALS = 5


@dataclass
class Up:
    """One run of `lab up`."""

    client: docker.DockerClient
    progress: Progress
    state: Path
    virtual_machines: bool = False

    def run(self) -> None:
        """Do everything. Raises Refusal."""
        machine.refuse_the_unfit(self.client)
        if self.virtual_machines:
            machine.refuse_to_emulate()
        machine.refuse_taken_ports(self.client)
        in_the_way = machine.network_in_the_way(self.client)
        if in_the_way:
            self.progress.say(
                f"Warning: the docker network {in_the_way} overlaps {names.DEFAULT_VPC}, the VPC of the lab's "
                f"inventory, where nothing becomes ready then: remove it (docker network rm {in_the_way}) or set "
                "network_cidr"
            )
        base = images.base()
        self._ensure(base)
        control, services, airflow = images.control(base), images.services(base), images.airflow_base(base)
        with ThreadPoolExecutor(3) as pool:
            others: list[Future[None]] = [
                pool.submit(self._ensure, image) for image in (services, airflow) if image is not None
            ]
            self._ensure(control)
            self._volumes_and_network()
            authority = self._authority(control)
            host = images.host(base, authority)
            others.append(pool.submit(self._ensure, host))
            guest_root = images.machine_root(base)
            guest = images.machine(base, guest_root, authority)
            if self.virtual_machines:
                others.append(pool.submit(self._ensure_guest, guest_root, guest))
            found = machine.detect(self.client, base.reference, self.state / "machine.json")
            # The API needs nothing of what is still being built.
            self._start_api(control)
            for future in others:
                future.result()
        for image in (host, services, airflow):
            if image is not None:
                self._tag_latest(image)
        # Once they were asked for, they stay with the lab.
        guests = guest.reference if images.exists(self.client, guest.reference) else ""
        self._start_reconciler(control, host, services, guests, found)
        self._wait_for_api()
        self._export()
        self._launch_key()
        kept = (base, control, services, airflow, host, guest_root, guest)
        images.remove_outdated(self.client, [image for image in kept if image])
        self.progress.say(
            f"The lab is up: AWS API at http://127.0.0.1:{names.API_PORT}, credentials and CA in {self.state}"
        )

    def _ensure(self, image: images.Image) -> None:
        images.ensure(self.client, image, self.progress, self.state)

    def _ensure_guest(self, root: images.Image, guest: images.Image) -> None:
        if not images.exists(self.client, guest.reference):
            self._ensure(root)
            self._ensure(guest)

    def _tag_latest(self, image: images.Image) -> None:
        """For people and playbooks, which do not know hashes."""
        self.client.api.tag(image.reference, image.repository, "latest")

    def _volumes_and_network(self) -> None:
        labels = {names.LABEL: "1"}
        for volume in (names.STATE_VOLUME, names.FILE_SYSTEMS_VOLUME, names.LOAD_BALANCERS_VOLUME):
            self.client.api.create_volume(volume, labels=labels)
        if not self.client.api.networks(names=[f"^{names.NETWORK}$"]):
            self.client.api.create_network(names.NETWORK, driver="bridge", labels=labels)

    def _authority(self, control: images.Image) -> bytes:
        """The lab CA's certificate, made in the state volume by the first run."""
        kept = self.state / "ca.pem"
        running = self._find(names.API_CONTAINER)
        if kept.exists() and running is not None and running["State"]["Running"]:
            return kept.read_bytes()
        try:
            certificate: bytes = self.client.containers.run(
                control.reference,
                [
                    "python",
                    "-c",
                    "import pathlib; from lab import ca; "
                    "print(ca.load_or_create(pathlib.Path('/state')).certificate_pem.decode(), end='')",
                ],
                volumes={names.STATE_VOLUME: {"bind": "/state", "mode": "rw"}},
                network_mode="none",
                labels={names.LABEL: "1", names.KIND_LABEL: "ca"},
                remove=True,
            )
        except APIError as error:
            raise Refusal(f"docker cannot run a container: {error.explanation}") from error
        self.state.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(certificate)
        return certificate

    def _find(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.client.api.inspect_container(name)
        except NotFound:
            return None
        return found

    def _start_api(self, control: images.Image) -> None:
        passed = {name: value for name, value in os.environ.items() if name.startswith("LAB_")}
        code = {path: content for path, content in control.files.items() if _is_api_source(path)}
        code["requirements.lock"] = control.files["requirements.lock"]
        spec = images.Image("api", code, {**passed, "BASE": control.arguments["BASE"]}).hash
        found = self._find(names.API_CONTAINER)
        if found and found["State"]["Running"]:
            if found["Config"]["Labels"].get(names.SPEC_LABEL) == spec:
                return
            if _holds_anything(self.state):
                self.progress.say(
                    "The API's code or settings differ from the running API's, which holds resources in its memory: "
                    "it stays; `python -m lab down` and `up` bring the new one"
                )
                return
            self.progress.say("The API's code or settings changed and it holds nothing: restarting it")
        self._run(
            control,
            name=names.API_CONTAINER,
            identifier="api",
            command=["python", "-m", "lab.api"],
            spec=spec,
            environment=passed,
            volumes={names.STATE_VOLUME: "/state"},
            ports={names.API_PORT: names.API_PORT, names.TUNNEL_PORT: names.TUNNEL_PORT},
            # For the addresses of the metadata service, which the reconciler adds, and of Instance Connect Endpoints.
            cap_add=["NET_ADMIN"],
        )

    def _start_reconciler(
        self, control: images.Image, host: images.Image, services: images.Image, guests: str, found: machine.Machine
    ) -> None:
        settings = Settings(
            api_url=f"http://{names.API_CONTAINER}:{names.API_PORT}",
            host_image=host.reference,
            services_image=services.reference,
            machine_image=guests,
            capabilities=found.capabilities,
            kernel_nfs=found.kernel_nfs,
            memory_mib=found.memory_mib,
        )
        environment = settings.environment()
        spec = hashlib.sha256(repr([control.reference, sorted(environment.items())]).encode()).hexdigest()[:16]
        running = self._find(names.RECONCILER_CONTAINER)
        if running and running["State"]["Running"]:
            if running["Config"]["Labels"].get(names.SPEC_LABEL) == spec:
                return
            self.progress.say("The reconciler's code or settings changed: restarting it")
        self._run(
            control,
            name=names.RECONCILER_CONTAINER,
            identifier="reconciler",
            command=["python", "-m", "lab.reconciler"],
            spec=spec,
            environment=environment,
            volumes={
                names.STATE_VOLUME: "/state",
                names.FILE_SYSTEMS_VOLUME: "/efs",
                names.LOAD_BALANCERS_VOLUME: "/lb",
                engine.socket_path(): "/var/run/docker.sock",
            },
            ports={},
            # It enters the network namespaces of the lab's containers, to load their packet filters.
            cap_add=["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"],
            pid_mode="host",
            security_opt=["apparmor=unconfined"],
        )

    def _run(
        self,
        image: images.Image,
        *,
        name: str,
        identifier: str,
        command: list[str],
        spec: str,
        environment: Mapping[str, str],
        volumes: Mapping[str, str],
        ports: Mapping[int, int],
        cap_add: list[str] | None = None,
        pid_mode: str | None = None,
        security_opt: list[str] | None = None,
    ) -> None:
        self._remove(name)
        api = self.client.api
        host_config = api.create_host_config(
            binds={source: {"bind": target, "mode": "rw"} for source, target in volumes.items()},
            port_bindings={port: ("127.0.0.1", published) for port, published in ports.items()},
            restart_policy={"Name": "unless-stopped"},
            cap_add=cap_add,
            pid_mode=pid_mode,
            security_opt=security_opt,
            log_config=docker.types.LogConfig(type="json-file", config={"max-size": "8m", "max-file": "2"}),
        )
        container = api.create_container(
            image.reference,
            command,
            name=name,
            hostname=name,
            environment=dict(environment),
            ports=list(ports),
            host_config=host_config,
            networking_config={"EndpointsConfig": {names.NETWORK: api.create_endpoint_config()}},
            labels={
                names.LABEL: "1",
                names.KIND_LABEL: names.CONTROL_KIND,
                names.ID_LABEL: identifier,
                names.SPEC_LABEL: spec,
            },
        )["Id"]
        try:
            api.start(container)
        except APIError as error:
            self._remove(name)
            raise Refusal(f"docker cannot start {name}: {error.explanation}") from error
        self.progress.say(f"{name} started")

    def _remove(self, name: str) -> None:
        for attempt in range(_REMOVALS):
            try:
                self.client.api.remove_container(name, force=True, v=True)
            except NotFound:
                return
            except APIError:
                # Being removed already, or an engine that has just lost its containerd: both pass within seconds.
                if attempt == _REMOVALS - 1:
                    raise
                time.sleep(2)

    def _wait_for_api(self) -> None:
        deadline = time.monotonic() + _API_SECONDS
        while True:
            try:
                answer = _session().get(f"http://127.0.0.1:{names.API_PORT}/_lab/health", timeout=5)
                if answer.ok:
                    return
            except requests.RequestException:
                pass
            found = self._find(names.API_CONTAINER)
            if time.monotonic() > deadline or found is None or found["RestartCount"] > 2:
                words = self.client.api.logs(names.API_CONTAINER, tail=15).decode(errors="replace") if found else ""
                raise Refusal("\n".join(["The lab's API does not answer; its last lines are:", words.strip()]))
            time.sleep(0.2)

    def _export(self) -> None:
        """Copy what the machine's user needs out of the state volume."""
        for name, mode in _EXPORTED.items():
            stream, _ = self.client.api.get_archive(names.API_CONTAINER, f"/state/{name}")
            with tarfile.open(fileobj=BytesIO(b"".join(stream))) as archive:
                member = archive.extractfile(name)
                content = member.read() if member else b""
            path = self.state / name
            if not path.exists() or path.read_bytes() != content:
                path.touch(mode=mode)
                path.chmod(mode)
                path.write_bytes(content)

    def _launch_key(self) -> None:
        key = self.state / "id_ed25519"
        if not key.exists() or not key.with_suffix(".pub").exists():
            key.unlink(missing_ok=True)
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "freehold-lab", "-f", str(key)]
            try:
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL)  # noqa: S603
            except OSError as error:
                raise Refusal("ssh-keygen is not installed: install the package openssh-client.") from error


def _is_api_source(path: str) -> bool:
    return path.startswith("lab/") and not path.startswith(tuple(f"lab/{source}" for source in _OTHER_SOURCES))


def _session() -> requests.Session:
    session = requests.Session()
    # The lab is on this machine, whatever proxy the machine uses.
    session.trust_env = False
    return session


def ask_api(state: Path, path: str) -> Any:
    """An answer of the API's admin interface. Raises requests.RequestException or OSError when there is none."""
    headers = {"X-Freehold-Lab-Token": (state / "admin-token").read_text().strip()}
    answer = _session().get(f"http://127.0.0.1:{names.API_PORT}{path}", headers=headers, timeout=10)
    answer.raise_for_status()
    return answer.json()


def _holds_anything(state: Path) -> bool:
    """Whether anybody would miss the API's memory. When it does not say, it counts as full."""
    try:
        snapshot = ask_api(state, "/_lab/snapshot")
    except (requests.RequestException, OSError, ValueError):
        return True
    return any(
        snapshot.get(key)
        for key in ("vpcs", "instances", "databases", "caches", "file_systems", "load_balancers", "repositories")
    )


def up(progress: Progress, *, virtual_machines: bool = False) -> None:
    """Bring the lab up. Raises Refusal."""
    state = names.state_directory()
    state.mkdir(parents=True, exist_ok=True)
    client = engine.connect_or_start(progress)
    Up(client, progress, state, virtual_machines).run()
