"""Is there a valley between two groups? Hartigan's dip: how far a distribution is from the nearest one with one hill.

Hartigan and Hartigan (1985), The dip test of unimodality, Annals of Statistics 13. The dip is the smallest d for which
some distribution function, convex up to a mode and concave after it, stays within d of the observed one everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

# sqrt(n) times the dip of n uniform draws exceeds this in 1 of 100 samples (simulated, n from 100 to 1,000; the uniform
# is the hardest distribution with one hill).
CRITICAL = 0.58
_MOST_POINTS = 400
_STEPS = 14


def dip(values: Vector) -> float:
    """Give the dip of a sample, 0 to 0.25; samples of over 400 are compared at 400 of their ordered values."""
    ordered = np.sort(values)
    count = len(ordered)
    if count < 4 or ordered[0] == ordered[-1]:
        return 0.0
    x, first = np.unique(ordered, return_index=True)
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).round().astype(np.int64))
    last = np.append(first[1:], count)
    x, before, after = x[kept], first[kept] / count, last[kept] / count
    low, high = 0.0, 0.25
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _one_hill_within(x, before, after, middle):
            high = middle
        else:
            low = middle
    return (low + high) / 2


def has_valley(values: Vector) -> bool:
    """Tell whether a sample surely (99 in 100) has more than one hill."""
    return bool(np.sqrt(len(values)) * dip(values) > CRITICAL)


def _one_hill_within(x: Vector, before: Vector, after: Vector, distance: float) -> bool:
    """Tell whether a function with one hill stays within `distance`: convex up to some point, concave after it.

    `before` and `after` are the observed distribution just left of and at each point. The concave side is the convex
    side of the mirrored sample. At the mode the convex side must not end above where the concave side may begin.
    """
    left = _least_convex(x, before, after, distance)
    right = 1 - _least_convex(-x[::-1], 1 - after[::-1], 1 - before[::-1], distance)[::-1]
    return bool(np.any(left <= right))


def _least_convex(x: Vector, before: Vector, after: Vector, distance: float) -> Vector:
    """Give the least value at each point of a convex function that has stayed within `distance` so far; inf: none has.

    A convex function that is at most u at one point and at least v at a later one rises at least as steeply after it.
    """
    above, below = before + distance, after - distance
    apart = x[:, None] - x[None, :]
    earlier = np.tri(len(x), k=-1, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.where(earlier, (below[:, None] - above[None, :]) / apart, 0.0)
    steepest = np.maximum(slopes.max(axis=1), 0.0)
    reached = np.where(earlier, below[None, :] + steepest[None, :] * apart, -np.inf).max(axis=1)
    failed = np.maximum.accumulate(reached > above + 1e-12)
    return np.where(failed, np.inf, np.maximum(reached, before - distance))
