# SPDX-License-Identifier: GPL-3.0-or-later
"""Never more is bought than is wanted: runs side by side, killed, unanswered, held up, as dice fall."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from ansible_collections.freehold.airflow.plugins.module_utils._common import FreeholdError
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.model import Price, Reservation
from ansible_collections.freehold.airflow.plugins.module_utils._reservations.purchase import (
    SEND_SECONDS,
    SETTLE_SECONDS,
    Buyer,
    Entry,
    NotBought,
    Order,
    Unclear,
)

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
ORDER = Order(
    type="t4g.medium",
    product="Linux/UNIX",
    years=1,
    payment="No Upfront",
    count=2,
    price_limit=Decimal(1000),
    max_count=20,
    monthly_quota=20,
    environment="lab",
    tags={"freehold:environment": "lab"},
)


class Killed(BaseException):
    """The controller's process is gone."""


class Run(threading.Thread):
    """One run, which goes on only when it is told to."""

    def __init__(self, world: World, body: Callable[[Run], Any]) -> None:
        super().__init__(daemon=True)
        self.world, self.body = world, body
        self.go = threading.Semaphore(0)
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        self.go.acquire()
        try:
            self.result = self.body(self)
        except (Killed, FreeholdError) as ended:
            self.error = ended
        except BaseException as broken:  # shown by whoever reads it, instead of in a thread nobody looks at
            self.error = broken
            self.world.broken.append(broken)
        finally:
            self.world.turn.release()

    def step(self) -> None:
        """Let others go on; perhaps this run never does again."""
        self.world.turn.release()
        self.go.acquire()
        if self.world.chance(self.world.deadly):
            raise Killed


class World:
    """An account, its ledger and its time."""

    def __init__(self, seed: int, named: bool, wild: bool = True) -> None:
        self.dice = random.Random(seed)  # noqa: S311  (not for secrets)
        self.named, self.wild = named, wild
        self.deadly = 0.02
        self.time = 0.0
        self.turn = threading.Semaphore(0)
        self.owned: list[tuple[float, Reservation]] = []
        self.under_way: list[tuple[float, dict[str, Any]]] = []
        self.intents: dict[int, tuple[float, dict[str, Any]]] = {}
        self.outcomes: dict[int, dict[str, Any]] = {}
        self.calls = 0
        self.broken: list[BaseException] = []

    def chance(self, share: float) -> bool:
        return self.wild and self.dice.random() < share

    def pass_time(self, seconds: float) -> None:
        self.time += seconds
        for arrives, intent in sorted(self.under_way, key=lambda item: item[0]):
            if arrives <= self.time:
                self.under_way.remove((arrives, intent))
                self.take(intent, arrives)

    def take(self, intent: dict[str, Any], at: float) -> str:
        """AWS takes a purchase."""
        name = intent["name"] or f"ri-{len(self.owned)}"
        if any(item.id == name for _, item in self.owned):
            raise Unclear(message="exists")
        start = BEGIN + timedelta(seconds=at)
        bought = Reservation(
            name,
            "rds" if self.named else "ec2",
            intent["type"],
            intent["product"],
            count=intent["count"],
            state=self.dice.choice(["active", "payment-pending"]),
            start=start,
            end=start + YEAR,
        )
        self.owned.append((at + (self.dice.uniform(0, 600) if self.chance(0.5) else 0), bought))
        return name

    def count(self, type_name: str = ORDER.type) -> int:
        return sum(item.count for _, item in self.owned if item.type == type_name)

    def together(self, *orders: Order) -> list[Run]:
        """Run several orders at once."""
        return self.drive(*(Run(self, partial(ensure, self, order)) for order in orders))

    def drive(self, *runs: Run) -> list[Run]:
        """Let runs take turns as the dice choose, until all have ended."""
        for run in runs:
            run.start()
        while alive := [run for run in runs if run.is_alive()]:
            chosen = self.dice.choice(alive)
            chosen.go.release()
            self.turn.acquire()
            if chosen.result is not None or chosen.error is not None:
                chosen.join()
        assert self.broken == []
        return list(runs)


