"""What a model card draws: predicted against observed rates, and how many positives the best-scored rows hold."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.evaluate import capture_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_BINS = 10
_POINTS = 20
_DIGITS = 4


def calibration(actual: Vector, predicted: Vector, *, bins: int = _BINS, level: float = 0.95) -> list[dict[str, Any]]:
    """Give up to *bins* points of equally many rows: mean `predicted`, rate `observed`, its interval, `rows`.

    Rows of equal prediction stay together; the interval is Wilson's (1927).
    """
    if not len(actual):
        return []
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)[1:-1]))
    which = np.searchsorted(edges, predicted, side="left")
    found = []
    for number in range(len(edges) + 1):
        inside = which == number
        rows = int(inside.sum())
        if rows:
            observed = float(actual[inside].mean())
            low, high = wilson(observed, rows, level=level)
            point = {"predicted": float(predicted[inside].mean()), "observed": observed, "low": low, "high": high}
            found.append({**{name: round(value, _DIGITS) for name, value in point.items()}, "rows": rows})
    return found


def capture(actual: Vector, predicted: Vector, baselines: Mapping[str, Vector] | None = None) -> list[dict[str, float]]:
    """Give 20 points: the `share` of rows taken, best first, and the share of positives (or money) `captured`.

    A baseline adds what it captures under its own name. [] when there is nothing to capture.
    """
    if not len(actual) or not float(actual.sum()):
        return []
    lines = {"captured": predicted, **(baselines or {})}
    shares = [round((k + 1) / _POINTS, 4) for k in range(_POINTS)]
    return [
        {"share": share, **{name: round(capture_at(actual, p, share), _DIGITS) for name, p in lines.items()}}
        for share in shares
    ]


def wilson(rate: float, rows: int, *, level: float = 0.95) -> tuple[float, float]:
    """Give Wilson's interval of a rate seen in so many rows (1927, equation 1), within 0 and 1."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    scale = 1 + z * z / rows
    centre = (rate + z * z / (2 * rows)) / scale
    half = z * sqrt(rate * (1 - rate) / rows + z * z / (4 * rows * rows)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)
