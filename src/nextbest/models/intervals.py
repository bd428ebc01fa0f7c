"""How far a prediction can be trusted, from predictions of rows that the model had not seen.

A probability's interval is that of the rate among subjects who score alike: out-of-fold rows are cut by score into
groups of equal size, and each group's rate has Jeffreys' interval (Brown, Cai, DasGupta 2001, section 4.1.2). An
amount's interval holds a single subject's amount: the spread of actual amounts around the prediction in the same
group (split conformal, Lei et al. 2018, with groups after Vovk's Mondrian taxonomies).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_LEAST_ROWS = 50
_MOST_GROUPS = 40


def fit(predicted: Vector, actual: Vector, *, task: str, level: float) -> dict[str, Any]:
    """Give, per group of alike predictions, how far low and high lie from the prediction; plain values for JSON."""
    groups = int(np.clip(len(predicted) // (4 * _LEAST_ROWS), 1, _MOST_GROUPS))
    order = np.argsort(predicted, kind="stable")
    parts = np.array_split(order, groups)
    middle = [float(predicted[p].mean()) for p in parts]
    if task == "classification":
        bounds = [_rate_bounds(actual[p], level) for p in parts]
    else:
        bounds = [_amount_bounds(actual[p] - predicted[p], level) for p in parts]
    below = [low - m if task == "classification" else low for (low, _), m in zip(bounds, middle, strict=True)]
    above = [high - m if task == "classification" else high for (_, high), m in zip(bounds, middle, strict=True)]
    least = 0.0 if task == "tweedie" or float(actual.min(initial=0.0)) >= 0 else None
    return {"task": task, "level": level, "middle": middle, "below": below, "above": above, "least": least}


def apply(interval: Mapping[str, Any], predicted: Vector) -> tuple[Vector, Vector]:
    """Give low and high per prediction; low <= prediction <= high always."""
    low = predicted + np.interp(predicted, interval["middle"], interval["below"])
    high = predicted + np.interp(predicted, interval["middle"], interval["above"])
    if interval["task"] == "classification":
        low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
    elif interval["least"] is not None:
        low = np.maximum(low, interval["least"])
    return np.minimum(low, predicted), np.maximum(high, predicted)


def _rate_bounds(actual: Vector, level: float) -> tuple[float, float]:
    from scipy.special import betaincinv

    yes, n = float(actual.sum()), float(len(actual))
    low = float(betaincinv(yes + 0.5, n - yes + 0.5, (1 - level) / 2)) if yes else 0.0
    high = float(betaincinv(yes + 0.5, n - yes + 0.5, (1 + level) / 2)) if yes < n else 1.0
    return low, high


def _amount_bounds(errors: Vector, level: float) -> tuple[float, float]:
    """Give the quantiles of the errors, widened by one row on either side as split conformal prediction does."""
    n = len(errors)
    shares = np.clip([(1 - level) / 2 * (n + 1) / n - 1 / n, (1 + level) / 2 * (n + 1) / n], 0, 1)
    low, high = np.quantile(errors, shares)
    return float(low), float(high)