class Clock:
    def __init__(self, world: World, run: Run) -> None:
        self.world, self.run = world, run

    def now(self) -> float:
        return self.world.time

    def today(self) -> datetime:
        return BEGIN + timedelta(seconds=self.world.time)

    def sleep(self, seconds: float) -> None:
        self.world.pass_time(seconds)
        self.run.step()


class FakeLedger:
    def __init__(self, world: World, run: Run) -> None:
        self.world, self.run = world, run

    def last(self) -> Entry | None:
        self.run.step()
        if not self.world.intents:
            return None
        number = max(self.world.intents)
        written, intent = self.world.intents[number]
        return Entry(number, intent, self.world.outcomes.get(number), self.world.time - written)

    def begin(self, number: int, intent: dict[str, Any]) -> bool:
        self.run.step()
        if self.world.chance(0.05):
            raise FreeholdError(message="the ledger did not answer")
        if number in self.world.intents:
            return False
        self.world.intents[number] = (self.world.time, intent)
        self.run.step()
        if self.world.chance(0.05):
            raise FreeholdError(message="the ledger did not answer")
        return True

    def settle(self, number: int, outcome: Mapping[str, Any]) -> None:
        self.run.step()
        if self.world.chance(0.1):
            raise FreeholdError(message="the ledger did not answer")
        self.world.outcomes.setdefault(number, dict(outcome))


class FakeShop:
    def __init__(self, world: World, run: Run) -> None:
        self.world, self.run, self.named = world, run, world.named
        self.service: Any = "rds" if world.named else "ec2"
        self.sold: list[dict[str, Any]] = []
        self.tagged: list[str] = []

    def owned(self) -> list[Reservation]:
        self.run.step()
        return [item for visible, item in self.world.owned if visible <= self.world.time]

    def kind(self, fields: Mapping[str, Any]) -> tuple[str, str, str, str, int]:
        return fields["type"], fields["product"], fields["zone"], fields["tenancy"], 1

    def offerings(self, order: Order) -> list[dict[str, Any]]:
        self.run.step()
        return self.sold or [offering(order)]

    def offering(self, name: str) -> dict[str, Any] | None:
        return next(({"marketplace": False, **item} for item in self.sold if item["id"] == name), None)

    def purchase(self, intent: dict[str, Any], in_time: Callable[[], None]) -> str:
        world = self.world
        self.run.step()
        if world.chance(0.1):
            world.pass_time(world.dice.uniform(0, 2 * SETTLE_SECONDS))  # the laptop sleeps
            for _ in range(world.dice.randrange(20)):
                self.run.step()
        in_time()
        world.calls += 1
        fate = world.dice.random() if world.wild else 1.0
        if fate < 0.1:
            raise NotBought(message="throttled")
        if fate < 0.2:
            raise Unclear(message="lost on the way there")
        if fate < 0.35:
            # Signed now, it may arrive as long as its signature holds.
            world.under_way.append((world.time + world.dice.uniform(0, 1800), intent))
            raise Unclear(message="no answer in time")
        name = world.take(intent, world.time)
        self.run.step()
        if fate < 0.5:
            raise Unclear(message="lost on the way back")
        return name

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        self.run.step()
        if self.world.chance(0.1):
            raise FreeholdError(message="no permission to tag")
        self.tagged.append(name)


def offering(order: Order, **parts: Any) -> dict[str, Any]:
    return {**order.terms(), "id": "offer-1", "scope": "Region", "currency": "USD", "total": 100.0, **parts}


def buyer(world: World, run: Run) -> Buyer:
    return Buyer(FakeShop(world, run), FakeLedger(world, run), Clock(world, run), 300, [])


def ensure(world: World, order: Order, run: Run) -> dict[str, Any]:
    return buyer(world, run).ensure(order)


