# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 images: what moto's model of an AMI leaves out."""

from __future__ import annotations

from typing import Any

from moto.ec2.models.amis import Ami, AmiBackend

from lab.api.patching import wraps

# The size of the root volume in Debian's official images, GiB.
_ROOT_GIB = 8


@wraps(Ami, "__init__")
def _complete_the_image(original: Any, image: Any, *args: Any, **kwargs: Any) -> None:
    original(image, *args, **kwargs)
    # Debian's account carries no alias; moto gives every image Amazon's.
    image.owner_alias = None
    image.ena_support = True
    image.imds_support = "v2.0"


@wraps(AmiBackend, "describe_images")
def _filter_named_images(
    original: Any, backend: Any, ami_ids: list[str] | None = None, *others: Any, **more: Any
) -> list[Any]:
    """moto asks nothing else of an image that is named."""
    fitting: list[Any] = original(backend, None, *others, **more)
    return [image for image in original(backend, ami_ids) if image in fitting] if ami_ids else fitting


def _block_device_mappings(image: Any) -> list[dict[str, Any]]:
    return [
        {
            "DeviceName": image.root_device_name,
            "Ebs": {
                "SnapshotId": image.ebs_snapshot.id,
                "VolumeSize": _ROOT_GIB,
                "DeleteOnTermination": True,
                "VolumeType": "gp3",
                "Encrypted": False,
            },
        }
    ]


Ami.block_device_mappings = property(_block_device_mappings)
