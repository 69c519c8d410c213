# SPDX-License-Identifier: GPL-3.0-or-later
"""Sharing out reservations: AWS's own worked examples, each rule, and what must hold for any input."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.matching import Match, match, near_ours
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import (
    MULTI_AZ,
    Reservation,
    Service,
    Usage,
)
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.rules import is_flexible
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.units import twentieths, units
from hypothesis import given, settings
from hypothesis import strategies as st

LINUX = "Linux/UNIX"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html#ri-instance-size-flexibility-limitations
RIGID = "g4ad g4dn g5 g5g g6 g6e g6f gr6 gr6f hpc7a p5 inf1 inf2 u7i-6tb u7i-8tb"


def run(name: str, type_name: str, **parts: Any) -> Usage:
    return Usage(**{"name": name, "service": "ec2", "type": type_name, "product": LINUX, **parts})


def own(type_name: str, count: int = 1, **parts: Any) -> Reservation:
    return Reservation(
        **{"id": f"{type_name}-{parts}", "service": "ec2", "type": type_name, "product": LINUX, "count": count, **parts}
    )


def covered(found: Match) -> dict[str, float]:
    """Units that each thing got."""
    return {need.usage.name: units(need.amount - need.open) for need in found.needs}


def shares(found: Match) -> dict[str, float]:
    """The share of each thing that is covered."""
    return {need.usage.name: (need.amount - need.open) / need.amount for need in found.needs}


def wasted(found: Match) -> float:
    return units(sum(supply.open for supply in found.supplies))


# ---- https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html ----------------------------------------------


def test_aws_scenario_1_zonal_and_regional_reservations_in_one_account() -> None:
    fleet = [run(f"m3-{number}", "m3.large", zone="us-east-1a") for number in range(4)]
    fleet += [run(f"m4-{number}", "m4.xlarge", zone="us-east-1b") for number in range(2)]
    fleet += [run("c4", "c4.xlarge", zone="us-east-1c")]
    found = match(fleet, [own("m3.large", 4, zone="us-east-1a"), own("m4.large", 4), own("c4.large")])
    assert shares(found) == {**dict.fromkeys(("m3-0", "m3-1", "m3-2", "m3-3", "m4-0", "m4-1"), 1.0), "c4": 0.5}
    assert wasted(found) == 0


def test_aws_scenario_2_from_the_smallest_to_the_largest() -> None:
    fleet = [run(f"xlarge-{number}", "m3.xlarge", zone="us-east-1a") for number in range(2)]
    fleet += [run(f"large-{number}", "m3.large", zone="us-east-1b") for number in range(2)]
    found = match(fleet, [own("m3.2xlarge")])
    assert covered(found) == {"large-0": 4, "large-1": 4, "xlarge-0": 8, "xlarge-1": 0}


def test_aws_scenario_3_the_purchasing_account_comes_first() -> None:
    fleet = [run(f"a-m4-{number}", "m4.xlarge", account="A") for number in range(2)]
    fleet += [run("a-m4-big", "m4.2xlarge", account="A"), run("a-c4-big", "c4.2xlarge", account="A")]
    fleet += [run(f"a-c4-{number}", "c4.xlarge", account="A") for number in range(2)]
    fleet += [run(f"b-m4-{number}", "m4.xlarge", account="B") for number in range(2)]
    found = match(fleet, [own("m4.xlarge", 4, account="A"), own("c4.xlarge", 2, account="A")])
    assert shares(found) == {
        **dict.fromkeys(("a-m4-0", "a-m4-1", "a-m4-big", "a-c4-0", "a-c4-1"), 1.0),
        **dict.fromkeys(("a-c4-big", "b-m4-0", "b-m4-1"), 0.0),
    }


def test_aws_scenario_4_the_zonal_one_of_another_account_before_ones_own_regional_one() -> None:
    fleet = [run("a", "m4.xlarge", account="A", zone="us-east-1a")]
    fleet += [run("b", "m4.xlarge", account="B", zone="us-east-1b")]
    regional = own("m4.xlarge", account="A", id="regional")
    zonal = own("m4.xlarge", account="C", id="zonal", zone="us-east-1a")
    found = match(fleet, [regional, zonal])
    assert {(grant.need.usage.name, grant.supply.reservation.id) for grant in found.grants} == {
        ("a", "zonal"),
        ("b", "regional"),
    }


def test_aws_example_zonal_reservations_fit_their_zone_and_type_only() -> None:
    """Two c4.xlarge of one zone: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html#apply-zonal-ri."""
    fleet = [run(f"here-{number}", "c4.xlarge", zone="us-east-1a") for number in range(3)]
    fleet += [run("there", "c4.xlarge", zone="us-east-1b"), run("smaller", "c4.large", zone="us-east-1a")]
    found = match(fleet, [own("c4.xlarge", 2, zone="us-east-1a")])
    assert shares(found) == {"here-0": 1.0, "here-1": 1.0, "here-2": 0.0, "there": 0.0, "smaller": 0.0}


