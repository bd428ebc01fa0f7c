"""Money to come from behaviour, by boosted trees alone: they never go beyond amounts that they have seen.

The house's general model averages trees with a line. Under the logarithmic link of amounts a line runs away when
customers at the time of use have longer histories than those it was learnt from, as they must when it is learnt at an
earlier cut; the recipe's purchase models do the extrapolating instead.

    SpendTrees().fit(features, label).predict(features)     ->  prediction
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from nextbest.errors import DataError, ModelError
from nextbest.models import trees

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TREES, DOCUMENT = "trees.txt", "model.json"
# Spend is nearly all noise for one customer: small, slow trees, whose leaves grow with the table, and whose splits are
# drawn instead of searched (extremely randomised): searching finds the one large order, drawing averages over it.
_PARAMETERS = {
    "tweedie_variance_power": 1.5,
    "learning_rate": 0.05,
    "num_leaves": 8,
    "feature_fraction": 0.5,
    "lambda_l2": 5.0,
    "extra_trees": True,
}
_ROUNDS = 150
_LEAST_LEAF, _LEAVES_PER_TABLE = 40, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendTrees:
    """Tweedie boosting of a numeric table (a column `subject_id` is not read) to one column of amounts >= 0."""

    seed: int = 0
    num_threads: int = 1
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        """Give a fitted copy; raises `DataError` when the label is not amounts >= 0 with some above 0."""
        amounts = np.asarray(label.column(0).to_numpy(zero_copy_only=False), dtype=np.float64)
        if (
            len(amounts) != features.num_rows
            or not np.isfinite(amounts).all()
            or np.any(amounts < 0)
            or not amounts.any()
        ):
            raise DataError("Spend is learnt from one amount >= 0 per row, not all 0; fill or leave out other rows.")
        names = [name for name in features.column_names if name != "subject_id"]
        matrix = _matrix(features, names)
        leaf = max(_LEAST_LEAF, len(amounts) // _LEAVES_PER_TABLE)
        unit = float(amounts.mean())
        grown = trees.grow(
            matrix,
            amounts / unit,
            task="tweedie",
            parameters={**_PARAMETERS, "min_data_in_leaf": leaf},
            rounds=_ROUNDS,
            seed=self.seed,
            num_threads=self.num_threads,
        )
        total = float(np.exp(trees.scores(grown, matrix, num_threads=self.num_threads)).sum())
        document = {"columns": names, "factor": float(amounts.sum()) / total}
        return replace(self, files={TREES: grown, DOCUMENT: json.dumps(document, sort_keys=True).encode()})

    def predict(self, features: pa.Table) -> pa.Table:
        """Give `prediction`, the expected amount, one row per row of `features`."""
        names, factor = _document(self.files)
        scores = trees.scores(self.files[TREES], _matrix(features, names), num_threads=self.num_threads)
        return pa.table({"prediction": factor * np.exp(scores)})

    def contributions(self, features: pa.Table) -> tuple[tuple[str, ...], Floats]:
        """Give the columns, and per row what each adds to the logarithm of the amount, then the base."""
        names, factor = _document(self.files)
        shares = trees.contributions(self.files[TREES], _matrix(features, names))
        shares[:, -1] += np.log(factor)
        return tuple(names), shares

    def example(self) -> pa.Table:
        """Give a few made-up rows that a fitted model can read: for canaries, never anybody's values."""
        names, _ = _document(self.files)
        drawn = np.random.default_rng(self.seed).gamma(1.0, 30.0, (20, len(names)))
        return pa.table({name: drawn[:, place] for place, name in enumerate(names)})


def _document(files: Mapping[str, bytes]) -> tuple[list[str], float]:
    if TREES not in files or DOCUMENT not in files:
        raise ModelError("This spend model has not learnt yet. Call `fit` first, or load a fitted one.")
    try:
        document = json.loads(files[DOCUMENT])
        return list(document["columns"]), float(document["factor"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{DOCUMENT} of a spend model cannot be read: {error}. Fit the model again.") from error


def _matrix(features: pa.Table, names: list[str]) -> Floats:
    missing = [name for name in names if name not in features.column_names]
    if missing:
        raise DataError(f"The spend model reads columns that are not there: {', '.join(missing)}.")
    columns = [np.asarray(features[name].to_numpy(zero_copy_only=False), dtype=np.float64) for name in names]
    return np.column_stack(columns)
