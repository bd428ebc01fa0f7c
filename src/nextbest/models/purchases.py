"""What the purchase models share: functions of the count alone, intervals of counts, and the table they give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.models.grouping import Histories

    Floats = NDArray[np.float64]
    Tail = Callable[[Histories, Floats], Floats]


def dot(first: Floats, second: Floats) -> float:
    """Give the sum of products without BLAS: its threads change the last digits, and wait on each other when busy."""
    return float(np.einsum("i,i->", first, second))


def by_frequency(frequency: Floats, function: Callable[[Floats], Floats]) -> Floats:
    """Give `function` of every frequency, computed once per whole number: special functions dear, indexing cheap."""
    top = int(frequency.max(initial=0.0))
    if top > len(frequency):
        return function(frequency)
    return np.asarray(function(np.arange(top + 1, dtype=np.float64))[frequency.astype(np.int64)])


def quantile(rows: Histories, tail: Tail, level: float) -> Floats:
    """Give per row the smallest count k with P(count <= k) >= level, by doubling and then halving on the tail."""
    goal = 1 - level
    low, high = np.full(len(rows.age), -1.0), np.ones(len(rows.age))
    while np.any(over := tail(rows, high) > goal):
        low = np.where(over, high - 1, low)
        high = np.where(over, high * 2, high)
    # now P(count >= high) <= goal: the answer is in (low, high - 1]
    high = high - 1
    while np.any(open_ := high - low > 1):
        middle = np.where(open_, np.floor((low + high) / 2), high)
        over = open_ & (tail(rows, middle + 1) > goal)
        low, high = np.where(over, middle, low), np.where(open_ & ~over, middle, high)
    return high


def purchases_table(rows: Histories, *, expected: Floats, alive: Floats, tail: Tail, level: float | None) -> pa.Table:
    """Give one row per customer from values per distinct history: `prediction`, `probability_alive`, `low`, `high`."""
    import pyarrow as pa

    columns = {"prediction": expected, "probability_alive": alive}
    if level is not None:
        columns["low"] = quantile(rows, tail, (1 - level) / 2)
        columns["high"] = np.maximum(quantile(rows, tail, (1 + level) / 2), expected)
        columns["low"] = np.minimum(columns["low"], expected)
    return pa.table({name: values[rows.inverse] for name, values in columns.items()})
