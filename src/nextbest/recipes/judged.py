"""Judge a recipe on rows it did not learn from, beside its baselines, every step learnt anew inside every fold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.models import boosting, cross_fit, curves, encode, evaluate, logistic
from nextbest.models.boosting import Boosting
from nextbest.models.presets import preset

if TYPE_CHECKING:
    from collections.abc import Mapping

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """A model that learnt from all rows, how it was judged on rows that had not taught it, and which rows judged."""

    model: Any
    judged: Judged
    rows: NDArray[np.int64]


def learn(features: pa.Table, actual: Vector, model: Any, *, split: Split | None = None, seed: int = 0) -> Learnt:  # noqa: ANN401 (any model)
    """Give the fitted model and its judgement; a *split* by time judges, else folds, or one part of very many rows.

    The house model is judged by the very fits that calibrate it. Any other is fitted anew for every fold.
    """
    if not isinstance(model, Boosting):
        return _learn_any(features, actual, model, split=split, seed=seed)
    label = pa.table({"label": actual})
    if split is None:
        fitted, found = boosting.learn(model, features, label)
        return Learnt(model=fitted, judged=_crosswise(found, actual), rows=found.rows)
    inner = [(split[0][a], split[0][b]) for a, b in boosting.splits_of(model, features, actual, rows=split[0])]
    fitted, found = boosting.learn(model, features, label, splits=[*inner, split])
    last = found.of(found.part == len(inner))
    ours = cross_fit.crosswise(found, task=model.task, asked=[len(inner)])
    judged = replace(_crosswise(last, actual[split[0]]), ours=ours[found.part == len(inner)])
    return Learnt(model=fitted, judged=judged, rows=last.rows)


def _crosswise(found: cross_fit.HeldOut, taught: Vector) -> Judged:
    """Give every row its probability by blend and calibration of the other parts, beside either half by itself."""
    rate = np.full(len(found.rows), float(taught.mean()))
    halves = (1 / (1 + np.exp(-np.clip(s, -35, 35))) for s in (found.straight, found.grown))
    several = len(np.unique(found.part)) > 1
    ours = cross_fit.crosswise(found, task="classification") if several else rate
    names = (MAJORITY, LOGISTIC, TREES_ALONE)
    return Judged(actual=found.actual, ours=ours, baselines=dict(zip(names, (rate, *halves), strict=True)))


def _learn_any(features: pa.Table, actual: Vector, model: Any, *, split: Split | None, seed: int) -> Learnt:  # noqa: ANN401
    splits = [split] if split else cross_fit.splits(actual, folds_for(actual), seed=seed)
    rate = float(np.mean([actual[learning].mean() for learning, _ in splits]))
    found = []
    for learning, judging in splits:
        table, asked = features.take(learning), features.take(judging)
        ours = model.fit(table, pa.table({"label": actual[learning]})).predict(asked)["prediction"].to_numpy()
        encoder, matrix = encode.learn(table, seed=seed)
        line = logistic.fit(matrix, actual[learning], task="classification", levels=encoder.categories, seed=seed)
        score = logistic.scores(line, encode.matrix(encoder, asked))
        found.append((judging, ours, 1 / (1 + np.exp(-np.clip(score, -35, 35)))))
    rows, ours, straight = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.argsort(rows, kind="stable")
    baselines = {MAJORITY: np.full(len(rows), rate), LOGISTIC: straight[order]}
    judged = Judged(actual=actual[rows[order]], ours=ours[order], baselines=baselines)
    return Learnt(model=model.fit(features, pa.table({"label": actual})), judged=judged, rows=rows[order])


def folds_for(actual: Vector) -> int:
    """Give how many folds judge rows of this label; 1 is one part held out."""
    return preset(len(actual), int(min(actual.sum(), (1 - actual).sum()))).folds


def latest(order: Vector, share: float) -> Split:
    """Give the places of the earlier rows and of the latest *share*; rows of one moment all judge, or all teach."""
    ranked = np.argsort(order, kind="stable")
    first = order[ranked[len(ranked) - max(1, int(len(ranked) * share))]]
    return np.flatnonzero(order < first), np.flatnonzero(order >= first)


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Give metrics with four digits: more would be noise."""
    return {name: round(value, 4) for name, value in metrics.items()}
