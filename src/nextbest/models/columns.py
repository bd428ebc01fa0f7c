"""A column of a table as explanations look at it: its numbers or levels, and rows that hold the values worth trying.

A value to try is always given as a row that holds it. So only values that occur in the data are tried, whatever their
type, and a model reads them as it reads any row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.models import encode_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Places = NDArray[np.int64]

FEWEST_ROWS = 30  # a level that fewer rows hold is not shown: it may be somebody's, and its figures would be luck
_FEW_NUMBERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: `numbers` (dates as days since 1970, NaN where missing) or None; `codes` of the `levels`, -1 missing.

    Levels are the distinct values as text, the most frequent first; numbers of more than ten different values have
    none.
    """

    name: str
    numbers: Vector | None
    codes: Places
    levels: tuple[str, ...]
    counts: tuple[int, ...]
    dated: bool = False

    @property
    def graded(self) -> bool:
        """Tell whether the column is a scale: numbers, and not just a few of them."""
        return self.numbers is not None and not self.levels

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Tell, per row, whether the value is missing."""
        return ~np.isfinite(self.numbers) if self.numbers is not None else self.codes < 0


def read(table: pa.Table, name: str) -> Column:
    """Give a column of a table, as text or typed."""
    array = encode_values.plain(table[name])
    numbers = None if pa.types.is_nested(array.type) else encode_values.numbers(array)
    dates = None if numbers is not None or pa.types.is_nested(array.type) else encode_values.days(array)
    known = numbers if numbers is not None else dates
    nothing = np.full(len(array), -1, dtype=np.int64)
    if known is not None and len(np.unique(known[np.isfinite(known)])) > _FEW_NUMBERS:
        return Column(name=name, numbers=known, codes=nothing, levels=(), counts=(), dated=dates is not None)
    if pa.types.is_nested(array.type):
        return Column(name=name, numbers=None, codes=nothing, levels=(), counts=())
    codes, levels, counts = _levels(array.cast(pa.string()))
    return Column(name=name, numbers=known, codes=codes, levels=levels, counts=counts, dated=dates is not None)


def read_all(table: pa.Table, names: Sequence[str]) -> dict[str, Column]:
    """Give columns by name."""
    return {name: read(table, name) for name in names}


def places(column: Column, *, points: int = 9, least: int = FEWEST_ROWS) -> Places:
    """Give rows that hold the values worth trying: quantiles from 5% to 95% of a scale, else each frequent level."""
    if not column.graded or column.numbers is None:
        frequent = [c for c, n in enumerate(column.counts) if n >= least]
        found = np.array([int(np.argmax(column.codes == c)) for c in frequent], dtype=np.int64)
        return found if column.numbers is None else found[np.argsort(column.numbers[found], kind="stable")]
    known = np.flatnonzero(np.isfinite(column.numbers))
    order = known[np.argsort(column.numbers[known], kind="stable")]
    at = np.round(np.linspace(0.05, 0.95, points) * (len(order) - 1)).astype(np.int64)
    found = order[at]
    _, first = np.unique(column.numbers[found], return_index=True)
    return found[first]


def holding(table: pa.Table, source: pa.Table, values: Mapping[str, Places]) -> pa.Table:
    """Give *table* with columns replaced by what rows of *source* hold, one row of it per row of the table."""
    for name, rows in values.items():
        at = table.column_names.index(name)
        table = table.set_column(at, name, source[name].take(pa.array(rows)))
    return table


def text(column: Column, row: int) -> str:
    """Give the value of a row in few digits, for people."""
    if column.missing[row]:
        return "missing"
    if column.levels:
        return column.levels[int(column.codes[row])]
    if column.numbers is None:
        return "a list"
    value = float(column.numbers[row])
    return str(np.datetime64(int(value), "D")) if column.dated else short(value)


def short(value: float) -> str:
    """Give a number in at most four digits, and never one that only one row could have."""
    if abs(value) >= 1_000:
        return f"{round(value, 2 - int(np.floor(np.log10(abs(value))))):,.0f}"
    return f"{value:.3g}"


def value_of(raw: Any) -> str:  # noqa: ANN401 (any value of a table)
    """Give a value of a table as it stands there."""
    if raw is None:
        return "missing"
    return f"{raw:g}" if isinstance(raw, float) else str(raw)


def _levels(array: pa.Array) -> tuple[Places, tuple[str, ...], tuple[int, ...]]:
    """Give each row's code, the levels and how many rows hold each, by frequency and then by name."""
    counted = pc.value_counts(array.drop_null()).to_pylist()
    ranked = sorted(counted, key=lambda x: (-x["counts"], x["values"]))
    levels = tuple(x["values"] for x in ranked)
    found = pc.index_in(array, pa.array(levels, pa.string())) if levels else pa.nulls(len(array), pa.int32())
    codes = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, levels, tuple(int(x["counts"]) for x in ranked)
