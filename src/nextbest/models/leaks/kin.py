"""Columns that came out of the same pen as a leak: coarser copies of it, and its family filled in for the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.models.leaks.names import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from nextbest.models.leaks.reading import Column

_MOST_VALUES = 50
_DETERMINED = 0.99
_VARIED = 0.95
_MOSTLY = 0.9
_LEAST_ROWS = 30


def of(found: Iterable[Column], others: Iterable[Column]) -> Mapping[str, str]:
    """Give the columns among *others* that belong to a found leak, each with why."""
    leaks, named = list(found), {}
    for column in others:
        for leak in leaks:
            if _same_family(leak, column):
                named[column.name] = f"it belongs to '{leak.name}': named alike and filled in for exactly the same rows"
            elif _copy(leak, column):
                named[column.name] = f"it is a copy of '{leak.name}', or a coarser one"
            else:
                continue
            break
    return named


def _same_family(leak: Column, column: Column) -> bool:
    """Tell whether names begin alike and the same rows, not all and not most, are filled."""
    if folded(leak.name).split()[:1] != folded(column.name).split()[:1]:
        return False
    filled = leak.filled
    return bool(not filled.all() and (filled == column.filled).all())


def _copy(leak: Column, column: Column) -> bool:
    """Tell whether the value of the leak settles the value of the column, where it is filled and not nearly constant.

    Gaps are not counted: a form that was left half-way leaves many honest columns empty for the same rows.
    """
    both = leak.filled & column.filled
    if both.sum() < max(_LEAST_ROWS, _MOSTLY * column.filled.sum()):
        return False
    key, value = _codes(leak.values[both]), _codes(column.values[both])
    if key is None or value is None or np.bincount(value).max() > _VARIED * len(value):
        return False
    pairs = np.bincount(key * (value.max() + 1) + value, minlength=int((key.max() + 1) * (value.max() + 1)))
    settled = pairs.reshape(key.max() + 1, value.max() + 1).max(axis=1).sum()
    return bool(settled >= _DETERMINED * len(key))


def _codes(values: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Give a code per distinct value; None when there are so many that anything follows from them."""
    levels, codes = np.unique(values, return_inverse=True)
    return codes.astype(np.int64) if len(levels) <= _MOST_VALUES else None
