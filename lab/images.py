# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's images: each is tagged with a hash of everything it is made from, and built only when that changed."""

from __future__ import annotations

import configparser
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from lab import names
from lab.progress import Progress
from lab.refusal import Refusal

ROOT = Path(__file__).resolve().parent
FILES = ROOT / "image_files"
# Debian 13, as everywhere in the project.
_SUITE = "trixie"
_OFFICIAL_IMAGE = ("debian", "trixie-slim")
_ROOTFS = "freehold-lab/rootfs:trixie"
_PULL_SECONDS = 30
_MIRRORS = f"""\
deb http://deb.debian.org/debian {_SUITE} main
deb http://deb.debian.org/debian {_SUITE}-updates main
deb http://deb.debian.org/debian-security {_SUITE}-security main
"""
# As the official slim image: nobody reads manuals in the lab.
_MMDEBSTRAP = (
    *("mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates"),
    *("--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"),
    *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright"),
)
_INDEX_VARIABLES = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_HTTP_TIMEOUT"),
)
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
# What makes a container host and a virtual machine the same Debian.
_SHARED_WITH_HOST = frozenset({"packages", "common", "cloud.cfg", "ds-identify.cfg"})
_STAGE_LABEL = "freehold.lab.stage"
_KEPT_LINES = 30
# The engine's words when a command of the Dockerfile failed: the same would happen again.
_STEP_FAILED = "returned a non-zero code"


@dataclass(frozen=True)
class Image:
    """An image and everything it is made from: path in the build context -> (content, mode)."""

    name: str
    files: Mapping[str, tuple[bytes, int]]
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Of the files, their modes and the build arguments."""
        digest = hashlib.sha256()
        for path, (content, mode) in sorted(self.files.items()):
            digest.update(f"{path}\0{mode:o}\0{len(content)}\0".encode())
            digest.update(content)
        for name, value in sorted(self.arguments.items()):
            # Where packages come from does not change what they are.
            if name not in _INDEX_VARIABLES and name not in _PROXY_VARIABLES:
                digest.update(f"{name}={value}\0".encode())
        return digest.hexdigest()[:16]

    @property
    def repository(self) -> str:
        """Without the tag."""
        return f"{names.PREFIX}/{self.name}"

    @property
    def reference(self) -> str:
        """With the tag."""
        return f"{self.repository}:{self.hash}"


def read_tree(directory: Path, prefix: str = "", skip: Iterable[str] = ()) -> dict[str, tuple[bytes, int]]:
    """All files below a directory, by path; what Python leaves behind is left out."""
    skipped = {"__pycache__", *skip}
    files: dict[str, tuple[bytes, int]] = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if path.is_file() and not skipped & set(relative.parts):
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            files[prefix + relative.as_posix()] = (path.read_bytes(), mode)
    return files


def base() -> Image:
    """Debian with Python, trusting what this machine trusts."""
    files = read_tree(FILES / "base")
    for number, certificate in enumerate(machine_certificates()):
        files[f"machine-certificates/machine-{number}.crt"] = (f"{certificate}\n".encode(), 0o644)
    # The directory must be there for COPY, certificates or not.
    files.setdefault("machine-certificates/README", (b"Certificates that the lab's machine trusts.\n", 0o644))
    return Image("base", files, _proxies())


def control(base_image: Image) -> Image:
    """The API and the reconciler."""
    files = read_tree(FILES / "control")
    files["requirements.lock"] = ((ROOT / "requirements.lock").read_bytes(), 0o644)
    files["uv.lock"] = ((ROOT.parent / "tools" / "uv.lock").read_bytes(), 0o644)
    files |= read_tree(ROOT, "lab/", skip=("tests", "image_files", "requirements.lock"))
    return Image("control", files, _arguments(base_image, packages=True))


def services(base_image: Image) -> Image:
    """PostgreSQL, Valkey, NFS, HAProxy, the registry."""
    return Image("services", read_tree(FILES / "services"), _arguments(base_image))


def host(base_image: Image, authority: bytes) -> Image:
    """The machine image of EC2 instances, which trusts the lab's CA."""
    files = read_tree(FILES / "host")
    files["freehold-lab.crt"] = (authority, 0o644)
    return Image("host", files, _arguments(base_image))