def test_aws_example_one_medium_covers_two_small_or_half_a_large() -> None:
    assert shares(match([run("1", "t2.small"), run("2", "t2.small")], [own("t2.medium")])) == {"1": 1.0, "2": 1.0}
    assert shares(match([run("1", "t2.large")], [own("t2.medium")])) == {"1": 0.5}


@pytest.mark.parametrize(
    ("bought", "count", "running", "number"),
    [
        ("i3.metal", 1, "i3.16xlarge", 1),
        ("i3.metal", 1, "i3.8xlarge", 2),
        ("i3.metal", 1, "i3.4xlarge", 4),
        ("i3.8xlarge", 2, "i3.metal", 1),
    ],
)
def test_aws_example_bare_metal_is_its_largest_sibling(bought: str, count: int, running: str, number: int) -> None:
    found = match([run(str(each), running) for each in range(number)], [own(bought, count)])
    assert set(shares(found).values()) == {1.0}
    assert wasted(found) == 0


# ---- https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithReservedDBInstances.html ----------------


def database(name: str, type_name: str, product: str = "postgresql", copies: int = 1) -> Usage:
    return Usage(name=name, service="rds", type=type_name, product=product, copies=copies)


def reserved_database(type_name: str, count: int = 1, product: str = "postgresql", copies: int = 1) -> Reservation:
    name = f"{type_name}-{product}-{copies}"
    return Reservation(id=name, service="rds", type=type_name, product=product, count=count, copies=copies)


def test_aws_example_reserved_databases_are_flexible_in_size() -> None:
    small = [database("1", "db.t2.small", "mysql"), database("2", "db.t2.small", "mysql")]
    assert shares(match(small, [reserved_database("db.t2.medium", product="mysql")])) == {"1": 1.0, "2": 1.0}
    large = [database("1", "db.t2.large", "mysql")]
    assert shares(match(large, [reserved_database("db.t2.medium", product="mysql")])) == {"1": 0.5}


def test_aws_example_a_single_large_moves_to_a_medium_with_a_standby() -> None:
    found = match([database("1", "db.r6i.medium", copies=MULTI_AZ)], [reserved_database("db.r6i.large")])
    assert shares(found) == {"1": 1.0}
    assert wasted(found) == 0


def test_aws_example_not_to_another_class_type() -> None:
    fleet = [database("same", "db.r6i.xlarge"), database("disk", "db.r6id.large"), database("newer", "db.r7g.large")]
    assert covered(match(fleet, [reserved_database("db.r6i.large")])) == {"same": 4, "disk": 0, "newer": 0}


