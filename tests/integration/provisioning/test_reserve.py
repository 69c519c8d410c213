# SPDX-License-Identifier: GPL-3.0-or-later
"""Buying reservations: only the total that was typed, only once, whatever happens to the requests."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.provisioning.conftest import REGION, ROOT, Api, Run, running

WIRING: dict[str, Any] = {
    "reservations_fleet": "{{ hosts_fleet }}",
    "reservations_database_instance_class": "db.t4g.medium",
    "reservations_broker_kind": "elasticache",
    "reservations_wait_timeout": 0,
}
BUCKET = f"freehold-reservations-123456789012-{REGION}"
TOTAL = re.compile(r"Total: (\d+\.\d\d) USD")
COMMAND = re.compile(r"playbooks/reserve.yml (?:-e \S+ )+\(make reserve TOTAL=\S+(?: OWNED=\d+)?\)")
ACTION = re.compile(r"`([a-z0-9]+:[A-Za-z]+)`")
TERMS: dict[str, Any] = {
    "environment": "lab",
    "years": 1,
    "payment": "No Upfront",
    "price_limit": "100000",
    "wait_timeout": 0,
}
ONE_OF: dict[str, dict[str, Any]] = {
    "ec2": {"type": "t3.small", "product": "Linux/UNIX"},
    "rds": {"type": "db.t4g.small", "product": "postgresql"},
    "elasticache": {"type": "cache.t4g.small", "product": "valkey"},
}
MODULES = {
    "ec2": "ec2_reserved_instances",
    "rds": "rds_reserved_instances",
    "elasticache": "elasticache_reserved_nodes",
}
OPERATIONS = {
    "ec2": "PurchaseReservedInstancesOffering",
    "rds": "PurchaseReservedDBInstancesOffering",
    "elasticache": "PurchaseReservedCacheNodesOffering",
}


def open_ledger(api: Api, name: str = BUCKET) -> None:
    """Make the bucket in which purchases are written down, as buy.yml does before it buys."""
    s3 = api.client("s3")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give an account beside the other, where nothing is written down and nothing owned."""
    with running(tmp_path_factory.mktemp("account")) as found:
        open_ledger(found)
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give an account in which others will run what we run."""
    with running(tmp_path_factory.mktemp("shared")) as found:
        yield found


def purchases(requests: list[dict[str, Any]]) -> list[str]:
    return [request["operation"] for request in requests if request["operation"] in OPERATIONS.values()]


def bought(run: Run) -> list[str]:
    return purchases(run.requests)


def typed(output: str) -> list[str]:
    """The arguments that a run without a total says to type."""
    found = COMMAND.search(output)
    assert found, output
    return [argument for pair in re.findall(r"reservations_\w+=\S+", found[0]) for argument in ("-e", pair)]


def at_once(api: Api, *arguments: str) -> tuple[list[int], list[str], list[dict[str, Any]]]:
    """Run reserve.yml twice at the same time: how both ended, what they said, and what AWS was asked."""
    given = json.dumps(api.variables(**{**WIRING, "reservations_wait_timeout": 120}))
    command: list[str | Path] = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,"]
    command += [ROOT / "playbooks" / "reserve.yml", "-e", given, *arguments]
    before = len(api.logged())
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [run.communicate(timeout=300)[0] for run in runs]
    return [run.returncode for run in runs], outputs, api.logged()[before:]


def run_as_others(api: Api, count: int) -> None:
    """Run hosts of our own size, which are not ours."""
    ec2 = api.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.1.0/24")["Subnet"]["SubnetId"]
    image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, InstanceType="t3.medium", MinCount=count, MaxCount=count, SubnetId=subnet)


def owned(api: Api, type_name: str = "") -> dict[str, int]:
    """How many are owned, by service."""
    counts = {}
    for service, lists in {
        "ec2": ("describe_reserved_instances", "ReservedInstances", "InstanceType", "InstanceCount"),
        "rds": ("describe_reserved_db_instances", "ReservedDBInstances", "DBInstanceClass", "DBInstanceCount"),
        "elasticache": ("describe_reserved_cache_nodes", "ReservedCacheNodes", "CacheNodeType", "CacheNodeCount"),
    }.items():
        operation, key, kind, count = lists
        found = getattr(api.client(service), operation)()[key]
        counts[service] = sum(item[count] for item in found if item[kind].endswith(type_name))
    return counts


def as_buyer(api: Api, name: str, without: str = "") -> dict[str, str]:
    """The connection of a user with the permissions that are written down for planning and buying, but for one."""
    plan = ACTION.findall((ROOT / "roles" / "reservations" / "README.md").read_text())
    block = (ROOT / "docs" / "quickstart-aws.md").read_text().partition("```json\n")[2].partition("```")[0]
    statements: list[dict[str, Any]] = json.loads(block)
    assert len(statements) == 3
    statements.append({"Effect": "Allow", "Action": plan, "Resource": "*"})
    for statement in statements:
        given = statement["Action"]
        statement["Action"] = [action for action in ([given] if isinstance(given, str) else given) if action != without]
    iam = api.client("iam")
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": statements}
    iam.put_user_policy(UserName=name, PolicyName="buy", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    connection = dict(api.variables()["freehold_aws_connection"])
    return {**connection, "access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}


def task(service: str, **more: Any) -> dict[str, Any]:
    return {
        "name": f"Own reservations of {service}",
        f"freehold.airflow.{MODULES[service]}": {**TERMS, **ONE_OF[service], "count": 1, **more},
        "register": "found",
        "ignore_errors": True,
    }


def note(name: str, path: Path) -> dict[str, Any]:
    content = {"content": "{{ found | to_json }}", "dest": str(path / f"{name}.json"), "mode": "0600"}
    return {"name": f"Note {name}", "ansible.builtin.copy": content}


def modules(api: Api, tmp_path: Path, **tasks: dict[str, Any]) -> tuple[Run, dict[str, dict[str, Any]]]:
    """Run tasks in one play, each whatever became of the others, and return what each said."""
    play = api.play([])
    for name, each in tasks.items():
        play["tasks"] += [each, note(name, tmp_path)]
    run = api.run([play])
    assert run.code == 0, run.output
    return run, {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in tasks}


def test_a_purchase_is_shown_then_typed_then_made_once(api: Api) -> None:
    """With no more than the permissions that are written down."""
    plays = [api.play(["reservations/buy"], **WIRING)]
    plays[0]["vars"]["freehold_aws_connection"] = as_buyer(api, "buyer")
    run = api.run(plays)
    assert run.code == 0, run.output
    assert run.writes == []
    found = TOTAL.search(run.output)
    assert found, run.output
    total = found[1]
    assert f"make reserve TOTAL={total}" in run.output
    run = api.run(plays, "-e", f"reservations_total={float(total) + 0.01:.2f}")
    assert run.code != 0
    assert "Nothing was bought" in run.output
    assert run.writes == []
    run = api.run(plays, "--check", "-e", f"reservations_total={total}")
    assert run.code == 0, run.output
    assert run.writes == []
    run = api.run(plays, "-e", f"reservations_total={total}")
    assert run.code == 0, run.output
    assert sorted(bought(run)) == sorted(OPERATIONS.values())
    assert owned(api) == {"ec2": 4, "rds": 1, "elasticache": 2}
    assert re.search(r"ec2: 0.0 % covered before, [\d.]+ % now, 100.0 % when all is paid", run.output)
    (reserved,) = api.client("ec2").describe_reserved_instances()["ReservedInstances"]
    assert reserved["Tags"] == [{"Key": "freehold:environment", "Value": "lab"}]
    # By the playbook itself, which a person types a second time.
    run = api.playbook("reserve", "-e", f"reservations_total={total}", **WIRING)
    assert run.code == 0, run.output
    assert (run.changed, run.writes) == (0, [])
    assert "No reservation is missing" in run.output


def test_terms_on_which_aws_sells_nothing_are_refused_before_anything_is_bought(api: Api) -> None:
    play = api.play(["reservations/buy"], **{**WIRING, "reservations_database_instance_class": "db.m7g.large"})
    run = api.run([play], "-e", "reservations_years=3", "-e", "reservations_total=1.00")
    assert run.code != 0
    assert "AWS has no reservation for 1 x db.m7g.large (rds, postgresql) for 3 years, No Upfront." in run.output
    assert run.writes == []


def test_lost_and_refused_requests_never_buy_twice(api: Api, tmp_path: Path) -> None:
    open_ledger(api)
    for service, operation in OPERATIONS.items():
        for kind in ("throttled", "lost-after", "lost-before"):
            api.admin("faults", {"operation": operation, "kind": kind})
        run, found = modules(
            api,
            tmp_path,
            throttled=task(service),
            found=task(service),
            again=task(service),
            lost=task(service, count=2),
            blocked=task(service, count=2),
        )
        assert "throttles requests and took no purchase" in found["throttled"]["msg"]
        assert (found["found"]["changed"], len(found["found"]["bought"])) == (True, 1)
        assert not found["again"]["changed"]
        assert "run this again an hour from now" in found["lost"]["msg"]
        assert "has no outcome yet" in found["blocked"]["msg"]
        assert bought(run) == [operation] * 3
        assert owned(api, ".small")[service] == 1


def test_a_purchase_that_is_met_with_silence_is_found_in_the_account(tmp_path: Path) -> None:
    """By the time-out that the module itself sets, a minute."""
    with running(tmp_path) as alone:
        open_ledger(alone)
        alone.admin("faults", {"operation": OPERATIONS["ec2"], "kind": "hang-after"})
        run, found = modules(alone, tmp_path, silent=task("ec2", count=2), again=task("ec2", count=2))
        assert (found["silent"]["changed"], len(found["silent"]["bought"])) == (True, 1)
        assert not found["again"]["changed"]
        assert bought(run) == [OPERATIONS["ec2"]]
        assert owned(alone)["ec2"] == 2


@pytest.mark.parametrize("service", OPERATIONS)
def test_a_price_that_rises_after_it_was_shown_is_not_paid(account: Api, service: str) -> None:
    """From the role's own tasks: what was shown, a cent less than what AWS asks now."""
    item = {**ONE_OF[service], "service": service, "count": 3, "own": 3, "multi_az": False, "tenancy": "default"}

    def order(shown: Decimal) -> Run:
        purchases = {"items": [{**item, "offering": "", "total": f"{shown:.2f}"}]}
        known: dict[str, Any] = {
            "__reservations_purchases": purchases,
            "__reservations_settled": {"ledger_bucket": BUCKET},
        }
        return account.run([account.play(["reservations/order"], **known, __reservations_rehearsal=False)])

    asked = re.search(r"would cost (\d+\.\d\d) USD over 1 year", order(Decimal("0.01")).output)
    assert asked
    run = order(Decimal(asked[1]) - Decimal("0.01"))
    assert run.code != 0
    assert f"would cost {asked[1]} USD over 1 year, which is above the limit" in run.output
    assert run.writes == []


