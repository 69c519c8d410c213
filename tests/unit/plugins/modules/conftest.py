# SPDX-License-Identifier: GPL-3.0-or-later
"""Run AWS modules in this process against moto, and remember which requests they made."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from botocore.client import BaseClient
from moto import mock_aws

REGION = "eu-west-1"
READS = ("Describe", "Get", "Head", "List")


class Ended(Exception):
    """The module ended; ``result`` is what it said."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(result.get("msg", ""))
        self.result = result


class Aws:
    """moto's AWS, and the modules that talk to it."""

    def __init__(self) -> None:
        self.operations: list[str] = []

    @property
    def writes(self) -> list[str]:
        """The requests of the last module that change something."""
        return [operation for operation in self.operations if not operation.startswith(READS)]

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)  # type: ignore[call-overload]

    def run(self, module: ModuleType, check: bool = False, **params: Any) -> dict[str, Any]:
        """Run the module and return its result; a failure has C(failed)."""
        self.operations.clear()
        args = {**params, "region": REGION, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(args), pytest.raises(Ended) as ended:
            module.main()
        return ended.value.result


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Give moto's AWS, empty."""
    recorder = Aws()
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def remember(client: Any, operation: str, params: dict[str, Any]) -> Any:
        recorder.operations.append(operation)
        return call(client, operation, params)

    def end(_module: AnsibleModule, **result: Any) -> None:
        raise Ended(result)

    def fail(_module: AnsibleModule, msg: str, **result: Any) -> None:
        raise Ended({**result, "msg": msg, "failed": True})

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr(BaseClient, "_make_api_call", remember)
    monkeypatch.setattr(AnsibleModule, "exit_json", end)
    monkeypatch.setattr(AnsibleModule, "fail_json", fail)
    with mock_aws():
        yield recorder
