"""Do people differ once luck and the mix of what they were given are taken off? Effects that lean on the others.

    logit P(win of deal i) = offset_i + effect of its rep,     effect ~ N(0, spread squared)

The offset is what the mix of the deal says. How much people differ is itself hardly known when they are few: effects
and errors are averaged over all spreads, each weighed by how well it explains what was seen (a flat prior on the
spread: Gelman 2006, Bayesian Analysis 1(3), section 3.2; the likelihood by Laplace's approximation). One best spread,
often nought by chance, would tell everybody apart from nobody with certainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Vector = NDArray[np.float64]
Places = NDArray[np.int64]
# Of a spread: the logarithm of how well it explains what was seen, the effects given it, and their variances.
Given = tuple[float, Vector, Vector]

_STEPS = 8
_DRAWS = 999
_POINTS = 41
_FAR = 8.0  # below the best by so much of a log-likelihood, a spread weighs nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Per rep the `effect` and the `error` of it, the likeliest `spread`, and how often chance differs as much."""

    effect: Vector
    error: Vector
    spread: float
    p_value: float


def of_wins(won: Vector, offset: Vector, rep: Places, *, seed: int = 0) -> Effects:
    """Give effects on the log-odds of winning; `offset` is the log-odds that the mix of a deal gives it."""
    size = int(rep.max(initial=-1)) + 1
    chance = 1 / (1 + np.exp(-offset))
    effect, error, spread = _over_spreads(lambda s: _given(won, offset, rep, s, size), most=4.0)
    p_value = _permuted(won - chance, chance * (1 - chance), rep, seed=seed)
    return Effects(effect=effect, error=error, spread=spread, p_value=p_value)


def of_amounts(left: Vector, rep: Places, *, reps: int | None = None, seed: int = 0) -> Effects:
    """Give effects on what is left of an amount after its mix; of `reps` people, also those without amounts."""
    size = int(rep.max(initial=-1)) + 1 if reps is None else reps
    counts = np.bincount(rep, minlength=size)
    means = np.bincount(rep, weights=left, minlength=size) / np.maximum(counts, 1) - left.mean()
    within = left - left.mean() - means[rep]
    noise = max(float((within**2).sum()) / max(len(left) - int((counts > 0).sum()), 1), 1e-12)

    def given(spread: float) -> Given:
        total = counts * spread**2 + noise  # counts x the variance of a mean
        held = counts * spread**2 / total
        fits = float(-0.5 * (np.log(total / noise) + counts * means**2 / total).sum())
        return fits, held * means, spread**2 * (1 - held)

    effect, error, spread = _over_spreads(given, most=4.0 * max(float(np.abs(means).max(initial=0.0)), 1e-6))
    p_value = _permuted(left - left.mean(), np.full(len(left), noise), rep, seed=seed)
    return Effects(effect=effect, error=error, spread=spread, p_value=p_value)


def _over_spreads(given: Callable[[float], Given], *, most: float) -> tuple[Vector, Vector, float]:
    """Give effects and errors averaged over spreads from 0 to `most`, and the likeliest spread."""
    roughly = np.linspace(0.0, most, _POINTS)
    fits = np.array([given(float(s))[0] for s in roughly])
    near = np.flatnonzero(fits > fits.max() - _FAR)
    spreads = np.linspace(roughly[max(near[0] - 1, 0)], roughly[min(near[-1] + 1, _POINTS - 1)], _POINTS)
    told = [given(float(s)) for s in spreads]
    fits = np.array([fit for fit, _, _ in told])
    weights = np.exp(fits - fits.max()) / np.exp(fits - fits.max()).sum()
    effects, variances = np.stack([e for _, e, _ in told]), np.stack([v for _, _, v in told])
    effect: Vector = (weights[:, None] * effects).sum(axis=0)
    variance = (weights[:, None] * (variances + (effects - effect) ** 2)).sum(axis=0)
    return effect, np.sqrt(variance), float(spreads[int(fits.argmax())])


def _given(won: Vector, offset: Vector, rep: Places, spread: float, size: int) -> Given:
    """Give what a spread explains, and effects and variances given it, by Newton's rounds."""
    effect, variance = np.zeros(size), max(spread**2, 1e-12)
    information = np.full(size, 1 / variance)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(offset + effect[rep], -35, 35)))
        slope = np.bincount(rep, weights=won - chance, minlength=size) - effect / variance
        information = np.bincount(rep, weights=chance * (1 - chance), minlength=size) + 1 / variance
        effect = effect + np.clip(slope / information, -1.0, 1.0)
    total = np.clip(offset + effect[rep], -35, 35)
    likely = float((won * total - np.logaddexp(0.0, total)).sum())
    fits = likely - 0.5 * float((effect**2 / variance + np.log(variance * information)).sum())
    return fits, effect, 1 / information


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
