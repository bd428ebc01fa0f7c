"""Intervals that held in the past: quantiles of the scaled errors at rolling origins.

Split conformal prediction (Lei et al. 2018, Journal of the American Statistical Association 113, section 2.2) with the
errors of the same and of neighbouring steps; (n + 1) in place of n widens where errors are few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_NEIGHBOURS = 0.25  # steps this share away have errors alike


def quantiles(errors: Floats, chances: Sequence[float]) -> Floats:
    """Give chances x steps of the scaled errors (rows x steps, NaN where unknown), growing with the chance."""
    steps = errors.shape[1]
    found = np.zeros((len(chances), steps))
    for step in range(steps):
        reach = max(1, round(_NEIGHBOURS * (step + 1)))
        near = errors[:, max(0, step - reach) : step + reach + 1]
        found[:, step] = [quantile(near[np.isfinite(near)], chance) for chance in chances]
    return np.maximum.accumulate(found, axis=0)


def quantile(errors: Floats, chance: float) -> float:
    """Give the value that the next error stays under with at least this chance; beyond the largest it is stretched.

    With n errors no chance above n / (n + 1) can be had from their order alone; the largest (or smallest) times the
    ratio of normal quantiles stands in.
    """
    count = len(errors)
    if not count:
        return 0.0
    if chance < 0.5:
        return -quantile(-errors, 1 - chance)
    rank = chance * (count + 1)
    if rank <= count:
        ordered = np.sort(errors)
        below = int(np.floor(rank)) - 1
        share = rank - np.floor(rank)
        return float((1 - share) * ordered[max(below, 0)] + share * ordered[min(below + 1, count - 1)])
    from statistics import NormalDist

    normal = NormalDist()
    reached = max(count / (count + 1), 0.5 + 1e-3)
    return float(max(errors.max(), 0.0) * normal.inv_cdf(chance) / normal.inv_cdf(reached))
