"""Why a prediction is what it is: what every column adds to the score, row by row; the parts sum to the whole.

The trees are taken apart by TreeSHAP (Lundberg et al. 2020), the line by its terms; both are averaged with the weights
of the blend and stretched by the calibration's slope, so the unit is log-odds (or the amount, or its logarithm).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import boosting, encode, logistic, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

_MOST_ROWS = 2_000
_DIGITS = 6
_LEAST_ROWS = 10
_CLEAR = 0.5  # rank correlation of a column with what it adds, from which a direction is named
_WINDOW = re.compile(r"_(\d+)d$")


def contributions(model: boosting.Boosting, features: pa.Table) -> tuple[tuple[str, ...], Matrix]:
    """Give the user's columns, and per row what each adds, then the base; a row sums to its score before any curve."""
    document, encoder, linear = boosting.fitted_state(model)
    matrix = encode.matrix(encoder, features)
    weight, slope, shift = document["weight"], 1.0, 0.0
    if document["task"] == "classification":
        slope, shift = document["calibration"]["slope"], document["calibration"]["shift"]
    grown = trees.contributions(model.files[boosting.TREES], matrix)
    shares = slope * (weight * grown + (1 - weight) * logistic.contributions(linear, matrix))
    names = tuple(c.name for c in encoder.columns)
    grouped = np.zeros((len(matrix), len(names) + 1))
    for place, source in enumerate(encoder.sources):
        grouped[:, names.index(source)] += shares[:, place]
    grouped[:, -1] = shares[:, -1] + shift
    return names, grouped


def top_features(model: boosting.Boosting, features: pa.Table, *, count: int = 10) -> tuple[dict[str, Any], ...]:
    """Give `{"feature", "sentence", "weight"}` of the columns that move predictions most, by mean absolute share.

    The sentence says in which direction, never with which values: those may belong to somebody.
    """
    step = max(1, features.num_rows // _MOST_ROWS)
    sample = features.take(np.arange(0, features.num_rows, step)) if step > 1 else features
    names, shares = contributions(model, sample)
    size = np.abs(shares[:, :-1]).mean(axis=0)
    order = [i for i in np.argsort(-size, kind="stable")[:count] if size[i] > 0]
    encoder = boosting.fitted_state(model)[1]
    matrix, first = encode.matrix(encoder, sample), [encoder.sources.index(n) for n in names]
    return tuple(
        {
            "feature": names[i],
            "sentence": _direction(names[i], matrix[:, first[i]], shares[:, i], coded=first[i] in encoder.categories),
            "weight": round(float(size[i]), _DIGITS),
        }
        for i in order
    )


def _direction(name: str, values: Vector, shares: Vector, *, coded: bool) -> str:
    """Give "more orders in the last 30 days lower it", or that it depends on which value it is."""
    words = _WINDOW.sub(r" in the last \1 days", name).replace("_", " ")
    known = np.isfinite(values)
    if coded or known.sum() < _LEAST_ROWS or np.ptp(values[known]) == 0 or np.ptp(shares[known]) == 0:
        return f"{words}: it depends on which"
    together = float(np.corrcoef(_ranks(values[known]), _ranks(shares[known]))[0, 1])
    if abs(together) < _CLEAR:
        return f"{words}: up and down along its range"
    return f"{words}: the higher, the {'more' if together > 0 else 'less'}"


def _ranks(values: Vector) -> Vector:
    return np.unique(values, return_inverse=True)[1].astype(np.float64)


def reasons(
    model: boosting.Boosting,
    features: pa.Table,
    *,
    count: int = 3,
    sentence: Callable[[str, Any], str] | None = None,
) -> list[list[dict[str, Any]]]:
    """Give, per row, the columns that move it most, first: `{"feature", "value", "sentence", "contribution"}`."""
    names, shares = contributions(model, features)
    words = sentence or plain_sentence
    found = []
    for row, values in enumerate(_rows(features, names)):
        order = np.argsort(-np.abs(shares[row, :-1]), kind="stable")[:count]
        found.append([
            {
                "feature": names[i],
                "value": values[i],
                "sentence": words(names[i], values[i]),
                "contribution": round(float(shares[row, i]), _DIGITS),
            }
            for i in order
        ])  # fmt: skip
    return found


def plain_sentence(name: str, value: Any) -> str:  # noqa: ANN401 (any value of a flat table)
    """Give "Contract = One year", or "Contract is missing"."""
    if value is None:
        return f"{name} is missing"
    return f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"


def _rows(features: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(features[n].to_pylist() for n in names), strict=True)) if names else []
