"""Time cut into periods, and one row per subject and period lived in: who was there, and whether they left in it.

The discrete-time view of Singer and Willett (1993): the chance to leave in a period, among those who began it, is an
ordinary probability of an ordinary row. Those lost from sight within a period count with the share they were seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Whole = NDArray[np.int64]

MOST_PERIODS = 40
_ENDS_PER_PERIOD = 10  # a rate learnt from fewer is mostly noise
_FEWEST_PERIODS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Spells:
    """How long subjects were seen: from `entry` (0: from their beginning) to `exit`; `cause` 0 is still there then."""

    entry: Vector
    exit: Vector
    cause: Whole

    def take(self, rows: Whole) -> Spells:
        """Give some of them."""
        return Spells(entry=self.entry[rows], exit=self.exit[rows], cause=self.cause[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Rows of subject and period: the place of the spell, the number of the period, the cause that ended it or 0."""

    spell: Whole
    period: Whole
    cause: Whole

    def take(self, rows: Whole | NDArray[np.bool_]) -> Periods:
        """Give some of them."""
        return Periods(spell=self.spell[rows], period=self.period[rows], cause=self.cause[rows])


def cut(spells: Spells, *, widest: float | None = None) -> Vector:
    """Give the borders of at most 40 periods from 0 to the longest time: about as many leave in each.

    Every border but the first and the last is a time at which somebody left. *widest* splits longer periods.
    """
    ends = np.sort(spells.exit[spells.cause > 0])
    last = float(spells.exit.max(initial=0.0))
    count = int(np.clip(len(ends) // _ENDS_PER_PERIOD, _FEWEST_PERIODS, MOST_PERIODS))
    inner = np.quantile(ends, np.linspace(0, 1, count + 1)[1:], method="higher") if len(ends) else np.empty(0)
    borders = np.unique(np.concatenate([[0.0], inner, [last]]))
    if widest is None:
        return borders
    # Long periods are split, the longest into most parts, as far as the number of periods allows.
    width = max(widest, last / MOST_PERIODS)
    parts = np.maximum(1, np.ceil(np.diff(borders) / width)).astype(int)
    split = [np.linspace(a, b, n + 1)[1:] for a, b, n in zip(borders[:-1], borders[1:], parts, strict=True)]
    return np.concatenate([[0.0], *split])


def expand(spells: Spells, borders: Vector, *, chance: np.random.Generator) -> Periods:
    """Give the rows of all spells; somebody who comes into sight within a period counts from the next one on."""
    first = np.searchsorted(borders, spells.entry, side="left")
    last = np.searchsorted(borders, spells.exit, side="left") - 1
    last = np.clip(last, 0, len(borders) - 2)
    left = spells.cause > 0
    # Of those lost within a period, as many are kept as the share of it they were seen: on average the same exposure.
    width = borders[last + 1] - borders[last]
    seen = (spells.exit - borders[last]) / width
    whole = left | (chance.random(len(seen)) < seen)
    count = np.maximum(last - first + whole, 0)
    spell = np.repeat(np.arange(len(count)), count)
    period = np.arange(len(spell)) - np.repeat(np.cumsum(count) - count, count) + first[spell]
    cause = np.where(left[spell] & (period == last[spell]), spells.cause[spell], 0)
    return Periods(spell=spell, period=period, cause=cause)


def rates(rows: Periods, count: int) -> Vector:
    """Give the chance to leave per period among those who began it, whoever they are (Kaplan-Meier's factors).

    Half of one subject is added at the mean rate: a period in which nobody left is still not safe.
    """
    there = np.bincount(rows.period, minlength=count)
    left = np.bincount(rows.period, weights=rows.cause > 0, minlength=count)
    mean = float(left.sum() / max(there.sum(), 1))
    found: Vector = (left + mean / 2) / (there + 0.5)
    return found
