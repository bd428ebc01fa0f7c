"""Pacing: a day's money lasts the day, along the traffic, whatever the traffic does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from tests.policies.conftest import NOW, subjects

from nextbest.ledger import spent
from nextbest.policies.decide import decide_bulk
from nextbest.policies.live.ask import Ask
from nextbest.policies.live.engine import Engine
from nextbest.policies.live.known import Known
from nextbest.policies.pacer import BURST, SLOTS, Pacer, Paces, pace_of, pacer_for

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from nextbest.ledger import Ledger
    from nextbest.types import Decision

BUDGET = 1_000.0
HOURS = np.arange(24)
DAY = 1 + 0.8 * np.sin((HOURS - 9) / 24 * 2 * np.pi)  # quiet nights, busy afternoons


def day(pacer: Pacer, visits: np.ndarray, seed: int, *, scale: float = 1.0) -> tuple[np.ndarray, float]:
    """Give what each quarter spends when every visit that earns more than its price gets an action, and the last price.

    *visits* is per hour; costs are 0.5 to 2, earnings log-normal and unknown to the pacer.
    """
    draw = np.random.default_rng(seed)
    book = np.zeros(SLOTS)
    pace = pacer.pace(book.tolist(), 0.0)
    for slot in range(SLOTS):
        count = draw.poisson(visits[slot // 4] / 4)
        for i in range(count):
            pace = pacer.pace(book.tolist(), slot + i / max(1, count)) if i % 8 == 0 else pace
            cost, earned = draw.uniform(0.5, 2), draw.lognormal(0, 1) * scale
            allowed = pacer.pace(book.tolist(), slot + i / max(1, count)).left if cost > pace.left / 8 else pace.left
            if earned - cost > pace.price * cost and cost <= allowed:
                book[slot] += cost
    return book, pace.price


CHANGES = {
    "as expected": np.ones(24),
    "three times as busy from noon": np.where(HOURS < 12, 1.0, 3.0),
    "a third from noon": np.where(HOURS < 12, 1.0, 1 / 3),
    "a wave at eight in the evening": np.where(HOURS == 20, 4.0, 1.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("seed", [0, 1])
def test_a_budget_is_used_and_no_hour_takes_more_than_twice_its_plan(change: np.ndarray, seed: int) -> None:
    """Under changing traffic 97 to 100% of the budget is spent by midnight, and no hour exceeds twice its plan."""
    traffic = tuple(float(t) for t in np.repeat(DAY, 4))
    pacer = Pacer(budget=BUDGET, traffic=traffic)
    book, last = day(pacer, DAY * 400 * change, seed)
    book, _ = day(Pacer(budget=BUDGET, traffic=traffic, start=last), DAY * 400 * change, seed + 10)
    assert 0.97 * BUDGET <= book.sum() <= BUDGET
    hours = book.reshape(24, 4).sum(axis=1)
    assert (hours <= BURST * BUDGET * DAY / DAY.sum() + 1e-9).all()


def test_where_money_is_plenty_it_costs_next_to_nothing() -> None:
    """When nobody wants the budget, the price falls to its least, and all that pays is done."""
    _, last = day(Pacer(budget=1e6), DAY * 20, 3)
    assert last < 0.01


def test_spending_on_plan_leaves_the_price_alone_and_twice_the_plan_raises_it() -> None:
    """A quarter that spends its plan keeps the price; one that spends twice as much multiplies it by e^rate."""
    pacer = Pacer(budget=96.0, start=1.0, rate=0.5)
    even = [1.0] * SLOTS
    assert pacer.pace(even, 96.0).price == pytest.approx(1.0)
    assert pacer.pace([2.0] + [0.0] * 95, 1.0).price == pytest.approx(np.exp(0.5) * np.exp(0.0), rel=1e-6)
    assert pacer.pace([0.0] * SLOTS, 0.5).price == pytest.approx(np.exp(-0.25))
    assert pacer.pace(even, 48.0).planned == pytest.approx(48.0)


def test_a_quiet_night_does_not_make_the_morning_cheap() -> None:
    """Hours without traffic, for which next to nothing is planned, leave the price as it was."""
    traffic = tuple([0.01] * 28 + [1.0] * 68)
    pacer = Pacer(budget=1_000.0, traffic=traffic, start=2.0)
    assert pacer.pace([0.0] * SLOTS, 28.0).price == pytest.approx(2.0, rel=0.25)


def test_the_pace_is_read_from_what_was_logged(workspace: Callable[..., Ledger]) -> None:
    """The same log gives the same price after a restart or in another worker; yesterday gives the first one."""
    ledger = workspace("budget = 96.0")
    play, zone = ledger.config.plays["win_back"], ZoneInfo("UTC")
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    yesterday = spent.slot_of(midnight - timedelta(days=1))

    def book(connection: sqlite3.Connection) -> None:
        spent.add_sums(connection, [("win_back", "mail", yesterday + i, 2, 1.1) for i in range(48)])
        spent.add_sums(connection, [("win_back", "mail", spent.slot_of(midnight), 1, 2.0)])

    ledger.journal.write(book)
    pacer = Pacer(budget=96.0)
    with ledger.journal.read() as connection:
        first = pace_of(connection, play, midnight + timedelta(minutes=15), zone, pacer)
    with ledger.journal.read() as connection:
        again = pace_of(connection, play, midnight + timedelta(minutes=15), zone, pacer)
    assert first == again
    before = pacer.pace([1.1] * 48 + [0.0] * 48, 96.0).price
    assert first.price == pytest.approx(before * np.exp(0.5), rel=1e-6)


def test_the_plan_follows_the_traffic_of_the_log(workspace: Callable[..., Ledger]) -> None:
    """Quarters in which many decisions were asked for get more of the budget; without a log the day is even."""
    ledger = workspace("budget = 96.0")
    play = ledger.config.plays["win_back"]
    fresh = pacer_for(ledger, play, NOW)
    assert fresh is not None
    assert len(set(fresh.traffic)) == 1
    decide_bulk(ledger, play, subjects(), as_of=NOW)
    seen = pacer_for(ledger, play, NOW + timedelta(hours=3))
    assert seen is not None
    assert int(np.argmax(seen.traffic)) // 4 in {10, 11, 12}
    assert seen.traffic[0] == fresh.traffic[0]


def test_a_transaction_asks_for_a_price_once(workspace: Callable[..., Ledger]) -> None:
    """A play without a budget has no price; one that has spent half its day's money by one o'clock has a high one."""
    ledger = workspace("budget = 1000.0")
    play, at = ledger.config.plays["win_back"], datetime(2026, 3, 2, 1, tzinfo=UTC)

    def book(connection: sqlite3.Connection) -> tuple[float, ...]:
        fresh = Paces(connection).price(play, at, ZoneInfo("UTC"))
        spent.add_sums(connection, [("win_back", "call", spent.slot_of(at), 500, 500.0)])
        paces = Paces(connection)
        free = paces.price(replace(play, budget=None), at, ZoneInfo("UTC"))
        return fresh, free, paces.price(play, at, ZoneInfo("UTC")), paces.price(play, at, ZoneInfo("UTC"))

    fresh, free, high, again = ledger.journal.write(book)
    assert free == 0
    assert 0 < fresh < 0.1 < high == again


LIVE = """[
  { id = "call", channel = "phone", class = "internal", cost = 3.0, assumed_log_odds = 0.8 },
  { id = "task", class = "internal", cost = 0.1, assumed_log_odds = 0.3 },
]"""
KNOWN = Known(subject_id="s1", features={"churn_probability": 0.5, "predicted_clv": 40.0}, versions={})


def live_choice(ledger: Ledger, i: int) -> Decision:
    """Give one live decision for somebody of whom predictions are known."""
    engine = Engine(ledger, know=lambda *_: KNOWN)
    return engine.decide(Ask(play="win_back", subject_id="s1", request_id=f"r{i}"))[0]


def chances(made: Decision) -> dict[str, float]:
    """Give the logged probability of every candidate."""
    return {c.action_id: c.choice_probability for c in made.candidates}


def test_money_spent_too_fast_has_its_price_in_live_chances(workspace: Callable[..., Ledger]) -> None:
    """What the log says was spent turns the next live decision from a dear action to a cheap one; worths stay."""
    ledger = workspace('budget = 300\npolicy = { name = "greedy", explore = 0.2 }', actions=LIVE)
    before = live_choice(ledger, 1)
    booked = [("win_back", "call", spent.slot_of(NOW) - i, 18.0) for i in range(1, 5)]  # thrice the plan
    ledger.journal.write(lambda connection: spent.add(connection, booked))
    after = live_choice(ledger, 2)
    assert max(chances(before), key=lambda name: chances(before)[name]) == "call"
    assert max(chances(after), key=lambda name: chances(after)[name]) == "task"
    assert after.choice_probability == chances(after)[after.action_id]
    worths = [{c.action_id: c.expected_value for c in made.candidates} for made in (before, after)]
    assert worths[0] == worths[1]


def test_a_policy_of_prices_gives_the_same_live_as_in_a_list(workspace: Callable[..., Ledger]) -> None:
    """The policy `pacing` charges its prices in both: logged chances are equal, and a price changes them."""
    got = {}
    for price in (0.0, 3.0):
        policy = f'policy = {{ name = "pacing", price = {price}, explore = 0.1 }}'
        ledger = workspace(policy, actions=LIVE)
        table = pa.table({"subject_id": ["s1"], "churn_probability": [0.5], "predicted_clv": [40.0]})
        (row,) = decide_bulk(ledger, ledger.config.plays["win_back"], table, as_of=NOW).table.to_pylist()
        in_list = {c["action_id"]: c["choice_probability"] for c in row["candidates"]}
        live = chances(live_choice(ledger, 1))
        assert live == pytest.approx(in_list, abs=1e-12)
        got[price] = max(live, key=lambda name: live[name])
    assert got == {0.0: "call", 3.0: "task"}