@pytest.mark.parametrize(
    ("bought", "share"),
    [
        ([reserved_database("db.m6gd.large", 3)], 1.0),
        ([reserved_database("db.m6gd.large", copies=MULTI_AZ), reserved_database("db.m6gd.large")], 1.0),
        ([reserved_database("db.m6gd.large", copies=MULTI_AZ)], 2 / 3),
    ],
)
def test_aws_example_a_cluster_of_three(bought: list[Reservation], share: float) -> None:
    assert shares(match([database("1", "db.m6gd.large", copies=3)], bought)) == {"1": share}


def test_a_single_reservation_covers_half_of_a_database_with_a_standby_and_two_all_of_it() -> None:
    fleet = [database("1", "db.t4g.medium", copies=MULTI_AZ)]
    assert shares(match(fleet, [reserved_database("db.t4g.medium")])) == {"1": 0.5}
    assert shares(match(fleet, [reserved_database("db.t4g.medium", 2)])) == {"1": 1.0}
    assert shares(match(fleet, [reserved_database("db.t4g.medium", copies=MULTI_AZ)])) == {"1": 1.0}


def test_engines_do_not_share() -> None:
    fleet = [database("1", "db.t4g.medium", "mysql")]
    assert shares(match(fleet, [reserved_database("db.t4g.medium")])) == {"1": 0.0}


@pytest.mark.parametrize("product", ["sqlserver-se(li)", "oracle-se2(li)", "db2-se(byol)"])
def test_engines_without_size_flexibility_need_the_very_class_and_deployment(product: str) -> None:
    fleet = [database("large", "db.m5.large", product), database("pair", "db.m5.large", product, copies=MULTI_AZ)]
    assert shares(match(fleet, [reserved_database("db.m5.xlarge", 4, product)])) == {"large": 0.0, "pair": 0.0}
    assert shares(match(fleet, [reserved_database("db.m5.large", 4, product)])) == {"large": 1.0, "pair": 0.0}


def test_licences_do_not_share() -> None:
    fleet = [database("1", "db.m5.large", "oracle-se2(byol)")]
    assert shares(match(fleet, [reserved_database("db.m5.large", product="oracle-se2(li)")])) == {"1": 0.0}
    assert shares(match(fleet, [reserved_database("db.m5.xlarge", product="oracle-se2(byol)")])) == {"1": 1.0}


# ---- https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/CacheNodes.Reserved.html -------------------------------


def node(name: str, type_name: str, engine: str = "redis") -> Usage:
    return Usage(name=name, service="elasticache", type=type_name, product=engine)


def reserved_node(type_name: str, count: int = 1, engine: str = "redis") -> Reservation:
    return Reservation(id=f"{type_name}-{engine}", service="elasticache", type=type_name, product=engine, count=count)


def test_aws_example_one_xlarge_covers_two_large_or_half_a_2xlarge() -> None:
    bought = [reserved_node("cache.r6gd.xlarge")]
    assert shares(match([node("1", "cache.r6gd.large"), node("2", "cache.r6gd.large")], bought)) == {"1": 1.0, "2": 1.0}
    assert shares(match([node("1", "cache.r6gd.2xlarge")], bought)) == {"1": 0.5}


def test_aws_example_cache_families_do_not_share() -> None:
    fleet = [node("same", "cache.r6g.2xlarge"), node("tiered", "cache.r6gd.large")]
    assert covered(match(fleet, [reserved_node("cache.r6g.xlarge")])) == {"same": 8, "tiered": 0}


def test_aws_example_an_upgrade_to_valkey_leaves_units_for_others() -> None:
    bought = [reserved_node("cache.r7g.4xlarge")]
    assert wasted(match([node("1", "cache.r7g.4xlarge")], bought)) == 0
    upgraded = node("1", "cache.r7g.4xlarge", "valkey")
    assert wasted(match([upgraded], bought)) == 6.4
    assert shares(match([upgraded, node("2", "cache.r7g.4xlarge", "valkey")], bought)) == {"1": 1.0, "2": 0.25}
    assert shares(match([upgraded, node("2", "cache.r7g.xlarge", "valkey")], bought)) == {"1": 1.0, "2": 1.0}


