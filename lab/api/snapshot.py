# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API says should be real, as one JSON object: the whole input of the reconciler."""

from __future__ import annotations

from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from lab.api import backends
from lab.api.services import (
    cache_groups,
    caches,
    certificates,
    connect_endpoints,
    databases,
    file_systems,
    load_balancers,
)
from lab.api.services.instances import public_key, user_data_base64, wanted_state
from lab.api.settings import ACCOUNT
from lab.api.state import Lab

Json = dict[str, Any]


def take(lab: Lab) -> Json:
    """Describe everything of the lab's region. Hold the lab's lock."""
    ec2 = backends.ec2()
    return {
        "epoch": lab.epoch,
        "revision": lab.revision,
        "region": lab.settings.region,
        "account": ACCOUNT,
        "vpcs": [{"id": vpc.id, "cidr": vpc.cidr_block} for vpc in ec2.vpcs.values() if not vpc.is_default],
        "subnets": [_subnet(ec2, subnet) for subnet in _subnets(ec2)],
        "instances": [_instance(instance) for instance in ec2.all_instances() if _relevant(instance)],
        "databases": [_database(database) for database in backends.rds().databases.values()],
        "caches": [_cache(group) for group in backends.elasticache().replication_groups.values()],
        "file_systems": [_file_system(lab, file_system) for file_system in backends.efs().file_systems_by_id.values()],
        "load_balancers": [_load_balancer(balancer) for balancer in backends.elbv2().load_balancers.values()],
        "target_groups": [_target_group(ec2, group) for group in backends.elbv2().target_groups.values()],
        "certificates": [
            _certificate(certificate)
            for certificate in backends.acm()._certificates.values()
            if certificate.status == "ISSUED"
        ],
        "security_groups": [_security_group(group) for groups in ec2.groups.values() for group in groups.values()],
        "repositories": [{"name": name} for name in backends.ecr().repositories],
        "connect_endpoints": [
            _connect_endpoint(ec2, endpoint)
            for (region, _), endpoint in connect_endpoints.ENDPOINTS.items()
            if region == lab.settings.region
        ],
    }


def _subnets(ec2: Any) -> list[Any]:
    return [subnet for zone in ec2.subnets.values() for subnet in zone.values() if not _of_default_vpc(ec2, subnet)]


def _of_default_vpc(ec2: Any, subnet: Any) -> bool:
    vpc = ec2.vpcs.get(subnet.vpc_id)
    return vpc is None or bool(vpc.is_default)


def _subnet(ec2: Any, subnet: Any) -> Json:
    return {
        "id": subnet.id,
        "cidr": subnet.cidr_block,
        "zone": subnet.availability_zone,
        "vpc_id": subnet.vpc_id,
        "egress": _egress(ec2, subnet),
    }


def _egress(ec2: Any, subnet: Any) -> str:
    """The way out by the subnet's route table (its own, or the main one of the VPC)."""
    tables = [table for table in ec2.route_tables.values() if table.vpc_id == subnet.vpc_id]
    own = [table for table in tables if subnet.id in table._associations.values()]
    main = [table for table in tables if table.main_association_id]
    for table in (own or main)[:1]:
        for route in table.routes:
            if route.destination_cidr_block != "0.0.0.0/0":
                continue
            if route.nat_gateway is not None:
                return "nat"
            if route.gateway is not None:
                return "internet"
    return "none"


def _relevant(instance: Any) -> bool:
    return bool(instance._state.name != "terminated")


def _instance(instance: Any) -> Json:
    described = INSTANCE_TYPES.get(instance.instance_type) or {}
    return {
        "id": instance.id,
        "state": wanted_state(instance),
        "private_ip": instance.nics[0].private_ip_address if instance.nics else instance._lab_last_address,
        "public_ip": instance.nics[0].public_ip if instance.nics else None,
        "subnet_id": instance.subnet_id,
        "vpc_id": instance.vpc_id,
        "zone": instance.placement.zone,
        "public_key": public_key(instance),
        "user_data": user_data_base64(instance),
        "hostname": instance.private_dns_name,
        "image_id": instance.image_id,
        "architecture": instance.architecture,
        "instance_type": instance.instance_type,
        "memory_mib": (described.get("MemoryInfo") or {}).get("SizeInMiB"),
        "security_groups": _group_ids(instance.nics[0]) if instance.nics else [],
        "hop_limit": instance.metadata_options.http_put_response_hop_limit,
        "tags": {tag["key"]: tag["value"] for tag in instance.get_tags()},
    }


def _group_ids(interface: Any) -> list[str]:
    return sorted({group.id for group in interface.group_set})


def _database(database: Any) -> Json:
    interface = database._lab_interface
    return {
        "id": database.db_instance_identifier,
        "engine": database.engine,
        "version": database.engine_version,
        "status": database.status,
        "endpoint": database.address,
        "port": int(database.port),
        "master_username": database.master_username,
        "master_password": getattr(database, "_master_user_password", None),
        "db_name": database.db_name,
        "force_tls": databases.force_tls(database),
        "vpc_id": interface.vpc_id if interface is not None else None,
        "private_ip": interface.private_ip_address if interface is not None else None,
        "security_groups": list(database.vpc_security_group_ids),
        "parameters": {
            name: value["ParameterValue"]
            for group in database.db_parameter_groups()
            for name, value in group.parameters.items()
            if "ParameterValue" in value
        },
    }


