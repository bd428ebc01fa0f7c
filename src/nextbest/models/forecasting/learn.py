"""From rolling origins to one forecast: how much the trees count, what adds up, and how wide the intervals have to be.

Everything is chosen on origins whose window had ended before the judged window began, and judged on what came later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models.forecasting.hierarchy import Hierarchy, reconciled
from nextbest.models.forecasting.origins import ENSEMBLE, TREES, Base, relative

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_TEACHERS = 3
_WORTH = 0.01  # share by which trees have to lower the error: less is chance, and one series' own past is safer


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What rolling origins taught: the weight of the trees, and origins x nodes x steps of (actual - forecast) / scale.

    Errors are NaN where nothing came, and where a node was only nought before.
    """

    weight: float
    errors: Floats
    moments: tuple[int, ...]


def learn(bases: Sequence[Base], hierarchy: Hierarchy, *, positive: bool) -> Learnt:
    """Give what the forecasts at these origins teach."""
    weight = _weight(bases, hierarchy)
    wrong = np.stack([b.actual - foreseen(b, hierarchy, weight, positive=positive) for b in bases])
    scaled = relative(wrong, np.stack([b.scale for b in bases]))
    return Learnt(weight=weight, errors=scaled, moments=tuple(b.moment for b in bases))


def judged(bases: Sequence[Base], horizon: int) -> list[tuple[Base, list[Base]]]:
    """Give the bases to judge, each with those that were over by then: three where there are, else as many."""
    pairs = [(b, [e for e in bases if e.moment + horizon <= b.moment]) for b in bases]
    most = max((len(earlier) for _, earlier in pairs), default=0)
    return [(b, earlier) for b, earlier in pairs if len(earlier) >= max(1, min(_TEACHERS, most))]


def mixed(base: Base, weight: float) -> Floats:
    """Give the unreconciled forecasts, nodes x steps."""
    return (1 - weight) * base.by_kind[ENSEMBLE] + weight * base.by_kind[TREES]


def foreseen(base: Base, hierarchy: Hierarchy, weight: float, *, positive: bool) -> Floats:
    """Give the forecasts that add up, nodes x steps; NaN for what has not begun."""
    made = mixed(base, weight)
    known = np.isfinite(made).all(axis=1, keepdims=True)
    done = reconciled(hierarchy, np.nan_to_num(made), base.scale**2, positive=positive)
    return np.where(known, done, np.nan)


def _weight(bases: Sequence[Base], hierarchy: Hierarchy) -> float:
    """Give the weight of the trees with the least scaled error of the items; 0 unless they clearly help."""
    items = slice(hierarchy.above, None)
    scale = np.stack([b.scale[items] for b in bases])

    def error(weight: float) -> float:
        wrong = np.stack([np.abs(mixed(b, weight) - b.actual)[items] for b in bases])
        return float(np.nanmean(relative(wrong, scale)))

    found = {weight: error(weight) for weight in WEIGHTS}
    best = min(WEIGHTS, key=lambda w: found[w])
    # Who names drivers knows that they matter: they need not prove it twice.
    worth = 0.0 if bases[0].driven else _WORTH
    return best if found[best] < (1 - worth) * found[0.0] else 0.0
