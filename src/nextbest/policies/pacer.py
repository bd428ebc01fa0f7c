"""Spend a day's budget along the day's traffic: the price of money rises with what is spent too fast, and falls after.

    price <- price x exp(rate x (spent - planned) / (budget / 96))      each quarter of an hour, the current one so far

is mirror descent on the dual of the budget with the entropic mirror map (Balseiro, Lu & Mirrokni 2020, "The best of
many worlds: dual mirror descent for online allocation problems", algorithm 1; adaptive pacing as in Balseiro & Gur
2019). What is planned for a quarter is the money left times its share of the traffic left, so that what was missed is
made up for. The price is a function of what the log says was spent: it survives restarts, and all workers agree on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import exp
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from nextbest.policies.limits import Prices

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.types import Play

SLOTS = 96  # quarters of an hour in a day, as the log sums what is spent
HOUR = 4
RATE = 0.5  # on an even day twice the plan of a quarter raises the price by two thirds, no use lowers it by two fifths
LEAST, MOST = 1e-3, 1e3  # a euro has to earn at least 0.1 cent more than itself, at most a thousand times as much
_STEEPEST = 8.0  # quarters of an even day: a burst of a few dear actions must not send the price out of sight
BURST = 2.0  # no hour spends more than so many times its plan
_DAYS = 7
_EVEN = 96  # decisions, spread evenly, that the traffic seen is mixed with


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What holds at a moment: the price of money, what may be spent at most now, and what should be spent by now."""

    price: float
    left: float
    planned: float

    @property
    def prices(self) -> Prices:
        """The price in the form that a policy's worths are charged with."""
        return Prices(budget=self.price)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacer:
    """A budget (money a day), the traffic's share of each quarter of an hour (96, any scale), and the first price."""

    budget: float
    traffic: tuple[float, ...] = (1.0,) * SLOTS
    start: float = 0.1  # until money has proved short, it has to earn a tenth more than itself
    rate: float = RATE

    def pace(self, spent: Sequence[float], now: float) -> Pace:
        """Give the pace at *now* (quarters since midnight, 0 to 96) from what each quarter has spent so far."""
        at = min(int(now), SLOTS - 1)
        rest = np.append(np.cumsum(np.asarray(self.traffic, dtype=np.float64)[::-1])[::-1], 0.0)
        price, left = self.start, self.budget
        for slot in range(at + 1):
            planned = left * self.traffic[slot] / rest[slot] if rest[slot] > 0 else 0.0
            elapsed = min(1.0, now - slot)
            price = self._moved(price, spent[slot], planned, elapsed)
            left -= spent[slot]
        hour = slice(at // HOUR * HOUR, at // HOUR * HOUR + HOUR)
        burst = BURST * self.budget * sum(self.traffic[hour]) / rest[0] - sum(spent[hour])
        by_now = 1 - (rest[at] + (rest[at + 1] - rest[at]) * (now - at)) / rest[0]
        return Pace(price=price, left=max(0.0, min(left, burst)), planned=float(self.budget * by_now))

    def _moved(self, price: float, spent: float, planned: float, elapsed: float) -> float:
        """Give the price after (a part of) a quarter; in quiet hours little is planned, and the price hardly moves."""
        if self.budget <= 0:
            return MOST
        off = (spent - planned * elapsed) * SLOTS / self.budget
        return min(MOST, max(LEAST, price * exp(self.rate * min(_STEEPEST, off))))


def pace_of(connection: sqlite3.Connection, play: Play, now: datetime, zone: ZoneInfo, pacer: Pacer) -> Pace:
    """Give the pace of a play from what its live decisions have spent today; the day before gives the first price."""
    from nextbest.ledger import spent

    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    today, before = spent.slot_of(midnight), spent.slot_of(midnight - timedelta(days=1))
    sums = np.zeros((2, SLOTS))
    for (_, slot), (_, cost) in spent.since(connection, play.name, before).items():
        if slot >= today:
            sums[1, min(slot - today, SLOTS - 1)] += cost  # the longest day of the year has 100 quarters
        else:
            sums[0, min(slot - before, SLOTS - 1)] += cost
    start = pacer.pace(sums[0].tolist(), float(SLOTS)).price if sums[0].any() else pacer.start
    passed = (now - midnight).total_seconds() / 900
    carried = Pacer(budget=pacer.budget, traffic=pacer.traffic, start=start, rate=pacer.rate)
    return carried.pace(sums[1].tolist(), min(passed, float(SLOTS)))


class Paces:
    """The prices of money as one write transaction sees them: each play's is read once; used by one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._prices: dict[str, float] = {}

    def price(self, play: Play, now: datetime, zone: ZoneInfo, pacer: Pacer | None = None) -> float:
        """Give the price of money, 0 without a budget; an even day is assumed where no pacer says otherwise."""
        if play.budget is None:
            return 0.0
        if play.name not in self._prices:
            planned = Pacer(budget=play.budget) if pacer is None else pacer
            self._prices[play.name] = pace_of(self._connection, play, now, zone, planned).price
        return self._prices[play.name]


def pacer_for(ledger: Ledger, play: Play, now: datetime) -> Pacer | None:
    """Give the pacer of a play with the traffic of the last week, even where there was none; None without a budget.

    It reads the log of a week: keep it for an hour or a day.
    """
    if play.budget is None:
        return None
    return Pacer(budget=play.budget, traffic=_traffic(ledger, play.name, now))


def _traffic(ledger: Ledger, play: str, now: datetime) -> tuple[float, ...]:
    """Give how many decisions were asked for in each quarter of the day, mixed with an even day."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from nextbest.ledger import analysis

    zone = ZoneInfo(ledger.config.timezone)
    since = now - timedelta(days=_DAYS)
    log = analysis.table(ledger, "decisions", columns=["ts", "play", "mode"], since=since, before=now)
    ours = pc.and_(pc.equal(log["play"], play), pc.equal(log["mode"], "live"))
    micros = log.filter(ours)["ts"].cast(pa.int64()).to_numpy()
    offset = now.astimezone(zone).utcoffset() or timedelta()
    slots = ((micros // 1_000_000 + int(offset.total_seconds())) // 900) % SLOTS
    seen = np.bincount(slots, minlength=SLOTS).astype(np.float64)
    # Quarters are few and noisy: each is smoothed with its neighbours.
    smooth = (seen + np.roll(seen, 1) + np.roll(seen, -1)) / 3 + _EVEN / SLOTS
    return tuple(float(n) for n in smooth)
