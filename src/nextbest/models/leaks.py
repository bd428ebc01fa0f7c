"""Columns that know the outcome because they were filled in after it: found by what a column alone gives away.

Two signs are looked for. A column that by itself nearly separates the label on rows it was not fitted to; and a column
that is filled for one class and empty for the other. Both are named and left out by default: a model that has them
looks perfect and is useless on the day it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import encode, evaluate, folds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

_SEPARATES = 0.995
_SURELY = 0.99  # the lower end of the interval of that AUC: a handful of rows proves nothing
_LEAST_RARER = 20
_BINS = 20
_FILLED, _EMPTY = 0.95, 0.01
_LEAST_FILLED = 30
_ONE_CLASS = 0.99
_RARER_BELOW = 0.5
_SMOOTH = 5.0


def find(table: pa.Table, actual: Vector, *, seed: int = 0) -> list[Mapping[str, str]]:
    """Give `{"column", "why"}` of every column of a flat table that gives the 0/1 label away; [] when rows are few."""
    if min(actual.sum(), (1 - actual).sum()) < _LEAST_RARER:
        return []
    encoder, matrix = encode.learn(table, seed=seed)
    fold = folds.assign(actual, 2, seed=seed)
    found: dict[str, str] = {}
    categories = encoder.categories  # made anew at every asking
    for place, name in enumerate(encoder.sources):
        why = _filled_for_one(matrix[:, place], actual)
        why = why or _separates(matrix[:, place], actual, fold, coded=place in categories)
        if why and name not in found:
            found[name] = why
    return [{"column": name, "why": why} for name, why in found.items()]


def _separates(column: Vector, actual: Vector, fold: NDArray[np.int64], *, coded: bool) -> str | None:
    held_out = _alone(column, actual, fold, coded=coded)
    place = evaluate.auc(actual, held_out)
    if place < _SEPARATES or evaluate.auc_interval(actual, held_out)[0] < _SURELY:
        return None
    return f"known only afterwards: alone it separates the label (AUC {place:.3f} on rows it was not fitted to)"


def _filled_for_one(column: Vector, actual: Vector) -> str | None:
    filled = np.isfinite(column)
    if filled.all() or filled.sum() < _LEAST_FILLED:
        return None
    yes, no = float(filled[actual > 0].mean()), float(filled[actual == 0].mean())
    if max(yes, no) >= _FILLED and min(yes, no) <= _EMPTY:
        return f"known only afterwards: filled in {yes:.0%} of positive and {no:.0%} of other rows"
    rate, base = float(actual[filled].mean()), float(actual.mean())
    rarer_is_yes = base < _RARER_BELOW
    if (rate if rarer_is_yes else 1 - rate) >= _ONE_CLASS:
        return f"known only afterwards: {rate:.0%} of the rows where it is filled are positive, {base:.0%} of all rows"
    return None


def _alone(column: Vector, actual: Vector, fold: NDArray[np.int64], *, coded: bool) -> Vector:
    """Give each row the smoothed rate of its level or of its twentieth of the column, learnt on the other fold."""
    held_out = np.zeros(len(actual))
    base = float(actual.mean())
    for number in (0, 1):
        learn, judge = fold != number, fold == number
        cut = _cutter(column[learn], coded=coded)
        which, asked = cut(column[learn]), cut(column[judge])
        size = int(max(which.max(), asked.max())) + 1
        yes, rows = np.bincount(which, weights=actual[learn], minlength=size), np.bincount(which, minlength=size)
        held_out[judge] = ((yes + _SMOOTH * base) / (rows + _SMOOTH))[asked]
    return held_out


def _cutter(learnt: Vector, *, coded: bool) -> Callable[[Vector], NDArray[np.int64]]:
    present = learnt[np.isfinite(learnt)]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(present) else np.empty(0)
    if len(present) and len(np.unique(present)) <= _BINS:
        values = np.unique(present)
        edges = (values[1:] + values[:-1]) / 2

    def cut(values: Vector) -> NDArray[np.int64]:
        """Give 0 for missing, then 1 and up."""
        filled = np.nan_to_num(values)
        bins = filled.astype(np.int64) if coded else np.searchsorted(edges, filled, side="left")
        return np.where(np.isfinite(values), bins + 1, 0)

    return cut
