"""How the average prediction changes with one column, the others left as they are (Friedman 2001, section 8.2).

It says what the model answers, not what would happen: where columns go together, it asks about people who do not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nextbest.models import columns
from nextbest.trust.seen import predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextbest.types import Model

    Vector = NDArray[np.float64]

_MOST_ROWS = 500
_POINTS = 9
_MOST_LEVELS = 8
_FLAT = 0.02  # of the average prediction: a swing below is told as none
_SLIP = 0.1  # of the whole swing: a step back smaller than that does not make a rise less of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The mean prediction when everybody has this value; `rows`: of how many it is in truth (a scale: None)."""

    label: str
    value: float | None
    prediction: float
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """One column's curve or bars, and in words what they show."""

    column: str
    graded: bool
    points: tuple[Point, ...]
    summary: str


def dependence(model: Model, features: pa.Table, names: Sequence[str]) -> tuple[Dependence, ...]:
    """Give the dependence on each of these columns; one whose values cannot be shown is left out."""
    sample = features.take(pa.array(np.arange(0, len(features), max(1, -(-len(features) // _MOST_ROWS)))))
    found = (_of(model, features, sample, name) for name in names)
    return tuple(d for d in found if d is not None)


def _of(model: Model, features: pa.Table, sample: pa.Table, name: str) -> Dependence | None:
    column = columns.read(features, name)
    tried = columns.places(column, points=_POINTS)
    tried = tried if column.graded else tried[:_MOST_LEVELS]
    if int(column.missing.sum()) >= columns.FEWEST_ROWS:
        tried = np.append(tried, int(np.argmax(column.missing)))
    if len(tried) < 2:
        return None
    means = averages(model, features, sample, name, tried)
    points = tuple(
        Point(
            label=columns.text(column, int(row)),
            value=_value(column, int(row)),
            prediction=round(float(mean), 6),
            rows=None if column.graded and not column.missing[row] else _rows(column, int(row)),
        )
        for row, mean in zip(tried, means, strict=True)
    )
    summary = in_words(
        [p for p in points if p.label != "missing"], graded=column.numbers is not None, dated=column.dated
    )
    return Dependence(column=name, graded=column.graded, points=points, summary=summary)


def averages(model: Model, source: pa.Table, sample: pa.Table, name: str, rows: NDArray[np.int64]) -> Vector:
    """Give the mean prediction over *sample* when the column holds what each of *rows* of *source* holds."""
    many = pa.concat_tables([sample] * len(rows))
    given = columns.holding(many, source, {name: np.repeat(rows, sample.num_rows)})
    means: Vector = predictions(model, given).reshape(len(rows), sample.num_rows).mean(axis=1)
    return means


def in_words(points: Sequence[Point], *, graded: bool, dated: bool = False) -> str:
    """Give what the points show: rising, falling, both, or hardly anything; of levels the lowest and the highest."""
    means = np.array([p.prediction for p in points])
    swing = float(np.ptp(means)) if len(means) else 0.0
    if len(means) < 2 or swing <= _FLAT * max(abs(float(means.mean())), 1e-12):
        return "It hardly changes the average prediction."
    low, high = points[int(means.argmin())], points[int(means.argmax())]
    if not graded:
        return f"Lowest for {low.label}, highest for {high.label}."
    steps = np.diff(means)
    up, down = float(steps[steps > 0].sum()), float(-steps[steps < 0].sum())
    later = "later" if dated else "higher"
    if down <= _SLIP * swing:
        return f"The {later}, the higher the prediction."
    if up <= _SLIP * swing:
        return f"The {later}, the lower the prediction."
    return f"It goes up and down: lowest near {low.label}, highest near {high.label}."


def _value(column: columns.Column, row: int) -> float | None:
    if not column.graded or column.numbers is None or column.missing[row]:
        return None
    value = float(column.numbers[row])
    return value if column.dated else float(f"{value:.4g}")


def _rows(column: columns.Column, row: int) -> int:
    if column.missing[row]:
        return int(column.missing.sum())
    return column.counts[int(column.codes[row])]