@pytest.mark.parametrize("named", [False, True], ids=["without a client token", "with an id of one's own"])
@pytest.mark.parametrize("seed", range(100))
def test_never_more_is_bought_than_is_wanted_and_in_the_end_no_less(seed: int, named: bool) -> None:
    world = World(seed, named)
    most = replace(ORDER, count=3)
    other = replace(ORDER, type="m7g.large", count=1, environment="other")
    for orders in ([ORDER, ORDER], [ORDER, most, other], [most]):
        world.together(*orders)
        # What was sent and may still arrive is as good as bought.
        sent = [intent for _, intent in world.under_way]
        for most_of, allowed in ((ORDER.type, 3), (other.type, 1)):
            coming = sum(intent["count"] for intent in sent if intent["type"] == most_of)
            assert world.count(most_of) + coming <= allowed
        world.pass_time(world.dice.uniform(0, 1200))
    world.pass_time(2 * SETTLE_SECONDS)
    assert world.under_way == []
    world.wild = False
    world.together(most), world.together(other)
    assert (world.count(), world.count(other.type)) == (3, 1)
    calls = world.calls
    (again,) = world.together(most)
    assert (again.result["changed"], world.calls) == (False, calls)


def test_the_dice_reach_every_kind_of_trouble() -> None:
    """Schedules in which nothing happens would prove nothing."""
    ends: set[str] = set()
    for seed in range(100):
        world = World(seed, False)
        for run in world.together(ORDER, ORDER):
            ends.add(type(run.error).__name__ if run.error else f"bought {len(run.result['bought'])}")
        ends |= {f"outcome {item.get('bought') is not None}" for item in world.outcomes.values()}
        ends |= {"left open"} if set(world.intents) - set(world.outcomes) else set()
    assert ends >= {"Killed", "NotBought", "FreeholdError", "bought 0", "bought 1", "outcome True", "left open"}


# ---- one run, one trouble -------------------------------------------------------------------------------------------


def alone(world: World, order: Order = ORDER, write: bool = True, **sold: Any) -> Any:
    """One run to its end; what it returned, or its error."""

    def body(run: Run) -> Any:
        one = buyer(world, run)
        if sold:
            shop: Any = one.shop
            shop.sold = [offering(order, **sold)]
        return one.ensure(order, write)

    run = Run(world, body)
    world.drive(run)
    return run.error or run.result


def calm() -> World:
    return World(0, False, wild=False)


def own(world: World, count: int, **parts: Any) -> None:
    given: dict[str, Any] = {"id": f"old-{len(world.owned)}", "service": "ec2", "type": ORDER.type, **parts}
    world.owned.append((0, Reservation(product=ORDER.product, count=count, **given)))


def test_what_is_missing_is_bought_in_one_purchase_and_tagged() -> None:
    world = calm()
    own(world, 1)
    found = alone(world)
    assert found["changed"]
    assert (found["owned"], found["wanted"]) == (2, 2)
    assert [(item["id"], item["count"], item["total"]) for item in found["bought"]] == [("ri-1", 1, "100.00")]
    assert found["differences"] == [{"name": "t4g.medium (Linux/UNIX)", "current": 1, "desired": 2}]
    assert world.outcomes == {1: {"bought": "ri-1"}}
    assert not alone(world)["changed"]
    assert world.calls == 1


def test_check_mode_says_what_it_would_buy_and_writes_nothing() -> None:
    world = calm()
    found = alone(world, write=False)
    assert found["changed"]
    assert [(item["count"], item["total"]) for item in found["would_buy"]] == [(2, "200.00")]
    assert (world.calls, world.intents) == (0, {})


def test_what_others_count_on_is_not_ours() -> None:
    world = calm()
    own(world, 2)
    assert not alone(world)["changed"]
    assert alone(world, replace(ORDER, claimed=2))["bought"][0]["count"] == 2


