# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's docker registry, asked over its own HTTP API: the images behind ECR's repositories."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import requests

from lab.api.state import Lab

_SECONDS = 5
_MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
# The registry keeps no time of its pushes: the first time that the API saw an image stands for it.
_FIRST_SEEN: dict[str, datetime] = {}


@dataclass
class Image:
    """One manifest with its tags."""

    digest: str
    media_type: str
    manifest: str
    # Bytes of configuration and layers; 0 for an index of several.
    size: int
    tags: list[str] = field(default_factory=list)

    @property
    def pushed_at(self) -> datetime:
        """When the API first saw it."""
        return _FIRST_SEEN.setdefault(self.digest, datetime.now(UTC))


class ImageStore:
    """One repository's images."""

    def __init__(self, lab: Lab, repository: str) -> None:
        self._lab = lab
        self._base = f"{lab.settings.registry_url}/v2/{repository}"
        self._session = requests.Session()
        # The lab's own traffic never goes through a proxy of the machine.
        self._session.trust_env = False
        self._session.auth = ("AWS", lab.registry_password)

    def images(self) -> list[Image]:
        """All tagged images, one entry a digest. An unreachable registry holds none."""
        found: dict[str, Image] = {}
        try:
            listing = self._session.get(f"{self._base}/tags/list", timeout=_SECONDS)
            tags = (listing.json().get("tags") or []) if listing.ok else []
            for tag in sorted(tags):
                image = self.image(tag)
                if image is not None:
                    found.setdefault(image.digest, image).tags.append(tag)
        except requests.RequestException as failure:
            self._lab.log(f"registry: {failure}")
        return list(found.values())

    def image(self, reference: str) -> Image | None:
        """The image with a tag or digest. Raises requests.RequestException."""
        headers = {"Accept": ", ".join(_MANIFEST_TYPES)}
        answer = self._session.get(f"{self._base}/manifests/{reference}", timeout=_SECONDS, headers=headers)
        if not answer.ok:
            return None
        manifest = json.loads(answer.text)
        parts = [*(manifest.get("layers") or []), manifest.get("config") or {}]
        return Image(
            digest=answer.headers.get("Docker-Content-Digest")
            or "sha256:" + hashlib.sha256(answer.content).hexdigest(),
            media_type=answer.headers.get("Content-Type", ""),
            manifest=answer.text,
            size=sum(int(part.get("size", 0)) for part in parts),
        )

    def delete(self, digest: str) -> bool:
        """Delete an image with all its tags; False where the registry did not."""
        try:
            return self._session.delete(f"{self._base}/manifests/{digest}", timeout=_SECONDS).ok
        except requests.RequestException as failure:
            self._lab.log(f"registry: {failure}")
            return False