def machine_root(base_image: Image) -> Image:
    """The root file system of virtual machines: what the machine image has, and a kernel."""
    shared = {name: file for name, file in read_tree(FILES / "host").items() if name in _SHARED_WITH_HOST}
    return Image("machine-root", {**shared, **read_tree(FILES / "machine-root")}, _arguments(base_image))


def machine(base_image: Image, root: Image, authority: bytes) -> Image:
    """A virtual machine in a container, whose disk trusts the lab's CA."""
    files = read_tree(FILES / "machine")
    files["freehold-lab.crt"] = (authority, 0o644)
    return Image("machine", files, {**_arguments(base_image), "ROOT": root.reference})


def airflow_base(base_image: Image) -> Image | None:
    """The stand-in for the official Airflow image; None while its files are not there."""
    directory = FILES / "airflow-base"
    if not (directory / "Dockerfile").exists():
        return None
    return Image("airflow-base", read_tree(directory), _arguments(base_image, packages=True))


def _arguments(base_image: Image, *, packages: bool = False) -> dict[str, str]:
    return {"BASE": base_image.reference, **_proxies(), **(package_settings() if packages else {})}


def _proxies() -> dict[str, str]:
    return {name: os.environ[name] for name in _PROXY_VARIABLES if os.environ.get(name)}


def package_settings() -> dict[str, str]:
    """The machine's own Python index settings, from the environment and pip's files, as far as a build can use them."""
    settings = {}
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(
        [Path("/etc/pip.conf"), Path.home() / ".pip" / "pip.conf", Path.home() / ".config" / "pip" / "pip.conf"]
    )
    for option in ("index-url", "extra-index-url"):
        if parser.has_option("global", option):
            settings["PIP_" + option.upper().replace("-", "_")] = parser.get("global", option)
    settings |= {name: os.environ[name] for name in _INDEX_VARIABLES if os.environ.get(name)}
    # A directory of this machine does not exist in a build.
    usable = {name: " ".join(url for url in value.split() if "file:" not in url) for name, value in settings.items()}
    usable = {name: value for name, value in usable.items() if value}
    if "PIP_INDEX_URL" in usable:
        usable.setdefault("UV_DEFAULT_INDEX", usable["PIP_INDEX_URL"])
    if "PIP_EXTRA_INDEX_URL" in usable:
        usable.setdefault("UV_INDEX", usable["PIP_EXTRA_INDEX_URL"])
    return usable


def machine_certificates() -> list[str]:
    """The certificates that this machine trusts beyond Mozilla's: a company's or a build machine's own."""
    bundles = [os.environ.get("SSL_CERT_FILE", ""), *_BUNDLES]
    path = next((Path(name) for name in bundles if name and Path(name).is_file()), None)
    if path is None:
        return []
    mozilla = {_text(file) for file in Path("/usr/share/ca-certificates/mozilla").glob("*.crt")}
    trusted = _CERTIFICATE.findall(path.read_text(errors="replace"))
    return sorted({certificate for certificate in trusted if certificate not in mozilla})


def _text(path: Path) -> str:
    return path.read_text(errors="replace").strip()


def exists(client: docker.DockerClient, reference: str) -> bool:
    """Whether the engine has the image."""
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


def ensure(client: docker.DockerClient, image: Image, progress: Progress, logs: Path) -> None:
    """Build the image unless it is there. Raises Refusal with the build's last lines when it fails."""
    if exists(client, image.reference):
        return
    began = progress.seconds
    progress.say(f"{image.repository}: building")
    arguments = dict(image.arguments)
    if image.name == "base":
        arguments["ROOTFS"] = _root_file_system(client, progress)
    log_path = logs / f"build-{image.name}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    failure = _build(client, image, arguments, log_path)
    if failure and _STEP_FAILED not in failure[-1]:
        progress.say(f"{image.repository}: the engine stumbled, building again")
        failure = _build(client, image, arguments, log_path)
    _remove_stages(client)
    if failure:
        head = f"The image {image.repository} cannot be built (whole log: {log_path}); the last lines are:"
        raise Refusal("\n".join([head, *failure]))
    progress.say(f"{image.repository}: built in {progress.seconds - began:.0f} s")


