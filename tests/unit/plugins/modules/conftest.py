# SPDX-License-Identifier: GPL-3.0-or-later
"""Run modules in this process, AWS' against moto, and remember which requests they made."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import boto3
import moto.ec2.models.amis
import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.loaders import JSONFileLoader
from botocore.validate import ParamValidator
from moto import mock_aws

REGION = "eu-west-1"
READS = ("Describe", "Get", "Head", "List")
# The only public machine image there is. moto's own thousand and more took most of the tests' time.
IMAGE = {
    "ami_id": "ami-0deb130000000ad64",
    "name": "debian-13-amd64-20251117-2299",
    "description": "Debian 13 (20251117-2299)",
    "owner_id": "136693071363",
    "public": True,
    "virtualization_type": "hvm",
    "architecture": "x86_64",
    "state": "available",
    "image_type": "machine",
    "image_location": "amazon/debian-13-amd64-20251117-2299",
    "hypervisor": "xen",
    "root_device_type": "ebs",
    "root_device_name": "/dev/xvda",
    "sriov": "simple",
}


class Ended(Exception):
    """The module ended; ``result`` is what it said."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(result.get("msg", ""))
        self.result = result


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run_module(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs a module with parameters that Ansible itself judges, and returns its result.

    A failure has C(failed).
    """

    def end(_module: AnsibleModule, **result: Any) -> None:
        raise Ended(result)

    def fail(_module: AnsibleModule, msg: str, **result: Any) -> None:
        raise Ended({**result, "msg": msg, "failed": True})

    def run(module: ModuleType, check: bool = False, **params: Any) -> dict[str, Any]:
        args = {**params, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(args), pytest.raises(Ended) as ended:
            module.main()
        return ended.value.result

    monkeypatch.setattr(AnsibleModule, "exit_json", end)
    monkeypatch.setattr(AnsibleModule, "fail_json", fail)
    return run


class Aws:
    """moto's AWS, and the modules that talk to it."""

    def __init__(self, run_module: Run) -> None:
        self.run_module = run_module
        self.operations: list[str] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        # What AWS says to operations that moto does not know, always the same or one answer after another, of which
        # the last stays. Requests are held against AWS's own model of them.
        self.answers: dict[str, dict[str, Any] | list[dict[str, Any]]] = {}
        # The error codes with which AWS refuses operations.
        self.refusals: dict[str, str] = {}

    @property
    def writes(self) -> list[str]:
        """The requests of the last module that change something."""
        return [operation for operation in self.operations if not operation.startswith(READS)]

    def asked(self, operation: str) -> list[dict[str, Any]]:
        """What the last module said in its requests of this kind."""
        return [params for name, params in self.requests if name == operation]

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)  # type: ignore[call-overload]

    def answer(self, client: Any, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Take the next answer to an operation that has some."""
        shape = client.meta.service_model.operation_model(operation).input_shape
        problems = ParamValidator().validate(params, shape)
        assert not problems.has_errors(), problems.generate_report()
        found = self.answers[operation]
        if isinstance(found, dict):
            return found
        return found.pop(0) if len(found) > 1 else found[0]

    def run(self, module: ModuleType, check: bool = False, **params: Any) -> dict[str, Any]:
        """Run the module and return its result; a failure has C(failed)."""
        self.operations.clear()
        self.requests.clear()
        return self.run_module(module, check, region=REGION, **params)

    def settles(self, run: Run, writes: list[str], then: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
        """See a change through, and return what the run that made it said; its requests stay to be looked at.

        Check mode says the same and writes nothing; once it is made, further runs find everything as wanted.
        ``then`` is what AWS answers from there on, where moto does not keep what was changed.
        """
        would = run(check=True)
        assert self.writes == []
        did = run()
        assert self.writes == writes
        assert did["changed"] and would["changed"]
        for said in ("changes", "differences"):
            assert did.get(said) == would.get(said)
        operations, requests = [*self.operations], [*self.requests]
        for operation, answer in (then or {}).items():
            self.answers[operation] = answer
        for check in (True, False):
            again = run(check=check)
            assert not again["changed"], again
            assert self.writes == []
        self.operations, self.requests = operations, requests
        return did


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the seconds that were waited, which take no time."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


@pytest.fixture(scope="session", autouse=True)
def _service_models_read_once() -> Iterator[None]:
    """Keep what botocore knows about services: each module opens a session of its own, which would read it again."""
    read = functools.cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _loader, path: read(path))
        yield


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, run_module: Run) -> Iterator[Aws]:
    """Give moto's AWS, empty."""
    recorder = Aws(run_module)
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def remember(client: Any, operation: str, params: dict[str, Any]) -> Any:
        recorder.operations.append(operation)
        recorder.requests.append((operation, params))
        if operation in recorder.refusals:
            error = {"Code": recorder.refusals[operation], "Message": "refused by the test"}
            said: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(said, operation)
        if operation in recorder.answers:
            return recorder.answer(client, operation, params)
        return call(client, operation, params)

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    # moto asks for the variable, and has read the file it names when it was imported.
    monkeypatch.setenv("MOTO_AMIS_PATH", "IMAGE")
    monkeypatch.setattr(moto.ec2.models.amis, "AMIS", [IMAGE])
    monkeypatch.setattr(BaseClient, "_make_api_call", remember)
    with mock_aws():
        yield recorder
