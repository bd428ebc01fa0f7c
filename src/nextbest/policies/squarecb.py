"""Inverse gap weighting: the further an action is behind the best, the less often it is tried.

    p[a] = 1 / (k + gamma * (worth[best] - worth[a]))   for the others, and what is left for the best

This is SquareCB (Foster & Rakhlin 2020, "Beyond UCB: optimal and efficient contextual bandits with regression oracles",
algorithm 1) for k eligible actions. Their lemma 3 bounds the expected regret of one decision by 2k / gamma + gamma / 4
times e^2, the squared error of the worths under p; the bound is least at gamma = sqrt(8k) / e. The paper sets e by the
number of decisions, so that gamma grows as sqrt(k * n); here e is what the learner says of its own error, the root mean
square of `spread` under p, which falls as 1 / sqrt(n) too, knows each subject, grows again when old decisions are
forgotten, and is in money, as the worths are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ConfigError
from nextbest.policies.weighing import share, top, weighed, with_floor

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action

_PASSES = 2  # p depends on e, and e on p: two passes from the error of the best action come within a few per cent


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareCB:
    """Probabilities by inverse gaps; `gamma` is found from the spread of the worths unless it is given (in 1 / money).

    `eagerness` multiplies that gamma. 1 is the bound's own, which guards against the worst of all truths; 4 lost less
    on each of the public sets tried, and explores about as much as Thompson sampling does. Where no spread is known the
    error is taken to be as large as the worths differ among themselves. `explore` is an even share on top.

    >>> import numpy as np
    >>> SquareCB(gamma=10.0).weigh(np.array([[1.0, 0.8, 0.6]]), np.zeros((1, 3))).round(3).tolist()
    [[0.657, 0.2, 0.143]]
    """

    gamma: float | None = None
    eagerness: float = 4.0
    explore: float = 0.0

    def __post_init__(self) -> None:
        share("squarecb", "explore", self.explore)
        for name, value in (("gamma", self.gamma), ("eagerness", self.eagerness)):
            if value is not None and not value > 0:
                raise ConfigError(f"Policy 'squarecb' has {name} {value}; it is a number above 0.")

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject, one column per action."""
        return weighed(self, predictions, actions)

    def weigh(self, worth: Numbers, spread: Numbers, *, none: int = -1) -> Numbers:
        """Give the probability of every action, shape (subjects, actions)."""
        if self.gamma is None and not self.explore and len(worth) == 1:
            alone = self._alone(worth[0], spread[0], none)
            if alone is not None:
                return alone[None, :]
        eligible = np.asarray(worth > -np.inf)
        rows, best = np.arange(len(worth)), top(worth, none)
        highest = worth[rows, best][:, None]
        gap = np.where(eligible, np.where(highest > -np.inf, highest, 0.0) - np.where(eligible, worth, 0.0), np.inf)
        k = eligible.sum(axis=1, keepdims=True)
        if self.gamma is not None:
            p = _inverse_gaps(gap, self.gamma, k, rows, best)
        else:
            p = self._by_error(gap, np.where(eligible, spread, 0.0), k, rows, best)
        return with_floor(p, eligible, self.explore) if self.explore else p * (k > 0)

    def _alone(self, worth: Numbers, spread: Numbers, none: int) -> Numbers | None:
        """Give the same for one subject to whom everything is open, in a fifth of the time; None where it is not so.

        p[a] = 1 / (k + gamma * gap) is share / (gap + k * share) with share = 1 / gamma; one product gives the sums of
        p and of p * spread^2 over all but the best.
        """
        best, k = int(worth.argmax()), len(worth)
        best = none % k if worth[none] >= worth[best] else best
        gap = worth[best] - worth
        if not gap[gap.argmax()] < 1e150:
            return None
        sums = np.empty((2, k))
        sums[0] = 1.0
        np.multiply(spread, spread, out=sums[1])
        if not sums[1, best] > 0 and not sums[1].any():
            off = gap - float(sums[0] @ gap) / k
            sums[1] = off @ off / k
        own = error = float(sums[1, best])
        sums[:, best] = 0.0
        p, share, others = np.empty(k), 0.0, 0.0
        for _ in range(_PASSES + 1):
            share = math.sqrt(max(error, 1e-300) / (8 * k)) / self.eagerness
            np.add(gap, k * share, out=p)
            np.reciprocal(p, out=p)
            others, squares = (sums @ p).tolist()
            others *= share
            before, error = error, squares * share + (1.0 - others) * own
            if abs(error - before) <= 1e-12 * before:  # as where all spreads are alike: there is nothing more to find
                break
        p *= share
        p[best] = 1.0 - others
        return p

    def _by_error(self, gap: Numbers, spread: Numbers, k: Numbers, rows: Any, best: Any) -> Numbers:  # noqa: ANN401
        squares = spread * spread
        unknown = np.asarray(squares.sum(axis=1) <= 0)
        if unknown.any():
            squares = np.where(unknown[:, None], _variance(gap, k), squares)
        error = squares[rows, best][:, None]
        p = gap
        for _ in range(_PASSES):
            gamma = self.eagerness * np.sqrt(8 * k / np.maximum(error, 1e-300))
            p = _inverse_gaps(gap, gamma, k, rows, best)
            error = (p * squares).sum(axis=1, keepdims=True)
        gamma = self.eagerness * np.sqrt(8 * k / np.maximum(error, 1e-300))
        return _inverse_gaps(gap, gamma, k, rows, best)


def _inverse_gaps(gap: Numbers, gamma: Any, k: Numbers, rows: Any, best: Any) -> Numbers:  # noqa: ANN401 (number or column)
    """Give the probabilities; behind a gap of infinity there is none."""
    p = np.asarray(1.0 / (k + np.where(gap < np.inf, gamma * np.minimum(gap, 1e150), np.inf)))
    p[rows, best] = 0.0
    p[rows, best] = 1.0 - p.sum(axis=1)
    return p


def _variance(gap: Numbers, k: Numbers) -> Numbers:
    """Give how much the worths of the eligible actions of each row differ."""
    inside = np.isfinite(gap)
    kept = np.where(inside, gap, 0.0)
    mean = kept.sum(axis=1, keepdims=True) / np.maximum(k, 1)
    squares = np.where(inside, (kept - mean) ** 2, 0.0)
    return np.broadcast_to(squares.sum(axis=1, keepdims=True) / np.maximum(k, 1), gap.shape)
