# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of each provisioning role's README, from the installed collection: alone, and again without a write.

Only what names an account's own things (ids, the connection, this machine's kind of processor) is given other values.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import yaml

from tests.installed import ROOT, build, environment, examples, install
from tests.integration.provisioning.conftest import ACCESS_KEY, REGION, SECRET_KEY, Api, Run

# In this order, because each stands on some before it.
ROLES = [
    *("network", "secrets", "identity", "filesystem", "database", "broker", "log_bucket", "registry", "ci_access"),
    *("environment", "access", "certificate", "load_balancer", "dns", "hosts", "teardown"),
]
# The one refuses direct use, the other is a playbook: make plan.
INTERNAL = {"component", "reservations"}


def example(role: str) -> list[dict[str, Any]]:
    """Return the plays of the examples in a role's README."""
    plays: list[dict[str, Any]] = yaml.safe_load("".join(examples(ROOT / "roles" / role / "README.md")))
    return plays


@pytest.fixture(scope="module", autouse=True)
def installed(api: Api) -> None:
    """Nothing of this checkout is seen."""
    install(build(api.home / "archive"), api.home)
    api.folder, api.environment = api.home, environment(api.home)


@pytest.fixture(scope="module")
def zone(api: Api) -> str:
    """The public zone that an account has."""
    return str(api.client("route53").create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"])


def theirs(api: Api) -> dict[str, Any]:
    """What is another account's in the READMEs, as it is called in this one."""
    ec2 = api.client("ec2")
    ours = [{"Name": "tag:freehold:environment", "Values": ["prod"]}]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets(Filters=ours)["Subnets"]]
    groups = [group["GroupId"] for group in ec2.describe_security_groups(Filters=ours)["SecurityGroups"]]
    vpcs = [vpc["VpcId"] for vpc in ec2.describe_vpcs(Filters=ours)["Vpcs"]]
    connection = {
        "region": REGION,
        "endpoint_url": f"http://127.0.0.1:{api.port}",
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
    }
    fleet = [entry for play in example("hosts") for entry in play["vars"]["hosts_fleet"]]
    return {
        # The controller, for which Ansible needs no word where it is in no inventory.
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "freehold_aws_connection": connection,
        "filesystem_subnet_ids": subnets[:1],
        "filesystem_security_group_ids": groups[:1],
        "database_subnet_ids": subnets,
        "database_security_group_ids": groups[:1],
        "dns_vpc_id": (vpcs or [""])[0],
        "load_balancer_targets": [],
        "hosts_fleet": [{**entry, "instance_type": "t3.medium"} for entry in fleet],
        "hosts_public_key_file": str(api.home / "key.pub"),
        "hosts_known_hosts_file": str(api.home / "known_hosts"),
        "access_directory": str(api.home / "access"),
    }


def run(api: Api, role: str) -> Run:
    """Run a README's example as it stands there, but for the account."""
    return api.run(example(role), "-e", json.dumps(theirs(api)))


@pytest.mark.parametrize("role", ROLES)
def test_the_example_of_a_readme_works_and_changes_nothing_the_second_time(api: Api, zone: str, role: str) -> None:
    first = run(api, role)
    assert first.code == 0, first.output
    if role != "teardown":
        again = run(api, role)
        assert again.code == 0, again.output
        assert (again.changed, again.writes) == (0, [])


def test_every_role_that_stands_alone_has_an_example() -> None:
    for path in (ROOT / "roles").iterdir():
        if path.name not in INTERNAL:
            plays = example(path.name)
            used = [str(entry["role"]) for play in plays for entry in play.get("roles", [])]
            assert f"freehold.airflow.{path.name}" in used


@pytest.mark.parametrize("role", sorted(path.name for path in (ROOT / "roles").iterdir()))
def test_an_example_gives_what_its_role_requires(role: str) -> None:
    if role in INTERNAL:
        return
    specs = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    required = {name for name, option in specs["main"]["options"].items() if option.get("required")}
    given = {name for play in example(role) for name in play.get("vars", {})}
    assert required <= given
    own = {name for name in given if name.startswith(f"{role}_")}
    assert own <= {name for spec in specs.values() for name in spec.get("options", {})}
