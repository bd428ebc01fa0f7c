"""Columns that give the label away only together: a difference of two dates or amounts, or a few columns as a set."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import evaluate
from nextbest.models.leaks import alone, rest, weigh
from nextbest.models.leaks.reading import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.leaks.weigh import Weighed

    Vector = NDArray[np.float64]

_MOST_ROWS = 2_000
_MOST_COLUMNS = 20
_NOTHING_HONEST = 0.95
_LARGEST_SET = 3
# To tell much together is what honest columns are for, so a set must tell nearly all, and the rest far less.
_NEARLY_ALL, _SET_ERRORS = 0.97, 3.0


def differences(kept: Sequence[Weighed], actual: Vector, fold: NDArray[np.int64], *, seed: int) -> Mapping[str, str]:
    """Give the columns whose difference from another separates the label while neither does alone."""
    found: dict[str, str] = {}
    for one, other in _pairs(kept):
        if one.column.name in found or other.column.name in found:
            continue
        gap = Column(name="", form="number", values=one.column.values - other.column.values)
        if gap.filled.sum() < len(actual) / 2 or not _separates(gap, actual[:_MOST_ROWS], fold[:_MOST_ROWS]):
            continue
        place, low = alone.auc_and_low(actual, alone.held_out(gap, actual, fold))
        if low < _NOTHING_HONEST or 1 - max(one.auc, other.auc) < _SET_ERRORS * (1 - place):
            continue
        others = [w.column for w in kept if w is not one and w is not other]
        told = rest.together(others, actual, fold, seed=seed)
        if weigh.beyond(place, actual, told):
            name, beside = _blamed(one, other)
            found[name] = f"its difference from '{beside}' separates the label (AUC {place:.3f})"
    return found


def _separates(gap: Column, actual: Vector, fold: NDArray[np.int64]) -> bool:
    """Look at the first rows only: there are many pairs."""
    short = Column(name="", form="number", values=gap.values[: len(actual)])
    return evaluate.auc(actual, alone.held_out(short, actual, fold)) >= _NOTHING_HONEST


def _pairs(kept: Sequence[Weighed]) -> Iterator[tuple[Weighed, Weighed]]:
    """Give pairs of dates, and pairs of amounts, those that tell most first."""
    for form in ("date", "number"):
        alike = [w for w in kept if w.column.form == form and not w.column.two_valued]
        yield from combinations(sorted(alike, key=lambda w: -w.auc)[:_MOST_COLUMNS], 2)


def _blamed(one: Weighed, other: Weighed) -> tuple[str, str]:
    """Give the column that is left out and the other: the later of two dates, of amounts the one that tells more."""
    if one.column.form == "date":
        later = bool(np.nanmean(one.column.values - other.column.values) > 0)
    else:
        later = one.auc >= other.auc
    pair = (one, other) if later else (other, one)
    return pair[0].column.name, pair[1].column.name


def sets(kept: Sequence[Weighed], actual: Vector, fold: NDArray[np.int64], *, seed: int) -> Mapping[str, str]:
    """Give up to three columns that together separate the label while all the others cannot."""
    columns = [w.column for w in kept]
    told = rest.together(columns, actual, fold, seed=seed)
    place, low = alone.auc_and_low(actual, told)
    if low < _NEARLY_ALL:
        return {}
    ranked = sorted(kept, key=lambda w: -w.auc)
    for size in range(1, _LARGEST_SET + 1):
        few = ranked[:size]
        here = rest.together([w.column for w in few], actual, fold, seed=seed)
        if alone.auc_and_low(actual, here)[1] < _NEARLY_ALL:
            continue
        others = rest.together([w.column for w in ranked[size:]], actual, fold, seed=seed)
        if weigh.beyond(place, actual, others, times=_SET_ERRORS):
            names = " and ".join(f"'{w.column.name}'" for w in few) + (" together" if size > 1 else "")
            why = f"{names} separate{'s' if size == 1 else ''} the label (AUC {evaluate.auc(actual, here):.3f})"
            return {w.column.name: why for w in few}
        return {}
    return {}