@pytest.mark.parametrize(
    ("parts", "bought"),
    [
        ({"state": "payment-pending"}, 0),
        ({"state": "queued", "start": BEGIN + YEAR}, 0),
        ({"state": "something-new"}, 0),
        ({"state": "retired"}, 2),
        ({"state": "payment-failed"}, 2),
        ({"state": "active", "end": BEGIN}, 2),
        ({"zone": "eu-west-1a"}, 2),
        ({"tenancy": "dedicated"}, 2),
        ({"type": "t4g.large"}, 2),
    ],
)
def test_only_what_can_still_give_its_discount_to_the_same_counts(parts: dict[str, Any], bought: int) -> None:
    world = calm()
    own(world, 2, **parts)
    assert sum(item["count"] for item in alone(world)["bought"]) == bought


@pytest.mark.parametrize(
    ("order", "sold", "words"),
    [
        ({}, {"currency": "CNY"}, "in CNY and not in USD"),
        ({"max_count": 1}, {}, "2 of t4g.medium (Linux/UNIX) are missing, but max_count allows 1"),
        ({"price_limit": Decimal("199.99")}, {}, "200.00 USD over 1 year, which is above the limit of 199.99"),
        ({"monthly_quota": 1}, {}, "AWS sells 1 reserved instances a month"),
        ({}, {"type": "t4g.large"}, "AWS sells no reservation of t4g.medium (Linux/UNIX) for 1 year, No Upfront"),
        ({}, {"years": 3}, "AWS sells no reservation"),
        ({}, {"payment": "All Upfront"}, "AWS sells no reservation"),
        ({"offering_id": "gone"}, {}, "The offering gone is not sold, or not any more"),
        ({"offering_id": "offer-1"}, {"years": 3}, "its years is '3' and not '1'"),
        ({"offering_id": "offer-1"}, {"years": 0, "marketplace": True}, "another customer's on the marketplace"),
    ],
)
def test_what_is_not_as_asked_is_refused_before_anything_is_written(
    order: dict[str, Any], sold: dict[str, Any], words: str
) -> None:
    world = calm()
    error = alone(world, replace(ORDER, **order), **{"id": "offer-1", **sold})
    assert isinstance(error, FreeholdError)
    assert words in str(error.message)
    assert (world.calls, world.intents) == (0, {})


def test_of_several_offerings_one_must_be_named() -> None:
    world = calm()

    def body(order: Order, run: Run) -> Any:
        one = buyer(world, run)
        shop: Any = one.shop
        shop.sold = [offering(ORDER), offering(ORDER, id="offer-2")]
        return one.ensure(order)

    for order in (ORDER, replace(ORDER, offering_id="offer-2")):
        run = Run(world, partial(body, order))
        world.drive(run)
        if order.offering_id:
            assert run.result["bought"][0]["offering"] == "offer-2"
        else:
            assert "Several offerings match" in str(run.error) and "offer-1, offer-2" in str(run.error)
            assert world.calls == 0


def test_the_quota_of_a_month_counts_what_was_bought_in_it() -> None:
    world = calm()
    own(world, 19, type="m7g.large", start=BEGIN)
    own(world, 5, type="m7g.large", start=BEGIN - timedelta(days=30))
    own(world, 5, type="m7g.large", zone="eu-west-1a", start=BEGIN)
    error = alone(world)
    assert "19 were bought this month and 2 are missing" in str(error.message)
    assert alone(world, replace(ORDER, count=1))["bought"][0]["count"] == 1


class Lost(FakeShop):
    """A purchase without an answer; C(took) says whether AWS took it."""

    took = True

    def purchase(self, intent: dict[str, Any], in_time: Callable[[], None]) -> str:
        in_time()
        self.world.calls += 1
        if self.took:
            self.world.take(intent, self.world.time)
        raise Unclear(message="No answer.")


class NeverSent(Lost):
    took = False


def with_shop(world: World, shop: type[FakeShop], warnings: list[str] | None = None) -> Any:
    said = [] if warnings is None else warnings
    run = Run(
        world, lambda run: Buyer(shop(world, run), FakeLedger(world, run), Clock(world, run), 300, said).ensure(ORDER)
    )
    world.drive(run)
    return run.error or run.result


