"""A column as the leak finder looks at it: numbers, days, or codes of levels; every column, ids and copies among them.

Other than the encoder of the models this leaves nothing out: an id that was handed out in the order of the outcome, or
the second of two equal statuses, must be seen here to be named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.models import encode, encode_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_MOST_LEVELS = 200
_RARE = 10
_OWN_VALUE = 0.9
_LEAST_ROWS = 20
_DOMINANT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: `values` are numbers, days since 1970, or codes of levels from 1 (0: rare); NaN is missing."""

    name: str
    form: Literal["number", "date", "category"]
    values: Vector

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Tell per row whether there is a value."""
        return np.isfinite(self.values)

    @property
    def said(self) -> NDArray[np.bool_]:
        """Tell per row whether something is said: filled, and not the one value that most rows have (0, No, Select)."""
        present, filled = self.values[self.filled], self.filled
        if not len(present):
            return filled
        values, counts = np.unique(present, return_counts=True)
        if counts.max() < _DOMINANT * len(self.values):
            return filled
        said: NDArray[np.bool_] = filled & (self.values != values[counts.argmax()])
        return said

    @property
    def two_valued(self) -> bool:
        """Tell whether the column says no more than yes or no: two values, or one value and nothing."""
        distinct = len(np.unique(self.values[self.filled]))
        return distinct + int(not self.filled.all()) <= 2


def read(table: pa.Table) -> Iterator[Column]:
    """Give the columns that hold anything and differ between rows; `subject_id` is none of them."""
    for name, raw in zip(table.column_names, table.columns, strict=True):
        if name == encode.SUBJECT:
            continue
        column = _column(name, encode_values.plain(raw))
        if column is not None and not _constant(column.values):
            yield column


def _column(name: str, array: pa.Array) -> Column | None:
    if pa.types.is_nested(array.type) or array.null_count == len(array):
        return None
    values = encode_values.numbers(array)
    if values is not None:
        return Column(name=name, form="number", values=values)
    values = encode_values.days(array)
    if values is not None:
        return Column(name=name, form="date", values=values)
    if not encode_values.is_text(array.type):
        return None
    return _text(name, array.cast(pa.string()))


def _text(name: str, array: pa.Array) -> Column:
    packed = array.dictionary_encode()
    if len(array) >= _LEAST_ROWS and len(packed.dictionary) > _OWN_VALUE * (len(array) - array.null_count):
        return Column(name=name, form="number", values=_digits(array))
    indices = packed.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    counts = np.bincount(indices[indices >= 0], minlength=len(packed.dictionary))
    words = np.asarray(packed.dictionary.to_pylist(), dtype=object)
    # By frequency, then by the word: the order of rows must not matter.
    ranked = sorted(range(len(words)), key=lambda i: (-counts[i], words[i]))
    code = np.zeros(len(words) + 1)
    for place, level in enumerate(ranked[:_MOST_LEVELS], start=1):
        code[level] = place if counts[level] >= min(_RARE, max(1, len(array) // 100)) else 0
    code[-1] = np.nan
    return Column(name=name, form="category", values=code[indices])


def _digits(array: pa.Array) -> Vector:
    """Give the number inside an id such as C-000123; NaN where there is none."""
    found = pc.extract_regex(array, r"(?P<digits>\d{1,15})\D*$").field("digits")
    found = pc.if_else(pc.equal(found, ""), None, found)  # the field of a row without a match is empty, not null
    numbers = found.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.float64)


def _constant(values: Vector) -> bool:
    filled = np.isfinite(values)
    return not filled.any() or bool(filled.all() and np.ptp(values) == 0)
