"""How good predictions are: ranking and calibration of probabilities, error and ranking of amounts, with intervals.

All functions take `actual` (0/1, or amounts) and `predicted` (probabilities, or amounts) as float64 vectors of the same
length. Tied predictions count as what a random order among them gives on average, so no metric depends on row order.
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_EPSILON = 1e-15


def probability_metrics(actual: Vector, predicted: Vector) -> dict[str, float]:
    """Give `auc, average_precision, log_loss, brier, ece, top_decile_lift, capture_at_20`."""
    return {
        "auc": auc(actual, predicted),
        "average_precision": average_precision(actual, predicted),
        "log_loss": log_loss(actual, predicted),
        "brier": brier(actual, predicted),
        "ece": ece(actual, predicted),
        "top_decile_lift": top_decile_lift(actual, predicted),
        "capture_at_20": capture_at(actual, predicted, 0.2),
    }


def amount_metrics(actual: Vector, predicted: Vector) -> dict[str, float]:
    """Give `mae, rmse, correlation, normalised_gini, decile_mape, total_error`."""
    return {
        "mae": mae(actual, predicted),
        "rmse": rmse(actual, predicted),
        "correlation": correlation(actual, predicted),
        "normalised_gini": normalised_gini(actual, predicted),
        "decile_mape": decile_mape(actual, predicted),
        "total_error": total_error(actual, predicted),
    }


# --- probabilities --------------------------------------------------------------------------------------------------


def auc(actual: Vector, predicted: Vector) -> float:
    """Give the chance that a positive outranks a negative, ties counting half; NaN without both classes."""
    positives = float(actual.sum())
    negatives = len(actual) - positives
    if not positives or not negatives:
        return float("nan")
    total = float(_midranks(predicted)[actual > 0].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def auc_interval(actual: Vector, predicted: Vector, *, level: float = 0.95) -> tuple[float, float]:
    """Give DeLong's interval of the AUC, by midranks (Sun and Xu 2014, equations 4 to 9), on the logit scale."""
    place, variance = auc(actual, predicted), auc_covariance(actual, predicted, predicted)[0]
    if not np.isfinite(place):
        return float("nan"), float("nan")
    inside = min(max(place, 1e-6), 1 - 1e-6)
    half = NormalDist().inv_cdf((1 + level) / 2) * sqrt(max(variance, 0.0)) / (inside * (1 - inside))
    centre = np.log(inside / (1 - inside))
    low, high = (1 / (1 + np.exp(-(centre + sign * half))) for sign in (-1, 1))
    return float(low), float(high)


def auc_difference(actual: Vector, ours: Vector, theirs: Vector, *, level: float = 0.95) -> tuple[float, float, float]:
    """Give the AUC of *ours* minus that of *theirs* on the same rows, and DeLong's paired interval: (d, low, high)."""
    difference = auc(actual, ours) - auc(actual, theirs)
    ours_variance, theirs_variance, covariance = auc_covariance(actual, ours, theirs)
    spread = sqrt(max(ours_variance + theirs_variance - 2 * covariance, 0.0))
    half = NormalDist().inv_cdf((1 + level) / 2) * spread
    return difference, difference - half, difference + half


def auc_covariance(actual: Vector, first: Vector, second: Vector) -> tuple[float, float, float]:
    """Give var(first), var(second) and their covariance, all of AUC on the same rows (DeLong 1988, equation 5)."""
    parts = [_placements(actual, scores) for scores in (first, second)]
    variances = [_joint(a, b) for a, b in ((parts[0], parts[0]), (parts[1], parts[1]), (parts[0], parts[1]))]
    return variances[0], variances[1], variances[2]


def _placements(actual: Vector, scores: Vector) -> tuple[Vector, Vector]:
    """Give for each positive the share of negatives below it, and for each negative the share of positives above."""
    yes = actual > 0
    ranks, m, n = _midranks(scores), int(yes.sum()), int((~yes).sum())
    above = (ranks[yes] - _midranks(scores[yes])) / max(n, 1)
    below = 1 - (ranks[~yes] - _midranks(scores[~yes])) / max(m, 1)
    return above, below


def _joint(first: tuple[Vector, Vector], second: tuple[Vector, Vector]) -> float:
    total = 0.0
    for a, b in zip(first, second, strict=True):
        if len(a) > 1:
            total += float(((a - a.mean()) * (b - b.mean())).sum()) / (len(a) - 1) / len(a)
    return total


def average_precision(actual: Vector, predicted: Vector) -> float:
    """Give precision averaged over recall steps; tied scores are one step. NaN without positives."""
    order = np.argsort(-predicted, kind="stable")
    last = np.flatnonzero(np.append(np.diff(predicted[order]) != 0, True))
    hits = np.cumsum(actual[order])[last]
    if not len(last) or not hits[-1]:
        return float("nan")
    precision = hits / (last + 1)
    return float((np.diff(hits, prepend=0.0) / hits[-1] * precision).sum())


