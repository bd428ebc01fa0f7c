"""Judge a recipe on rows it did not learn from, beside its baselines, every step learnt anew inside every fold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.models import curves, encode, evaluate, folds, logistic, trees
from nextbest.models.boosting import TREES, Boosting, fitted_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Split = tuple[NDArray[np.int64], NDArray[np.int64]]

MAJORITY, LOGISTIC, TREES_ALONE = "majority", "logistic alone", "boosting alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The actual labels of the rows that judged, our probabilities and those of the baselines."""

    actual: Vector
    ours: Vector
    baselines: Mapping[str, Vector]

    def metrics(self) -> dict[str, float]:
        """Ours."""
        return rounded(evaluate.probability_metrics(self.actual, self.ours))

    def intervals(self) -> dict[str, tuple[float, float]]:
        """95% intervals of our AUC and of its lead over every baseline."""
        found = {"auc": evaluate.auc_interval(self.actual, self.ours)}
        for name, theirs in self.baselines.items():
            _, low, high = evaluate.auc_difference(self.actual, self.ours, theirs)
            found[f"auc minus {name}"] = (low, high)
        return {name: (round(low, 4), round(high, 4)) for name, (low, high) in found.items()}

    def baseline_metrics(self) -> dict[str, dict[str, float]]:
        """The same metrics for every baseline."""
        return {n: rounded(evaluate.probability_metrics(self.actual, p)) for n, p in self.baselines.items()}

    def details(self) -> dict[str, list[dict[str, Any]]]:
        """What a model card draws: `calibration`, and `capture` beside the baselines."""
        return {
            "calibration": curves.calibration(self.actual, self.ours),
            "capture": curves.capture(self.actual, self.ours, self.baselines),
        }


def cross_validated(features: pa.Table, actual: Vector, model: Boosting, *, count: int = 5, seed: int = 0) -> Judged:
    """Give every row's prediction by a model that learnt, and was calibrated, on the other folds."""
    fold = folds.assign(actual, count, seed=seed)
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(count)]
    return held_out(features, actual, model, splits)


def latest(order: Vector, share: float) -> Split:
    """Give the places of the earlier rows and of the latest *share*; rows of one moment all judge, or all teach."""
    ranked = np.argsort(order, kind="stable")
    first = order[ranked[len(ranked) - max(1, int(len(ranked) * share))]]
    return np.flatnonzero(order < first), np.flatnonzero(order >= first)


def held_out(features: pa.Table, actual: Vector, model: Boosting, splits: Sequence[Split]) -> Judged:
    """Give predictions for the judging rows of every (learning, judging) split; splits run side by side."""
    alone = replace(model, num_threads=1) if len(splits) > 1 else model
    # One rate for all folds: the rate of the others is lower where a fold has more positives, so that rates of their
    # own would rank the folds the wrong way round and put the AUC of a constant below one half.
    rate = float(np.mean([actual[learning].mean() for learning, _ in splits]))

    def one(split: tuple[NDArray[np.int64], NDArray[np.int64]]) -> list[Vector]:
        learning, judging = split
        fitted = alone.fit(features.take(learning), pa.table({"label": actual[learning]}))
        table = features.take(judging)
        ours = fitted.predict(table)["prediction"].to_numpy()
        return [ours, np.full(len(judging), rate), *_halves(fitted, table)]

    with ThreadPoolExecutor(max_workers=model.num_threads) as pool:
        parts = list(pool.map(one, splits))
    judges = np.concatenate([judging for _, judging in splits])
    order = np.argsort(judges, kind="stable")
    ours, *theirs = (np.concatenate(columns)[order] for columns in zip(*parts, strict=True))
    names = (MAJORITY, LOGISTIC, TREES_ALONE)
    return Judged(actual=actual[judges[order]], ours=ours, baselines=dict(zip(names, theirs, strict=True)))


def _halves(fitted: Boosting, table: pa.Table) -> tuple[Vector, Vector]:
    """Give the probabilities of the linear half and of the trees by themselves, as they come, uncalibrated."""
    _, encoder, linear = fitted_state(fitted)
    matrix = encode.matrix(encoder, table)
    scores = logistic.scores(linear, matrix), trees.scores(fitted.files[TREES], matrix)
    straight, grown = (1 / (1 + np.exp(-np.clip(s, -35, 35))) for s in scores)
    return straight, grown


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Give metrics with four digits: more would be noise."""
    return {name: round(value, 4) for name, value in metrics.items()}
