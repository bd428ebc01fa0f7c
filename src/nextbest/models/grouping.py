"""Buying histories as sufficient statistics: a million customers have few distinct (frequency, recency, T) rows.

Every log-likelihood of a buy-till-you-die model is a sum over customers of a function of three numbers, so equal
rows are computed once and weighted by their count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# Whole days, days expressed in weeks, and two decimals as published tables have them.
GRIDS = (1.0, 7.0, 100.0)
COLUMNS = ("frequency", "recency", "T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """Distinct buying histories, how many customers have each, and which row each customer has.

    `frequency`: repeat purchases; `recency`: age at the last purchase; `age`: time observed (called T in the papers);
    both in one unit of time. `counts` sums to the number of customers; `inverse` gives the row of every customer.
    """

    frequency: Floats
    recency: Floats
    age: Floats
    counts: Floats
    inverse: Ints

    @property
    def customers(self) -> int:
        """Number of customers behind the rows."""
        return len(self.inverse)


def group(frequency: Floats, recency: Floats, age: Floats) -> Histories:
    """Give the distinct rows of three columns of one length; raise `DataError` when a row is impossible."""
    columns = [np.ascontiguousarray(c, dtype=np.float64) for c in (frequency, recency, age)]
    if not _possible(*columns):
        _refuse_impossible(*columns)
    codes, keys = zip(*(_codes(c) for c in columns), strict=True)
    packed = (codes[0] * len(keys[1]) + codes[1]) * len(keys[2]) + codes[2]
    cells = len(keys[0]) * len(keys[1]) * len(keys[2])
    distinct, inverse, counts = _distinct(packed, cells)
    rest, t = np.divmod(distinct, len(keys[2]))
    x, tx = np.divmod(rest, len(keys[1]))
    return Histories(
        frequency=keys[0][x], recency=keys[1][tx], age=keys[2][t], counts=counts.astype(np.float64), inverse=inverse
    )


def histories(features: pa.Table) -> Histories:
    """Give the grouped columns `frequency`, `recency` and `T` of a table."""
    missing = [name for name in COLUMNS if name not in features.column_names]
    if missing:
        found = ", ".join(features.column_names)
        message = (
            f"A buying history needs the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}. Got: {found}."
        )
        raise DataError(message)
    frequency, recency, age = (features[name].to_numpy(zero_copy_only=False) for name in COLUMNS)
    return group(frequency, recency, age)


def newcomers(count: int) -> Histories:
    """Give `count` histories that have only just begun: no repeat purchase, no time observed."""
    none = np.zeros(count)
    every = np.arange(count, dtype=np.int64)
    return Histories(frequency=none, recency=none, age=none, counts=np.ones(count), inverse=every)


def _possible(frequency: Floats, recency: Floats, age: Floats) -> bool:
    """Say whether every row can be, by a few reductions; a NaN fails every comparison."""
    if not len(frequency):
        return True
    ordered = frequency.min() >= 0 and recency.min() >= 0 and age.min() > 0 and age.max() < np.inf
    if not ordered or not np.isfinite(frequency.max()) or not (age - recency).min() >= 0:
        return False
    return bool(np.array_equal(frequency, np.rint(frequency)) and not recency[frequency == 0].any())


def _refuse_impossible(frequency: Floats, recency: Floats, age: Floats) -> None:
    checks = (
        (~(np.isfinite(frequency) & np.isfinite(recency) & np.isfinite(age)), "a missing or infinite number"),
        ((frequency < 0) | (frequency != np.rint(frequency)), "a frequency that is not a whole number of repeats"),
        (recency < 0, "a negative recency (last order before the first order)"),
        (recency > age + 1e-9, "a recency above T (an order after the end of the history)"),
        ((frequency == 0) & (recency > 0), "no repeat purchase but a recency above 0 (recency is age at the last one)"),
        (age <= 0, "a T of 0 or less (a first purchase at the end of the history or after it)"),
    )
    for wrong, what in checks:
        rows = np.flatnonzero(wrong)
        if len(rows):
            i = rows[0]
            got = f"frequency {frequency[i]:g}, recency {recency[i]:g}, T {age[i]:g}"
            message = f"{len(rows)} of {len(wrong)} buying histories have {what}; the first is row {i}: {got}."
            raise DataError(message)


def _codes(column: Floats) -> tuple[Ints, Floats]:
    """Give every value's place in a sorted list of values; whole numbers are their own place, without sorting."""
    for grid in GRIDS:
        scaled = column if grid == 1 else column * grid
        whole = np.rint(scaled)
        top = whole.max(initial=0.0)
        if top <= 1e6 and np.all(np.abs(scaled - whole) < 1e-9 * max(top, 1.0)):
            return whole.astype(np.int64), np.arange(int(top) + 1) / grid
    values, inverse = np.unique(column, return_inverse=True)
    return inverse.astype(np.int64), values


def _distinct(packed: Ints, cells: int) -> tuple[Ints, Ints, Ints]:
    if cells <= 16 * len(packed) + 1024:  # counting beats sorting while the table of cells stays small
        counts = np.bincount(packed, minlength=cells)
        distinct = np.flatnonzero(counts)
        place = np.zeros(cells, dtype=np.int64)
        place[distinct] = np.arange(len(distinct))
        return distinct, place[packed], counts[distinct]
    distinct, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    return distinct, inverse, counts
