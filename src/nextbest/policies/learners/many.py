"""What a linear state says of a whole table of subjects: the numbers of `LinearState.response`, by matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.policies.learners.layout import FAR, code, feature_of
from nextbest.policies.learners.shown import encode_offers
from nextbest.policies.matrix import numbers

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers
    from nextbest.policies.learners.layout import Layout
    from nextbest.policies.learners.linear import LinearState
    from nextbest.policies.learners.shown import Candidates

_BLOCK = 2_048


def responses(state: LinearState, table: pa.Table, offers: Candidates) -> tuple[Numbers, Numbers]:
    """Give mean and standard deviation of the response of every subject to every offer, shape (subjects, offers)."""
    parts = [_block(state, table.slice(start, _BLOCK), offers) for start in range(0, max(1, table.num_rows), _BLOCK)]
    return np.concatenate([mean for mean, _ in parts]), np.concatenate([sd for _, sd in parts])


def _block(state: LinearState, table: pa.Table, offers: Candidates) -> tuple[Numbers, Numbers]:
    known, menu, k = state.known, state.shown(offers.ids), len(offers.ids)
    frame, d = known.frame, known.frame.d
    x = np.ones((table.num_rows, d))
    x[:, 1:] = (encoded(state.subject, table) - frame.centre[1:d]) / frame.scale[1:d]
    mean = x @ menu.departures.T + (x @ known.mean[:d])[:, None]
    rest = -(x @ menu.pull.T).reshape(len(x), k, -1)
    rest[:, :, :d] += x[:, None, :]
    if state.action.columns:
        z = (encode_offers(state.action, offers) - frame.centre[d:]) / frame.scale[d:]
        mean = mean + (z @ known.mean[d:])[None, :]
        rest[:, :, d:] += z[None, :, :]
    own = np.einsum("nkd,nd->nk", (x @ menu.inverse.T).reshape(len(x), k, d), x)
    shared = rest @ menu.root
    variance = known.variances.noise * own + np.einsum("nkj,nkj->nk", shared, shared)
    return np.clip(mean, 0.0, 1.0), np.sqrt(variance)


def encoded(layout: Layout, table: pa.Table) -> Numbers:
    """Give a table in the columns of a layout, as `layout.encode` gives one row: shape (rows, columns)."""
    at = {name: i for i, name in enumerate(layout.columns)}
    out = np.zeros((table.num_rows, len(layout.columns)))
    for name in dict.fromkeys(map(feature_of, layout.columns)):
        absent = np.ones(table.num_rows, dtype=bool)
        if name in table.column_names:
            column = table[name].combine_chunks()
            kind = column.type
            if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
                absent = _number(out, column, at.get(name, -1), layout)
            else:
                absent = _text(out, column, name, at)
        if name + "?" in at:
            out[absent, at[name + "?"]] = 1.0
    return out


def _number(out: Numbers, column: pa.Array, place: int, layout: Layout) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Write a column of numbers, and give where there is none."""
    values = numbers(column)
    absent = ~np.isfinite(values)
    if place >= 0:
        out[:, place] = np.where(absent, 0.0, np.clip(values - layout.centre[place], -FAR, FAR))
    return np.asarray(absent)


def _text(out: Numbers, column: pa.Array, name: str, at: dict[str, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Write a column of texts as marks, and give where there is none."""
    coded = pc.cast(column, pa.string()).dictionary_encode()
    index = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    for i, value in enumerate(coded.dictionary.to_pylist()):
        place = at.get(f"{name}={code(name, value)}", at.get(f"{name}=*", -1))
        if place >= 0:
            out[index == i, place] = 1.0
    return np.asarray(index < 0)
