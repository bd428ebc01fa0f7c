"""How far single customers stray from their prediction: intervals that need no distribution to be right.

What happened in an earlier window to customers with such predictions, in groups by prediction, as quantiles of the
ratio of what they did to what was said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GROUPS = 10  # of customers by prediction, each with its own interval


def strays(actual: Floats, predicted: Floats, level: float, days: int) -> dict[str, list[float]]:
    """Give the edges of the groups (per day) and each group's ratios; rows with a missing prediction do not count."""
    known = ~np.isnan(predicted)
    actual, predicted = actual[known], np.maximum(predicted[known], 1e-12)
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, GROUPS + 1)[1:-1]))
    group = np.searchsorted(edges, predicted)
    ratio = actual / predicted
    low, high = [], []
    for number in range(len(edges) + 1):
        inside = ratio[group == number] if np.any(group == number) else ratio
        below, above = _ends(inside, level)
        low.append(min(below, 1.0))
        high.append(max(above, 1.0))
    return {"edges": (edges / days).tolist(), "ratio_low": low, "ratio_high": high}


def _ends(ratio: Floats, level: float) -> tuple[float, float]:
    """Give both ends: with as many below as above, or from 0 where those who bought nothing are too many for that.

    An interval from 0 loses nobody below; all who may be missed are then missed above, or it would hold too many.
    """
    below = float(np.quantile(ratio, (1 - level) / 2))
    return (
        (0.0, float(np.quantile(ratio, level))) if below <= 0 else (below, float(np.quantile(ratio, (1 + level) / 2)))
    )


def interval(predicted: Floats, told: Mapping[str, list[float]], days: int) -> tuple[Floats, Floats]:
    """Give the low and high end for predictions over `days`."""
    group = np.searchsorted(np.asarray(told["edges"]), predicted / days)
    return predicted * np.asarray(told["ratio_low"])[group], predicted * np.asarray(told["ratio_high"])[group]
