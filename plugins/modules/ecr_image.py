#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_image
version_added: 0.1.0
short_description: Make sure that ECR holds the image of a build context
description:
  - Computes a tag from everything that goes into an image. When ECR has that tag, nothing is done, and no Docker
    engine is needed. Otherwise the image is built, tried and pushed.
  - The digest in use is kept as the tag C(freehold:image) of the repository, by which it is found again.
  - C(community.docker.docker_image_build) needs buildx and decides by a tag that the caller has to make; pushing to
    ECR with it needs a login that writes the token to disk.
author:
  - The Freehold authors (@freehold)
options:
  repository:
    description:
      - Name of the ECR repository.
    type: str
    required: true
  path:
    description:
      - Directory of the build context. Only what the Dockerfile copies is sent to the engine and decides the tag.
    type: path
    required: true
  dockerfile:
    description:
      - The Dockerfile, below O(path).
    type: str
    default: Dockerfile
  requirements_file:
    description:
      - A Python requirements file, which takes the place of O(requirements_path) in the context.
    type: path
  requirements_path:
    description:
      - Where the Dockerfile expects the requirements file in the context.
    type: str
    default: requirements.txt
  build_args:
    description:
      - Build arguments that decide what the image contains. They are part of the tag.
    type: dict
    default: {}
  transient_build_args:
    description:
      - Build arguments that only say how to get there, such as a proxy or a package index. They are not part of the
        tag.
    type: dict
    default: {}
  network:
    description:
      - Network of the build's containers, for instance V(host). The engine's default when not given.
    type: str
  platform:
    description:
      - What to build for, for instance V(linux/arm64). The engine's own when empty.
    type: str
    default: ""
  smoke_command:
    description:
      - Run in the built image, past its entry point and without network, before it is pushed.
    type: list
    elements: str
    default: [airflow, version]
  push_registry:
    description:
      - Another address of the same registry, to push through. The repository's own when not given.
    type: str
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
notes:
  - Check mode builds nothing; it says truthfully whether a build would be needed, and whether a Docker engine is
    there for it.
"""

EXAMPLES = r"""
- name: Build and push Airflow's image, when its inputs changed
  freehold.airflow.ecr_image:
    repository: freehold-production/airflow
    path: .
    dockerfile: image/Dockerfile
    requirements_file: requirements/airflow.txt
    requirements_path: image/requirements.txt
    build_args:
      BASE_IMAGE: docker.io/apache/airflow:3.3.2
  register: image
"""

RETURN = r"""
tag:
  description: The tag that follows from the inputs.
  returned: success
  type: str
  sample: 6f1ed002ab5595859014ebf0951522d9
digest:
  description: Digest of the image; null when check mode would build it.
  returned: success
  type: str
  sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
reference:
  description: How to pull exactly this image; null when check mode would build it.
  returned: success
  type: str
  sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/freehold-production/airflow@sha256:9f86d081...
build_needed:
  description: Whether ECR did not have the image yet.
  returned: success
  type: bool
smoke_output:
  description: What the smoke command said, when the image was built.
  returned: success
  type: str
"""

from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._ecr import api, context, engine

CURRENT_TAG = "freehold:image"


def read_inputs(params: dict[str, Any]) -> dict[str, tuple[bytes, bool]]:
    """The files of the context, with the user's requirements among them."""
    path = Path(params["path"])
    dockerfile = path / params["dockerfile"]
    if not dockerfile.is_file():
        raise FreeholdError(message=f"There is no '{dockerfile}'; image_directory names the wrong directory.")
    include = [params["dockerfile"], *context.copied_sources(dockerfile.read_text())]
    missing = [name for name in include if not (path / name).exists()]
    if missing:
        raise FreeholdError(message=f"'{dockerfile}' copies {', '.join(missing)}, which '{path}' does not hold.")
    extra = {}
    if params["requirements_file"]:
        requirements = Path(params["requirements_file"])
        if not requirements.is_file():
            raise FreeholdError(message=f"image_requirements_file names '{requirements}', which is not a file.")
        extra[params["requirements_path"]] = requirements
    return context.read_context(path, include, extra)


def build_and_push(
    client: Any, params: dict[str, Any], files: dict[str, tuple[bytes, bool]], repository: dict[str, Any], tag: str
) -> tuple[str, str]:
    """Build, try and push the image; return its digest and what the smoke command said."""
    docker = engine.connect(f"The image {params['repository']}:{tag} must be built")
    reference = f"{params['repository']}:{tag}"
    engine.build(
        docker,
        context.tar(files),
        params["dockerfile"],
        reference,
        {**params["build_args"], **params["transient_build_args"]},
        params["network"],
        params["platform"],
        params["requirements_file"] or str(Path(params["path"]) / params["requirements_path"]),
    )
    output = engine.smoke_check(docker, reference, params["smoke_command"])
    target = repository["repositoryUri"]
    if params["push_registry"]:
        target = f"{params['push_registry']}/{params['repository']}"
    return engine.push(docker, reference, target, tag, api.get_credentials(client)), output


def ensure_image(client: Any, params: dict[str, Any], write: bool) -> dict[str, Any]:
    """Make sure that ECR holds the image and that the repository names it; return the module's result."""
    files = read_inputs(params)
    tag = context.content_tag(files, params["build_args"], params["platform"])
    repository = api.find_repository(client, params["repository"])
    digest = api.find_digest(client, params["repository"], tag) if repository else None
    result: dict[str, Any] = {"tag": tag, "build_needed": digest is None, "smoke_output": ""}

    if digest is None and not write:
        engine.connect(f"The image {params['repository']}:{tag} must be built")
        return {**result, "changed": True, "digest": None, "reference": None}
    if repository is None:
        raise FreeholdError(message=f"The ECR repository '{params['repository']}' does not exist.")
    if digest is None:
        digest, result["smoke_output"] = build_and_push(client, params, files, repository, tag)

    current = api.get_tags(client, repository["repositoryArn"]).get(CURRENT_TAG)
    if current != digest and write:
        api.tag_repository(client, repository["repositoryArn"], {CURRENT_TAG: digest})
    return {
        **result,
        "changed": result["build_needed"] or current != digest,
        "digest": digest,
        "reference": f"{repository['repositoryUri']}@{digest}",
    }


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "repository": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "dockerfile": {"type": "str", "default": "Dockerfile"},
            "requirements_file": {"type": "path"},
            "requirements_path": {"type": "str", "default": "requirements.txt"},
            "build_args": {"type": "dict", "default": {}},
            "transient_build_args": {"type": "dict", "default": {}},
            "network": {"type": "str"},
            "platform": {"type": "str", "default": ""},
            "smoke_command": {"type": "list", "elements": "str", "default": ["airflow", "version"]},
            "push_registry": {"type": "str"},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure_image(module.client("ecr"), module.params, not module.check_mode)
    except FreeholdError as error:
        module.fail_json_aws_error(error)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
