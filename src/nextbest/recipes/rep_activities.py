"""Which activities go with winning, all looked at together, with the chance of a false find held over all of them."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextbest.recipes.rep_deals import Deals

    Vector = NDArray[np.float64]

FEWEST_DEALS = 50
FALSE_FINDS = 0.05
_STEPS = 25


def association(deals: Deals, offset: Vector) -> list[dict[str, Any]]:
    """Give per activity how the odds of winning go with twice as much of it, beside rep and mix (the `offset`).

    Deals that were over before the activities were counted are left out. `surely` holds the share of false finds at 5%
    (Benjamini and Hochberg 1995).
    """
    use = deals.lasted
    if deals.done.num_columns == 0 or use.sum() < FEWEST_DEALS:
        return []
    columns = np.column_stack([np.log1p(deals.done[name].to_numpy())[use] for name in deals.done.column_names])
    moving = columns.std(axis=0) > 0
    names = [n for n, moves in zip(deals.done.column_names, moving, strict=True) if moves]
    if not names:
        return []
    weights, errors = _fit(columns[:, moving], deals.won[use], offset[use])
    chances = [float(2 * _upper(abs(w) / e)) for w, e in zip(weights, errors, strict=True)]
    sure = _held(chances)
    twice = np.log(2.0)
    rows = [
        {
            "activity": name,
            "odds_ratio_of_twice": round(float(np.exp(w * twice)), 3),
            "low": round(float(np.exp((w - 1.96 * e) * twice)), 3),
            "high": round(float(np.exp((w + 1.96 * e) * twice)), 3),
            "p_value": round(p, 4),
            "surely": s,
        }
        for name, w, e, p, s in zip(names, weights, errors, chances, sure, strict=True)
    ]
    return sorted(rows, key=lambda row: row["p_value"])


def _fit(columns: Vector, won: Vector, offset: Vector) -> tuple[Vector, Vector]:
    """Give weights and standard errors of a logistic regression with an offset, by Newton's rounds."""
    design = np.column_stack([np.ones(len(won)), columns - columns.mean(axis=0)])
    weights = np.zeros(design.shape[1])
    information = np.eye(len(weights))
    for _ in range(_STEPS):
        total = offset + np.einsum("ij,j->i", design, weights)
        chance = 1 / (1 + np.exp(-np.clip(total, -35, 35)))
        information = np.einsum("ki,k,kj->ij", design, chance * (1 - chance), design) + 1e-6 * np.eye(len(weights))
        weights = weights + np.linalg.solve(information, np.einsum("ki,k->i", design, won - chance))
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    return weights[1:], errors[1:]


def _upper(deviations: float) -> float:
    return 1 - NormalDist().cdf(deviations)


def _held(chances: list[float]) -> list[bool]:
    """Tell for each p value whether it is a find when at most 5% of finds may be false."""
    order = np.argsort(chances)
    ranked = np.asarray(chances)[order]
    passing = np.flatnonzero(ranked <= FALSE_FINDS * np.arange(1, len(ranked) + 1) / len(ranked))
    limit = ranked[passing[-1]] if len(passing) else -1.0
    return [p <= limit for p in chances]
