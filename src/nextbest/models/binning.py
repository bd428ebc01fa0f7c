"""Cut a column into a few bins that a person can read, each with enough rows of either class to have a rate.

Numbers: twentieths, merged while neighbours are too small or hardly differ, and made to rise or fall all along when
that costs little. Categories: levels of enough rows, the others together, merged when they hardly differ. Missing is a
bin. A bin's weight of evidence is the logarithm of its odds over everyone's (Siddiqi 2006, chapter 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Places = NDArray[np.int64]

MOST_BINS = 6
_FINE = 20
_LEAST_SHARE, _LEAST_ROWS, _LEAST_OF_A_CLASS = 0.03, 20, 5
_HARDLY = 2.71  # chi squared of one degree of freedom at 10%: neighbours below it are one bin
_COSTS_LITTLE = 0.85  # of the information that bins without a direction hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """`edges` of a number (bins 1 to n), or the bin per code of a category (`codes`); bin 0 is missing.

    `evidence` is the weight of evidence per bin, `information` how much the column tells (Kullback's J), `chance` what
    noise would seem to tell in 1 of 100 columns.
    """

    edges: tuple[float, ...]
    codes: tuple[int, ...]
    evidence: tuple[float, ...]
    information: float
    chance: float

    def place(self, column: Vector) -> Places:
        """Give the bin of every value of an encoded column; a code that was never seen is where the rare ones are."""
        known = np.isfinite(column)
        if self.codes:
            code = np.where(known & (column >= 0) & (column < len(self.codes)), np.nan_to_num(column), 0.0)
            found = np.asarray(self.codes)[code.astype(np.int64)]
        else:
            found = np.searchsorted(self.edges, np.nan_to_num(column), side="right") + 1
        places: Places = np.where(known, found, 0)
        return places


def learn(column: Vector, actual: Vector, *, coded: bool) -> Bins:
    """Give the bins of a column of numbers, or of codes from 0, for a label of 0 and 1."""
    known = np.isfinite(column)
    if not known.any():
        return _bins((), (), column, actual, parts=1)
    if coded:
        return _of_codes(column, actual, known)
    values = column[known]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _FINE + 1)[1:-1]))
    edges = edges[(edges > values.min()) & (edges <= values.max())]
    fine = np.searchsorted(edges, values, side="right")
    yes, rows = _counts(fine, actual[known], len(edges) + 1)
    groups = _merged(yes, rows)
    ordered = _with_direction(yes, rows, groups)
    kept = ordered if _told(yes, rows, ordered) >= _COSTS_LITTLE * _told(yes, rows, groups) else groups
    starts = [group[0] for group in kept[1:]]
    return _bins(tuple(float(edges[s - 1]) for s in starts), (), column, actual, parts=len(edges) + 2)


def _of_codes(column: Vector, actual: Vector, known: NDArray[np.bool_]) -> Bins:
    code = column[known].astype(np.int64)
    size = int(code.max()) + 1
    yes, rows = _counts(code, actual[known], size)
    large = (rows >= _least(len(actual))) & (np.arange(size) > 0)
    named = np.flatnonzero(large)
    others = np.flatnonzero(~large)
    clumps = [[int(i)] for i in named] + ([[int(i) for i in others]] if rows[others].sum() else [])
    rate = [(yes[c].sum() + 0.5) / (rows[c].sum() + 1) for c in clumps]
    clumps = [clumps[i] for i in np.argsort(rate, kind="stable")]
    groups = _merged(np.array([yes[c].sum() for c in clumps]), np.array([rows[c].sum() for c in clumps]))
    place = np.ones(size, dtype=np.int64)
    for number, group in enumerate(groups, start=1):
        for clump in group:
            place[clumps[clump]] = number
    if not rows[others].sum() and len(named):  # never seen, or rare: with the largest level, as nothing else is known
        place[others] = place[named[np.argmax(rows[named])]]
    return _bins((), tuple(int(p) for p in place), column, actual, parts=len(clumps) + 1)


def _bins(edges: tuple[float, ...], codes: tuple[int, ...], column: Vector, actual: Vector, *, parts: int) -> Bins:
    """Give bins with their evidence; half a row of either class is added, so that no bin is certain.

    `parts` is out of how many they were merged: noise in so many parts tells about chi squared over the rows of the
    rarer class, whatever is merged afterwards.
    """
    raw = Bins(edges=edges, codes=codes, evidence=(), information=0.0, chance=0.0)
    size = (max(codes, default=0) if codes else len(edges) + 1) + 1
    yes, rows = _counts(raw.place(column), actual, size)
    no = rows - yes
    of_yes, of_no = (yes + 0.5) / (yes.sum() + 0.5), (no + 0.5) / (no.sum() + 0.5)
    # A bin of a few rows (eleven missing values) says nothing: it counts as the average.
    evidence = np.where(rows >= _LEAST_ROWS, np.log(of_yes / of_no), 0.0)
    information = float(((of_yes - of_no) * evidence).sum())
    rows_that_tell = float(yes.sum() * no.sum() / max(len(actual), 1))
    chance = _chi_squared(parts - 1) / rows_that_tell if rows_that_tell else float("inf")
    return Bins(edges=edges, codes=codes, evidence=tuple(evidence.tolist()), information=information, chance=chance)


def _chi_squared(freedom: int) -> float:
    """Give the value that 1 of 100 exceed (Wilson and Hilferty 1931)."""
    part = 2 / (9 * max(freedom, 1))
    return float(max(freedom, 1) * (1 - part + 2.3263 * np.sqrt(part)) ** 3)


def _merged(yes: Vector, rows: Vector) -> list[list[int]]:
    """Give neighbouring parts as groups: none too small, none that hardly differs from the next, at most six."""
    groups = [[i] for i in range(len(rows)) if rows[i] > 0]
    least = _least(int(rows.sum()))

    def small(group: list[int]) -> bool:
        y, r = yes[group].sum(), rows[group].sum()
        return bool(r < least or min(y, r - y) < _LEAST_OF_A_CLASS)

    while len(groups) > 1:
        apart = [_apart(yes, rows, a, b) for a, b in pairwise(groups)]
        tiny = [i for i, g in enumerate(groups) if small(g)]
        if tiny:
            at = _nearer(apart, tiny[0])
        elif min(apart) < _HARDLY or len(groups) > MOST_BINS:
            at = int(np.argmin(apart))
        else:
            break
        groups[at : at + 2] = [groups[at] + groups[at + 1]]
    return groups


def _with_direction(yes: Vector, rows: Vector, groups: list[list[int]]) -> list[list[int]]:
    """Give groups whose rate rises, or falls, all along: neighbours against the direction become one."""
    rates = np.array([yes[g].sum() / rows[g].sum() for g in groups])
    weights = np.array([rows[g].sum() for g in groups])
    place = np.arange(len(groups)) - (np.arange(len(groups)) * weights).sum() / weights.sum()
    sign = 1.0 if (weights * place * rates).sum() >= 0 else -1.0
    pooled: list[list[int]] = []
    for group in groups:
        pooled.append(list(group))
        while len(pooled) > 1 and sign * (_rate(yes, rows, pooled[-1]) - _rate(yes, rows, pooled[-2])) <= 0:
            last = pooled.pop()
            pooled[-1] += last
    return pooled


def _told(yes: Vector, rows: Vector, groups: list[list[int]]) -> float:
    y = np.array([yes[g].sum() for g in groups])
    n = np.array([rows[g].sum() for g in groups]) - y
    a, b = (y + 0.5) / (y.sum() + 0.5), (n + 0.5) / (n.sum() + 0.5)
    return float(((a - b) * np.log(a / b)).sum())


def _counts(place: Places, actual: Vector, size: int) -> tuple[Vector, Vector]:
    yes: Vector = np.bincount(place, weights=actual, minlength=size).astype(np.float64)
    return yes, np.bincount(place, minlength=size).astype(np.float64)


def _least(rows: int) -> float:
    return max(_LEAST_ROWS, _LEAST_SHARE * rows)


def _rate(yes: Vector, rows: Vector, group: list[int]) -> float:
    return float(yes[group].sum() / rows[group].sum())


def _apart(yes: Vector, rows: Vector, first: list[int], second: list[int]) -> float:
    """Give chi squared of two groups' rates."""
    y, r = (np.array([v[first].sum(), v[second].sum()]) for v in (yes, rows))
    rate = y.sum() / r.sum()
    return float(((y - r * rate) ** 2 / (r * rate * (1 - rate))).sum()) if 0 < rate < 1 else 0.0


def _nearer(apart: list[float], group: int) -> int:
    """Give the gap (its place) towards the neighbour that differs least."""
    sides = [i for i in (group - 1, group) if 0 <= i < len(apart)]
    return min(sides, key=lambda i: apart[i])
