"""Make scores mean what they say: a map learnt on predictions of rows that the model had not seen.

Few rows: two numbers (Platt 1999, a sigmoid of the score). Many: a free rising curve (isotonic regression, pool
adjacent violators), joined by straight lines so that different scores keep their order. Niculescu-Mizil and Caruana
(2005, section 4) find that the free curve wins from about 1,000 rows of calibration data on; we ask for 2,000 of the
rarer class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.sums import gram, product

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_ISOTONIC_FROM = 2_000
_ROUNDS = 100
_NEAREST = 1e-4  # no probability learnt from data is closer to 0 or 1 than this


def fit(scores: Vector, actual: Vector) -> dict[str, Any]:
    """Give the map from log-odds scores to probabilities, as plain values for JSON."""
    rarer = min(float(actual.sum()), float((1 - actual).sum()))
    found = sigmoid(scores, actual)
    if rarer < _ISOTONIC_FROM:
        return found
    middle, rate = _pooled(apply(found, scores), actual)
    return {**found, "kind": "isotonic", "from": middle.tolist(), "to": rate.tolist()}


def apply(calibration: Mapping[str, Any], scores: Vector) -> Vector:
    """Give one probability per score, rising with the score."""
    probability = 1 / (1 + np.exp(-np.clip(calibration["slope"] * scores + calibration["shift"], -35, 35)))
    if calibration["kind"] == "isotonic":
        probability = np.interp(probability, calibration["from"], calibration["to"])
    inside: Vector = np.clip(probability, _NEAREST, 1 - _NEAREST)
    return inside


def sigmoid(scores: Vector, actual: Vector) -> dict[str, Any]:
    """Give slope and shift by Newton steps, with Platt's smoothed targets, so that clean separation stays finite."""
    positives = float(actual.sum())
    high, low = (positives + 1) / (positives + 2), 1 / (len(actual) - positives + 2)
    target = np.where(actual > 0, high, low)
    design = np.column_stack([scores, np.ones(len(scores))])
    rate = float(np.clip(target.mean(), 1e-6, 1 - 1e-6))
    # Start from the base rate: from there Newton's steps on this convex loss do not overshoot.
    found = np.array([0.0, np.log(rate / (1 - rate))])
    for _ in range(_ROUNDS):
        mean = 1 / (1 + np.exp(-np.clip(product(design, found), -35, 35)))
        curve = gram(design * (mean * (1 - mean))[:, None], design) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, product(design.T, target - mean))
        found += np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    # A falling map would turn the ranking round; scores that say nothing get the base rate.
    slope = max(float(found[0]), 0.0)
    return {"kind": "platt", "slope": slope, "shift": float(found[1]) if slope else float(np.log(rate / (1 - rate)))}


def _pooled(predicted: Vector, actual: Vector) -> tuple[Vector, Vector]:
    """Give the middle and the rate of each pool of adjacent violators, ends added, by rising prediction."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(predicted, kind="stable")
    rates = isotonic_regression(actual[order]).x
    starts = np.flatnonzero(np.append(True, np.diff(rates) > 0))
    sizes = np.diff(np.append(starts, len(rates)))
    middle = np.add.reduceat(predicted[order], starts) / sizes
    # A pool of few rows says little: add half a row of each class before reading its rate, then keep it rising.
    smoothed = isotonic_regression((rates[starts] * sizes + 0.5) / (sizes + 1), weights=sizes).x
    return np.concatenate([[0.0], middle, [1.0]]), np.concatenate([[smoothed[0]], smoothed, [smoothed[-1]]])