def test_valkey_reservations_fit_valkey_only_and_memcached_nothing_else() -> None:
    fleet = [node(engine, "cache.t4g.micro", engine) for engine in ("valkey", "redis", "memcached")]
    found = match(fleet, [reserved_node("cache.t4g.micro", 9, "valkey")])
    assert covered(found) == {"valkey": 0.4, "redis": 0, "memcached": 0}
    found = match(fleet, [reserved_node("cache.t4g.micro", 9, "memcached")])
    assert covered(found) == {"valkey": 0, "redis": 0, "memcached": 0.5}


def test_valkey_reservations_are_used_up_before_redis_ones() -> None:
    fleet = [node("valkey", "cache.t4g.micro", "valkey"), node("redis", "cache.t4g.micro")]
    found = match(fleet, [reserved_node("cache.t4g.micro"), reserved_node("cache.t4g.micro", 1, "valkey")])
    assert shares(found) == {"valkey": 1.0, "redis": 1.0}


# ---- single rules ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("difference", [{"zone": "b"}, {"type": "t4g.small"}, {"product": "Windows"}, {"zone": ""}])
def test_a_zonal_reservation_fits_nothing_that_differs(difference: dict[str, Any]) -> None:
    usage = replace(run("1", "t4g.medium", zone="a"), **difference)
    assert shares(match([usage], [own("t4g.medium", zone="a")])) == {"1": 0.0}


def test_a_zonal_reservation_is_used_up_first_so_that_the_regional_one_is_left_for_others() -> None:
    fleet = [run("here", "t4g.medium", zone="a"), run("there", "t4g.medium", zone="b")]
    found = match(fleet, [own("t4g.medium"), own("t4g.medium", zone="a")])
    assert shares(found) == {"here": 1.0, "there": 1.0}


@pytest.mark.parametrize("product", ["Red Hat Enterprise Linux", "SUSE Linux", "Windows", "Windows with SQL Server"])
def test_other_platforms_have_no_size_flexibility_and_do_not_share_with_linux(product: str) -> None:
    fleet = [run("medium", "m5.large", product=product), run("large", "m5.xlarge", product=product)]
    assert shares(match(fleet, [own("m5.xlarge", product=product)])) == {"medium": 0.0, "large": 1.0}
    assert shares(match(fleet, [own("m5.xlarge", 9)])) == {"medium": 0.0, "large": 0.0}


def test_dedicated_tenancy_has_no_size_flexibility_and_does_not_share_with_default() -> None:
    fleet = [run("large", "m5.large", tenancy="dedicated"), run("default", "m5.large")]
    assert shares(match(fleet, [own("m5.xlarge", tenancy="dedicated")])) == {"large": 0.0, "default": 0.0}
    assert shares(match(fleet, [own("m5.large", 2, tenancy="dedicated")])) == {"large": 1.0, "default": 0.0}


@pytest.mark.parametrize("family", RIGID.split())
def test_some_families_have_no_size_flexibility(family: str) -> None:
    fleet = [run("xlarge", f"{family}.xlarge"), run("4xlarge", f"{family}.4xlarge")]
    assert shares(match(fleet, [own(f"{family}.4xlarge", 2)])) == {"xlarge": 0.0, "4xlarge": 1.0}


def test_of_equal_instances_the_one_of_others_gets_the_only_reservation() -> None:
    fleet = [run("a-ours", "t4g.medium"), run("z-theirs", "t4g.medium", ours=False)]
    assert shares(match(fleet, [own("t4g.medium")])) == {"z-theirs": 1.0, "a-ours": 0.0}


def test_smaller_instances_of_others_compete() -> None:
    fleet = [run("ours", "t4g.large"), run("theirs", "t4g.small", ours=False)]
    assert covered(match(fleet, [own("t4g.large")])) == {"theirs": 1, "ours": 3}