def test_a_purchase_whose_answer_was_lost_is_found_in_the_account() -> None:
    world = calm()
    found = with_shop(world, Lost)
    assert [item["id"] for item in found["bought"]] == ["ri-0"]
    assert (world.calls, world.count()) == (1, 2)


def test_a_purchase_that_never_arrived_blocks_all_others_for_an_hour() -> None:
    world = calm()
    error = with_shop(world, NeverSent)
    assert "not known" in str(error.message) and "an hour from now" in str(error.message)
    other = alone(world, replace(ORDER, type="m7g.large"))
    assert "has no outcome yet" in str(other.message) and "2 x t4g.medium" in str(other.message)
    assert alone(world, write=False).message.startswith("The purchase of 2 x t4g.medium")
    assert world.calls == 1
    world.pass_time(SETTLE_SECONDS)
    assert alone(world)["bought"][0]["count"] == 2
    assert world.outcomes[1]["bought"] is None
    assert world.outcomes[2]["bought"] == "ri-0"


def test_a_purchase_that_its_buyer_did_not_live_to_see_is_settled_by_the_next_run() -> None:
    world = calm()

    class Dying(Lost):
        def purchase(self, intent: dict[str, Any], in_time: Callable[[], None]) -> str:
            try:
                return super().purchase(intent, in_time)
            except Unclear:
                raise Killed from None

    assert isinstance(with_shop(world, Dying), Killed)
    assert world.outcomes == {}
    found = alone(world)
    assert [item["id"] for item in found["settled"]] == ["ri-0"]
    assert (found["bought"], world.calls, world.outcomes) == ([], 1, {1: {"bought": "ri-0"}})


def test_a_run_that_slept_too_long_after_writing_its_purchase_down_does_not_send_it() -> None:
    world = calm()

    class Slept(FakeShop):
        def purchase(self, intent: dict[str, Any], in_time: Callable[[], None]) -> str:
            self.world.pass_time(SEND_SECONDS + 1)
            return super().purchase(intent, in_time)

    error = with_shop(world, Slept)
    assert "was not sent" in str(error.message)
    assert (world.calls, world.outcomes[1]["bought"]) == (0, None)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, []),
        ({"count": 3}, ["its count is 3 and not 2"]),
        ({"type": "t4g.large"}, ["its type is 't4g.large' and not 't4g.medium'"]),
        ({"tenancy": "dedicated", "zone": "b"}, ["its zone is 'b' and not ''", "its tenancy is 'dedicated'"]),
        ({"price": Price(Decimal(0), Decimal("0.0114155"), Decimal(8760))}, []),
        ({"price": Price(Decimal(300), Decimal(0), Decimal(26280))}, ["its years is 3.0 and not 1", "'600.00'"]),
    ],
)
def test_what_aws_shows_is_held_against_what_was_ordered(parts: dict[str, Any], words: list[str]) -> None:
    world, warnings = calm(), list[str]()

    class Another(FakeShop):
        def purchase(self, intent: dict[str, Any], in_time: Callable[[], None]) -> str:
            name = super().purchase(intent, in_time)
            self.world.owned = [(seen, replace(item, **parts)) for seen, item in self.world.owned]
            return name

    found = with_shop(world, Another, warnings)
    # It is bought all the same, and written down.
    assert (found["bought"][0]["id"], world.outcomes) == ("ri-0", {1: {"bought": "ri-0"}})
    assert len(warnings) == bool(words)
    assert all(each in warnings[0] for each in words)


def test_what_was_bought_a_moment_ago_and_is_not_shown_yet_is_waited_for() -> None:
    world = calm()
    alone(world)
    world.owned = [(100.0, item) for _, item in world.owned]
    assert not alone(world)["changed"]
    world.owned = [(5000.0, item) for _, item in world.owned]
    assert "does not show the reservation ri-0 yet" in str(alone(world).message)
    assert world.calls == 1
