"""Read a table once, whatever it holds: numbers, dates, or words with a code per row. Taking rows of it is then cheap.

Only what each value says is settled here, and how a whole column is written; what is rare, constant or an id is learnt
from the rows that teach (`encode.learn_from`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from nextbest.models import encode_identity, encode_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One column: `values` are numbers or days (NaN: missing), or for words the place in `words` (-1: missing).

    `refused` says why it must not be used at all; `from_text` that numbers or dates were written as text.
    """

    name: str
    form: Literal["number", "date", "words", "other"]
    values: NDArray[np.float64] | NDArray[np.int64]
    words: tuple[str, ...] = ()
    refused: str = ""
    from_text: bool = False

    @property
    def present(self) -> NDArray[np.bool_]:
        """Tell the rows that have a value."""
        return self.values >= 0 if self.form == "words" else np.isfinite(self.values)

    def taken(self, rows: NDArray[np.int64]) -> Read:
        """Give the same column of some rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The different words of a column, trimmed, and each row's place among them, -1 for a blank."""

    distinct: pa.Array
    codes: Codes
    counts: Codes = field(repr=False)


def read(table: pa.Table, *, without: Sequence[str] = ()) -> tuple[Read, ...]:
    """Give every column of a table; columns of the same name are numbered."""
    names = numbered(table.column_names)
    return tuple(_read(n, table.column(i)) for i, n in enumerate(names) if n not in without)


def numbered(names: Sequence[str]) -> list[str]:
    """Give the names, "x (2)" for the second column called x."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def words_of(column: pa.ChunkedArray | pa.Array) -> Words:
    """Give the words of a column of any type; each different word is trimmed and looked at once."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # several chunks that do not fit into one, or none
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    packed = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    first = packed.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    words = encode_values.plain(packed.dictionary.cast(pa.string()))
    again = words.dictionary_encode()
    second = again.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    codes: Codes = np.append(second, -1)[first]  # place -1 is the last: a blank stays a blank
    counts = np.bincount(codes[codes >= 0], minlength=len(again.dictionary)).astype(np.int64)
    return Words(distinct=again.dictionary, codes=codes, counts=counts)


def spread(by_word: Vector, codes: Codes) -> Vector:
    """Give each row what its word has, NaN for a blank."""
    found: Vector = np.append(by_word, np.nan)[codes]
    return found


def _read(name: str, column: pa.ChunkedArray) -> Read:
    personal = encode_identity.by_name(name) or ""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if encode_values.is_text(kind):
        return replace(_read_words(name, words_of(column)), refused=personal) if personal else _text(name, column)
    array = encode_values.plain(column)
    values = None if pa.types.is_nested(array.type) else encode_values.numbers(array)
    if values is not None:
        return Read(name=name, form="number", values=values, refused=personal)
    days = None if pa.types.is_nested(array.type) else encode_values.days(array)
    if days is not None:
        return Read(name=name, form="date", values=days, refused=personal)
    why = f"values of type {array.type} are not read; give numbers, text or dates"
    nothing = np.full(len(array), np.nan)
    return Read(name=name, form="other", values=nothing, refused=personal or why)


def _text(name: str, column: pa.ChunkedArray) -> Read:
    """Give text as the numbers or dates it is written for, else as words."""
    words = words_of(column)
    present = int(words.counts.sum())
    why = encode_identity.by_value(words.distinct, words.counts) or ""
    if not why and present:
        by_word = encode_values.numbers(words.distinct, words.counts)
        if by_word is not None:
            return Read(name=name, form="number", values=spread(by_word, words.codes), from_text=True)
        by_word = encode_values.days(words.distinct, words.counts)
        if by_word is not None:
            return Read(name=name, form="date", values=spread(by_word, words.codes), from_text=True)
    return replace(_read_words(name, words), refused=why)


def _read_words(name: str, words: Words) -> Read:
    return Read(name=name, form="words", values=words.codes, words=tuple(words.distinct.to_pylist()))
