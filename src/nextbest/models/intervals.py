"""How far a prediction can be trusted, from predictions of rows that the model had not seen.

A probability's interval is that of the rate among subjects who score alike: out-of-fold rows are cut by score into
groups of equal size, and each group's rate has Jeffreys' interval (Brown, Cai, DasGupta 2001, section 4.1.2). Few rows
make few groups, which know the middle only: the line that turns scores into log-odds is itself uncertain, most at its
ends, and its interval (delta method on a logistic regression of the actual on that line) counts where it is wider.
Several rows of one subject are fewer witnesses than they are rows: by the design effect of their errors (Kish 1965). An
amount's interval holds a single subject's amount: the spread of actual amounts around the prediction in the same
group (split conformal, Lei et al. 2018, with groups after Vovk's Mondrian taxonomies).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_LEAST_ROWS = 50
_MOST_GROUPS = 40
_NO_SPREAD = 1e-9
_CERTAIN = 1e-6


def fit(
    predicted: Vector, actual: Vector, *, task: str, level: float, subject: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """Give, per group of alike predictions, how far low and high lie from the prediction; plain values for JSON.

    `subject` numbers whose row it is, where a subject may have several.
    """
    errors = actual - predicted
    fewer = 1.0 if subject is None else _design_effect(errors, subject)
    groups = int(np.clip(len(predicted) / fewer // (4 * _LEAST_ROWS), 1, _MOST_GROUPS))
    order = np.argsort(predicted, kind="stable")
    parts = np.array_split(order, groups)
    within = 1.0 if subject is None else _design_effect(errors, subject * groups + _numbered(parts))
    middle = [float(predicted[p].mean()) for p in parts]
    if task == "classification":
        bounds = [_rate_bounds(actual[p], level, within) for p in parts]
    else:
        bounds = [_amount_bounds(actual[p] - predicted[p], level) for p in parts]
    below = [low - m if task == "classification" else low for (low, _), m in zip(bounds, middle, strict=True)]
    above = [high - m if task == "classification" else high for (_, high), m in zip(bounds, middle, strict=True)]
    line = _line(predicted, actual, fewer) if task == "classification" else None
    least = 0.0 if task == "tweedie" or float(actual.min(initial=0.0)) >= 0 else None
    return {
        "task": task,
        "level": level,
        "middle": middle,
        "below": below,
        "above": above,
        "least": least,
        "line": line,
    }


def apply(interval: Mapping[str, Any], predicted: Vector) -> tuple[Vector, Vector]:
    """Give low and high per prediction; low <= prediction <= high always."""
    low = predicted + np.interp(predicted, interval["middle"], interval["below"])
    high = predicted + np.interp(predicted, interval["middle"], interval["above"])
    if interval["task"] == "classification":
        if interval.get("line"):  # a model kept from before has groups only
            along = _along(interval["line"], predicted, interval["level"])
            low, high = np.minimum(low, along[0]), np.maximum(high, along[1])
        low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
    elif interval["least"] is not None:
        low = np.maximum(low, interval["least"])
    return np.minimum(low, predicted), np.maximum(high, predicted)


def _design_effect(errors: Vector, cluster: NDArray[np.int64]) -> float:
    """Give how many times as variable the mean error is as that of as many independent rows; at least 1."""
    _, place = np.unique(cluster, return_inverse=True)
    summed = np.bincount(place, weights=errors)
    own = float((errors**2).sum())
    return max(1.0, float((summed**2).sum()) / own) if own > 0 else 1.0


def _numbered(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    found = np.empty(sum(len(p) for p in parts), np.int64)
    for number, part in enumerate(parts):
        found[part] = number
    return found


def _rate_bounds(actual: Vector, level: float, fewer: float) -> tuple[float, float]:
    """Give Jeffreys' interval of a rate, of rows that are worth `fewer` times fewer."""
    from scipy.special import betaincinv

    yes, n = float(actual.sum()) / fewer, float(len(actual)) / fewer
    low = float(betaincinv(yes + 0.5, n - yes + 0.5, (1 - level) / 2)) if yes else 0.0
    high = float(betaincinv(yes + 0.5, n - yes + 0.5, (1 + level) / 2)) if yes < n else 1.0
    return low, high


def _line(predicted: Vector, actual: Vector, fewer: float) -> list[float]:
    """Give the variances and the covariance of shift and slope of actual on predicted log-odds, and their centre.

    The inverse of the information of that logistic regression at shift 0 and slope 1, about the weighted mean score.
    """
    score, weight = _log_odds(predicted), predicted * (1 - predicted)
    total = float(weight.sum())
    centre = float((weight * score).sum()) / total
    spread = float((weight * (score - centre) ** 2).sum())
    rarer = min(float(actual.sum()), float((1 - actual).sum()))
    # Scores without spread have no slope to be uncertain of; and no variance is told from fewer rows than there were.
    return [fewer / min(total, rarer), fewer / spread if spread > _NO_SPREAD * total else 0.0, centre]


def _along(line: Sequence[float], predicted: Vector, level: float) -> tuple[Vector, Vector]:
    """Give the interval of the rate by the line alone."""
    shift, slope, centre = line
    score = _log_odds(predicted)
    # Twice the variance: the line errs by its sample, and so does the model whose scores it reads, by one as large.
    reach = NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(2 * (shift + slope * (score - centre) ** 2))
    low, high = 1 / (1 + np.exp(-(score - reach))), 1 / (1 + np.exp(-(score + reach)))
    return low, high


def _log_odds(probability: Vector) -> Vector:
    inside = np.clip(probability, _CERTAIN, 1 - _CERTAIN)
    found: Vector = np.log(inside) - np.log1p(-inside)
    return found


def _amount_bounds(errors: Vector, level: float) -> tuple[float, float]:
    """Give the quantiles of the errors, widened by one row on either side as split conformal prediction does."""
    n = len(errors)
    shares = np.clip([(1 - level) / 2 * (n + 1) / n - 1 / n, (1 + level) / 2 * (n + 1) / n], 0, 1)
    low, high = np.quantile(errors, shares)
    return float(low), float(high)
