"""Columns that know how long something lasted: the time itself in another shape, or what adds up while it passes."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models.leaks import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.models.leaks.reading import Column

    Vector = NDArray[np.float64]
    Rows = NDArray[np.bool_]

_LEAST_ROWS = 50
_MOST_ROWS = 10_000
_SETTLED = 0.75  # share of the variance of the rank: what is known at the start hardly settles half of it
_EXACT = 0.95
_WITH_PARTNER = 0.98
_MOST_COLUMNS = 40
_BINS = 20


def find_for_time(table: pa.Table, duration: Vector, observed: Vector, *, seed: int = 0) -> list[Mapping[str, str]]:
    """Give `{"column", "why"}` of the columns that give a duration away; `observed` is 1 where the end was seen.

    Looked for: a column that settles the rank of the duration alone, among all rows or nearly exactly among those that
    ended or those that did not (a start date tells how long the others have been there); and a product, quotient, sum
    or difference of two columns that is the duration (charges in all = months x price).
    """
    good = np.isfinite(duration)
    places = np.flatnonzero(good)
    if len(places) > _MOST_ROWS:
        places = np.sort(np.random.default_rng(seed).choice(places, _MOST_ROWS, replace=False))
    if len(places) < _LEAST_ROWS:
        return []
    time, seen = duration[places], observed[places] > 0
    columns = list(reading.read(table.take(places)))
    shares = {c.name: _settled(c, time) for c in columns}
    found = {c.name: why for c in columns if (why := _alone(c, time, seen, shares[c.name]))}
    found.update(_pairs(columns, time, shares, found))
    return [{"column": name, "why": f"gives the time away: {why}"} for name, why in found.items()]


def _alone(column: Column, time: Vector, seen: Rows, share: float) -> str | None:
    if share >= _SETTLED:
        return f"alone it settles {share:.0%} of the order of the durations"
    for rows, who in ((seen, "ended"), (~seen, "not ended")):
        if rows.sum() < _LEAST_ROWS:
            continue
        part = reading.Column(name=column.name, form=column.form, values=column.values[rows])
        here = _settled(part, time[rows])
        if here >= _EXACT:
            return f"among the rows that have {who} it settles {here:.0%} of the order of the durations"
    return None


def _pairs(
    columns: Sequence[Column], time: Vector, shares: Mapping[str, float], found: Mapping[str, str]
) -> Mapping[str, str]:
    """Give of two columns that are the duration together the one that tells more of it alone."""
    numbers = [c for c in columns if c.form != "category" and not c.two_valued and c.name not in found]
    ranked = sorted(numbers, key=lambda c: -shares[c.name])[:_MOST_COLUMNS]
    more: dict[str, str] = {}
    for one, other in combinations(ranked, 2):
        if one.name in more or other.name in more:
            continue
        for form, values in _formulas(one, other):
            share = _straight(values, time)
            if share >= _WITH_PARTNER:
                more[one.name] = f"the {form} of it and '{other.name}' is the duration (R2 {share:.3f})"
                break
    return more


def _formulas(one: Column, other: Column) -> Iterator[tuple[str, Vector]]:
    a, b = one.values, other.values
    yield "difference", a - b
    if one.form == other.form == "number":
        yield "sum", a + b
        yield "product", a * b
        with np.errstate(divide="ignore", invalid="ignore"):
            yield "quotient", np.where(b != 0, a / b, np.nan)
            yield "quotient", np.where(a != 0, b / a, np.nan)


def _straight(values: Vector, time: Vector) -> float:
    """Give the squared rank correlation with the duration over the rows that have both; 0 for few rows."""
    good = np.isfinite(values)
    if good.sum() < max(_LEAST_ROWS, len(time) / 2):
        return 0.0
    a, b = _ranks(values[good]), _ranks(time[good])
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) ** 2 if spread else 0.0


def _settled(column: Column, time: Vector) -> float:
    """Give the share of the variance of the duration's rank between levels, or between twentieths, less chance's."""
    rank = _ranks(time)
    total = float(rank.var())
    if not total:
        return 0.0
    which = _bins(column)
    size = np.bincount(which)
    mean = np.bincount(which, weights=rank) / np.maximum(size, 1)
    within = float(((rank - mean[which]) ** 2).mean())
    groups = int((size > 0).sum())
    # adjusted R2: many levels settle something by chance
    return max(0.0, 1 - within / total * (len(rank) - 1) / max(1, len(rank) - groups))


def _bins(column: Column) -> NDArray[np.int64]:
    """Give 0 for missing, then levels, or twentieths of numbers, from 1."""
    filled = column.filled
    values = np.nan_to_num(column.values)
    if column.form == "category":
        return np.where(filled, values + 1, 0).astype(np.int64)
    present = column.values[filled]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(present) else np.empty(0)
    bins: NDArray[np.int64] = np.where(filled, np.searchsorted(edges, values, side="left") + 1, 0)
    return bins


def _ranks(values: Vector) -> Vector:
    """Give midranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle: Vector = (ends - (counts - 1) / 2)[which]
    return middle
