"""What a model cannot read in a table: text where it learnt numbers or dates, which counts as missing.

A prediction carries its notes in the table's metadata, under `nextbest.notes`, so that they go wherever it goes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nextbest.errors import DataError
from nextbest.models import encode, encode_values
from nextbest.models.boosting import fitted_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.models.boosting import Boosting

_NOTES = b"nextbest.notes"
_SHOWN = 3
_FORMS = {"number": "numbers", "date": "dates"}


def unread(model: Boosting, table: pa.Table) -> tuple[str, ...]:
    """Give one sentence per column with values that cannot be read; raises `DataError` when none of them can."""
    encoder = fitted_state(model)[1]
    columns = [c for c in encoder.columns if c.form in _FORMS and c.name in table.column_names]
    return tuple(note for c in columns if (note := _note(c, encode_values.plain(table[c.name]), encoder.salt)))


def with_notes(table: pa.Table, notes: Sequence[str]) -> pa.Table:
    """Give the table with notes for whoever shows it."""
    said = {_NOTES: json.dumps(list(notes)).encode()} if notes else {}
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **said})


def notes_of(table: pa.Table) -> tuple[str, ...]:
    """Give the notes that a table carries."""
    return tuple(json.loads((table.schema.metadata or {}).get(_NOTES, b"[]")))


def _note(column: encode.Column, array: pa.Array, salt: str) -> str:
    present = array.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(array.type) or not present.any():
        return ""  # a NaN is a missing value, not a wrong one
    lost = present & np.isnan(encode.read_column(column, array, salt)[:, 0])
    if not lost.any():
        return ""
    count, among = int(lost.sum()), int(present.sum())
    examples = ", ".join(
        f"'{v}'" for v in sorted(set(array.filter(pa.array(lost)).cast(pa.string()).to_pylist()))[:_SHOWN]
    )
    learnt = f"The model learnt '{column.name}' as {_FORMS[column.form]}"
    if count == among:
        raise DataError(
            f"{learnt}; none of the {among:,} values in this table is read so: {examples}. Correct the column."
        )
    return f"{learnt}; {count:,} of {among:,} values are read as missing, as they are none: {examples}."
