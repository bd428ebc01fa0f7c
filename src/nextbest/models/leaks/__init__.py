"""Columns that know the outcome because they were filled in after it: found, named, and left out by default.

A model that has them looks perfect and is useless on the day it is needed. Every sign is weighed as `weigh` says.

    find(table, actual)                 ->  [{"column": "Closed by", "why": "known only afterwards: ..."}]
    suspects(table, actual)             ->  the same, for columns that are kept but deserve a look
    find_for_time(table, duration, observed)   ->  columns that tell how long something lasted
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.errors import DataError
from nextbest.models import encode_values, folds
from nextbest.models.leaks import joint, kin, known, reading, rest, weigh
from nextbest.models.leaks.duration import find_for_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.models.leaks.weigh import Weighed

    Vector = NDArray[np.float64]

__all__ = ["Examined", "examine", "find", "find_for_time", "suspects"]

_LEAST_RARER = 20
_MOST_ROWS = 20_000
_MOST_CELLS = 10_000_000
_FEWEST_SAMPLED = 2_000
_MOST_TOGETHER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found out about a table: leaks, suspects that are kept, and the points of every column (3 is a leak)."""

    found: tuple[Mapping[str, str], ...]
    suspects: tuple[Mapping[str, str], ...]
    points: Mapping[str, float]


def find(
    table: pa.Table,
    actual: Vector,
    *,
    seed: int = 0,
    label: str | None = None,
    label_ts: pa.ChunkedArray | None = None,
    scoring: pa.Table | None = None,
    meanings: Mapping[str, str] | None = None,
) -> list[Mapping[str, str]]:
    """Give `{"column", "why"}` of every column of a flat table that gives the 0/1 label away.

    `label` is the name of the label's column, `label_ts` its date per row, `scoring` the table to be scored, `meanings`
    a sentence per column from a data dictionary: each may be left out. Few rows prove nothing: below 20 of either class
    only what is known beside the values counts.
    """
    examined = examine(table, actual, seed=seed, label=label, label_ts=label_ts, scoring=scoring, meanings=meanings)
    return list(examined.found)


def suspects(
    table: pa.Table,
    actual: Vector,
    *,
    seed: int = 0,
    label: str | None = None,
    meanings: Mapping[str, str] | None = None,
) -> list[Mapping[str, str]]:
    """Give `{"column", "why"}` of the columns that are not left out but come close to it."""
    return list(examine(table, actual, seed=seed, label=label, meanings=meanings).suspects)


def examine(
    table: pa.Table,
    actual: Vector,
    *,
    seed: int = 0,
    label: str | None = None,
    label_ts: pa.ChunkedArray | None = None,
    scoring: pa.Table | None = None,
    meanings: Mapping[str, str] | None = None,
) -> Examined:
    """Give leaks, suspects and points in one go; the settings are those of `find`."""
    rows = _sample(table, seed)
    table, actual = (table, actual) if rows is None else (table.take(rows), actual[rows])
    columns = list(reading.read(table))
    found = _said({} if label_ts is None else known.later_than(columns, _days(label_ts, rows)))
    found.update(_said({} if scoring is None else known.missing_when_scored(columns, scoring)))
    if min(actual.sum(), (1 - actual).sum()) < _LEAST_RARER:
        return Examined(found=_listed(found), suspects=(), points={})
    fold = folds.assign(actual, 2, seed=seed)
    weighed = [
        weigh.weigh(c, actual, fold, label=label, meaning=(meanings or {}).get(c.name))
        for c in columns
        if c.name not in found
    ]
    weighed, more = _held_together(weighed, actual, fold, seed)
    found.update(more)
    parted = [[c for c in columns if (c.name in found) is part] for part in (True, False)]
    found.update(_said(kin.of(*parted)))
    close = {w.column.name: w.why("may be") for w in weighed if w.points >= weigh.TELL and w.column.name not in found}
    points = {w.column.name: round(w.points, 3) for w in weighed}
    return Examined(found=_listed(found), suspects=_listed(close), points=points)


def _held_together(
    weighed: Sequence[Weighed], actual: Vector, fold: NDArray[np.int64], seed: int
) -> tuple[list[Weighed], dict[str, str]]:
    """Give the columns with their points beside the others, and those found, alone or with another."""
    # Pairs first: trees on both columns of one would know the label, and excuse every other leak.
    quiet = _strongest([w for w in weighed if w.points < weigh.TELL])
    pairs = _said(joint.differences(quiet, actual, fold, seed=seed))
    held = _against_the_others([w for w in weighed if w.column.name not in pairs], actual, fold, seed)
    found = {**pairs, **{w.column.name: w.why() for w in held if w.points >= weigh.LEAVE_OUT}}
    kept = _strongest([w for w in held if w.column.name not in found])
    return held, {**found, **_said(joint.sets(kept, actual, fold, seed=seed))}


def _against_the_others(
    weighed: Sequence[Weighed], actual: Vector, fold: NDArray[np.int64], seed: int
) -> list[Weighed]:
    """Hold what the values say of a column against what the unsuspicious ones tell together."""
    if all(w.values < weigh.TELL for w in weighed):
        return list(weighed)
    others = [w.column for w in _strongest(weighed) if w.points < weigh.TELL]
    told = rest.together(others, actual, fold, seed=seed)
    return [weigh.eased(w, actual, told) if w.values >= weigh.TELL else w for w in weighed]


def _strongest(weighed: Sequence[Weighed]) -> list[Weighed]:
    """Give the columns that tell most: what thousands tell together, the best of them nearly tell."""
    return sorted(weighed, key=lambda w: -w.auc)[:_MOST_TOGETHER]


def _days(label_ts: pa.ChunkedArray, rows: NDArray[np.int64] | None) -> Vector:
    """Give the label's dates as days since 1970; raises `DataError` when they are no dates."""
    days = encode_values.days(encode_values.plain(label_ts))
    if days is None:
        raise DataError(f"The dates of the label are no dates but {label_ts.type}. Give dates such as 2025-12-31.")
    return days if rows is None else days[rows]


def _sample(table: pa.Table, seed: int) -> NDArray[np.int64] | None:
    """Give the rows to look at, or None for all: a leak that matters shows in some thousands."""
    fit = max(_FEWEST_SAMPLED, min(_MOST_ROWS, _MOST_CELLS // max(1, table.num_columns)))
    if table.num_rows <= fit:
        return None
    rows: NDArray[np.int64] = np.sort(np.random.default_rng(seed).choice(table.num_rows, fit, replace=False))
    return rows


def _said(whys: Mapping[str, str]) -> dict[str, str]:
    return {name: f"known only afterwards: {why}" for name, why in whys.items()}


def _listed(found: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
    return tuple({"column": name, "why": why} for name, why in found.items())
