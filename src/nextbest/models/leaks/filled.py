"""Rows that give their class away: filled for one class only, empty for one only, or levels that are nearly pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nextbest.models.leaks.reading import Column

    Vector = NDArray[np.float64]
    Rows = NDArray[np.bool_]

_FILLED, _EMPTY = 0.95, 0.01
_LEAST = 20
_ONE_CLASS = 0.99
_TIMES = 20.0  # the odds in these rows against the odds in all: a class of 97% needs more than rows of 99%
_PURE = 0.95
_HUNDREDFOLD = 100.0
_SURELY = 1.96
_HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Rows that are nearly all of one class; `share` is the part of that class that they hold, `why` in words."""

    rows: Rows
    positive: bool
    share: float
    why: str
    whole: bool = False  # the pattern of filling settles it by itself


def one_class(column: Column, actual: Vector) -> Sign | None:
    """Give the sign that a column says something for one class only, or leaves only one class empty; or None."""
    said, filled = column.said, column.filled
    for rows, word in ((said, "filled"), *(((~filled, "empty"),) if not filled.all() else ())):
        if rows.sum() < _LEAST or rows.all():
            continue
        yes, no = float(rows[actual > 0].mean()), float(rows[actual == 0].mean())
        if max(yes, no) >= _FILLED and min(yes, no) <= _EMPTY:
            why = f"{word} in {yes:.0%} of positive and {no:.0%} of other rows"
            return Sign(rows=rows, positive=yes > no, share=max(yes, no), why=why, whole=True)
        rate, base = float(actual[rows].mean()), float(actual.mean())
        positive = rate > base
        here, usual = (rate, base) if positive else (1 - rate, 1 - base)
        low = min(here, 1 - 3 / rows.sum())  # the rule of three
        if here >= _ONE_CLASS and low / (1 - low) >= _TIMES * usual / (1 - usual):
            why = f"{rate:.0%} of the rows where it is {word} are positive, {base:.0%} of all rows"
            return Sign(rows=rows, positive=positive, share=yes if positive else no, why=why, whole=True)
    return None


def pure_levels(column: Column, actual: Vector) -> Sign | None:
    """Give the levels of a category that hold almost only the rarer class, as statuses do; or None.

    Rows of the commoner class are easily pure by themselves and prove nothing.
    """
    if column.form != "category":
        return None
    positive = bool(actual.mean() <= _HALF)
    wanted = actual if positive else 1 - actual
    codes = np.nan_to_num(column.values, nan=0).astype(np.int64)
    total = np.bincount(codes)
    hits = np.bincount(codes, weights=wanted)
    usual = float(wanted.sum() / max(1.0, len(wanted) - wanted.sum()))
    pure = np.array([_is_pure(h, n, usual) for h, n in zip(hits, total, strict=True)])
    pure[0] = False  # rare levels and missing ones
    rows = pure[codes]
    if not rows.any() or rows.all():
        return None
    share = float(wanted[rows].sum() / wanted.sum())
    why = (
        f"{int(pure.sum())} of its values hold {share:.0%} of the {'positive' if positive else 'other'} rows, and of "
        f"the rows with them {wanted[rows].mean():.0%} are {'positive' if positive else 'not'}"
    )
    return Sign(rows=rows, positive=positive, share=share, why=why)


def _is_pure(hits: float, rows: float, usual: float) -> bool:
    """Tell whether a level is surely pure, or seems so and has a hundred times the usual odds (of a rare class)."""
    low = _low(hits, rows)
    return low >= _PURE or (hits >= _PURE * rows and rows > 0 and low >= _HUNDREDFOLD * usual * (1 - low))


def _low(hits: float, rows: float) -> float:
    """Give the lower end of Wilson's 95% interval of a share (Wilson 1927)."""
    if not rows:
        return 0.0
    share, z = hits / rows, _SURELY
    middle = share + z**2 / (2 * rows)
    half = z * float(np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)))
    return float((middle - half) / (1 + z**2 / rows))


def signs(column: Column, actual: Vector) -> Iterator[Sign]:
    """Give the signs of both kinds."""
    for sign in (one_class(column, actual), pure_levels(column, actual)):
        if sign is not None:
            yield sign
