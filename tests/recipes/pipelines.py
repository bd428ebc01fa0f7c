"""A made-up pipeline whose hazards are known: deals arrive by chance, move through stages, are won or lost.

Every day in a stage has a chance to move on, to be won and to be lost, which depends on the stage, on the time in it,
and on the rep. The draws come from streams of their own (`SeedSequence` with an entropy of this file).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

START = datetime(2023, 1, 2, tzinfo=UTC)
STAGES = ("Qualify", "Demo", "Proposal", "Contract")
ENTROPY = 90_211
# Per day, in the first three weeks of a stage and later: move on, won, lost.
EARLY = np.array([[0.040, 0.000, 0.020], [0.050, 0.000, 0.010], [0.035, 0.004, 0.012], [0.000, 0.050, 0.010]])
LATE = np.array([[0.015, 0.000, 0.030], [0.020, 0.000, 0.020], [0.020, 0.002, 0.020], [0.000, 0.020, 0.015]])
SWITCH_DAYS = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Rows of `deal_stage` (all time), and what is true: when each deal was won (day, -1: never) and for how much."""

    rows: pa.Table
    won_day: NDArray[np.int64]
    amount: NDArray[np.float64]

    def total(self, start: int, end: int) -> float:
        """Give what was won in [start, end) days."""
        return float(self.amount[(self.won_day >= start) & (self.won_day < end)].sum())


def world(seed: int, *, days: int = 820, per_day: float = 1.0, reps: int = 8, spread: float = 0.35) -> World:
    """Give a world of so many days; `spread` is the standard deviation of the logarithm of the reps' win factors."""
    draw = np.random.default_rng(np.random.SeedSequence([ENTROPY, seed]))
    factor = np.exp(draw.normal(0, spread, reps))
    count = draw.poisson(per_day * days)
    born = np.sort(draw.integers(0, days, count))
    rep, product = draw.integers(0, reps, count), draw.integers(0, 3, count)
    amount: NDArray[np.float64] = np.exp(draw.normal(8, 0.7, count)) * (1.0 + product)
    stage, since = np.zeros(count, np.int64), born.copy()
    won_day = np.full(count, -1)
    rows: list[tuple[int, int, str]] = [(int(d), int(b), STAGES[0]) for d, b in enumerate(born)]
    alive = np.ones(count, np.bool_)
    for day in range(days):
        here = np.flatnonzero(alive & (born <= day))
        rates = np.where((day - since[here] < SWITCH_DAYS)[:, None], EARLY[stage[here]], LATE[stage[here]])
        rates = rates * np.column_stack([np.ones(len(here)), factor[rep[here]], np.ones(len(here))])
        upto = np.cumsum(rates, axis=1)
        chance = draw.random(len(here))
        kind = (chance[:, None] > upto).sum(axis=1)  # 0 moves on, 1 won, 2 lost, 3 stays
        for what, deals in ((k, here[kind == k]) for k in range(3)):
            stage[deals] += what == 0
            since[deals] = day + 1
            alive[deals] &= what == 0
            won_day[deals] = np.where(what == 1, day + 1, -1)
            names = (
                [STAGES[s] for s in stage[deals]]
                if what == 0
                else [("Closed won", "Closed lost")[what - 1]] * len(deals)
            )
            rows += [(int(d), day + 1, n) for d, n in zip(deals, names, strict=True)]
    return World(rows=_table(rows, amount, rep, product), won_day=won_day, amount=amount)


def moment(day: int) -> datetime:
    """Give the moment at which a day begins."""
    return START + timedelta(days=day)


def _table(
    rows: list[tuple[int, int, str]], amount: NDArray[np.float64], rep: NDArray[np.int64], product: NDArray[np.int64]
) -> pa.Table:
    deal = np.array([r[0] for r in rows])
    ids = pa.array([f"d{d:06d}" for d in deal])
    none, count = pa.nulls(len(rows), pa.string()), len(rows)
    moments = pa.array([moment(r[1]) for r in rows], pa.timestamp("us", tz="UTC"))
    empty = pa.nulls(count, pa.timestamp("us", tz="UTC"))
    return pa.table({
        "subject_id": ids, "deal_id": ids, "ts": moments, "stage": pa.array([r[2] for r in rows]),
        "amount": amount[deal], "won": pa.nulls(count, pa.bool_()), "closed": pa.nulls(count, pa.bool_()),
        "expected_close_ts": empty, "closed_ts": empty,
        "owner_id": pa.array([f"rep {r}" for r in rep[deal]]), "account_id": none,
        "product": pa.array([f"product {p}" for p in product[deal]]),
        "pipeline": none, "lead_source": none, "deal_type": none,
    })  # fmt: skip
