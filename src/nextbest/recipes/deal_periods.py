"""The coming periods of a ledger's deals: simulated sums, what people use instead, and whether it can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import deal_forecast, deal_rates, stages
from nextbest.models.deal_history import DAY
from nextbest.recipes import deals as shared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.deal_forecast import Paths
    from nextbest.models.deal_history import Deals

    Floats = NDArray[np.float64]

FEWEST_WON = 15  # and as many lost; below, a win rate is known to no better than a quarter either way
DRAWS = 250  # of the parameters; each makes paths / DRAWS paths
_MOST_STEPS = 45


def forecast(
    facts: Mapping[str, Any], deals: Deals, bounds: Sequence[float], *, paths: int, seed: int
) -> tuple[Paths, list[list[str]]]:
    """Give simulated sums from `deals.now` until each of `bounds` (days), and the names of reps and segments."""
    _, there, pool, arrivals, factors, names = deal_rates.setting(facts, deals)
    random = np.random.default_rng([seed, 4])
    step_days = bounds[0] / max(1, min(round(bounds[0]), _MOST_STEPS))
    steps = [max(1, round(days / step_days)) for days in bounds]
    hazards = stages.restore(facts["hazards"])
    rates = hazards.draw(min(DRAWS, paths), random)
    chances = stages.won_by(rates, hazards.edges, steps=steps, step_days=step_days)
    plan = deal_forecast.Plan(
        steps=steps, deals=there, pool=pool, arrivals=arrivals, factors=factors, common=facts["common"],
        sizes=[len(n) for n in names],
    )  # fmt: skip
    simulated = deal_forecast.simulate(plan, chances, paths=paths, random=random)
    return simulated, names


def baselines_of(deals: Deals, facts: Mapping[str, Any], days: float) -> dict[str, float]:
    """Give what people use instead: amount x the win rate of the stage, and what closes by its own closing date."""
    which, there, pool, *_ = deal_rates.setting(facts, deals)
    exits = np.asarray(facts["hazards"]["exits"]).sum(axis=2)
    rate = np.divide(exits[:, -2], exits[:, -2] + exits[:, -1], out=np.zeros(len(exits)),
                     where=exits[:, -2] + exits[:, -1] > 0)  # fmt: skip
    reached = _ever_won(exits, rate)
    amount = np.where(np.isfinite(there.amount), there.amount, pool.amount.mean() if len(pool.amount) else 0.0)
    expected = deals.row_expected[deals.rows_at(which, np.full(len(which), deals.now))]
    closing = (expected >= deals.now) & (expected < deals.now + days * DAY)
    found = {"weighted_pipeline": float((amount * reached[there.stage]).sum())}
    return {**found, "closing_dates": float(amount[closing].sum())} if np.isfinite(expected).any() else found


def missing_in(deals: Deals) -> str:
    """Say what is missing for a forecast, or give ''."""
    few = shared.too_few(deals, FEWEST_WON)
    if few or np.any(deals.amount_won[deals.won] > 0):
        return few
    return "No deal that was won has an amount, so there is nothing to add up. Map the column with the amounts."


def _ever_won(exits: Floats, rate: Floats) -> Floats:
    """Give the share of deals in each stage that are won in the end, as they moved before."""
    total = np.maximum(exits.sum(axis=1), 1.0)
    won = rate
    for _ in range(100):  # stages can be left backwards, so this is a fixed point and not one pass
        won = (exits[:, -2] + exits[:, :-2] @ won) / total
    return won
