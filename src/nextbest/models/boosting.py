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

from nextbest.errors import DataError, ModelError, UsageError
from nextbest.models import cross_fit, encode, encode_read, fast_line, halves, intervals, logistic, selection, trees
from nextbest.models.presets import preset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

TREES, DOCUMENT = "trees.txt", "model.json"
_FORMAT = 1
_LEAST_ROWS = 20
_ROWS_FOR_THREADS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Boosting:
    """Average of a linear model and LightGBM. A column `subject_id` is never a feature: it keeps a subject in one fold.

    `task`: "classification" (label 0/1), "regression" (any amount), "tweedie" (amounts >= 0 with many zeros).
    `level`: of the interval: for a label the rate among subjects who score alike, for an amount the single subject's.
    `monotone`: columns of numbers or dates with "up" (a higher value never lowers the prediction) or "down".
    `select`: "auto" leaves out columns that tell nothing, "none" does not, None does for wide tables (`selection`).
    `tuned`: what replaces settings of the preset, as found by `tune`.
    """

    task: Literal["classification", "regression", "tweedie"] = "classification"
    seed: int = 0
    level: float = 0.9
    num_threads: int = 2
    monotone: Mapping[str, str] = field(default_factory=dict)
    select: str | None = None
    tuned: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        """Give a fitted copy; raises `DataError` for a label that cannot be learnt from."""
        return replace(self, files=learn(self, features, label)[0].files)

    def predict(self, features: pa.Table) -> pa.Table:
        """Give `prediction`, `low`, `high` per row."""
        document, encoder, _ = fitted_state(self)
        prediction = self.response(encode.matrix(encoder, features))
        low, high = intervals.apply(document["interval"], prediction)
        return pa.table({"prediction": prediction, "low": low, "high": high})

    def response(self, matrix: Matrix) -> Vector:
        """Give the `prediction` per row of an encoded matrix."""
        return cross_fit.response(fitted_state(self)[0], self.scores(matrix))

    def scores(self, matrix: Matrix) -> Vector:
        """Give the blended score per row of an encoded matrix: log-odds, amount or log amount, not yet calibrated."""
        document, _, linear = fitted_state(self)
        threads = _threads(self, len(matrix))
        straight, grown = logistic.scores(linear, matrix), trees.scores(self.files[TREES], matrix, num_threads=threads)
        return cross_fit.blended(document, straight, grown)

    def scorer(self) -> Callable[[Matrix], Vector]:
        """Give `response` as a function for one request at a time: the same numbers, from what was made ready once.

        Making it ready may take a second or two: see `fast_predict`.
        """
        document, _, linear = fitted_state(self)
        line, grown = fast_line.scorer(linear), trees.scorer(self.files[TREES])

        def score(matrix: Matrix) -> Vector:
            return cross_fit.response(document, cross_fit.blended(document, line(matrix), grown(matrix)))

        return score

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


def learn(
    model: Boosting, features: pa.Table, label: pa.Table, *, splits: Sequence[cross_fit.Split] | None = None
) -> tuple[Boosting, cross_fit.HeldOut]:
    """Give a fitted copy, and the scores of rows by halves that had not seen them, from which it is calibrated.

    Every split learns encoding and both halves anew. *splits* are (learning, judging) places; left out, the size of
    the table decides (`presets`): folds, or for very many rows one part, and then the halves that it judged are kept.
    """
    table = read_table(model, features, label_of(label, model.task, features.num_rows))
    size = table.size
    chosen = splits or cross_fit.splits(table.actual, size.folds, seed=model.seed, groups=table.groups)
    kept = table.halves(table.taught(None)) if splits or size.refit else None
    # Small trees grow side by side; large ones share the threads, each tree using all of them.
    with ThreadPoolExecutor(max_workers=1 if table.threads > 1 else model.num_threads) as pool:
        learnt = list(pool.map(table.split, chosen))
    encoder, linear, grown = kept or learnt[0][0]
    held_out = cross_fit.gathered([judged for _, judged in learnt], table.actual, seed=model.seed, groups=table.groups)
    document = {
        "format": _FORMAT, "task": model.task, "preset": size.name, "rows": len(table.actual),
        "encoder": encoder.document(), "linear": linear.document(),
        **cross_fit.learn_blend(held_out, task=model.task, level=model.level),
    }  # fmt: skip
    written = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return replace(model, files={DOCUMENT: written, TREES: grown}), held_out


def splits_of(model: Boosting, features: pa.Table, actual: Vector, *, rows: cross_fit.Places) -> list[cross_fit.Split]:
    """Give the splits, as places among *rows*, that a model of these rows would be calibrated by."""
    grouped = encode.SUBJECT in features.column_names
    groups = features[encode.SUBJECT].take(rows).to_pylist() if grouped else None
    rarer = int(min(actual[rows].sum(), (1 - actual[rows]).sum())) if model.task == "classification" else None
    return cross_fit.splits(actual[rows], preset(len(rows), rarer).folds, seed=model.seed, groups=groups)


def read_table(model: Boosting, features: pa.Table, actual: Vector) -> halves.Table:
    """Give a table read once, from which halves are learnt by this model's settings; *actual* is its label."""
    grouped = encode.SUBJECT in features.column_names
    rarer = int(min(actual.sum(), (1 - actual).sum())) if model.task == "classification" else None
    columns = halves.in_order(encode_read.read(features, without=(encode.SUBJECT,)), model.monotone)
    return halves.Table(
        task=model.task, seed=model.seed, threads=_threads(model, len(actual)), actual=actual, columns=columns,
        salt=encode.salt_of(features, model.seed),
        groups=features[encode.SUBJECT].to_pylist() if grouped else None,
        size=replace(preset(len(actual), rarer), **model.tuned), monotone=model.monotone,
        select=_selects(model.select, len(actual), len(columns)),
    )  # fmt: skip


def _selects(select: str | None, rows: int, columns: int) -> bool:
    if select not in {None, "none", "auto"}:
        raise UsageError(f"select is 'auto' (leave out columns that tell nothing) or 'none'. Got '{select}'.")
    return select == "auto" or (select is None and selection.is_wide(rows, columns))


def _threads(model: Boosting, rows: int) -> int:
    """Give the threads worth using: for few rows a team of threads waits longer for itself than it works."""
    return model.num_threads if rows >= _ROWS_FOR_THREADS else 1


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


def label_of(label: pa.Table, task: str, rows: int) -> Vector:
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
