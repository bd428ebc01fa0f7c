"""Series side by side: one row per series, one column per period, without gaps from a series' first sale on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.forecasting.periods import Period

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

RARELY = 0.1  # share of periods without a row from which on a missing row means that nothing was sold


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What is known of series over time.

    `values`: series x periods, NaN before a series begins. `groups`: the category of each series by number.
    `known`: drivers that are known in advance, series x (periods + what comes); `lagged`: those that are not. `phases`:
    where in its season each period lies, those to come included.
    """

    series: tuple[str, ...]
    values: Floats
    season: int
    first: int
    period: Period
    anchor: int = 0
    categories: tuple[str, ...] = ()
    groups: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    known: Mapping[str, Floats] = field(default_factory=dict)
    lagged: Mapping[str, Floats] = field(default_factory=dict)
    phases: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def length(self) -> int:
        """Number of periods that are known."""
        return int(self.values.shape[1])


def grid(rows: Ints, columns: Ints, values: Floats, shape: tuple[int, int]) -> Floats:
    """Give the sum of values per cell, NaN in cells without a row: two rows of one series and period add up."""
    total, count = np.zeros(shape), np.zeros(shape)
    there = np.isfinite(values)
    np.add.at(total, (rows[there], columns[there]), values[there])
    np.add.at(count, (rows[there], columns[there]), 1)
    total[count == 0] = np.nan
    return total


def mean_grid(rows: Ints, columns: Ints, values: Floats, shape: tuple[int, int]) -> Floats:
    """Give the mean of values per cell, NaN in cells without a row."""
    counted = grid(rows, columns, np.where(np.isfinite(values), 1.0, np.nan), shape)
    return np.asarray(grid(rows, columns, values, shape) / counted)


def filled(values: Floats, *, zeros: bool | None = None) -> tuple[Floats, str]:
    """Give the values with their gaps filled, and in words how; nothing is put before a series' first value.

    `zeros` says what a missing row means; when nobody says: a table that writes zeros down means something else by
    leaving a row out (unknown, so it is interpolated), as does one in which nearly every row is there.
    """
    gaps = np.isnan(values) & begun(values)
    if not gaps.any():
        return values, ""
    if zeros is None:
        written = bool((values == 0).any())
        zeros = not written and gaps.sum() > RARELY * begun(values).sum()
    if zeros:
        return np.where(gaps, 0.0, values), f"{int(gaps.sum())} periods without a row count as 0"
    given = np.array([_interpolated(row) for row in values])
    return given, f"{int(gaps.sum())} missing periods were interpolated"


def begun(values: Floats) -> NDArray[np.bool_]:
    """Tell for each cell whether its series has had a value by then."""
    return np.asarray(np.logical_or.accumulate(np.isfinite(values), axis=1))


def carried(values: Floats, *, empty: float = np.nan) -> Floats:
    """Give the values with each gap filled by the last known value before it, else the first after it, else `empty`."""
    there = np.isfinite(values)
    place = np.maximum.accumulate(np.where(there, np.arange(values.shape[1]), -1), axis=1)
    first = np.where(there.any(axis=1), there.argmax(axis=1), 0)[:, None]
    found = np.take_along_axis(values, np.where(place < 0, first, place), axis=1)
    return np.where(np.isfinite(found), found, empty)


def codes(names: Sequence[str | None]) -> tuple[tuple[str, ...], Ints]:
    """Give the distinct names in order, and each row's place among them; None counts as 'none'."""
    text = np.array(["none" if n is None else str(n) for n in names], dtype=object)
    distinct, places = np.unique(text.astype(str), return_inverse=True)
    return tuple(str(d) for d in distinct), places.astype(np.int64)


def _interpolated(row: Floats) -> Floats:
    there = np.flatnonzero(np.isfinite(row))
    if not len(there):
        return row
    done = row.copy()
    inside = np.arange(there[0], len(row))
    done[inside] = np.interp(inside, there, row[there])
    return done
