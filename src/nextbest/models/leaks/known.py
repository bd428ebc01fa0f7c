"""What is known beside the values: the date of the label, and the table that is to be scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import encode_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.models.leaks.reading import Column

    Vector = NDArray[np.float64]

_LATER_ROWS, _LATER_SHARE = 5, 0.01  # a few dates after the label are slips of the pen
_FILLED, _EMPTY = 0.5, 0.02
_LEAST_SCORED = 20


def later_than(columns: Iterable[Column], label_days: Vector) -> Mapping[str, str]:
    """Give the date columns that lie after the date of the label, each with why."""
    found: dict[str, str] = {}
    for column in columns:
        if column.form != "date":
            continue
        both = np.isfinite(column.values) & np.isfinite(label_days)
        later = int((column.values[both] > label_days[both]).sum())
        if later >= max(_LATER_ROWS, _LATER_SHARE * both.sum()):
            found[column.name] = f"in {later:,} of {int(both.sum()):,} rows its date is later than the label's"
    return found


def missing_when_scored(columns: Iterable[Column], scoring: pa.Table) -> Mapping[str, str]:
    """Give the columns that teach but are absent or empty in the table to be scored, each with why."""
    if scoring.num_rows < _LEAST_SCORED:
        return {}
    found: dict[str, str] = {}
    for column in columns:
        taught = float(column.filled.mean())
        if taught < _FILLED:
            continue
        if column.name not in scoring.column_names:
            found[column.name] = "the table to be scored does not have it"
            continue
        array = encode_values.plain(scoring[column.name])
        scored = 1 - array.null_count / len(array)
        if scored <= _EMPTY:
            found[column.name] = f"filled in {taught:.0%} of the rows to learn from and {scored:.0%} of those to score"
    return found