def test_a_missing_permission_is_named(account: Api, tmp_path: Path) -> None:
    for service, operation in OPERATIONS.items():
        missing = f"{service}:{operation}"
        connection = as_buyer(account, f"no-{service}", without=missing)
        play = account.play([])
        play["vars"]["freehold_aws_connection"] = connection
        play["tasks"] = [task(service)]
        run = account.run([play])
        assert f"The permission {missing} is missing; nothing was bought" in run.output
        assert owned(account)[service] == 0


def test_of_two_runs_at_once_one_buys(account: Api) -> None:
    play = account.play([])
    play["tasks"] = [{**task("ec2", count=3, wait_timeout=120), "ignore_errors": False}]
    playbook = account.home / "twice.yml"
    playbook.write_text(yaml.safe_dump([play]))
    command: list[str | Path] = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", playbook]
    before = len(account.logged())
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    operations = [request["operation"] for request in account.logged()[before:]]
    assert operations.count(OPERATIONS["ec2"]) == 1
    assert owned(account)["ec2"] == 3
    assert sorted(bool("changed=1" in output) for output in outputs) == [False, True]


def test_two_playbooks_at_once_buy_once(shared: Api) -> None:
    run = shared.playbook("reserve", **WIRING)
    assert run.code == 0, run.output
    arguments = typed(run.output)
    assert [pair.partition("=")[0] for pair in arguments[1::2]] == ["reservations_total"]
    codes, outputs, requests = at_once(shared, *arguments)
    assert sorted(purchases(requests)) == sorted(OPERATIONS.values()), outputs
    assert 0 in codes, outputs
    assert owned(shared) == {"ec2": 4, "rds": 1, "elasticache": 2}


