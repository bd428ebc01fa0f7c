"""Spread visits over accounts by what one more goes with, largest first: with falling returns nothing does better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import mixed_response as mixed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

_REFITS, _DRAWS_EACH = 60, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Per account: visits and expected counts now and as planned, the return of one more; and the `total` gained."""

    now: Vector
    planned: Vector
    expected_now: Vector
    expected_planned: Vector
    gain: Vector
    gain_low: Vector
    gain_high: Vector
    total: float
    total_interval: tuple[float, float]


def plan(
    response: mixed.Response, seen: mixed.Periods, *, visits: int | None, most: int, level: float, seed: int
) -> Plan:
    """Give the plan for the next period; `visits` None spends what is spent now, on average.

    Intervals hold what is not known of the accounts and of what they have in common: that part errs the same way for
    all of them, so a sum over accounts does not average it out.
    """
    known, carry = mixed.accounts(response, seen), response.carry
    size = len(known.own)
    counts = np.maximum(np.bincount(seen.account, minlength=size), 1)
    now = np.bincount(seen.account, weights=seen.effort, minlength=size) / counts
    usual = np.bincount(seen.account, weights=seen.response, minlength=size) / counts
    wanted = round(float(now.sum())) if visits is None else visits
    planned = _spread(_returns(known.own, usual, carry, most), wanted)
    draw = np.random.default_rng(seed)
    ends = ((1 - level) / 2, (1 + level) / 2)
    gains, totals = np.empty((_REFITS * _DRAWS_EACH, size)), np.empty(_REFITS * _DRAWS_EACH)
    for i, (own, carried) in enumerate(_draws(response, seen, draw)):
        before = _at(own, now, usual, carried)
        gains[i] = _at(own, now + 1, usual, carried) - before
        totals[i] = (_at(own, planned, usual, carried) - before).sum()
    low, high = np.quantile(gains, ends, axis=0)
    ours = _at(known.own, now, usual, carry)
    theirs = _at(known.own, planned, usual, carry)
    gain = _at(known.own, now + 1, usual, carry) - ours
    return Plan(
        now=now, planned=planned, expected_now=ours, expected_planned=theirs, gain=gain,
        gain_low=np.minimum(low, gain), gain_high=np.maximum(high, gain), total=float(totals.mean()),
        total_interval=(float(np.quantile(totals, ends[0])), float(np.quantile(totals, ends[1]))),
    )  # fmt: skip


def _draws(response: mixed.Response, seen: mixed.Periods, draw: np.random.Generator) -> Iterator[tuple[Matrix, float]]:
    """Give draws of levels and gains of all accounts, with the carry that goes with them.

    What accounts share is learnt anew from accounts drawn with replacement, and each answer gives a few draws.
    """
    for _ in range(_REFITS):
        again = mixed.fit_again(response, seen, draw)
        known = mixed.accounts(again, seen)
        factors = np.linalg.cholesky(known.covariance)
        for _ in range(_DRAWS_EACH):
            apart = np.einsum("kij,kj->ki", factors, draw.standard_normal((len(known.own), 2)))
            yield known.own + apart, again.carry


def _at(own: Matrix, effort: Vector, previous: Vector, carry: float) -> Vector:
    return mixed.expected(own, np.arange(len(own)), effort, previous, carry=carry)


def _returns(own: Matrix, usual: Vector, carry: float, most: int) -> Matrix:
    """Give what the first, second, ... visit goes with, per account; a later one never counts for more."""
    levels = np.column_stack([_at(own, np.full(len(own), float(v)), usual, carry) for v in range(most + 1)])
    falling: Matrix = np.minimum.accumulate(np.diff(levels, axis=1), axis=1)
    return falling


def _spread(returns: Matrix, visits: int) -> Vector:
    """Give the visits per account: the largest returns above nought, as many as there are visits."""
    flat = returns.ravel()
    chosen = np.argsort(-flat, kind="stable")[: max(visits, 0)]
    chosen = chosen[flat[chosen] > 0]
    return np.bincount(chosen // returns.shape[1], minlength=len(returns)).astype(np.float64)
