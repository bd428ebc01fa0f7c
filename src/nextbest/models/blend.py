"""How much of each half goes into a blend: the plain average, unless held-out rows clearly say otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import calibrate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_WEIGHTS = (0.5, 0.25, 0.75, 0.0, 1.0)
_LEAST_AMOUNT = 1e-13
_CLEARLY = 2.0  # standard errors of the paired difference in loss


def blend_weight(straight: Vector, grown: Vector, actual: Vector, task: str) -> float:
    """Give the weight of the trees, 0 to 1: a half unless another has a clearly lower loss on held-out rows."""
    chosen = 0.5
    standard = score_loss(0.5 * (straight + grown), actual, task)
    best = 0.0
    for weight in _WEIGHTS[1:]:
        gain = standard - score_loss(weight * grown + (1 - weight) * straight, actual, task)
        error = float(gain.std()) / np.sqrt(len(gain))
        if float(gain.mean()) > max(best, _CLEARLY * error):
            chosen, best = weight, float(gain.mean())
    return chosen


def loss(predicted: Vector, actual: Vector, task: str) -> Vector:
    """Give the loss per row: log loss of a probability, squared error, or half the Tweedie deviance of power 1.5."""
    if task == "classification":
        losses: Vector = -np.where(actual > 0, np.log(predicted), np.log1p(-predicted))
    elif task == "tweedie":
        root = np.sqrt(np.maximum(predicted, _LEAST_AMOUNT))
        losses = 2 * actual / root + 2 * root
    else:
        losses = (actual - predicted) ** 2
    return losses


def score_loss(scores: Vector, actual: Vector, task: str) -> Vector:
    """Give the loss per row of what scores mean: calibrated, for a label.

    By two numbers, however many rows: a free curve would bend every blend to the label, and hide which is better.
    """
    if task == "classification":
        return loss(calibrate.apply(calibrate.sigmoid(scores, actual), scores), actual, task)
    return loss(np.exp(np.clip(scores, -30, 30)) if task == "tweedie" else scores, actual, task)
