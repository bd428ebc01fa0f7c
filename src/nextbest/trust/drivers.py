"""What moves a model's predictions over everybody, and how sure the order is."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.errors import DataError
from nextbest.models import columns, contributions, local
from nextbest.trust.seen import predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextbest.trust.seen import Seen
    from nextbest.types import Model

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

REFITS = 5
_RESAMPLES = 200
_LEAST_TO_REFIT = 200
_LINES = 50  # rows that a model without parts is explained at: each costs a thousand predictions
_SPAN = (0.05, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One column: its mean absolute contribution, its share of all, its rank, and where the rank lay each time."""

    feature: str
    weight: float
    share: float
    rank: int
    rank_low: int
    rank_high: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drivers:
    """The columns that count, most first; `stability` says how their ranks were tried."""

    found: tuple[Driver, ...]
    stability: str
    fidelity: float | None = None


def drivers(seen: Seen, *, count: int = 10, seed: int = 0) -> Drivers:
    """Give the columns by mean absolute contribution, with the span of ranks over refits or resamples."""
    features = _at_most(seen.features, _LINES) if not contributions.additive(seen.model) else seen.features
    names, shares, fidelity = _shares(seen.model, features, seen.features)
    size = np.abs(shares).mean(axis=0)
    tried, how = _tried(seen, names, shares, seed)
    ranks = np.array([_ranks(t) for t in [size, *tried]])
    low, high = _span(ranks[1:]) if len(tried) else (ranks[0], ranks[0])
    order = [int(i) for i in np.argsort(-size, kind="stable")[:count] if size[i] > 0]
    whole = float(size.sum())
    found = tuple(
        Driver(
            feature=names[i],
            weight=round(float(size[i]), 6),
            share=round(float(size[i]) / whole, 4),
            rank=int(ranks[0, i]),
            rank_low=int(min(low[i], ranks[0, i])),
            rank_high=int(max(high[i], ranks[0, i])),
            sentence=contributions.direction(columns.read(features, names[i]), shares[:, i]),
        )
        for i in order
    )
    return Drivers(found=found, stability=how, fidelity=fidelity)


def _shares(model: Model, features: pa.Table, background: pa.Table) -> tuple[Sequence[str], Matrix, float | None]:
    """Give names and per row what each column adds; by lines near the rows when the model has no parts."""
    if contributions.additive(model):
        names, shares = contributions.contributions(model, features)
        return names, shares[:, :-1], None
    usable = local.usable(features)
    lines = [
        local.explain(lambda t: predictions(model, t), features.slice(row, 1), background, names=usable)
        for row in range(features.num_rows)
    ]
    fidelity = round(float(np.mean([line.fidelity for line in lines])), 4)
    return usable, np.array([line.contributions for line in lines]), fidelity


def _tried(seen: Seen, names: Sequence[str], shares: Matrix, seed: int) -> tuple[list[Vector], str]:
    """Give the mean absolute contributions found again and again, and how."""
    if seen.actual is not None and contributions.additive(seen.model) and len(seen.actual) >= _LEAST_TO_REFIT:
        try:
            again = [_refitted(seen, names, seed + k) for k in range(1, REFITS + 1)]
        except (DataError, KeyError):  # half of the rows were too few for this model
            again = []
        if again:
            rows = len(seen.actual) // 2
            return again, f"learnt anew {REFITS} times, each with another seed on another {rows:,} rows"
    draw = np.random.default_rng(seed)
    size = np.abs(shares)
    drawn = [size[draw.integers(0, len(size), len(size))].mean(axis=0) for _ in range(_RESAMPLES)]
    return drawn, f"the same model on {_RESAMPLES} draws of {len(size):,} rows; learning anew may move them more"


def _refitted(seen: Seen, names: Sequence[str], seed: int) -> Vector:
    """Give the mean absolute contributions of a model that learns the same from another half of the rows."""
    rows = np.random.default_rng(seed).permutation(seen.features.num_rows)
    half = np.sort(rows[: len(rows) // 2])
    label = np.asarray(seen.actual)[half]
    model = _fresh(seen.model, seed).fit(seen.features.take(pa.array(half)), pa.table({"label": label}))
    found, shares = contributions.contributions(model, seen.features)
    size = dict(zip(found, np.abs(shares[:, :-1]).mean(axis=0), strict=True))
    return np.array([size.get(name, 0.0) for name in names])


def _fresh(model: Any, seed: int) -> Any:  # noqa: ANN401 (any model: a frozen dataclass)
    """Give the model as it was before it learnt, with another seed where it has one."""
    settings = {"files": {}, **({"seed": seed} if "seed" in {f.name for f in fields(model)} else {})}
    return replace(model, **settings)


def _ranks(size: Vector) -> NDArray[np.int64]:
    """Give the place of each column from 1, by size; equal sizes share the better place."""
    return np.array([1 + int((size > s).sum()) for s in size])


def _span(ranks: NDArray[np.int64]) -> tuple[Vector, Vector]:
    """Give the lowest and highest rank of a handful, the middle 90% of many."""
    if len(ranks) <= REFITS:
        return ranks.min(axis=0), ranks.max(axis=0)
    low, high = np.quantile(ranks, _SPAN, axis=0)
    return np.floor(low), np.ceil(high)


def _at_most(table: pa.Table, rows: int) -> pa.Table:
    step = max(1, -(-table.num_rows // rows))
    return table.take(pa.array(np.arange(0, table.num_rows, step)))
