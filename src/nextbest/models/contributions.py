"""Why a prediction is what it is: what every column adds to the score, row by row; the parts sum to the whole.

The door for every model: one with a method `contributions(features)` is asked; a `Boosting` is taken apart here, its
trees by TreeSHAP (Lundberg et al. 2020), its line by its terms, both averaged with the weights of the blend and
stretched by the calibration's slope, so the unit is log-odds (or the amount, or its logarithm). Any other model is
explained row by row by `local.py`, in the unit of its prediction.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import UsageError
from nextbest.models import boosting, columns, encode, local, logistic, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.types import Model

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

_MOST_ROWS = 2_000
_DIGITS = 6
_LEAST_ROWS = 10
_CLEAR = 0.5  # rank correlation of a column with what it adds, from which a direction is named
WHICH = "it depends on which"
_WINDOW = re.compile(r"_(\d+)d$")


def additive(model: Model) -> bool:
    """Tell whether a model says by itself what each column adds."""
    return isinstance(model, boosting.Boosting) or hasattr(model, "contributions")


def contributions(model: Model, features: pa.Table) -> tuple[tuple[str, ...], Matrix]:
    """Give the user's columns, and per row what each adds, then the base; a row sums to its score before any curve.

    Raises `UsageError` for a model that has no parts: see `local.explain`.
    """
    own = getattr(model, "contributions", None)
    if own is not None:
        names, shares = own(features)
        return tuple(names), np.asarray(shares, dtype=np.float64)
    if not isinstance(model, boosting.Boosting):
        raise UsageError(f"{type(model).__name__} does not say what each column adds. Give `background` rows instead.")
    return _of_boosting(model, features)


def _of_boosting(model: boosting.Boosting, features: pa.Table) -> tuple[tuple[str, ...], Matrix]:
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


def top_features(model: Model, features: pa.Table, *, count: int = 10) -> tuple[dict[str, Any], ...]:
    """Give `{"feature", "sentence", "weight"}` of the columns that move predictions most, by mean absolute share.

    The sentence says in which direction, never with which values: those may belong to somebody.
    """
    step = max(1, features.num_rows // _MOST_ROWS)
    sample = features.take(np.arange(0, features.num_rows, step)) if step > 1 else features
    names, shares = contributions(model, sample)
    size = np.abs(shares[:, :-1]).mean(axis=0)
    order = [i for i in np.argsort(-size, kind="stable")[:count] if size[i] > 0]
    return tuple(
        {
            "feature": names[i],
            "sentence": direction(columns.read(sample, names[i]), shares[:, i]),
            "weight": round(float(size[i]), _DIGITS),
        }
        for i in order
    )


def direction(column: columns.Column, shares: Vector) -> str:
    """Give "orders in the last 30 days: the higher, the less", or that it depends on which value it is."""
    words = name_in_words(column.name)
    known = ~column.missing
    if column.numbers is None or known.sum() < _LEAST_ROWS or _constant(column.numbers[known]) or _constant(shares):
        return f"{words}: {WHICH}"
    together = float(np.corrcoef(_ranks(column.numbers[known]), _ranks(shares[known]))[0, 1])
    if abs(together) < _CLEAR:
        return f"{words}: up and down along its range"
    return f"{words}: the higher, the {'more' if together > 0 else 'less'}"


def name_in_words(name: str) -> str:
    """Give "orders in the last 30 days" for `orders_30d`."""
    return _WINDOW.sub(r" in the last \1 days", name).replace("_", " ")


def _constant(values: Vector) -> bool:
    return float(np.ptp(values)) == 0.0


def _ranks(values: Vector) -> Vector:
    return np.unique(values, return_inverse=True)[1].astype(np.float64)


def reasons(
    model: Model,
    features: pa.Table,
    *,
    count: int = 3,
    sentence: Callable[[str, Any], str] | None = None,
    background: pa.Table | None = None,
) -> list[list[dict[str, Any]]]:
    """Give, per row, the columns that move it most, first: `{"feature", "value", "sentence", "contribution"}`.

    A model that does not say what each column adds is explained by a line near the row, learnt with values of
    *background*; then every reason also holds the line's `fidelity`.
    """
    words = sentence or plain_sentence
    if additive(model) or background is None:
        names, shares = contributions(model, features)
        fits: list[dict[str, float]] = [{}] * len(shares)
    else:
        names, shares, fits = _by_lines(model, features, background)
    found = []
    for row, values in enumerate(_rows(features, names)):
        order = np.argsort(-np.abs(shares[row, :-1]), kind="stable")[:count]
        found.append([
            {
                "feature": names[i],
                "value": values[i],
                "sentence": words(names[i], values[i]),
                "contribution": round(float(shares[row, i]), _DIGITS),
                **fits[row],
            }
            for i in order
        ])  # fmt: skip
    return found


def _by_lines(
    model: Model, features: pa.Table, background: pa.Table
) -> tuple[tuple[str, ...], Matrix, list[dict[str, float]]]:
    """Give names, per row the parts and the base of its own line, and how well each line follows the model."""
    names = local.usable(features)

    def score(table: pa.Table) -> Vector:
        return np.asarray(model.predict(table)["prediction"].to_numpy(), dtype=np.float64)

    lines = [local.explain(score, features.slice(row, 1), background, names=names) for row in range(features.num_rows)]
    shares = np.array([[*line.contributions, line.base] for line in lines]).reshape(len(lines), len(names) + 1)
    return tuple(names), shares, [{"fidelity": round(line.fidelity, 4)} for line in lines]


def plain_sentence(name: str, value: Any) -> str:  # noqa: ANN401 (any value of a flat table)
    """Give "Contract = One year", or "Contract is missing"."""
    return f"{name} is missing" if value is None else f"{name} = {columns.value_of(value)}"


def _rows(features: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(features[n].to_pylist() for n in names), strict=True)) if names else []
