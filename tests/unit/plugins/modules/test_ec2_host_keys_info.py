# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ec2_host_keys_info: what it reads from a console, and how it waits for it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.modules import ec2_host_keys_info
from moto.ec2.responses.general import General

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJ3n8m5cK0zS5n7v2dQk0m5t8uW1oXc5a4b3c2d1e0f9"
BOOT = "[    1.0] Booting\n"
BLOCK = f"""-----BEGIN SSH HOST KEY KEYS-----
ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY= root@lab-worker-1
ssh-ed25519 {KEY} root@lab-worker-1
-----END SSH HOST KEY KEYS-----
"""


def test_keys_between_the_marks_are_read() -> None:
    assert ec2_host_keys_info.host_keys(BOOT + BLOCK)["ssh-ed25519"] == KEY


def test_what_the_logger_puts_before_a_line_does_not_matter() -> None:
    prefixed = "".join(f"[   12.345678] cloud-init[412]: {line}\n" for line in BLOCK.splitlines())
    assert set(ec2_host_keys_info.host_keys(prefixed)) == {"ssh-ed25519", "ecdsa-sha2-nistp256"}


def test_the_last_boot_counts() -> None:
    assert ec2_host_keys_info.host_keys(BLOCK.replace(KEY, "AAAAold") + BLOCK)["ssh-ed25519"] == KEY


@pytest.mark.parametrize("console", ["", BOOT, BLOCK.split("-----END")[0]])
def test_a_console_without_a_whole_block_has_no_keys(console: str) -> None:
    assert ec2_host_keys_info.host_keys(console) == {}


@pytest.fixture
def instance_id(aws: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    ec2 = aws.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    launched = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    monkeypatch.setattr("botocore.waiter.time.sleep", lambda _seconds: None)
    return str(launched["Instances"][0]["InstanceId"])


def print_on_the_console(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """Let each look at the console see the next text; the last stays."""
    remaining = list(texts)

    def console(_response: General) -> Any:
        from moto.core.responses import ActionResult

        text = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return ActionResult({"InstanceId": "i", "Output": base64.b64encode(text.encode()).decode()})

    monkeypatch.setattr(General, "get_console_output", console)


def test_the_module_waits_until_the_keys_are_printed(
    aws: Any, instance_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    print_on_the_console(monkeypatch, "", BOOT, BOOT + BLOCK)
    result = aws.run(ec2_host_keys_info, instance_ids=[instance_id])
    assert result["host_keys"][instance_id]["ssh-ed25519"] == KEY
    assert aws.writes == []


def test_a_host_that_never_prints_its_keys_is_named(
    aws: Any, instance_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    print_on_the_console(monkeypatch, BOOT)
    result = aws.run(ec2_host_keys_info, instance_ids=[instance_id], wait_timeout=6)
    assert result["failed"]
    assert instance_id in result["msg"]
    assert "6 seconds" in result["msg"]
    assert "raise hosts_wait_timeout" in result["msg"]


def test_only_of_a_nitro_instance_the_newest_output_is_asked_for(aws: Any) -> None:
    """EC2 refuses C(Latest) for all others. The instances come in pages."""
    found = {"i-1": "t3.micro", "i-2": "t2.micro", "i-3": "m7g.metal"}
    pages: list[dict[str, Any]] = [
        {"Reservations": [{"Instances": [{"InstanceId": name, "InstanceType": kind}]}], "NextToken": name}
        for name, kind in found.items()
    ]
    pages[-1].pop("NextToken")
    aws.answers["DescribeInstances"] = pages
    # Bare metal has no hypervisor.
    aws.answers["DescribeInstanceTypes"] = {
        "InstanceTypes": [
            {"InstanceType": "t3.micro", "Hypervisor": "nitro"},
            {"InstanceType": "t2.micro", "Hypervisor": "xen"},
            {"InstanceType": "m7g.metal"},
        ]
    }
    aws.answers["GetConsoleOutput"] = {"Output": BLOCK}
    result = aws.run(ec2_host_keys_info, instance_ids=list(found))
    assert list(result["host_keys"]) == list(found)
    asked = {request["InstanceId"]: request.get("Latest") for request in aws.asked("GetConsoleOutput")}
    assert asked == {"i-1": True, "i-2": None, "i-3": True}


def test_without_instances_nothing_is_asked(aws: Any) -> None:
    assert aws.run(ec2_host_keys_info, instance_ids=[])["host_keys"] == {}
    assert aws.operations == []


@pytest.mark.parametrize("operation", ["DescribeInstances", "GetConsoleOutput"])
def test_what_ec2_refuses_is_said(aws: Any, instance_id: str, operation: str) -> None:
    aws.refusals[operation] = "UnauthorizedOperation"
    result = aws.run(ec2_host_keys_info, instance_ids=[instance_id])
    assert result["failed"]
    assert result["msg"].startswith("The console output of the hosts can't be read")
    assert "refused by the test" in result["msg"]