def test_the_reservation_that_ends_first_is_named_first() -> None:
    def ending(year: int, **parts: Any) -> Reservation:
        return own("t4g.medium", id=f"until-{year}", end=datetime(year, 1, 1, tzinfo=UTC), **parts)

    found = match([run("1", "t4g.medium")], [ending(2029), ending(2027), ending(2028)])
    assert [grant.supply.reservation.id for grant in found.grants] == ["until-2027"]


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        # The whole table: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/apply_ri.html#ri-normalization-factor
        ("t4g.nano", 0.25),
        ("t4g.micro", 0.5),
        ("t4g.small", 1),
        ("t4g.medium", 2),
        ("t4g.large", 4),
        ("t4g.xlarge", 8),
        ("t4g.2xlarge", 16),
        ("f1.3xlarge", 24),
        ("c5.4xlarge", 32),
        ("z1d.6xlarge", 48),
        ("m5.8xlarge", 64),
        ("c5.9xlarge", 72),
        ("m4.10xlarge", 80),
        ("m5.12xlarge", 96),
        ("m5.16xlarge", 128),
        ("c5.18xlarge", 144),
        ("m5.24xlarge", 192),
        ("m6i.32xlarge", 256),
        ("m8g.48xlarge", 384),
        ("u-3tb1.56xlarge", 448),
        ("a1.metal", 32),
        ("z1d.metal", 96),
        ("m6gd.metal", 128),
        ("m5dn.metal", 192),
        ("c6i.metal", 256),
        ("u-6tb1.112xlarge", 896),
        ("c5n.metal", 144),
        ("u-18tb1.metal", 448),
        ("m8g.metal-48xl", 384),
        ("db.r8g.24xlarge", 192),
        ("cache.t4g.micro", 0.5),
    ],
)
def test_units_of_sizes(type_name: str, expected: float) -> None:
    amount = twentieths(type_name)
    assert amount is not None
    assert units(amount) == expected


def test_a_size_without_a_factor_is_matched_with_itself_only() -> None:
    assert twentieths("mac2.metal") is None
    fleet = [run("mac", "mac2.metal"), run("server", "mac2.large")]
    assert shares(match(fleet, [own("mac2.metal", 4)])) == {"mac": 1.0, "server": 0.0}


@pytest.mark.parametrize("name", ["", "t4g", "db.t4g", ".medium", "t4g."])
def test_what_is_no_type_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not an instance type"):
        is_flexible("ec2", name, LINUX)


def test_services_do_not_share() -> None:
    found = match([database("1", "db.t4g.medium")], [own("t4g.medium"), reserved_node("cache.t4g.medium")])
    assert shares(found) == {"1": 0.0}


# ---- what holds for any input ---------------------------------------------------------------------------------------

TYPES = ["t4g.nano", "t4g.medium", "t4g.large", "m7g.large", "m7g.metal", "g5.xlarge"]
PLATFORMS = [LINUX, "SUSE Linux"]
ENGINES = {"ec2": PLATFORMS, "rds": ["postgresql", "sqlserver-se(li)"], "elasticache": ["valkey", "redis", "memcached"]}
PREFIX: dict[Service, str] = {"ec2": "", "rds": "db.", "elasticache": "cache."}
SERVICES: st.SearchStrategy[Service] = st.sampled_from(list(PREFIX))


@st.composite
def parts(draw: st.DrawFn, counted: bool) -> dict[str, Any]:
    service = draw(SERVICES)
    return {
        "service": service,
        "type": PREFIX[service] + draw(st.sampled_from(TYPES)),
        "product": draw(st.sampled_from(ENGINES[service])),
        "zone": draw(st.sampled_from(["a", "b"] if not counted else ["", "a", "b"])) if service == "ec2" else "",
        "tenancy": draw(st.sampled_from(["default", "dedicated"])) if service == "ec2" else "default",
        "copies": draw(st.sampled_from([1, 2, 3])) if service == "rds" else 1,
        "account": draw(st.sampled_from(["A", "B"])),
    }


