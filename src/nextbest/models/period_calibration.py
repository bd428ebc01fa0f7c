"""Make the hazard of every stretch of time mean what it says: one calibration for all periods evens out what differs.

Who leaves in the first weeks is often told apart more sharply than who leaves after years. A model of all periods, and
one sigmoid over its scores, give the average of the two: too mild for the riskiest of the newcomers. So each stretch of
periods in which enough leave gets a shift and a slope of its own, learnt from predictions of rows that had not taught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Whole = NDArray[np.int64]

# With 200 who leave, the log-odds of a stretch are known to 0.07 and the slope to about a tenth: less would add noise.
ENDS_PER_STRETCH = 200
_STAYS = 1.0  # how firmly a stretch stays with what the model said: as the prior of one standard deviation
_ROUNDS = 50
_NEAREST = 1e-9


def stretches(ends: Vector) -> Whole:
    """Give the stretch of each period, from the ends in each: consecutive periods, with enough ends together."""
    found = np.zeros(len(ends), dtype=np.int64)
    number, so_far = 0, 0.0
    for period, count in enumerate(ends):
        found[period] = number
        so_far += count
        if so_far >= ENDS_PER_STRETCH:
            number, so_far = number + 1, 0.0
    # What is left over at the end is too little for a stretch of its own.
    return np.minimum(found, max(number - 1, 0))


def learn(said: Vector, left: Vector, period: Whole, count: int) -> Matrix:
    """Give periods x (shift, slope) from held-out probabilities, what came of their rows, and the rows' periods."""
    found = np.tile([0.0, 1.0], (count, 1))
    stretch = stretches(np.bincount(period[left > 0], minlength=count).astype(np.float64))
    if left.sum() < ENDS_PER_STRETCH:
        return found
    scores = log_odds(said)
    for number in range(int(stretch.max()) + 1):
        rows = stretch[period] == number
        found[stretch == number] = _bend(scores[rows], left[rows])
    return found


def apply(said: Vector, bends: Sequence[Sequence[float]], period: Whole) -> Vector:
    """Give the odds that the probabilities stand for in their periods."""
    bend = np.asarray(bends)[period]
    odds: Vector = np.exp(np.clip(bend[:, 0] + bend[:, 1] * log_odds(said), -35, 35))
    return odds


def log_odds(probability: Vector) -> Vector:
    """Give the logarithm of the odds; of 0 and 1 those of a billion to one."""
    inside = np.clip(probability, _NEAREST, 1 - _NEAREST)
    found: Vector = np.log(inside) - np.log1p(-inside)
    return found


def _bend(scores: Vector, left: Vector) -> Vector:
    """Give shift and slope by Newton steps, drawn towards (0, 1); (0, 1) itself where the slope would turn round."""
    design, prior = np.column_stack([np.ones(len(scores)), scores]), np.array([0.0, 1.0])
    found = prior.copy()
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -35, 35)))
        pull = design.T @ (chance - left) + _STAYS * (found - prior)
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + _STAYS * np.eye(2)
        step = np.linalg.solve(curve, pull)
        found = found - np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    return found if found[1] > 0 else prior