def log_loss(actual: Vector, predicted: Vector) -> float:
    """Give the mean negative log likelihood, in nats; probabilities are kept 1e-15 away from 0 and 1."""
    p = np.clip(predicted, _EPSILON, 1 - _EPSILON)
    return float(-np.mean(np.where(actual > 0, np.log(p), np.log1p(-p))))


def brier(actual: Vector, predicted: Vector) -> float:
    """Give the mean squared error of probabilities."""
    return float(np.mean((actual - predicted) ** 2))


def ece(actual: Vector, predicted: Vector, *, bins: int = 10) -> float:
    """Give the expected calibration error over equally wide bins: mean |observed rate - mean probability| by rows."""
    which = np.minimum((np.clip(predicted, 0, 1) * bins).astype(np.int64), bins - 1)
    gap = np.bincount(which, weights=actual - predicted, minlength=bins)
    return float(np.abs(gap).sum() / len(actual))


def top_decile_lift(actual: Vector, predicted: Vector) -> float:
    """Give the rate of positives in the tenth with the highest scores over the overall rate."""
    return capture_at(actual, predicted, 0.1) / 0.1


def capture_at(actual: Vector, predicted: Vector, share: float) -> float:
    """Give the share of all positives (or of the amount) found in the best *share* of rows, fractions counted."""
    order = np.argsort(-predicted, kind="stable")
    found = np.append(0.0, np.cumsum(_tie_means(actual[order], predicted[order])))
    if not found[-1]:
        return float("nan")
    return float(np.interp(share * len(actual), np.arange(len(found)), found) / found[-1])


# --- amounts --------------------------------------------------------------------------------------------------------


def mae(actual: Vector, predicted: Vector) -> float:
    """Give the mean absolute error."""
    return float(np.mean(np.abs(actual - predicted)))


def rmse(actual: Vector, predicted: Vector) -> float:
    """Give the root of the mean squared error."""
    return float(np.sqrt(np.mean((actual - predicted) ** 2)))


def correlation(actual: Vector, predicted: Vector) -> float:
    """Give Pearson's correlation; NaN when either side is constant."""
    a, b = actual - actual.mean(), predicted - predicted.mean()
    scale = sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else float("nan")


def normalised_gini(actual: Vector, predicted: Vector) -> float:
    """Give the Gini of actual amounts ordered by prediction over that of the perfect order: 1 perfect, 0 by chance."""
    best = _gini(actual, actual)
    return _gini(actual, predicted) / best if best else float("nan")


def _gini(actual: Vector, predicted: Vector) -> float:
    order = np.argsort(-predicted, kind="stable")
    total = float(actual.sum())
    if not total:
        return 0.0
    lorenz = np.cumsum(_tie_means(actual[order], predicted[order])) / total
    return float(lorenz.sum() - (len(actual) + 1) / 2) / len(actual)


def decile_mape(actual: Vector, predicted: Vector) -> float:
    """Give the mean over tenths by prediction of |sum predicted - sum actual| / sum actual.

    Tied predictions share their mean actual; a tenth whose actual sum is below 1% of the average tenth is measured
    against that 1%, so that an empty tenth neither vanishes nor divides by zero.
    """
    order = np.argsort(-predicted, kind="stable")
    observed, expected = _tie_means(actual[order], predicted[order]), predicted[order]
    edges = np.linspace(0, len(actual), 11)
    rows = np.arange(len(actual) + 1)
    sums = [np.diff(np.interp(edges, rows, np.append(0.0, np.cumsum(v)))) for v in (observed, expected)]
    floor = abs(float(observed.sum())) / 1000
    return float(np.mean(np.abs(sums[1] - sums[0]) / np.maximum(np.abs(sums[0]), max(floor, _EPSILON))))


def total_error(actual: Vector, predicted: Vector) -> float:
    """Give the predicted total over the actual total, minus one."""
    total = float(actual.sum())
    return float(predicted.sum()) / total - 1 if total else float("nan")


# --- intervals and ties ---------------------------------------------------------------------------------------------


def bootstrap_interval(
    metric: Callable[[Vector, Vector], float],
    actual: Vector,
    predicted: Vector,
    *,
    level: float = 0.95,
    draws: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """Give the percentile interval of a metric over rows drawn with replacement; the same seed gives the same one."""
    chance = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        rows = chance.integers(0, len(actual), len(actual))
        values.append(metric(actual[rows], predicted[rows]))
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _midranks(values: Vector) -> Vector:
    """Give ranks from 1, ties sharing their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Vector = (last - (counts - 1) / 2)[place]
    return ranks


def _tie_means(ordered: Vector, keys: Vector) -> Vector:
    """Give each row the mean of the rows that share its key; *keys* are sorted."""
    group = np.append(0, np.cumsum(np.diff(keys) != 0))
    sums, counts = np.bincount(group, weights=ordered), np.bincount(group)
    means: Vector = (sums / counts)[group]
    return means
