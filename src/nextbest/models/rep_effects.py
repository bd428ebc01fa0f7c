"""Do people differ once luck and the mix of what they were given are taken off? Effects that lean on the others.

    logit P(win of deal i) = offset_i + effect of its rep,     effect ~ N(0, spread squared)

The offset is what the mix of the deal says. Laplace approximation with EM updates of the spread (Laird and Ware 1982);
with a spread of nought nobody differs, and everybody's effect is nought.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Places = NDArray[np.int64]

_ROUNDS, _STEPS = 200, 8
_CLOSE = 1e-6
_DRAWS = 999


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Per rep the `effect` and the `error` of it, how much reps differ, and how often chance differs as much."""

    effect: Vector
    error: Vector
    spread: float
    p_value: float


def of_wins(won: Vector, offset: Vector, rep: Places, *, seed: int = 0) -> Effects:
    """Give effects on the log-odds of winning; `offset` is the log-odds that the mix of a deal gives it."""
    size = int(rep.max(initial=-1)) + 1
    effect, variance = np.zeros(size), 0.1
    error = np.full(size, variance)
    for _ in range(_ROUNDS):
        effect, error = _newton(won, offset, rep, variance, effect)
        following = max(float((effect**2 + error).mean()), 1e-8)
        done = abs(following - variance) < _CLOSE
        variance = following
        if done:
            break
    chance = 1 / (1 + np.exp(-offset))
    return Effects(
        effect=effect,
        error=np.sqrt(error),
        spread=float(np.sqrt(variance)),
        p_value=_permuted(won - chance, chance * (1 - chance), rep, seed=seed),
    )


def of_amounts(left: Vector, rep: Places, *, seed: int = 0) -> Effects:
    """Give effects on what is left of an amount after its mix; the spread is by the method of moments, at least 0."""
    size = int(rep.max(initial=-1)) + 1
    counts = np.maximum(np.bincount(rep, minlength=size), 1)
    means = np.bincount(rep, weights=left, minlength=size) / counts
    noise = float(((left - means[rep]) ** 2).sum() / max(len(left) - size, 1))
    weights = counts / counts.sum()
    between = float((weights * (means - left.mean()) ** 2).sum())
    variance = max((between - noise * (size - 1) / len(left)) / max(1 - (weights**2).sum(), 1e-9), 0.0)
    held = variance / (variance + noise / counts) if variance > 0 else np.zeros(size)
    return Effects(
        effect=held * (means - left.mean()),
        error=np.sqrt(variance * (1 - held)),
        spread=float(np.sqrt(variance)),
        p_value=_permuted(left - left.mean(), np.full(len(left), noise), rep, seed=seed),
    )


def _newton(won: Vector, offset: Vector, rep: Places, variance: float, start: Vector) -> tuple[Vector, Vector]:
    effect, size = start, len(start)
    information = np.full(size, 1 / variance)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(offset + effect[rep], -35, 35)))
        slope = np.bincount(rep, weights=won - chance, minlength=size) - effect / variance
        information = np.bincount(rep, weights=chance * (1 - chance), minlength=size) + 1 / variance
        effect = effect + np.clip(slope / information, -1.0, 1.0)
    return effect, 1 / information


def _permuted(left: Vector, noise: Vector, rep: Places, *, seed: int) -> float:
    """Give how often reps drawn by lot differ as much: the sum over reps of what is left, squared, over its noise."""
    draw = np.random.default_rng([seed, 3])
    size = int(rep.max(initial=-1)) + 1

    def apart(values: Vector, spread: Vector) -> float:
        sums = np.bincount(rep, weights=values, minlength=size)
        total = np.bincount(rep, weights=spread, minlength=size)
        return float((sums**2 / np.maximum(total, 1e-12)).sum())

    found, as_much = apart(left, noise), 0
    for _ in range(_DRAWS):
        order = draw.permutation(len(left))
        as_much += apart(left[order], noise[order]) >= found - 1e-12
    return (as_much + 1) / (_DRAWS + 1)
