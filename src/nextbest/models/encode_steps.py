"""What was done to each column before anything was learnt from it, in sentences; and which of its groups are thin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextbest.models.encode import Column, Encoder
    from nextbest.models.encode_read import Read

THIN = 30  # rows: a rate of so few has an interval of a third of the whole range


def steps(columns: Sequence[Read], encoder: Encoder) -> list[dict[str, str]]:
    """Give `{"column", "step"}` for every column that is used and was changed on the way."""
    read = {c.name: c for c in columns}
    return [
        {"column": used.name, "step": step}
        for used in encoder.columns
        if used.name in read
        for step in _steps(used, read[used.name])
    ]


def thin_groups(columns: Sequence[Read]) -> list[dict[str, Any]]:
    """Give `{"column", "groups", "rows"}` of columns with values seen in fewer than 30 rows: how many, and their rows.

    The values themselves are not given: one that few people have may say who they are.
    """
    found = []
    for column in columns:
        if column.form != "words" or column.refused:
            continue
        codes = column.values.astype(np.int64, copy=False)
        counts = np.bincount(codes[codes >= 0], minlength=len(column.words))
        few = counts[(counts > 0) & (counts < THIN)]
        if len(few):
            found.append({"column": column.name, "groups": len(few), "rows": int(few.sum())})
    return found


def _steps(used: Column, read: Read) -> Iterator[str]:
    missing = 1 - float(read.present.mean()) if len(read.values) else 0.0
    if read.from_text:
        yield "dates written as text, read as dates" if used.form == "date" else "numbers written as text, read as such"
    if used.form == "date":
        yield "a date: as days, month and weekday"
    if used.form == "category":
        yield from _category(used, read)
    if missing > 0:
        yield f"missing in {missing:.1%} of rows, which is information: an indicator for the line, a side for the trees"


def _category(used: Column, read: Read) -> Iterator[str]:
    codes = read.values.astype(np.int64, copy=False)
    different = len(np.unique(codes[codes >= 0]))
    coded = used.codes - 1
    yield f"{different:,} different values: {coded:,} have a code by how frequent they are, kept as a keyed hash"
    if used.rates:
        yield f"the rate of {len(used.levels):,} values is learnt as well, each row's on other rows than its own"
    rest = different - len(used.levels)
    if rest > 0:
        yield f"{rest:,} rare values share one code"
