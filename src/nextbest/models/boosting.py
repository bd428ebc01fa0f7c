"""The house model for tables: half linear, half boosted trees, sized to the table, calibrated, with an interval.

    Boosting().fit(features, label).predict(features)     ->  prediction, low, high

The two halves err differently: a line extrapolates and is steady on few rows, trees find thresholds and combinations.
Their scores are averaged on the scale of log-odds (or the amount, or its logarithm), and what the average means is
learnt from predictions of rows that neither half had seen.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pyarrow as pa

from nextbest.errors import DataError, ModelError
from nextbest.models import calibrate, encode, folds, intervals, logistic, trees
from nextbest.models.blend import blend_weight
from nextbest.models.presets import Preset, preset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

TREES, DOCUMENT = "trees.txt", "model.json"
_FORMAT = 1
_LEAST_ROWS = 20
_ROWS_PER_LEVEL = 1_000
_ROWS_FOR_THREADS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Boosting:
    """Average of a linear model and LightGBM. A column `subject_id` is never a feature: it keeps a subject in one fold.

    `task`: "classification" (label 0/1), "regression" (any amount), "tweedie" (amounts >= 0 with many zeros).
    `level`: of the interval: for a label the rate among subjects who score alike, for an amount the single subject's.
    """

    task: Literal["classification", "regression", "tweedie"] = "classification"
    seed: int = 0
    level: float = 0.9
    num_threads: int = 2
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        """Give a fitted copy; raises `DataError` for a label that cannot be learnt from."""
        actual = _label(label, self.task, features.num_rows)
        encoder, matrix = encode.learn(features, seed=self.seed)
        if not encoder.columns:
            raise DataError(f"No column can be learnt from. Left out: {_reasons(encoder)}.")
        groups = features[encode.SUBJECT].to_pylist() if encode.SUBJECT in features.column_names else None
        rarer = int(min(actual.sum(), (1 - actual).sum())) if self.task == "classification" else None
        size = preset(len(actual), rarer)
        held_out = self._held_out(encoder, matrix, actual, groups, size)
        linear, grown = self._halves(encoder, matrix, actual, size)
        document = {
            "format": _FORMAT, "task": self.task, "preset": size.name, "rows": len(actual),
            "encoder": encoder.document(), "linear": linear.document(), **_learn_blend(held_out, self.task, self.level),
        }  # fmt: skip
        written = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        return replace(self, files={DOCUMENT: written, TREES: grown})

    def predict(self, features: pa.Table) -> pa.Table:
        """Give `prediction`, `low`, `high` per row."""
        document, encoder, _ = fitted_state(self)
        scores = self.scores(encode.matrix(encoder, features))
        prediction = _response(document, scores)
        low, high = intervals.apply(document["interval"], prediction)
        return pa.table({"prediction": prediction, "low": low, "high": high})

    def scores(self, matrix: Matrix) -> Vector:
        """Give the blended score per row of an encoded matrix: log-odds, amount or log amount, not yet calibrated."""
        document, _, linear = fitted_state(self)
        threads = self._threads(len(matrix))
        straight, grown = logistic.scores(linear, matrix), trees.scores(self.files[TREES], matrix, num_threads=threads)
        if (
            document["task"] == "tweedie"
        ):  # on the scale of logarithms a line that goes on and on ends in absurd amounts
            straight = np.clip(straight, *document["reach"])
        blended: Vector = document["weight"] * grown + (1 - document["weight"]) * straight
        return blended

    @property
    def left_out(self) -> tuple[Mapping[str, str], ...]:
        """The columns that a fitted model does not use, each with why."""
        return fitted_state(self)[1].left_out

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a fitted model reads."""
        return tuple(c.name for c in fitted_state(self)[1].columns)

    def example(self) -> pa.Table:
        """Give a few made-up rows that a fitted model can read: for canaries, never anybody's values."""
        encoder = fitted_state(self)[1]
        return encode.made_up(encoder, seed=self.seed)

    def _threads(self, rows: int) -> int:
        """Give the threads worth using: for few rows a team of threads waits longer for itself than it works."""
        return self.num_threads if rows >= _ROWS_FOR_THREADS else 1

    def _halves(
        self, encoder: encode.Encoder, matrix: Matrix, actual: Vector, size: Preset
    ) -> tuple[logistic.Linear, bytes]:
        linear = logistic.fit(matrix, actual, task=self.task, levels=encoder.categories, seed=self.seed)
        grown = trees.grow(
            matrix, actual, task=self.task, parameters=size.parameters, rounds=size.rounds,
            categories=_as_sets(encoder, len(actual)), seed=self.seed, num_threads=self._threads(len(actual)),
        )  # fmt: skip
        return linear, grown

    def _held_out(
        self, encoder: encode.Encoder, matrix: Matrix, actual: Vector, groups: list[str] | None, size: Preset
    ) -> tuple[Vector, Vector, Vector]:
        """Give (linear score, tree score, actual) of rows scored by halves that had not seen them."""
        fold = folds.assign(actual, size.folds, seed=self.seed, groups=groups)
        found = np.full((len(actual), 2), np.nan)

        def one(number: int) -> None:
            out = fold == number
            linear, grown = self._halves(encoder, matrix[~out], actual[~out], size)
            found[out, 0] = logistic.scores(linear, matrix[out])
            found[out, 1] = trees.scores(grown, matrix[out])

        # Small trees grow side by side; large ones share the threads, each tree using all of them.
        with ThreadPoolExecutor(max_workers=1 if self._threads(len(actual)) > 1 else self.num_threads) as pool:
            list(pool.map(one, range(size.folds)))
        return found[:, 0], found[:, 1], actual


