# SPDX-License-Identifier: GPL-3.0-or-later
"""One variable moves the broker: the project's own wiring makes the rest follow. Each test builds on the last."""

from __future__ import annotations

from typing import Any

from tests.integration.provisioning.conftest import ROOT, Api, Run

STEPS = [
    "broker/preflight",
    "network",
    "secrets",
    "broker",
    "dns/zones",
    "identity",
    "hosts",
    "hosts/await",
    "broker/await",
    "dns",
    "secrets/compose",
]


def provision(api: Api, kind: str, **more: Any) -> Run:
    """Run the roles that have to do with the broker, wired by group_vars as every playbook is."""
    settings = {
        "network_nat": "none",
        "database_endpoint": "database.invalid",
        # No entrance: only the private zone.
        **dict.fromkeys(("dns_zone", "dns_name", "dns_load_balancer_name", "dns_load_balancer_zone_id"), ""),
        **more,
    }
    play = api.play(STEPS, files=(ROOT / "group_vars" / "all" / "wiring.yml",), **settings)
    # As group_vars/env_<name> does: it wins over group_vars/all.
    return api.run([play], "-e", f"broker_kind={kind}")


def groups_of(api: Api, name: str) -> set[str]:
    """The names of a host's security groups."""
    found = api.client("ec2").describe_instances(Filters=[{"Name": "tag:Name", "Values": [name]}])["Reservations"]
    (host,) = [host for reservation in found for host in reservation["Instances"]]
    return {group["GroupName"] for group in host["SecurityGroups"]}


def private_names(api: Api) -> set[str]:
    route53 = api.client("route53")
    (zone,) = [zone for zone in route53.list_hosted_zones()["HostedZones"] if zone["Name"] == "lab.internal."]
    records = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    return {record["Name"].removesuffix(".lab.internal.") for record in records if record["Type"] == "A"}


def broker_url(api: Api) -> str:
    secrets = api.client("secretsmanager")
    return str(secrets.get_secret_value(SecretId="freehold/lab/config/broker_url")["SecretString"])


def test_a_broker_on_the_schedulers_host(api: Api) -> None:
    run = provision(api, "host")
    assert run.code == 0, run.output
    assert groups_of(api, "lab-scheduler-1") == {"lab-host", "lab-scheduler", "lab-broker"}
    assert "broker" in private_names(api)
    assert "@broker.lab.internal:6379/0?" in broker_url(api)
    assert broker_url(api).endswith("ssl_ca_certs=/etc/freehold/broker-ca.pem")
    assert api.client("elasticache").describe_replication_groups()["ReplicationGroups"] == []


def test_two_scheduler_hosts_are_refused_before_the_first_write(api: Api) -> None:
    host = {"instance_type": "t3.medium", "volume_gib": 20, "count": 2, "name": "all"}
    run = provision(api, "host", hosts_fleet=[{**host, "duties": ["webserver", "scheduler", "worker"]}])
    assert run.code != 0
    assert "hosts_fleet has 2 hosts with the duty scheduler" in " ".join(run.output.split())
    assert run.writes == []


def test_the_broker_moves_to_elasticache(api: Api) -> None:
    run = provision(api, "elasticache")
    assert run.code == 0, run.output
    assert groups_of(api, "lab-scheduler-1") == {"lab-host", "lab-scheduler"}
    assert "broker" not in private_names(api)
    (cache,) = api.client("elasticache").describe_replication_groups()["ReplicationGroups"]
    assert f"@{cache['NodeGroups'][0]['PrimaryEndpoint']['Address']}:6379/0?" in broker_url(api)
    assert broker_url(api).endswith("ssl_ca_certs=/etc/ssl/certs/ca-certificates.crt")


def test_a_second_run_changes_nothing(api: Api) -> None:
    run = provision(api, "elasticache")
    assert (run.code, run.changed) == (0, 0), run.output
    assert run.writes == []
