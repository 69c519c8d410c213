# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Building, trying and pushing an image with the local docker engine."""

from __future__ import annotations

import io
import traceback
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._ecr.failures import clean, failing_requirement

try:
    import docker
    import docker.errors
    import requests

    DOCKER_IMPORT_ERROR: str | None = None
except ImportError:
    DOCKER_IMPORT_ERROR = traceback.format_exc()

LOG_LINES = 40


def connect(reason: str) -> docker.DockerClient:
    """A client of the docker engine that the environment names; ``reason`` says why one is needed."""
    if DOCKER_IMPORT_ERROR:
        raise FreeholdError(message=f"{reason}, which needs Python's 'docker' package on the controller.")
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise FreeholdError(
            message=f"{reason}, but no Docker engine answers on the controller; start one, or set DOCKER_HOST: {error}"
        ) from error
    return client


def build(
    client: docker.DockerClient,
    context: io.BytesIO,
    dockerfile: str,
    reference: str,
    build_args: Mapping[str, str],
    network: str | None,
    platform: str,
    requirements: str,
) -> None:
    """Build the context by the classic builder and name the result ``reference``.

    ``requirements`` is the file to name when an installer complains. Raises FreeholdError with the end of the log.
    """
    log: deque[str] = deque(maxlen=400)
    try:
        stream = client.api.build(
            fileobj=context,
            custom_context=True,
            dockerfile=dockerfile,
            tag=reference,
            buildargs=dict(build_args),
            network_mode=network,
            platform=platform or None,
            rm=True,
            forcerm=True,
            decode=True,
        )
        for entry in stream:
            log.extend(clean(line) for line in entry.get("stream", "").splitlines() if line.strip())
            if "error" in entry:
                raise FreeholdError(message=build_failure(list(log), entry["error"], requirements))
    except docker.errors.DockerException as error:
        raise FreeholdError(message=build_failure(list(log), str(error), requirements)) from error


def build_failure(log: list[str], error: str, requirements: str) -> str:
    """One sentence, then the end of the log."""
    culprit = failing_requirement(log)
    if any("exec format error" in line for line in [*log[-LOG_LINES:], error]):
        sentence = (
            "The image does not build: this Docker engine can't run programs of the platform that it is built for."
            " Install QEMU's binfmt handlers (Debian: qemu-user-static and binfmt-support), build on a machine of that"
            " architecture, or use instance types of this one's in hosts_fleet."
        )
    elif culprit:
        sentence = f"The image does not build: {culprit}; correct image_requirements_file ({requirements})."
    else:
        sentence = f"The image does not build: {clean(error)}"
    tail = "\n".join(log[-LOG_LINES:])
    return f"{sentence}\nThe build log ends with:\n{tail}" if tail else sentence


def smoke_check(client: docker.DockerClient, reference: str, command: list[str]) -> str:
    """Run a command in the image, without network and past its entry point, and return its output."""
    try:
        output: bytes = client.containers.run(
            reference, entrypoint=command[0], command=command[1:], network_mode="none", remove=True, stderr=True
        )
    except docker.errors.DockerException as error:
        raise FreeholdError(message=f"The image was built, but '{' '.join(command)}' fails in it: {error}") from error
    return output.decode(errors="replace").strip()


def push(client: docker.DockerClient, reference: str, repository: str, tag: str, credentials: Mapping[str, str]) -> str:
    """Push the image to ``repository:tag`` and return its digest. The credentials go to the engine in one header."""
    client.api.tag(reference, repository, tag, force=True)
    digest = None
    try:
        stream: Iterable[dict[str, Any]] = client.api.push(
            repository, tag=tag, auth_config=dict(credentials), stream=True, decode=True
        )
        for entry in stream:
            if "error" in entry:
                raise FreeholdError(message=f"The image can't be pushed to {repository}: {entry['error']}")
            digest = entry.get("aux", {}).get("Digest", digest)
    except docker.errors.DockerException as error:
        raise FreeholdError(message=f"The image can't be pushed to {repository}: {error}") from error
    if digest is None:
        raise FreeholdError(message=f"The registry accepted the image for {repository}, but told no digest.")
    return str(digest)