def test_beside_equal_instances_of_others_the_same_command_buys_once(shared: Api) -> None:
    """Theirs get the discount, so that the gap and its total are the same after each purchase."""
    run_as_others(shared, 12)
    run = shared.playbook("reserve", **WIRING)
    assert run.code == 0, run.output
    told = " ".join(run.output.split())
    assert "Others would take 8 of these 8 units of EC2." in told
    assert "Others use 8 units of the reservations of EC2 that are owned already." in told
    arguments = typed(run.output)
    assert arguments[3] == "reservations_owned=4"
    alone = shared.playbook("reserve", *arguments[:2], **WIRING)
    assert alone.code != 0
    assert "reservations_owned is '', and 4 of these kinds are owned now. Nothing was bought." in alone.output
    assert alone.writes == []
    codes, outputs, requests = at_once(shared, *arguments)
    assert purchases(requests) == [OPERATIONS["ec2"]], outputs
    assert 0 in codes, outputs
    assert owned(shared)["ec2"] == 8
    again = shared.playbook("reserve", *arguments, **WIRING)
    assert again.code != 0
    assert "reservations_owned is '4', and 8 of these kinds are owned now. Nothing was bought." in again.output
    assert again.writes == []
    run = shared.playbook("reserve", **WIRING)
    assert typed(run.output) == [*arguments[:3], "reservations_owned=8"]


