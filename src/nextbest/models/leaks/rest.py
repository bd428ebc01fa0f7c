"""What other columns together tell about the label, on rows they were not fitted to: trees on the other fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import trees

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextbest.models.leaks.reading import Column

    Vector = NDArray[np.float64]

_ROUNDS = 50
_SHAPE = {"learning_rate": 0.1, "num_leaves": 15, "max_bin": 63, "feature_pre_filter": False}
_LEAST_IN_LEAF = 20


def together(columns: Sequence[Column], actual: Vector, fold: NDArray[np.int64], *, seed: int) -> Vector:
    """Give the probability of the label per row, learnt on the other fold; the mean label when there is no column."""
    if not columns:
        return np.full(len(actual), actual.mean())
    matrix = np.column_stack([c.values for c in columns])
    categories = [i for i, c in enumerate(columns) if c.form == "category"]
    # In few rows the usual twenty per leaf would allow no tree, and the rest would look worse than it is.
    shape = {**_SHAPE, "min_data_in_leaf": min(_LEAST_IN_LEAF, max(3, len(actual) // 50))}
    told = np.empty(len(actual))
    for number in (0, 1):
        learn, judge = fold != number, fold == number
        grown = trees.grow(
            matrix[learn], actual[learn], task="classification", parameters=shape, rounds=_ROUNDS,
            categories=categories, seed=seed,
        )  # fmt: skip
        told[judge] = 1 / (1 + np.exp(-trees.scores(grown, matrix[judge])))
    return told
