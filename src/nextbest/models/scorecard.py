"""A model that a person can add up: points per characteristic, their sum, and what the sum means.

    Scorecard().fit(features, label).predict(features)     ->  prediction, low, high
    points_table(model, features, label)                   ->  the card: characteristic, bin, points

Logistic regression on weights of evidence (Siddiqi 2006, chapters 6 and 7), rounded to whole points: `double` points
double the odds. Characteristics that tell little, or would count the wrong way beside the others, are left out.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from nextbest.errors import DataError, ModelError
from nextbest.models import binning, calibrate, cross_fit, encode, intervals
from nextbest.models.binning import Bins
from nextbest.models.boosting import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

DOCUMENT = "scorecard.json"
LEAST_INFORMATION = 0.02  # below it a characteristic tells next to nothing (Siddiqi 2006, p. 81)
_FOLDS = 5
_SHRINK = 1.0
_STEPS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """At most `most` characteristics in whole points; `double` points more mean double the odds of the label."""

    most: int = 12
    double: int = 20
    level: float = 0.9
    seed: int = 0
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        """Give a fitted copy; raises `DataError` for a label that cannot be learnt from."""
        actual = label_of(label, "classification", features.num_rows)
        encoder, matrix = encode.learn(features, seed=self.seed)
        totals = np.zeros(len(actual))
        rarer = int(min(actual.sum(), (1 - actual).sum()))
        for learning, judging in cross_fit.splits(actual, max(2, min(_FOLDS, rarer)), seed=self.seed):
            parts = self._learnt(encoder, matrix[learning], actual[learning])
            totals[judging] = _total(parts, matrix[judging]) - _usual(parts)
        kept = self._learnt(encoder, matrix, actual)
        if not kept:
            raise DataError(
                "No column tells enough of the label for a scorecard. Use model='boosting', or add columns."
            )
        scores = totals * np.log(2) / self.double
        calibration = calibrate.fit(scores, actual)
        interval = intervals.fit(calibrate.apply(calibration, scores), actual, task="classification", level=self.level)
        document = {
            "encoder": encoder.document(), "characteristics": [asdict(c) for c in kept], "double": self.double,
            "calibration": calibration, "interval": interval,
        }  # fmt: skip
        return replace(self, files={DOCUMENT: json.dumps(document, sort_keys=True, separators=(",", ":")).encode()})

    def predict(self, features: pa.Table) -> pa.Table:
        """Give `prediction`, `low`, `high` and `points`, the sum, per row."""
        card = read(self)
        points = _total(card.characteristics, encode.matrix(card.encoder, features))
        scores = (points - _usual(card.characteristics)) * np.log(2) / card.double
        prediction = calibrate.apply(card.calibration, scores)
        low, high = intervals.apply(card.interval, prediction)
        return pa.table({"prediction": prediction, "low": low, "high": high, "points": points})

    def contributions(self, features: pa.Table) -> tuple[tuple[str, ...], Matrix]:
        """Give the characteristics, and per row what each adds to the average row's log-odds, then that average."""
        card = read(self)
        matrix = encode.matrix(card.encoder, features)
        unit = card.calibration["slope"] * np.log(2) / card.double
        shares = [_points(c, matrix) - c.usual for c in card.characteristics]
        base = card.calibration["shift"]
        columns = [*(unit * share for share in shares), np.full(len(matrix), base)]
        return tuple(c.name for c in card.characteristics), np.column_stack(columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a fitted model reads."""
        return tuple(c.name for c in read(self).encoder.columns)

    @property
    def left_out(self) -> tuple[Mapping[str, str], ...]:
        """The columns that a fitted model does not use, each with why."""
        card = read(self)
        used = {c.name for c in card.characteristics}
        idle = [c.name for c in card.encoder.columns if c.name not in used]
        why = "adds nothing to the scorecard beside the columns that are on it"
        return (*card.encoder.left_out, *({"column": name, "why": why} for name in idle))

    def example(self) -> pa.Table:
        """Give a few made-up rows that a fitted model can read: for canaries, never anybody's values."""
        return encode.made_up(read(self).encoder, seed=self.seed)

    def _learnt(self, encoder: encode.Encoder, matrix: Matrix, actual: Vector) -> tuple[Characteristic, ...]:
        """Give the characteristics with their points; () when no column tells enough."""
        codes = encoder.categories
        every = [binning.learn(matrix[:, i], actual, coded=i in codes) for i in range(matrix.shape[1])]
        order = sorted(range(len(every)), key=lambda i: -every[i].information)
        chosen: list[int] = []
        for i in order:  # one column of the matrix per column of the table: a date is told by its best part
            telling = every[i].information >= max(LEAST_INFORMATION, every[i].chance)
            if telling and encoder.sources[i] not in {encoder.sources[j] for j in chosen}:
                chosen.append(i)
        chosen = chosen[: self.most]
        weights = np.zeros(0)
        while chosen:
            evidence = np.column_stack([_evidence(every[i], matrix[:, i]) for i in chosen])
            weights = _weights(evidence, actual)
            if (weights > 0).all():
                break
            del chosen[int(np.argmin(weights))]
        parts = [(i, float(w)) for i, w in zip(chosen, weights, strict=True)]
        raw = [_rounded(encoder.sources[i], i, every[i], w * self.double / np.log(2)) for i, w in parts]
        return tuple(replace(c, usual=float(_points(c, matrix).mean())) for c in raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristic:
    """A column on the card: its place in the matrix, its bins, whole points per bin, and the average row's points."""

    name: str
    place: int
    bins: Bins
    points: tuple[int, ...]
    usual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A fitted scorecard, read."""

    encoder: encode.Encoder
    characteristics: tuple[Characteristic, ...]
    double: int
    calibration: Mapping[str, Any]
    interval: Mapping[str, Any]


def read(model: Scorecard) -> Card:
    """Give the card of a fitted model; raises `ModelError` before `fit`."""
    if DOCUMENT not in model.files:
        raise ModelError("This scorecard has not learnt yet. Call `fit` first, or load a fitted one.")
    return _parsed(model.files[DOCUMENT])


@lru_cache(maxsize=32)
def _parsed(written: bytes) -> Card:
    try:
        said = json.loads(written)
        parts = tuple(
            Characteristic(
                name=c["name"], place=c["place"], points=tuple(c["points"]), usual=c["usual"],
                bins=Bins(
                    edges=tuple(c["bins"]["edges"]), codes=tuple(c["bins"]["codes"]),
                    evidence=tuple(c["bins"]["evidence"]), information=c["bins"]["information"],
                    chance=c["bins"]["chance"],
                ),
            )
            for c in said["characteristics"]
        )  # fmt: skip
        return Card(
            encoder=encode.restore(said["encoder"]), characteristics=parts, double=said["double"],
            calibration=said["calibration"], interval=said["interval"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{DOCUMENT} of a scorecard cannot be read: {error}. Fit the model again.") from error


def _evidence(bins: Bins, column: Vector) -> Vector:
    return np.asarray(bins.evidence)[bins.place(column)]


def _points(part: Characteristic, matrix: Matrix) -> Vector:
    return np.asarray(part.points, dtype=np.float64)[part.bins.place(matrix[:, part.place])]


def _total(parts: tuple[Characteristic, ...], matrix: Matrix) -> Vector:
    return np.asarray(sum((_points(p, matrix) for p in parts), np.zeros(len(matrix))))


def _usual(parts: tuple[Characteristic, ...]) -> float:
    """Give the points of the average row: cards of other rows begin elsewhere, and agree only around it."""
    return sum(c.usual for c in parts)


def _rounded(name: str, place: int, bins: Bins, points_per_evidence: float) -> Characteristic:
    """Give a characteristic in whole points, the least of them 0."""
    raw = points_per_evidence * np.asarray(bins.evidence)
    points = np.round(raw - raw.min()).astype(int)
    return Characteristic(name=name, place=place, bins=bins, points=tuple(points.tolist()), usual=0.0)


def _weights(evidence: Matrix, actual: Vector) -> Vector:
    """Give the weights of a logistic regression on weights of evidence, drawn a little towards nought."""
    design = np.column_stack([np.ones(len(actual)), evidence])
    penalty = np.diag([0.0, *([_SHRINK] * evidence.shape[1])])
    found = np.append(np.log(actual.mean() / (1 - actual.mean())), np.zeros(evidence.shape[1]))
    for _ in range(_STEPS):
        mean = 1 / (1 + np.exp(-np.clip(np.einsum("ij,j->i", design, found), -35, 35)))
        slope = np.einsum("ij,i->j", design, actual - mean) - penalty @ found
        curve = np.einsum("ki,k,kj->ij", design, mean * (1 - mean), design, optimize=True) + penalty
        step = np.linalg.solve(curve + 1e-9 * np.eye(len(found)), slope)
        found = found + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-8:
            break
    return found[1:]