def test_what_was_bought_before_a_purchase_failed_is_shown(shared: Api) -> None:
    more = {**WIRING, "reservations_database_instance_class": "db.m7g.large"}
    run = shared.playbook("reserve", **more)
    arguments = typed(run.output)
    shared.admin("faults", {"operation": OPERATIONS["rds"], "kind": "throttled"})
    run = shared.playbook("reserve", *arguments, **more)
    assert run.code != 0
    assert bought(run) == [OPERATIONS["ec2"], OPERATIONS["rds"]]
    assert "throttles requests and took no purchase" in run.output
    assert "New: 4 x t3.medium (ec2, Linux/UNIX), " in run.output
    assert re.search(r"rds: 0.0 % covered before, 0.0 % now, 0.0 % when all is paid", run.output)


def test_a_rest_and_what_is_queued_are_told_by_gate_and_reserve(shared: Api, tmp_path: Path) -> None:
    host = {"name": "worker", "duties": ["worker"], "instance_type": "t3.large", "count": 1, "volume_gib": 20}
    more = {**WIRING, "reservations_fleet": [host]}
    # One unit; what was bought before it goes to the hosts of others.
    modules(shared, tmp_path, small=task("ec2"))
    rest = "3 units of EC2 stay open, less than one t3.large, the smallest type that is open;"
    run = shared.run([shared.play(["reservations/gate"], **more, reservations_minimum_coverage=50)])
    assert run.code != 0
    assert "Reservations cover only 25.0 % of ec2" in run.output
    assert rest in run.output
    assert "Missing" not in run.output
    run = shared.playbook("reserve", **more)
    assert run.code == 0, run.output
    told = " ".join(run.output.split())
    assert "Nothing is to be bought." in told
    assert rest in told
    assert run.writes == []
    ec2 = shared.client("ec2")
    (offer,) = ec2.describe_reserved_instances_offerings(
        InstanceType="t3.large",
        OfferingClass="standard",
        OfferingType="No Upfront",
        IncludeMarketplace=False,
        MaxDuration=31536000,
        Filters=[{"Name": "scope", "Values": ["Region"]}],
    )["ReservedInstancesOfferings"]
    begins = datetime.now(UTC) + timedelta(days=30)
    ec2.purchase_reserved_instances_offering(
        ReservedInstancesOfferingId=offer["ReservedInstancesOfferingId"], InstanceCount=1, PurchaseTime=begins
    )
    run = shared.playbook("reserve", **more)
    assert run.code == 0, run.output
    told = " ".join(run.output.split())
    assert "No reservation is missing; nothing is to be bought." in told
    assert "What is open is bought, and not in force yet." in told
    assert f"Counted, although not in force before {begins:%Y-%m-%d}: ec2 reservation" in told


def test_the_quota_of_a_month_is_told(account: Api, tmp_path: Path) -> None:
    _, found = modules(
        account,
        tmp_path,
        ours=task("ec2", count=21, max_count=50),
        aws=task("ec2", count=21, max_count=50, monthly_quota=0),
    )
    assert "AWS sells 20 reserved instances a month for a region" in found["ours"]["msg"]
    assert "beyond a quota of the account; nothing was bought" in found["aws"]["msg"]
    assert "ReservedInstancesLimitExceeded" in found["aws"]["msg"]


