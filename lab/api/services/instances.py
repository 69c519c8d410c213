# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 instances: states that follow the real machine, and the refusals of RunInstances that moto lacks."""

from __future__ import annotations

import base64
import platform
from datetime import UTC, datetime
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import answers, checks, completes
from lab.api.patching import wraps
from lab.api.request import AwsRequest
from lab.api.state import current

_USER_DATA_LIMIT = 16384
_STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
_MACHINE_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def machine_architecture() -> str:
    """The architecture of this machine in EC2's words; the lab's hosts share its kernel."""
    return _MACHINE_ARCHITECTURES.get(platform.machine(), platform.machine())


def wanted_state(instance: Any) -> str:
    """What the API was last told to make of the instance: running, stopped or terminated."""
    return str(getattr(instance, "_lab_wanted", "running"))


def user_data_base64(instance: Any) -> str:
    """The instance's user data as the API got it; empty when there is none."""
    data = instance.user_data
    return str(data.as_bytes().decode()) if data else ""


def public_key(instance: Any) -> str | None:
    """The launch key as OpenSSH writes it, with the key pair's name as its comment."""
    pair = instance.ec2_backend.key_pairs.get(instance.key_name) if instance.key_name else None
    if pair is None:
        return None
    kind, material = pair.public_key.split()[:2]
    return f"{kind} {material} {pair.key_name}"


def _set_state(instance: Any, name: str) -> None:
    instance._state.name = name
    instance._state.code = _STATE_CODES[name]


def _begin(instance: Any, transitional: str, wanted: str, *, delayed: bool) -> None:
    instance._lab_wanted = wanted
    if instance._state.name == wanted and transitional != "pending":
        return
    _set_state(instance, transitional)
    current().lifecycle.begin(
        "instance", instance.id, wanted, lambda state: _set_state(instance, state), delayed=delayed
    )


@wraps(Instance, "__init__")
def _begin_as_pending(original: Any, instance: Any, *args: Any, **kwargs: Any) -> None:
    original(instance, *args, **kwargs)
    given = {str(nic.get("DeviceIndex", 0)): nic for nic in kwargs.get("nics") or []}
    for index, interface in instance.nics.items():
        asked = given.get(str(index), {})
        # An interface that the launch makes goes with the instance, unless it says otherwise.
        if not asked.get("NetworkInterfaceId"):
            interface.delete_on_termination = asked.get("DeleteOnTermination") is not False
    _begin(instance, "pending", "running", delayed=True)


@wraps(Instance, "start")
def _start(original: Any, instance: Any) -> Any:
    already = instance._state.name
    if already in ("running", "pending"):
        return type(instance._state)(already, _STATE_CODES[already])
    if already != "stopped":
        message = f"The instance '{instance.id}' is not in a state from which it can be started."
        raise AwsError("IncorrectInstanceState", message)
    previous = original(instance)
    _begin(instance, "pending", "running", delayed=False)
    return previous


@wraps(Instance, "stop")
def _stop(original: Any, instance: Any) -> Any:
    already = instance._state.name
    if already in ("stopped", "stopping"):
        return type(instance._state)(already, _STATE_CODES[already])
    if already in ("terminated", "shutting-down"):
        message = f"This instance '{instance.id}' is not in a state from which it can be stopped."
        raise AwsError("IncorrectInstanceState", message)
    previous = original(instance)
    _set_state(instance, "running")
    _begin(instance, "stopping", "stopped", delayed=False)
    return previous


@wraps(Instance, "terminate")
def _terminate(original: Any, instance: Any) -> Any:
    if wanted_state(instance) == "terminated":
        already = instance._state.name
        return type(instance._state)(already, _STATE_CODES[already])
    address = instance.private_ip
    previous = original(instance)
    # What a terminated instance still shows is nothing; the reconciler needs to know what to take down.
    instance._lab_last_address = address
    _set_state(instance, "running")
    _begin(instance, "shutting-down", "terminated", delayed=False)
    return previous