def _remove_stages(client: docker.DockerClient) -> None:
    """What a Dockerfile of several stages leaves behind has no name to be found by, but a label."""
    try:
        client.images.prune(filters={"dangling": True, "label": _STAGE_LABEL})
    except DockerException:
        # Another prune runs; the next build's takes it.
        return


def _build(client: docker.DockerClient, image: Image, arguments: dict[str, str], log_path: Path) -> list[str]:
    """Build once; return nothing, or the last lines of a build that failed."""
    lines: list[str] = []
    try:
        events = client.api.build(
            fileobj=context(image.files),
            custom_context=True,
            # Builds reach package mirrors as this machine does.
            network_mode="host",
            buildargs=arguments,
            tag=image.reference,
            rm=True,
            forcerm=True,
            decode=True,
        )
        with log_path.open("w") as log:
            for event in events:
                text = str(event.get("stream") or event.get("error") or "")
                log.write(text)
                lines = [*lines, *text.rstrip().splitlines()][-_KEPT_LINES:]
                if "error" in event:
                    return lines
    except (DockerException, OSError) as error:
        return [*lines, f"{type(error).__name__}: {error}"]
    return []


def context(files: Mapping[str, tuple[bytes, int]]) -> io.BytesIO:
    """A build context as docker takes it. Times are fixed, so that docker's own cache sees equal files as equal."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = mode
            archive.addfile(entry, io.BytesIO(content))
    stream.seek(0)
    return stream


def _root_file_system(client: docker.DockerClient, progress: Progress) -> str:
    """Debian's own slim image where a registry answers, else one made from Debian's packages."""
    official = ":".join(_OFFICIAL_IMAGE)
    if exists(client, official):
        return official
    if exists(client, _ROOTFS):
        return _ROOTFS
    try:
        # The time limit is for each piece of the answer: a slow registry is one, a silent one is not.
        docker.from_env(timeout=_PULL_SECONDS).images.pull(*_OFFICIAL_IMAGE)
    except (DockerException, OSError):
        progress.say("No image registry answers: making Debian's root file system with mmdebstrap")
        _bootstrap(client)
        return _ROOTFS
    return official


def _bootstrap(client: docker.DockerClient) -> None:
    if shutil.which("mmdebstrap") is None:
        raise Refusal("No image registry answers and mmdebstrap is not installed: run `make setup` or install it.")
    with tempfile.TemporaryDirectory(prefix="freehold-lab-") as directory:
        tar = Path(directory) / "rootfs.tar"
        command = [*_MMDEBSTRAP, *_keyring(), _SUITE, str(tar), "-"]
        made = subprocess.run(  # noqa: S603
            command, check=False, input=_MIRRORS, text=True, capture_output=True, timeout=900
        )
        if made.returncode != 0:
            raise Refusal("\n".join(["mmdebstrap failed; its last lines are:", *made.stderr.splitlines()[-10:]]))
        repository, tag = _ROOTFS.split(":")
        client.api.import_image_from_file(str(tar), repository=repository, tag=tag)


def _keyring() -> list[str]:
    path = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    return [f"--keyring={path}"] if path.exists() else []


def remove_outdated(client: docker.DockerClient, current: Iterable[Image]) -> None:
    """Remove older builds that no container uses; docker keeps the layers that the newer ones share."""
    kept = {image.reference for image in current}
    used = {container["ImageID"] for container in client.api.containers(all=True)}
    repositories = {image.repository for image in current}
    for found in client.images.list():
        for tag in found.tags:
            repository, _, version = tag.rpartition(":")
            if repository in repositories and version != "latest" and tag not in kept and found.id not in used:
                # In use by another build at this moment, or gone already: the next run sees.
                try:
                    client.api.remove_image(tag, noprune=False)
                except DockerException:
                    continue


def remove_all(client: docker.DockerClient) -> int:
    """Remove every image of the lab, and what was built on it for its registry; return how many names."""
    own = (f"{names.PREFIX}/", f"127.0.0.1:{names.REGISTRY_PORT}/")
    removed = 0
    for found in client.images.list():
        for tag in found.tags:
            if tag.startswith(own):
                try:
                    client.api.remove_image(tag, force=True)
                except DockerException:
                    continue
                removed += 1
    return removed
