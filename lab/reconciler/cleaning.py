# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing what belongs to a memory that the API no longer has."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import names
from lab.reconciler import networks
from lab.reconciler.containers import engine, list_containers, remove_container, remove_volume
from lab.reconciler.log import log

_SIDE_BY_SIDE = 6


def _is_old(labels: Mapping[str, str], epoch: str) -> bool:
    return names.EPOCH_LABEL in labels and labels[names.EPOCH_LABEL] != epoch


def remove_other_epochs(epoch: str, directories: list[Path]) -> None:
    """Remove containers, volumes and networks of every other epoch, and the contents of shared directories.

    Control containers carry no epoch and stay.
    """
    containers = [found for found in list_containers() if _is_old(found.labels, epoch)]
    answer = engine().volumes(filters={"label": names.LABEL})
    volumes = [item["Name"] for item in answer.get("Volumes") or [] if _is_old(item.get("Labels") or {}, epoch)]
    old_networks = [name for name, (_, labels) in networks.list_networks().items() if _is_old(labels, epoch)]
    if containers or volumes or old_networks:
        log(
            f"removing {len(containers)} containers, {len(volumes)} volumes and {len(old_networks)} networks of a lab "
            "whose API no longer exists"
        )
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        list(pool.map(remove_container, [found.id for found in containers]))
        list(pool.map(remove_volume, volumes))
    for name in old_networks:
        networks.remove_network(name)
    for directory in directories:
        _clear(directory, epoch)


def _clear(directory: Path, epoch: str) -> None:
    mark = directory / ".epoch"
    if mark.exists() and mark.read_text() == epoch:
        return
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    mark.write_text(epoch)


def labelled_things() -> set[tuple[str, str]]:
    """Kind and id of every container, volume and network that stands for something of the API."""
    answer = engine().volumes(filters={"label": names.LABEL})
    labels = [item.get("Labels") or {} for item in answer.get("Volumes") or []]
    labels += [found.labels for found in list_containers()]
    labels += [network_labels for _, network_labels in networks.list_networks().values()]
    return {
        (item[names.KIND_LABEL], item[names.ID_LABEL])
        for item in labels
        if names.EPOCH_LABEL in item and names.KIND_LABEL in item and names.ID_LABEL in item
    }