def fitted_state(model: Boosting) -> tuple[Mapping[str, Any], encode.Encoder, logistic.Linear]:
    """Give document, encoder and linear half of a fitted model; raises `ModelError` before `fit`."""
    if DOCUMENT not in model.files or TREES not in model.files:
        raise ModelError("This boosting model has not learnt yet. Call `fit` first, or load a fitted one.")
    return _parsed(model.files[DOCUMENT])


@lru_cache(maxsize=64)
def _parsed(written: bytes) -> tuple[Mapping[str, Any], encode.Encoder, logistic.Linear]:
    try:
        document = json.loads(written)
        return document, encode.restore(document["encoder"]), logistic.restore(document["linear"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{DOCUMENT} of a boosting model cannot be read: {error}. Fit the model again.") from error


def _learn_blend(held_out: tuple[Vector, Vector, Vector], task: str, level: float) -> dict[str, Any]:
    """Give the weight of the trees, the calibration and the interval, all from held-out scores."""
    straight, grown, actual = held_out
    weight = blend_weight(straight, grown, actual, task)
    blended = weight * grown + (1 - weight) * straight
    document: dict[str, Any] = {"task": task, "weight": weight}
    if task == "classification":
        document["calibration"] = calibrate.fit(blended, actual)
    elif task == "tweedie":
        total = float(np.exp(blended).sum())
        document["reach"] = [float(straight.min()), float(straight.max())]
        document["factor"] = float(actual.sum()) / total if total > 0 else 1.0
    predicted = _response(document, blended)
    document["interval"] = intervals.fit(predicted, actual, task=task, level=level)
    return document


def _response(document: Mapping[str, Any], scores: Vector) -> Vector:
    if document["task"] == "classification":
        return calibrate.apply(document["calibration"], scores)
    if document["task"] == "tweedie":
        amounts: Vector = document["factor"] * np.exp(np.clip(scores, -30, 30))
        return amounts
    return scores


def _label(label: pa.Table, task: str, rows: int) -> Vector:
    """Give the label as numbers; says what is wrong with one that cannot be learnt from."""
    if label.num_columns != 1 or label.num_rows != rows:
        raise DataError(f"The label needs one column of {rows} rows. Got {label.num_columns} of {label.num_rows}.")
    actual: Vector = label.column(0).combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
    if rows < _LEAST_ROWS:
        raise DataError(f"Too few rows to learn from: {rows}, at least {_LEAST_ROWS} are needed.")
    if not np.isfinite(actual).all():
        raise DataError("The label has missing or infinite values. Leave those rows out.")
    if task == "classification" and set(np.unique(actual)) != {0.0, 1.0}:
        raise DataError(f"A label to classify holds 0 and 1, both. Got: {np.unique(actual)[:5].tolist()}.")
    if task == "tweedie" and (actual.min() < 0 or actual.max() == 0):
        raise DataError("A tweedie label holds amounts of zero and more, not all zero. Use task='regression' instead.")
    return actual


def _as_sets(encoder: encode.Encoder, rows: int) -> list[int]:
    """Give the categories that trees may cut into free sets: many rows per level, else free sets fit noise.

    The others are cut by their code, hence by how frequent a level is.
    """
    return [place for place, codes in encoder.categories.items() if rows / codes >= _ROWS_PER_LEVEL]


def _reasons(encoder: encode.Encoder) -> str:
    return "; ".join(f"{x['column']} ({x['why']})" for x in encoder.left_out) or "nothing, the table has no columns"
