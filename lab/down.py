# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab down`: nothing is left, whatever state the lab was in, whichever clone it came from."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import docker
from docker.errors import APIError, DockerException, NotFound

from lab import engine, images, names
from lab.progress import Progress
from lab.refusal import Refusal

_SIDE_BY_SIDE = 6
_ROUNDS = 5
_LABELLED = {"label": names.LABEL}
# A container has the labels of its image, too, and older labs labelled theirs: what somebody runs from one isn't ours.
_CONTAINERS = {"label": names.KIND_LABEL}


def down(progress: Progress, *, with_images: bool = False) -> None:
    """Remove everything of the lab. Raises Refusal when something stays."""
    state = names.state_directory()
    client = engine.connect()
    if client is None and state.exists() and os.geteuid() == 0:
        # Containers and volumes of a lab whose engine died are still on the disk.
        client = engine.connect_or_start(progress)
    if client is not None:
        _remove_containers(client, progress)
        _remove_networks(client, progress)
        _remove_volumes(client, progress)
        if with_images:
            progress.say(f"Removed {images.remove_all(client)} images")
    engine.stop_ours(progress)
    shutil.rmtree(state, ignore_errors=True)
    if state.exists():
        raise Refusal(f"The state directory {state} cannot be removed: remove it by hand.")
    progress.say("The lab is down")


def _remove_containers(client: docker.DockerClient, progress: Progress) -> None:
    for attempt in range(_ROUNDS):
        containers = client.api.containers(all=True, filters=_CONTAINERS)
        if not containers:
            return
        # The reconciler first, or it makes again what is removed.
        containers.sort(key=lambda item: f"/{names.RECONCILER_CONTAINER}" not in (item.get("Names") or []))
        if attempt == 0:
            progress.say(f"Removing {len(containers)} containers")
        _remove_container(client, containers[0]["Id"])
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            list(pool.map(lambda item: _remove_container(client, item["Id"]), containers[1:]))
        if attempt:
            time.sleep(1)
    left = [item["Names"] for item in client.api.containers(all=True, filters=_CONTAINERS)]
    if left:
        raise Refusal(f"These containers cannot be removed: {left}; restart the docker engine, then try again.")


def _remove_container(client: docker.DockerClient, container: str) -> None:
    try:
        client.api.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except (APIError, DockerException):
        # Being removed already, or stuck: the next round sees.
        return


def _remove_networks(client: docker.DockerClient, progress: Progress) -> None:
    networks = client.api.networks(filters=_LABELLED)
    for network in networks:
        try:
            for container in client.api.inspect_network(network["Id"]).get("Containers") or {}:
                client.api.disconnect_container_from_network(container, network["Id"], force=True)
            client.api.remove_network(network["Id"])
        except NotFound:
            continue
        except APIError as error:
            raise Refusal(f"The network {network['Name']} cannot be removed: {error.explanation}") from error
    if networks:
        progress.say(f"Removed {len(networks)} networks")


def _remove_volumes(client: docker.DockerClient, progress: Progress) -> None:
    volumes = client.api.volumes(filters=_LABELLED).get("Volumes") or []
    for volume in volumes:
        try:
            client.api.remove_volume(volume["Name"], force=True)
        except NotFound:
            continue
        except APIError as error:
            raise Refusal(f"The volume {volume['Name']} cannot be removed: {error.explanation}") from error
    if volumes:
        progress.say(f"Removed {len(volumes)} volumes")