@wraps(Instance, "setup_defaults")
def _root_volume_of_the_image(original: Any, instance: Any) -> None:
    volume = instance.ec2_backend.create_volume(size=8, zone_name=instance.placement.zone, volume_type="gp3")
    instance.ec2_backend.attach_volume(volume.id, instance.id, instance.root_device_name, True)


@checks("ec2", "RunInstances")
def refuse_what_cannot_start(request: AwsRequest) -> None:
    """Unknown keys, too much user data, and types of another architecture than the image's or the machine's."""
    params = request.params
    ec2 = backends.ec2(request.region)
    key_name = params.get("KeyName")
    if key_name and key_name not in ec2.key_pairs:
        raise AwsError("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")
    if len(base64.b64decode(str(params.get("UserData") or ""))) > _USER_DATA_LIMIT:
        raise AwsError("InvalidParameterValue", f"User data is limited to {_USER_DATA_LIMIT} bytes")
    instance_type = str(params.get("InstanceType") or "m1.small")
    described = INSTANCE_TYPES.get(instance_type)
    if described is None:
        raise AwsError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
    image = ec2.amis.get(params.get("ImageId"))
    _check_profile(params.get("IamInstanceProfile") or {})
    if image is None:
        return
    supported = described["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in supported:
        message = (
            f"The architecture '{','.join(supported)}' of the specified instance type does not match the architecture "
            f"'{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the "
            "architecture of the instance type or AMI."
        )
        raise AwsError("InvalidParameterValue", message)
    if machine_architecture() not in supported:
        message = (
            f"Your requested instance type ({instance_type}) is not supported in your requested Availability Zone. "
            f"The lab's hosts share this machine's kernel: choose an instance type with the architecture "
            f"{machine_architecture()}, and an image of it."
        )
        raise AwsError("Unsupported", message)


def _check_profile(given: dict[str, str]) -> None:
    known = backends.iam().instance_profiles.values()
    for part, names in (("name", {profile.name for profile in known}), ("arn", {profile.arn for profile in known})):
        value = given.get(part.capitalize())
        if value and value not in names:
            message = f"Value ({value}) for parameter iamInstanceProfile.{part} is invalid. "
            raise AwsError("InvalidParameterValue", f"{message}Invalid IAM Instance Profile {part}")


@answers("ec2", "RunInstances")
def the_same_token_runs_the_same_instances(request: AwsRequest) -> object:
    """A client token that was used returns what it made; moto would run more."""
    token = request.params.get("ClientToken")
    for reservation in backends.ec2(request.region).reservations.values():
        if token and reservation.instances and reservation.instances[0].client_token == token:
            return reservation
    return NotImplemented


@checks("ec2", "DescribeInstanceTypes")
def refuse_to_describe_unknown_types(request: AwsRequest) -> None:
    """AWS lists all unknown types in one error; moto has another code for it."""
    unknown = [name for name in request.params.get("InstanceTypes") or [] if name not in INSTANCE_TYPES]
    if unknown:
        message = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
        raise AwsError("InvalidInstanceType", message)


@completes("ec2", "RunInstances")
def give_every_instance_the_profile(request: AwsRequest) -> None:
    """moto gives the instance profile to the first instance of a reservation only."""
    profile = request.params.get("IamInstanceProfile") or {}
    if not profile:
        return
    ec2 = backends.ec2(request.region)
    newest = list(ec2.reservations.values())[-1]
    for instance in newest.instances[1:]:
        if instance.id in ec2.iam_instance_profile_associations:
            continue
        ec2.associate_iam_instance_profile(
            instance_id=instance.id,
            iam_instance_profile_name=profile.get("Name"),
            iam_instance_profile_arn=profile.get("Arn"),
        )


@answers("ec2", "GetConsoleOutput")
def console_output(request: AwsRequest) -> object:
    """The text that the reconciler reported, as base64; AWS sends at most the last 64 KiB."""
    instance = backends.ec2(request.region).get_instance(request.params["InstanceId"])
    text = current().consoles.get(instance.id, "")
    return {
        "InstanceId": instance.id,
        "Timestamp": datetime.now(UTC),
        "Output": base64.b64encode(text.encode()[-65536:]).decode(),
    }
