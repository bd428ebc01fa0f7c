"""Orders replayed over history: what ours would have cost beside the naive rule, mean + z x deviation of the past.

At every past moment both order up to a level that has to last until the delivery after the next review. What is left
over is held until then, what is missing loses its margin; both rules want the same chance of lasting.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models.forecasting import conformal
from nextbest.models.forecasting.learn import foreseen, judged, learn
from nextbest.recipes.demand_judged import CHANCES, RARE, REGULAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextbest.models.forecasting.hierarchy import Hierarchy
    from nextbest.models.forecasting.origins import Base
    from nextbest.recipes.demand_panel import Seen
    from nextbest.recipes.restock_costs import Costs

    Floats = NDArray[np.float64]

NAIVE_RULE = "mean and deviation"
_FEWEST_ERRORS = 30
_DRAWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the replay taught: costs of both rules, what was saved per order with its interval, error quantiles."""

    weight: float
    quantiles: dict[str, list[float]]
    metrics: dict[str, float]
    naive: dict[str, float]
    saved_interval: tuple[float, float]
    orders: int
    origins: int
    why: str


def replay(
    bases: Sequence[Base], hierarchy: Hierarchy, of: Sequence[str], seen: Seen, costs: Costs, *, seed: int
) -> Replayed:
    """Give what both rules would have cost at every moment before which another's demand had been seen whole."""
    ours, theirs, actual = [], [], []
    for base, earlier in judged(bases, seen.horizon):
        weight, quantiles = _learnt(earlier, hierarchy, of)
        expected = foreseen(base, hierarchy, weight, positive=True).sum(axis=1)
        ours.append(_level(expected, base.scale, quantiles, of, costs.chance))
        theirs.append(naive_level(seen.panel.values[:, : base.moment], seen.panel.season, seen.horizon, costs.chance))
        actual.append(base.actual.sum(axis=1))
    weight, quantiles = _learnt(bases, hierarchy, of)
    level, naive, came = np.array(ours), np.array(theirs), np.array(actual)
    there = np.isfinite(level) & np.isfinite(naive) & np.isfinite(came)
    a, b = (_cost(x, came, costs) for x in (level, naive))
    low, high = _interval(np.where(there, b - a, np.nan), seed=seed)
    metrics, baseline = _told(level, came, a, there), _told(naive, came, b, there)
    saved = baseline["cost"] - metrics["cost"]
    clear = (
        "Replayed, it saves"
        if low > 0
        else "Replayed, it costs more"
        if high < 0
        else "Replayed, it does not clearly save"
    )
    return Replayed(
        weight=weight,
        quantiles={g: q.tolist() for g, q in quantiles.items()},
        metrics={**metrics, "saved": saved, "saved_share": saved / baseline["cost"] if baseline["cost"] else 0.0},
        naive=baseline,
        saved_interval=(low, high),
        orders=int(there.sum()),
        origins=len(level),
        why=f"{clear}: {saved:.4g} per order and item (95%: {low:.4g} to {high:.4g}) of {baseline['cost']:.4g}.",
    )


def naive_level(past: Floats, season: int, horizon: int, chance: Floats) -> Floats:
    """Give mean x periods + z x deviation x sqrt(periods) of the last season of each item (at least 13 periods)."""
    late = past[:, -max(season, 13) :]
    there = np.isfinite(late)
    count = np.maximum(there.sum(axis=1), 1)
    mean = np.where(there, late, 0.0).sum(axis=1) / count
    deviation = np.sqrt((np.where(there, late - mean[:, None], 0.0) ** 2).sum(axis=1) / np.maximum(count - 1, 1))
    z = np.array([NormalDist().inv_cdf(float(c)) for c in chance])
    known = there.any(axis=1)
    return np.where(known, np.maximum(mean * horizon + z * deviation * np.sqrt(horizon), 0.0), np.nan)


def _learnt(bases: Sequence[Base], hierarchy: Hierarchy, of: Sequence[str]) -> tuple[float, dict[str, Floats]]:
    """Give the weight of the trees, and per group the quantiles of the scaled errors of whole sums."""
    learnt = learn(bases, hierarchy, positive=True)
    sums = learnt.errors.sum(axis=2)
    found = {}
    for group in (REGULAR, RARE):
        own = sums[:, [g == group for g in of]].ravel()
        own = own[np.isfinite(own)] if np.isfinite(own).sum() >= _FEWEST_ERRORS else sums[np.isfinite(sums)]
        found[group] = np.maximum.accumulate([conformal.quantile(own, chance) for chance in CHANCES])
    return learnt.weight, found


def _level(expected: Floats, scale: Floats, quantiles: dict[str, Floats], of: Sequence[str], chance: Floats) -> Floats:
    more = np.array([np.interp(c, CHANCES, quantiles[g]) for c, g in zip(chance, of, strict=True)])
    return np.asarray(np.maximum(expected + scale * more, 0.0))


def _cost(level: Floats, came: Floats, costs: Costs) -> Floats:
    return np.asarray(costs.over * np.maximum(level - came, 0.0) + costs.under * np.maximum(came - level, 0.0))


def _told(level: Floats, came: Floats, cost: Floats, there: NDArray[np.bool_]) -> dict[str, float]:
    """Give the cost per order and item, how often stock lasted, the share of demand served, and what was left over."""
    served = np.minimum(level, came)[there].sum()
    return {
        "cost": float(cost[there].mean()),
        "lasted": float((came <= level)[there].mean()),
        "served": float(served / max(came[there].sum(), 1e-12)),
        "left_over": float(np.maximum(level - came, 0.0)[there].mean()),
    }


def _interval(saved: Floats, *, seed: int) -> tuple[float, float]:
    """Give the 95% interval of the mean saving, by drawing items with all of their orders."""
    by_item = [column[np.isfinite(column)] for column in saved.T]
    by_item = [c for c in by_item if len(c)]
    if len(by_item) == 1:
        by_item = [by_item[0][i : i + 1] for i in range(len(by_item[0]))]
    totals, counts = np.array([c.sum() for c in by_item]), np.array([len(c) for c in by_item])
    draw = np.random.default_rng(seed).integers(0, len(totals), (_DRAWS, len(totals)))
    low, high = np.quantile(totals[draw].sum(axis=1) / counts[draw].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)