def test_the_gate_stops_site_before_the_first_write(account: Api) -> None:
    run = account.playbook("provision", **WIRING, reservations_minimum_coverage=50)
    assert run.code != 0
    assert "Reservations cover only" in run.output
    assert "0.0 % of elasticache and 0.0 % of rds, but reservations_minimum_coverage demands 50" in run.output
    assert "2 x cache.t4g.micro (elasticache, valkey), 1 x db.t4g.medium (rds, postgresql)" in run.output
    assert "playbooks/reserve.yml" in run.output
    assert run.writes == []


def test_the_gate_of_site_counts_zonal_reservations_where_there_is_a_network(account: Api) -> None:
    """Hosts live in the zones of the subnets, so the gate has to know of those before the run has made anything."""
    run = account.run([account.play(["network/preflight", "network"])])
    assert run.code == 0, run.output
    ec2 = account.client("ec2")
    ours = [
        {"Name": "tag:freehold:environment", "Values": ["lab"]},
        {"Name": "tag:freehold:subnet", "Values": ["private"]},
    ]
    zones = {subnet["AvailabilityZone"] for subnet in ec2.describe_subnets(Filters=ours)["Subnets"]}
    assert len(zones) == 2
    for zone in zones:
        offer = ec2.describe_reserved_instances_offerings(
            InstanceType="t3.medium",
            AvailabilityZone=zone,
            OfferingClass="standard",
            OfferingType="No Upfront",
            IncludeMarketplace=False,
            MaxDuration=31536000,
        )["ReservedInstancesOfferings"][0]
        ec2.purchase_reserved_instances_offering(
            ReservedInstancesOfferingId=offer["ReservedInstancesOfferingId"], InstanceCount=4
        )
    # The first look books the payment.
    ec2.describe_reserved_instances()
    subnets = yaml.safe_load((ROOT / "group_vars" / "all" / "wiring.yml").read_text())["reservations_subnets"]
    run = account.playbook("provision", **WIRING, reservations_subnets=subnets, reservations_minimum_coverage=50)
    assert run.code != 0
    assert "Reservations cover only 0.0 % of elasticache and 0.0 % of rds, but" in run.output, run.output
    assert run.writes == []


def test_the_gate_lets_a_covered_fleet_pass_and_asks_nothing_when_it_is_off(api: Api, tmp_path: Path) -> None:
    # A ledger of its own: another test leaves a purchase without an outcome behind.
    ledger = "freehold-reservations-gate"
    open_ledger(api, ledger)
    fleet = {"ec2": ("t3.medium", 4), "rds": ("db.t4g.medium", 1), "elasticache": ("cache.t4g.micro", 2)}
    orders = {
        service: task(service, type=name, count=count, ledger_bucket=ledger) for service, (name, count) in fleet.items()
    }
    modules(api, tmp_path, **orders)
    run = api.run([api.play(["reservations/gate"], **WIRING, reservations_minimum_coverage=100)])
    assert run.code == 0, run.output
    assert [request["operation"] for request in run.requests if "Reserved" in request["operation"]] != []
    run = api.run([api.play(["reservations/gate"], **WIRING, reservations_gate_tells=False)])
    assert run.code == 0, run.output
    assert run.requests == []


def test_the_gate_tells_where_nothing_is_demanded_and_needs_no_permission_for_it(account: Api) -> None:
    play = account.play(["reservations/gate"], **WIRING)
    run = account.run([play])
    assert run.code == 0, run.output
    told = " ".join(run.output.split())
    assert re.search(r"cover \d+\.\d % of ec2 and \d+\.\d % of elasticache and \d+\.\d % of rds of the fleet", told)
    missing = "rds:DescribeReservedDBInstances"
    play["vars"]["freehold_aws_connection"] = as_buyer(account, "no-look", without=missing)
    run = account.run([play])
    assert run.code == 0, run.output
    told = " ".join(run.output.split())
    assert "It is not known what reservations cover, and nothing demands it: " in told
    assert missing in told
    play["vars"]["reservations_minimum_coverage"] = 50
    run = account.run([play])
    assert run.code != 0
    told = " ".join(run.output.split())
    assert "It is not known what reservations cover, but reservations_minimum_coverage demands 50" in told
    assert missing in told
