"""Groups of subjects that are alike: k-means on columns that were made comparable.

    KMeans(k=3).fit(features, label).predict(features)     ->  prediction (the group, 0 to k - 1), confidence

Lloyd (1982), Least squares quantization in PCM; starts by Arthur and Vassilvitskii (2007), k-means++. The label is not
read: groups are found in what subjects do, not in what comes of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from nextbest.errors import DataError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Labels = NDArray[np.int64]

DOCUMENT = "groups.json"
_STARTS = 4
_SKEWED = 1.0  # beyond it a column of amounts or counts is read on the scale of logarithms
_ENDS = (0.01, 0.99)  # a few giants must not make a group of their own
_MOST_ROWS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KMeans:
    """`k` groups of a numeric table; a column `subject_id` is not read. Missing values count as the usual one."""

    k: int = 3
    seed: int = 0
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table | None = None) -> Self:  # noqa: ARG002 (the contract of a model)
        """Give a fitted copy; raises `DataError` when there are fewer different rows than groups."""
        names = [name for name in features.column_names if name != "subject_id"]
        raw = columns(features, names)
        scales = [scale(raw[:, i]) for i in range(len(names))]
        points = scaled(raw, scales)
        if not names or len(np.unique(points, axis=0)) < self.k:
            raise DataError(f"There are fewer than {self.k} different rows to make {self.k} groups of.")
        draw = np.random.default_rng(self.seed)
        some = points if len(points) <= _MOST_ROWS else points[draw.choice(len(points), _MOST_ROWS, replace=False)]
        centres = group(some, self.k, draw)
        document = {"columns": names, "scales": scales, "centres": centres.tolist()}
        return replace(self, files={DOCUMENT: json.dumps(document, sort_keys=True).encode()})

    def predict(self, features: pa.Table) -> pa.Table:
        """Give `prediction`, the nearest group, and `confidence`: 0 between two groups, 1 at the centre of one."""
        document = self.document()
        points = scaled(columns(features, document["columns"]), document["scales"])
        distance = distances(points, np.array(document["centres"]))
        ordered = np.sort(distance, axis=1)
        second = ordered[:, min(1, ordered.shape[1] - 1)]
        confidence = 1 - np.sqrt(np.divide(ordered[:, 0], second, out=np.ones(len(second)), where=second > 0))
        return pa.table({"prediction": np.argmin(distance, axis=1).astype(np.float64), "confidence": confidence})

    def document(self) -> dict[str, Any]:
        """Give what a fitted model holds: `columns`, `scales`, `centres`; raises `ModelError` before `fit`."""
        if DOCUMENT not in self.files:
            raise ModelError("This k-means model has not learnt yet. Call `fit` first, or load a fitted one.")
        return _parsed(self.files[DOCUMENT])


@lru_cache(maxsize=16)
def _parsed(written: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(written)
    return document


# --- columns made comparable ----------------------------------------------------------------------------------------


def columns(features: pa.Table, names: Sequence[str]) -> Matrix:
    """Give the named columns as float64, missing as NaN; raises `DataError` for one that is not there."""
    lacking = [name for name in names if name not in features.column_names]
    if lacking:
        raise DataError(f"The table lacks the column '{lacking[0]}'. It has: {', '.join(features.column_names)}.")
    parts = [features[name].cast(pa.float64()).to_numpy() for name in names]
    return np.column_stack(parts) if parts else np.empty((features.num_rows, 0))


def scale(values: Matrix) -> dict[str, float | bool]:
    """Give how a column is read: on logarithms when it is skewed, clipped, centred, in units of its deviation."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {"logarithm": False, "low": 0.0, "high": 0.0, "middle": 0.0, "spread": 1.0, "usual": 0.0}
    logarithm = bool(known.min() >= 0 and _skewness(known) > _SKEWED)
    read = np.log1p(known) if logarithm else known
    low, high = np.quantile(read, _ENDS)
    read = np.clip(read, low, high)
    spread = float(read.std())
    return {
        "logarithm": logarithm, "low": float(low), "high": float(high), "middle": float(read.mean()),
        "spread": spread if spread > 0 else 1.0, "usual": float(np.median(read)),
    }  # fmt: skip


def scaled(raw: Matrix, scales: Sequence[Mapping[str, Any]]) -> Matrix:
    """Give the columns as their scales say; a missing value is the median."""
    parts = []
    for place, how in enumerate(scales):
        values = raw[:, place]
        read = np.log1p(np.maximum(values, 0.0)) if how["logarithm"] else values
        read = np.where(np.isfinite(read), np.clip(read, how["low"], how["high"]), how["usual"])
        parts.append((read - how["middle"]) / how["spread"])
    return np.column_stack(parts) if parts else raw


def _skewness(values: Matrix) -> float:
    spread = values.std()
    return float(((values - values.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0


# --- Lloyd's rounds ---------------------------------------------------------------------------------------------------


def distances(points: Matrix, centres: Matrix) -> Matrix:
    """Give the squared distance of every point to every centre."""
    inner = np.einsum("ij,kj->ik", points, centres)
    squares = (points**2).sum(axis=1)[:, None] - 2 * inner + (centres**2).sum(axis=1)[None, :]
    clipped: Matrix = np.maximum(squares, 0.0)
    return clipped


def group(points: Matrix, k: int, draw: np.random.Generator, *, starts: int = _STARTS) -> Matrix:
    """Give the centres with the least sum of squares of several starts, in order of their first coordinates."""
    best, least = np.empty((0, points.shape[1])), np.inf
    for _ in range(starts):
        centres, inertia = _rounds(points, _first_centres(points, k, draw))
        if inertia < least:
            best, least = centres, inertia
    return best[np.lexsort(best.T[::-1])]


def _first_centres(points: Matrix, k: int, draw: np.random.Generator) -> Matrix:
    """Give k points, each drawn in proportion to its squared distance to those drawn before."""
    chosen = [points[draw.integers(len(points))]]
    nearest = ((points - chosen[0]) ** 2).sum(axis=1)
    while len(chosen) < k:
        total = nearest.sum()
        place = draw.choice(len(points), p=nearest / total) if total > 0 else draw.integers(len(points))
        chosen.append(points[place])
        nearest = np.minimum(nearest, ((points - chosen[-1]) ** 2).sum(axis=1))
    return np.array(chosen)


def _rounds(points: Matrix, centres: Matrix) -> tuple[Matrix, float]:
    """Give the centres when no point changes its group any more, and the sum of squares within groups."""
    before: Labels | None = None
    while True:
        distance = distances(points, centres)
        now = np.argmin(distance, axis=1)
        if before is not None and np.array_equal(now, before):
            return centres, float(distance.min(axis=1).sum())
        before = now
        sizes = np.bincount(now, minlength=len(centres))
        sums = np.column_stack([np.bincount(now, weights=column, minlength=len(centres)) for column in points.T])
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
