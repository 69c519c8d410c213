# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One boto3 session for many services."""

from __future__ import annotations

import contextlib
import gc
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule has refused to start without boto3.
    import boto3
    from botocore.config import Config

from ansible_collections.amazon.aws.plugins.module_utils.botocore import get_aws_connection_info
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


class Clients:
    """Clients of one session, made when first asked for.

    AnsibleAWSModule.client starts a session of its own for every service, which costs about 0.2 s each; a dozen
    services would take longer than all their answers. Not safe to call from threads: ask for a client first.
    """

    def __init__(self, module: AnsibleAWSModule) -> None:
        region, endpoint, parameters = get_aws_connection_info(module)
        self.region: str = region or ""
        settings = {**parameters}
        self._session: Any = boto3.session.Session(profile_name=settings.pop("profile_name", None))
        config = Config(retries={"max_attempts": 8, "mode": "standard"}, max_pool_connections=16)
        if settings.get("aws_config"):
            config = config.merge(settings["aws_config"])
        settings.pop("aws_config", None)
        self._settings = {**settings, "region_name": region, "endpoint_url": endpoint, "config": config}
        self._clients: dict[str, Any] = {}

    def __getitem__(self, service: str) -> Any:
        if service not in self._clients:
            # Reading EC2's service model makes a great many objects; collecting garbage meanwhile doubles the time.
            gc.disable()
            try:
                self._clients[service] = self._session.client(service, **self._settings)
            finally:
                gc.enable()
        return self._clients[service]
