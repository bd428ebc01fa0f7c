"""Scores of rows by halves that had not seen them: one cross-fit serves blend, calibration, interval and judgement.

    held_out = ...                 a score of either half for every row that was held out, and the part it was in
    learn_blend(held_out, ...)     what the scores mean, for the model that is kept
    crosswise(held_out, ...)       what each row would have been told, had its part taught nothing: for judging

A reported probability never comes from a weight or a calibration that its own row has taught.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import calibrate, folds, intervals
from nextbest.models.blend import blend_weight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Places = NDArray[np.int64]
    Split = tuple[Places, Places]

_PART_OF = 5  # a held-out part is one fifth of the rows
_MOST_HELD_OUT = 200_000  # the AUC of so many rows is known to a thousandth


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Rows that judged: their place in the table, the part they were held out with, both scores, and the label.

    `subject` numbers whose row it is, where a subject may have several.
    """

    rows: Places
    part: Places
    straight: Vector
    grown: Vector
    actual: Vector
    subject: Places | None = None

    def of(self, chosen: NDArray[np.bool_]) -> HeldOut:
        """Give some of the rows."""
        return HeldOut(
            rows=self.rows[chosen],
            part=self.part[chosen],
            straight=self.straight[chosen],
            grown=self.grown[chosen],
            actual=self.actual[chosen],
            subject=None if self.subject is None else self.subject[chosen],
        )


def splits(actual: Vector, count: int, *, seed: int, groups: Sequence[str] | None = None) -> list[Split]:
    """Give (learning, judging) places: `count` folds, or for 1 a single part of a fifth of the rows."""
    if count > 1:
        fold = folds.assign(actual, count, seed=seed, groups=groups)
        return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(count)]
    share = max(_PART_OF, -(-len(actual) // _MOST_HELD_OUT))
    fold = folds.assign(actual, share, seed=seed, groups=groups)
    return [(np.flatnonzero(fold != 0), np.flatnonzero(fold == 0))]


def gathered(
    parts: Sequence[tuple[Places, Vector, Vector]],
    actual: Vector,
    *,
    seed: int,
    groups: Sequence[str] | None = None,
) -> HeldOut:
    """Give (rows, linear score, tree score) of every split as one; a single part is cut in two for `crosswise`."""
    rows = np.concatenate([p[0] for p in parts])
    if len(parts) > 1:
        part = np.concatenate([np.full(len(p[0]), k) for k, p in enumerate(parts)])
    else:
        own = None if groups is None else [groups[i] for i in rows]
        part = folds.assign(actual[rows], 2, seed=seed, groups=own)
    straight, grown = (np.concatenate([p[i] for p in parts]) for i in (1, 2))
    order = np.argsort(rows, kind="stable")
    whose = None if groups is None else np.unique(np.asarray(groups)[rows[order]], return_inverse=True)[1]
    return HeldOut(
        rows=rows[order], part=part[order], straight=straight[order], grown=grown[order], actual=actual[rows[order]],
        subject=whose,
    )  # fmt: skip


def learn_blend(held_out: HeldOut, *, task: str, level: float) -> dict[str, Any]:
    """Give the weight of the trees, the calibration and the interval, all from held-out scores."""
    document = _learn_response(held_out, task)
    predicted = response(document, blended(document, held_out.straight, held_out.grown))
    interval = intervals.fit(predicted, held_out.actual, task=task, level=level, subject=held_out.subject)
    return {**document, "interval": interval}


def crosswise(held_out: HeldOut, *, task: str, asked: Sequence[int] | None = None) -> Vector:
    """Give every row (or those of the parts *asked*) its prediction with blend and calibration of the other parts."""
    found = np.full(len(held_out.rows), np.nan)
    for number in np.unique(held_out.part) if asked is None else asked:
        own = held_out.part == number
        document = _learn_response(held_out.of(~own), task)
        found[own] = response(document, blended(document, held_out.straight[own], held_out.grown[own]))
    return found


def blended(document: Mapping[str, Any], straight: Vector, grown: Vector) -> Vector:
    """Give the blended score: log-odds, amount or log amount, not yet calibrated."""
    if document["task"] == "tweedie":  # on the scale of logarithms a line that goes on and on ends in absurd amounts
        straight = np.clip(straight, *document["reach"])
    found: Vector = document["weight"] * grown + (1 - document["weight"]) * straight
    return found


def response(document: Mapping[str, Any], scores: Vector) -> Vector:
    """Give what a blended score means: a probability or an amount."""
    if document["task"] == "classification":
        return calibrate.apply(document["calibration"], scores)
    if document["task"] == "tweedie":
        amounts: Vector = document["factor"] * np.exp(np.clip(scores, -30, 30))
        return amounts
    return scores


def _learn_response(held_out: HeldOut, task: str) -> dict[str, Any]:
    straight, grown, actual = held_out.straight, held_out.grown, held_out.actual
    document: dict[str, Any] = {"task": task, "weight": blend_weight(straight, grown, actual, task)}
    if task == "tweedie":
        document["reach"] = [float(straight.min()), float(straight.max())]
    scores = blended(document, straight, grown)
    if task == "classification":
        document["calibration"] = calibrate.fit(scores, actual)
    elif task == "tweedie":
        total = float(np.exp(np.clip(scores, -30, 30)).sum())
        document["factor"] = float(actual.sum()) / total if total > 0 else 1.0
    return document
