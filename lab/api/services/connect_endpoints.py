# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 Instance Connect Endpoints, which moto lacks: the description only, the tunnel is another server's work."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.operations import answers
from lab.api.request import AwsRequest
from lab.api.services.addresses import create_service_interface, delete_service_interface
from lab.api.settings import ACCOUNT
from lab.api.state import current

# Tags may be put on them like on everything else of EC2.
EC2_RESOURCE_TO_PREFIX["instance-connect-endpoint"] = "eice"
EC2_PREFIX_TO_RESOURCE["eice"] = "instance-connect-endpoint"

# By region and id, in the order of creation.
ENDPOINTS: dict[tuple[str, str], dict[str, Any]] = {}
_REQUESTER = "amazon-aws"


@answers("ec2", "CreateInstanceConnectEndpoint")
def create(request: AwsRequest) -> object:
    """Make the endpoint of a subnet; a client token given twice returns the first one's."""
    params = request.params
    ec2 = backends.ec2(request.region)
    token = params.get("ClientToken")
    for (region, _), endpoint in ENDPOINTS.items():
        if region == request.region and token and endpoint["_token"] == token:
            return {"InstanceConnectEndpoint": described(endpoint), "ClientToken": token}
    subnet = ec2.get_subnet(params["SubnetId"])
    if any(region == request.region and known["VpcId"] == subnet.vpc_id for (region, _), known in ENDPOINTS.items()):
        message = f"You've reached the limit of 1 Instance Connect Endpoint for the VPC {subnet.vpc_id}."
        raise AwsError("InstanceConnectEndpointLimitExceeded", message)
    groups = list(params.get("SecurityGroupIds") or [ec2.get_default_security_group(subnet.vpc_id).id])
    for group in groups:
        if ec2.get_security_group_from_id(group) is None:
            raise AwsError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
    name = f"eice-{secrets.token_hex(9)[:17]}"
    interface = create_service_interface(
        request.region, subnet.id, f"EC2 Instance Connect Endpoint {name}", groups, _REQUESTER
    )
    endpoint = {
        "_token": token,
        "OwnerId": ACCOUNT,
        "InstanceConnectEndpointId": name,
        "InstanceConnectEndpointArn": f"arn:aws:ec2:{request.region}:{ACCOUNT}:instance-connect-endpoint/{name}",
        "State": "create-in-progress",
        "StateMessage": "",
        "DnsName": f"{name}.{secrets.token_hex(4)}.ec2-instance-connect-endpoint.{request.region}.amazonaws.com",
        "NetworkInterfaceIds": [interface.id],
        "VpcId": subnet.vpc_id,
        "AvailabilityZone": subnet.availability_zone,
        "CreatedAt": datetime.now(UTC),
        "SubnetId": subnet.id,
        "PreserveClientIp": bool(params.get("PreserveClientIp", False)),
        "SecurityGroupIds": groups,
    }
    ENDPOINTS[request.region, name] = endpoint
    tags = _given_tags(params)
    if tags:
        ec2.create_tags([name], tags)

    def ready(state: str) -> None:
        endpoint["State"] = "create-complete" if state == "available" else "create-failed"

    # Nothing behind it takes time in the lab: it is ready at the next look.
    lifecycle = current().lifecycle
    lifecycle.begin("connect_endpoint", name, "available", ready)
    answer = {"InstanceConnectEndpoint": described(endpoint), "ClientToken": token}
    lifecycle.observe("connect_endpoint", name, "available")
    return answer


@answers("ec2", "DescribeInstanceConnectEndpoints")
def describe(request: AwsRequest) -> object:
    """List endpoints by id and filter, in pages."""
    params = request.params
    known = [described(endpoint) for (region, _), endpoint in ENDPOINTS.items() if region == request.region]
    wanted = params.get("InstanceConnectEndpointIds") or []
    for name in wanted:
        if (request.region, name) not in ENDPOINTS:
            message = f"The instance connect endpoint ID '{name}' does not exist"
            raise AwsError("InvalidInstanceConnectEndpointId.NotFound", message)
    if wanted:
        known = [endpoint for endpoint in known if endpoint["InstanceConnectEndpointId"] in wanted]
    for entry in params.get("Filters") or []:
        known = [endpoint for endpoint in known if _matches(endpoint, entry["Name"], entry.get("Values") or [])]
    start = int(params.get("NextToken") or 0)
    size = int(params.get("MaxResults") or 50)
    page = known[start : start + size]
    following = str(start + size) if start + size < len(known) else None
    return {"InstanceConnectEndpoints": page, "NextToken": following}


@answers("ec2", "DeleteInstanceConnectEndpoint")
def delete(request: AwsRequest) -> object:
    """Delete an endpoint and its network interface."""
    name = request.params["InstanceConnectEndpointId"]
    endpoint = ENDPOINTS.pop((request.region, name), None)
    if endpoint is None:
        message = f"The instance connect endpoint ID '{name}' does not exist"
        raise AwsError("InvalidInstanceConnectEndpointId.NotFound", message)
    shown = described(endpoint)
    backends.ec2(request.region).tags.pop(name, None)
    for interface in endpoint["NetworkInterfaceIds"]:
        delete_service_interface(request.region, interface)
    return {"InstanceConnectEndpoint": {**shown, "State": "delete-in-progress"}}


_FILTERS = {
    "instance-connect-endpoint-id": "InstanceConnectEndpointId",
    "state": "State",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
    "availability-zone": "AvailabilityZone",
}


def _matches(endpoint: dict[str, Any], name: str, values: list[str]) -> bool:
    if name.startswith("tag:"):
        found = [tag["Value"] for tag in endpoint["Tags"] if tag["Key"] == name.removeprefix("tag:")]
        return any(value in values for value in found)
    if name == "tag-key":
        return any(tag["Key"] in values for tag in endpoint["Tags"])
    if name not in _FILTERS:
        raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return endpoint[_FILTERS[name]] in values


def described(endpoint: dict[str, Any]) -> dict[str, Any]:
    """The endpoint with its tags, which live where those of all EC2 things do."""
    region = endpoint["InstanceConnectEndpointArn"].split(":")[3]
    tags = backends.ec2(region).tags.get(endpoint["InstanceConnectEndpointId"], {})
    return {**endpoint, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _given_tags(params: dict[str, Any]) -> dict[str, str]:
    return {
        str(tag["Key"]): str(tag.get("Value", ""))
        for specification in params.get("TagSpecifications") or []
        if specification.get("ResourceType") == "instance-connect-endpoint"
        for tag in specification.get("Tags") or []
    }