def _cache(group: Any) -> Json:
    interface = group._lab_interface
    return {
        "id": group.replication_group_id,
        "engine": group.engine,
        "version": group.engine_version,
        "status": group.status,
        "auth_token": group._lab_auth_token,
        "tls": bool(group.transit_encryption_enabled),
        "endpoint": caches.primary_endpoint(group),
        "endpoints": caches.endpoint_names(group),
        "port": int(group.port),
        "parameters": cache_groups.parameters(group._lab_region, group.cache_parameter_group_name),
        "vpc_id": interface.vpc_id if interface is not None else None,
        "private_ip": interface.private_ip_address if interface is not None else None,
        "security_groups": list(group.security_group_ids or []),
    }


def _file_system(lab: Lab, file_system: Any) -> Json:
    return {
        "id": file_system.file_system_id,
        "dns_name": file_systems.dns_name(file_system, lab.settings.region),
        "state": file_system.life_cycle_state,
        "policy": file_system.file_system_policy,
        "mount_targets": [
            {
                "id": target.mount_target_id,
                "ip": target.ip_address,
                "zone": target._subnet.availability_zone,
                "subnet_id": target.subnet_id,
                "vpc_id": target.vpc_id,
                "security_groups": list(target.security_groups or []),
                "state": target._lab_state,
            }
            for target in file_system.iter_mount_targets()
        ],
    }


def _load_balancer(balancer: Any) -> Json:
    return {
        "arn": balancer.arn,
        "name": balancer.name,
        "type": balancer.type,
        "dns_name": balancer.dns_name,
        "scheme": balancer.scheme,
        "vpc_id": balancer.vpc_id,
        "ips": load_balancers.addresses(balancer),
        "security_groups": list(balancer.security_groups or []),
        "attributes": dict(balancer.attrs),
        "listeners": [_listener(listener) for listener in balancer.listeners.values()],
    }


def _listener(listener: Any) -> Json:
    return {
        "arn": listener.arn,
        "port": int(listener.port),
        "protocol": listener.protocol,
        "certificate_arns": list(dict.fromkeys(listener.certificates)),
        "ssl_policy": listener.ssl_policy,
        "default_actions": [action.data for action in listener.default_actions],
        "rules": [
            {
                "priority": int(rule.priority),
                "conditions": rule.conditions,
                "actions": [action.data for action in rule.actions],
            }
            for rule in sorted(listener._non_default_rules.values(), key=lambda rule: int(rule.priority))
        ],
    }


def _target_group(ec2: Any, group: Any) -> Json:
    return {
        "arn": group.arn,
        "name": group.name,
        "vpc_id": group.vpc_id,
        "protocol": group.protocol,
        "port": int(group.port) if group.port is not None else None,
        "attributes": {key: str(value) for key, value in group.attributes.items()},
        "health_check": {
            "protocol": group.health_check_protocol,
            "path": group.health_check_path,
            "port": group.health_check_port,
            "interval": int(group.health_check_interval_seconds),
            "timeout": int(group.health_check_timeout_seconds),
            "healthy": int(group.healthy_threshold_count),
            "unhealthy": int(group.unhealthy_threshold_count),
            "matcher": (getattr(group, "matcher", None) or {}).get("HttpCode"),
        },
        "targets": [
            {"id": target["Id"], "ip": _target_address(ec2, target["Id"]), "port": int(target["Port"])}
            for target in group.targets.values()
        ],
    }


def _target_address(ec2: Any, target_id: str) -> str | None:
    if not target_id.startswith("i-"):
        return target_id
    for instance in ec2.all_instances():
        if instance.id == target_id:
            return str(instance.nics[0].private_ip_address) if instance.nics else None
    return None


def _certificate(certificate: Any) -> Json:
    shown: Json = {"arn": certificate.arn, "domains": certificates.domains(certificate), "type": certificate.type}
    if certificate.type == "IMPORTED":
        # The owner's own: there is nothing for the lab's CA to issue.
        shown["certificate_pem"] = certificate.cert.decode()
        shown["key_pem"] = certificate.key.decode()
    return shown


def _security_group(group: Any) -> Json:
    return {
        "id": group.id,
        "name": group.name,
        "vpc_id": group.vpc_id,
        "ingress": [_rule(rule) for rule in group.ingress_rules],
        "egress": [_rule(rule) for rule in group.egress_rules],
    }


def _rule(rule: Any) -> Json:
    return {
        "protocol": str(rule.ip_protocol),
        "from": None if rule.from_port is None else int(rule.from_port),
        "to": None if rule.to_port is None else int(rule.to_port),
        "cidrs": [rule.cidr_ipv4] if rule.cidr_ipv4 else [],
        "groups": [rule.source_group["GroupId"]] if "GroupId" in rule.source_group else [],
    }


def _connect_endpoint(ec2: Any, endpoint: Json) -> Json:
    interface = ec2.enis.get(endpoint["NetworkInterfaceIds"][0])
    return {
        "id": endpoint["InstanceConnectEndpointId"],
        "dns_name": endpoint["DnsName"],
        "vpc_id": endpoint["VpcId"],
        "subnet_id": endpoint["SubnetId"],
        "private_ip": interface.private_ip_address if interface is not None else None,
        "preserve_client_ip": endpoint["PreserveClientIp"],
        "security_groups": endpoint["SecurityGroupIds"],
    }
