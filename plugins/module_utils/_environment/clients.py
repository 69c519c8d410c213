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
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import get_aws_connection_info
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._environment.connection import contradiction, explain


class Clients:
    """Clients of one session, made when first asked for.

    AnsibleAWSModule.client starts a session of its own for every service, which costs about 0.2 s each; a dozen
    services would take longer than all their answers. Not safe to call from threads: ask for a client first.

    Raises FreeholdError when there is no way to ask AWS anything.
    """

    def __init__(self, module: AnsibleAWSModule) -> None:
        self._parameters: dict[str, Any] = module.params
        refused = contradiction(module.params)
        if refused:
            raise FreeholdError(message=refused)
        region, endpoint, parameters = get_aws_connection_info(module)
        self.region: str = region or ""
        settings = {**parameters}
        try:
            self._session: Any = boto3.session.Session(profile_name=settings.pop("profile_name", None))
        except BotoCoreError as error:
            raise self.failure(error, "start a session") from error
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
            except (BotoCoreError, ValueError) as error:
                raise self.failure(error, f"prepare for {service}") from error
            finally:
                gc.enable()
        return self._clients[service]

    def failure(self, error: Exception, description: str) -> FreeholdError:
        """The error to end with after ``error``: about the connection where that is the reason, else as it is.

        Services say little about why they know a caller not, EC2 least of all; STS says more, and answers whoever is
        known, whatever they may do.
        """
        if isinstance(error, ClientError):
            try:
                self["sts"].get_caller_identity()
            except (BotoCoreError, ClientError) as answer:
                refused = explain(answer, self._parameters)
                if refused:
                    return FreeholdError(message=refused)
        refused = explain(error, self._parameters)
        if refused:
            return FreeholdError(
                message=f"Failed to {description}. {refused}" if isinstance(error, ClientError) else refused
            )
        return FreeholdError(message=f"Failed to {description}", exception=error)
