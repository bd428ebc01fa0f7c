"""Between Arrow columns and the (subjects, actions) matrices that policies compute with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers
    from nextbest.types import Action

VALUE = "expected_value:"
SPREAD = "spread:"


def numbers(column: pa.ChunkedArray | pa.Array) -> Numbers:
    """Give a column as float64; what is missing is NaN."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(pc.cast(whole, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def expected_values(predictions: pa.Table, actions: tuple[Action, ...]) -> Numbers:
    """Give the expected values, shape (subjects, actions); a removed action is minus infinity."""
    out = np.full((predictions.num_rows, len(actions)), -np.inf)
    for j, action in enumerate(actions):
        if VALUE + action.id in predictions.column_names:
            column = numbers(predictions[VALUE + action.id])
            out[:, j] = np.where(np.isnan(column), -np.inf, column)
    return out


def as_table(probabilities: Numbers, actions: tuple[Action, ...]) -> pa.Table:
    """Give a matrix of probabilities as one float64 column per action."""
    return pa.table({a.id: np.ascontiguousarray(probabilities[:, j]) for j, a in enumerate(actions)})


def as_matrix(table: pa.Table, actions: tuple[Action, ...]) -> Numbers:
    """Give the columns of a policy's answer as a matrix; an action it left out has probability 0."""
    known = set(table.column_names)
    empty = np.zeros(table.num_rows)
    columns: list[Any] = [numbers(table[a.id]) if a.id in known else empty for a in actions]
    return np.column_stack(columns) if columns else np.zeros((table.num_rows, 0))


def with_none_when_empty(probabilities: Numbers, actions: tuple[Action, ...]) -> Numbers:
    """Give rows without any probability to doing nothing, or to everything alike where `none` is not offered."""
    empty = probabilities.sum(axis=1) <= 0
    ids = [a.id for a in actions]
    if "none" in ids:
        probabilities[empty, ids.index("none")] = 1.0
    else:
        probabilities[empty] = 1.0 / max(1, len(ids))
    return probabilities