@st.composite
def usages(draw: st.DrawFn) -> list[Usage]:
    found = draw(st.lists(st.tuples(parts(counted=False), st.booleans()), max_size=14))
    return [Usage(name=f"u{number}", ours=ours, **given) for number, (given, ours) in enumerate(found)]


@st.composite
def reservations(draw: st.DrawFn) -> list[Reservation]:
    found = draw(st.lists(st.tuples(parts(counted=True), st.integers(1, 5)), max_size=8))
    return [Reservation(id=f"r{number}", count=count, **given) for number, (given, count) in enumerate(found)]


@given(usages(), reservations())
@settings(max_examples=150, deadline=None)
def test_units_are_conserved_and_nothing_is_covered_twice(fleet: list[Usage], bought: list[Reservation]) -> None:
    found = match(fleet, bought)
    to: dict[str, int] = defaultdict(int)
    of: dict[str, int] = defaultdict(int)
    for grant in found.grants:
        assert grant.amount > 0
        to[grant.need.usage.name] += grant.amount
        of[grant.supply.reservation.id] += grant.amount
    assert len(found.needs) == len(fleet)
    assert len(found.supplies) == len(bought)
    for need in found.needs:
        assert to[need.usage.name] == need.amount - need.open
        assert 0 <= need.open <= need.amount
    for supply in found.supplies:
        assert of[supply.reservation.id] == supply.amount - supply.open
        assert 0 <= supply.open <= supply.amount


@given(usages(), reservations(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_order_does_not_matter(fleet: list[Usage], bought: list[Reservation], chance: Any) -> None:
    def told(found: Match) -> list[tuple[str, str, int]]:
        return sorted((grant.need.usage.name, grant.supply.reservation.id, grant.amount) for grant in found.grants)

    before = told(match(fleet, bought))
    chance.shuffle(fleet)
    chance.shuffle(bought)
    assert told(match(fleet, bought)) == before


@given(usages(), reservations(), reservations())
@settings(max_examples=150, deadline=None)
def test_another_reservation_never_takes_coverage_from_anything(
    fleet: list[Usage], bought: list[Reservation], more: list[Reservation]
) -> None:
    before = covered(match(fleet, bought))
    after = covered(match(fleet, [*bought, *more]))
    assert all(after[name] >= amount for name, amount in before.items())


@given(usages(), reservations())
@settings(max_examples=150, deadline=None)
def test_nothing_stays_unused_that_would_fit_what_stays_uncovered(
    fleet: list[Usage], bought: list[Reservation]
) -> None:
    found = match(fleet, bought)
    left = [supply.reservation for supply in found.supplies if supply.open]
    for need in found.needs:
        if need.open:
            assert covered(match([need.usage], left)) == {need.usage.name: 0}


@given(usages(), reservations())
@settings(max_examples=300, deadline=None)
def test_what_is_far_from_ours_decides_nothing_of_ours(fleet: list[Usage], bought: list[Reservation]) -> None:
    def told(found: Match) -> list[tuple[str, str, int]]:
        ours = (grant for grant in found.grants if grant.need.usage.ours)
        return sorted((grant.need.usage.name, grant.supply.reservation.id, grant.amount) for grant in ours)

    near, owned = near_ours(fleet, bought)
    assert told(match(near, owned)) == told(match(fleet, bought))
    assert [usage.name for usage in fleet if usage.ours] == sorted(
        (usage.name for usage in near if usage.ours), key=lambda name: int(name[1:])
    )


def test_what_shares_a_zonal_reservation_with_what_shares_with_ours_is_near() -> None:
    ours = run("ours", "t4g.large", zone="b")
    beside = run("beside", "t4g.medium", zone="a", ours=False)
    far = run("far", "m7g.large", zone="a", ours=False)
    zonal, other = own("t4g.medium", zone="a"), own("m7g.large")
    assert near_ours([far, beside, ours], [zonal, other]) == ([beside, ours], [zonal])
    assert near_ours([far, beside], [zonal, other]) == ([], [])
