"""What one column alone tells about the label, on rows it was not fitted to."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nextbest.models.leaks.reading import Column

    Vector = NDArray[np.float64]

_BINS = 20
_HALF = 0.5
_SMOOTH = 5.0
_TWO_SIDED = 1.96


def held_out(column: Column, actual: Vector, fold: NDArray[np.int64]) -> Vector:
    """Give each row the smoothed rate of its level or of its twentieth of the column, learnt on the other fold."""
    predicted = np.zeros(len(actual))
    base = float(actual.mean())
    for number in (0, 1):
        learn, judge = fold != number, fold == number
        cut = _cutter(column.values[learn], actual[learn], coded=column.form == "category")
        which, asked = cut(column.values[learn]), cut(column.values[judge])
        size = int(max(which.max(), asked.max())) + 1
        yes, rows = np.bincount(which, weights=actual[learn], minlength=size), np.bincount(which, minlength=size)
        predicted[judge] = ((yes + _SMOOTH * base) / (rows + _SMOOTH))[asked]
    return predicted


def auc_and_low(actual: Vector, predicted: Vector) -> tuple[float, float]:
    """Give the AUC and the lower end of its 95% interval (Hanley and McNeil 1982, equation 2).

    Errors that were never seen in n rows of the rarer class may be as frequent as 3/n (the rule of three), so the lower
    end is never above 1 - 3/n: a perfect column in few rows proves little.
    """
    place = evaluate.auc(actual, predicted)
    yes, no = float(actual.sum()), float(len(actual) - actual.sum())
    higher, twice = place / (2 - place), 2 * place**2 / (1 + place)
    variance = place * (1 - place) + (yes - 1) * (higher - place**2) + (no - 1) * (twice - place**2)
    low = place - _TWO_SIDED * sqrt(max(variance, 0.0) / (yes * no))
    return place, min(low, 1 - 3 / min(yes, no))


def higher_side(column: Column, actual: Vector) -> NDArray[np.bool_]:
    """Tell which rows of a column of two values have the value that goes with the label."""
    codes = np.unique(column.values, return_inverse=True)[1]
    rate = np.bincount(codes, weights=actual) / np.bincount(codes)
    side: NDArray[np.bool_] = codes == int(rate.argmax())
    return side


def _parts(present: Vector, count: int) -> Vector:
    """Give the values between parts of equal size of sorted values, each once."""
    if not len(present):
        return present
    return np.unique(present[np.linspace(0, len(present) - 1, count + 1).astype(np.int64)[:-1]])


def _cutter(learnt: Vector, actual: Vector, *, coded: bool) -> Callable[[Vector], NDArray[np.int64]]:
    present = np.sort(learnt[np.isfinite(learnt)])
    edges = np.empty(0)
    if len(present) and not coded:
        edges = _parts(present, _BINS)
        rarer = actual > 0 if actual.mean() <= _HALF else actual == 0
        # twentieths of all rows alone would bury a class that is rarer than that
        edges = np.unique(np.r_[edges, _parts(np.sort(learnt[rarer & np.isfinite(learnt)]), _BINS // 2)])
        values = present[np.r_[True, np.diff(present) > 0]]
        if len(values) <= _BINS:
            edges = (values[1:] + values[:-1]) / 2

    def cut(values: Vector) -> NDArray[np.int64]:
        """Give 0 for missing, then 1 and up."""
        filled = np.nan_to_num(values)
        bins = filled.astype(np.int64) if coded else np.searchsorted(edges, filled, side="left")
        return np.where(np.isfinite(values), bins + 1, 0)

    return cut
