"""Categories of many levels as one number: the mean label of a level, shrunk to the mean of all.

A training row gets the mean of its level among the *other* parts of the table (out of fold), or its own label would
stand in its features; later rows get the mean over all. Micci-Barreca (2001, equation 4) with a fixed weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]

_PARTS = 5
_WEIGHT = 10.0  # a level counts for half when it has been seen so often


def learn(
    codes: Codes, actual: Vector, levels: int, *, seed: int, groups: Sequence[str] | None = None
) -> tuple[Vector, Vector]:
    """Give the mean of every level, 0 to levels - 1, and each row's mean of its level in the other parts.

    A negative code is a missing value: NaN.
    """
    # Parts are dealt without regard to the label: a part with more positives would leave fewer to the others, and the
    # encoding would know that.
    part = folds.assign(np.zeros(len(actual)), _PARTS, seed=seed, groups=groups)
    held_out = np.full(len(codes), np.nan)
    for number in range(_PARTS):
        others = part != number
        held_out[~others] = apply(_means(codes[others], actual[others], levels), codes[~others])
    return _means(codes, actual, levels), held_out


def apply(means: Vector, codes: Codes) -> Vector:
    """Give each row the mean of its level; NaN where missing."""
    found: Vector = np.append(means, np.nan)[codes]
    return found


def _means(codes: Codes, actual: Vector, levels: int) -> Vector:
    known = codes >= 0
    base = float(actual.mean()) if len(actual) else 0.0
    total = np.bincount(codes[known], weights=actual[known], minlength=levels)
    count = np.bincount(codes[known], minlength=levels)
    means: Vector = (total + _WEIGHT * base) / (count + _WEIGHT)
    return means
