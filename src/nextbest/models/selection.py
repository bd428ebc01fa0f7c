"""Leave out columns that tell no more than their shuffled copies: for tables with many columns and few rows.

A column stays when it goes with the label by itself, or when trees that see all columns at once use it, in either case
beyond what shadows (the same values against shuffled rows) reach by luck: pooled permutation tests, and the cut of
Benjamini and Hochberg (1995, section 3.1). After Boruta (Kursa and Rudnicki 2010), in one pass instead of hundreds.
Learnt from the rows that teach alone, so that rows that judge never had a say in which columns stayed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import blend, folds, logistic, trees
from nextbest.models.sums import gram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.encode import Encoder
    from nextbest.models.presets import Preset

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

WHY = "tells no more of the label than its shuffled copies do"
_ROWS_PER_COLUMN = 10  # the usual rule of ten cases for each thing that is learnt
# Half of the columns kept may be noise: a model that shrinks bears a few of them, and does not get back what was lost.
_NOISE_SHARE = 0.5
_SHUFFLES = 5
_FOLDS = 3
_MOST_ROWS = 20_000  # what cannot be seen in so many rows adds little


def is_wide(rows: int, columns: int) -> bool:
    """Tell whether there are more columns than rows: then a fit of all of them has no single answer."""
    return columns > rows


def only_telling(
    encoder: Encoder, matrix: Matrix, actual: Vector, *, task: str, size: Preset, seed: int
) -> tuple[Encoder, Matrix]:
    """Give the encoder and the matrix with the columns that tell something, the others left out with the reason.

    All stay when not one stands out, or when a line of the chosen ones does worse on held-out rows than a line of all:
    then much is told by many columns together, a little by each.
    """
    draw = np.random.default_rng([seed, 7])
    rows = _some(len(actual), draw)
    part, taught = matrix[rows], actual[rows]
    widths = [c.width for c in encoder.columns]
    kept = _alone(part, taught, encoder, draw)
    if len(rows) >= _ROWS_PER_COLUMN * 2 * len(widths):  # with fewer, what trees gain by a column is luck
        kept = kept | _beside_others(part, taught, widths, task=task, size=size, draw=draw)
    elif not kept.all() and not _line_agrees(part, taught, encoder, task=task, shrink=size.line, draw=draw):
        return encoder, matrix
    if not kept.any() or kept.all():
        return encoder, matrix
    out = [{"column": c.name, "why": WHY} for c, stays in zip(encoder.columns, kept, strict=True) if not stays]
    columns = tuple(c for c, stays in zip(encoder.columns, kept, strict=True) if stays)
    return replace(encoder, columns=columns, left_out=(*encoder.left_out, *out)), matrix[:, np.repeat(kept, widths)]


def _line_agrees(
    matrix: Matrix, actual: Vector, encoder: Encoder, *, task: str, shrink: float, draw: np.random.Generator
) -> bool:
    """Tell whether columns chosen on some rows give a line that is no worse on the others than a line of all is."""
    fold = folds.assign(actual, _FOLDS, seed=int(draw.integers(2**31)))
    chosen, every = np.zeros(len(actual)), np.zeros(len(actual))
    for number in range(_FOLDS):
        learning, judging = fold != number, fold == number
        kept = np.repeat(_alone(matrix[learning], actual[learning], encoder, draw), [c.width for c in encoder.columns])
        for said, columns in ((chosen, kept), (every, np.ones(len(kept), bool))):
            codes = _places(encoder.categories, columns)
            line = logistic.fit(
                matrix[learning][:, columns], actual[learning], task=task, levels=codes, shrink=shrink
            )  # fmt: skip
            said[judging] = logistic.scores(line, matrix[judging][:, columns])
    return float((blend.score_loss(chosen, actual, task) - blend.score_loss(every, actual, task)).mean()) <= 0


def _places(categories: Mapping[int, int], kept: NDArray[np.bool_]) -> dict[int, int]:
    """Give the categories by their places among the columns of a matrix that are kept."""
    place = np.cumsum(kept) - 1
    return {int(place[at]): codes for at, codes in categories.items() if kept[at]}


def _some(rows: int, draw: np.random.Generator) -> NDArray[np.int64]:
    if rows <= _MOST_ROWS:
        return np.arange(rows)
    return np.sort(draw.choice(rows, _MOST_ROWS, replace=False))


# --- by itself ------------------------------------------------------------------------------------------------------


def _alone(matrix: Matrix, actual: Vector, encoder: Encoder, draw: np.random.Generator) -> NDArray[np.bool_]:
    """Tell the columns that go with the label by themselves more than with shuffled labels."""
    labels = np.column_stack([actual, *(draw.permutation(actual) for _ in range(_SHUFFLES))])
    labels = labels - actual.mean()
    found, freedom = _associations(matrix, labels / (actual.std() or 1.0), encoder.categories)
    starts = np.cumsum([0, *(c.width for c in encoder.columns)])[:-1]
    strength = _as_normal(np.add.reduceat(found, starts, axis=0), np.add.reduceat(freedom, starts)[:, None])
    return _stand_out(strength[:, 0], strength[:, 1:])


def _associations(matrix: Matrix, labels: Matrix, categories: dict[int, int]) -> tuple[Matrix, Vector]:
    """Give per column of the matrix and standardised label about a chi-squared number, and its degrees of freedom.

    For a number by ranks, for a category between its levels, and in either case for whether it is missing.
    """
    present = np.isfinite(matrix)
    ranks, gaps = np.zeros(matrix.shape), np.zeros(matrix.shape)
    for place in range(matrix.shape[1]):
        known = present[:, place]
        gaps[:, place] = _unit(~known * 1.0)
        if place not in categories and known.any():
            ranks[known, place] = _unit(_ranked(matrix[known, place]))
    counts = np.maximum(present.sum(axis=0), 1)[:, None]
    found = gram(ranks, labels) ** 2 / counts + gram(gaps, labels) ** 2 / len(labels)
    freedom = (np.abs(ranks).max(axis=0) > 0).astype(float) + (np.abs(gaps).max(axis=0) > 0)
    for place in categories:
        known = present[:, place]
        between, levels = _between(matrix[known, place].astype(np.int64), labels[known])
        found[place] += between
        freedom[place] += levels - 1
    return found, freedom


def _between(codes: NDArray[np.int64], labels: Matrix) -> tuple[Vector, int]:
    """Give, per label, how far the means of levels lie apart (for a yes/no label Pearson's chi-squared), and levels."""
    counts = np.bincount(codes)
    used = counts > 0
    sums = np.column_stack([np.bincount(codes, weights=column) for column in labels.T])[used]
    middle = labels.mean(axis=0) if len(labels) else np.zeros(labels.shape[1])
    spread = counts[used][:, None] * (sums / counts[used][:, None] - middle) ** 2
    return spread.sum(axis=0), max(1, int(used.sum()))


def _as_normal(chi_squared: Matrix, freedom: Matrix) -> Matrix:
    """Give standard normal numbers for chi-squared ones (Wilson and Hilferty 1931), so that columns can be compared."""
    free = np.maximum(freedom, 1e-9)
    normal = (np.cbrt(chi_squared / free) - (1 - 2 / (9 * free))) / np.sqrt(2 / (9 * free))
    return np.where(freedom > 0, normal, -np.inf)


def _unit(values: Vector) -> Vector:
    spread = float(values.std())
    centred: Vector = values - values.mean()
    return centred / spread if spread > 0 else np.zeros(len(values))


def _ranked(values: Vector) -> Vector:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle: Vector = np.cumsum(counts) - (counts - 1) / 2
    return middle[place]


# --- beside the others ----------------------------------------------------------------------------------------------


def _beside_others(
    matrix: Matrix, actual: Vector, widths: Sequence[int], *, task: str, size: Preset, draw: np.random.Generator
) -> NDArray[np.bool_]:
    """Tell the columns from which trees gain more than from shuffled copies of columns that they see as well."""
    starts = np.cumsum([0, *widths])[:-1]
    shadows = np.empty_like(matrix)
    for start, width in zip(starts, widths, strict=True):
        order = draw.permutation(len(matrix))
        shadows[:, start : start + width] = matrix[order, start : start + width]
    grown = trees.grow(
        np.column_stack([matrix, shadows]), actual, task=task, parameters=size.parameters, rounds=size.rounds,
        seed=int(draw.integers(2**31)),
    )  # fmt: skip
    gains = trees.gains(grown)
    own, theirs = (np.add.reduceat(half, starts) for half in (gains[: matrix.shape[1]], gains[matrix.shape[1] :]))
    return _stand_out(np.where(own > 0, own, -np.inf), theirs[:, None])


def _stand_out(own: Vector, shadows: Matrix) -> NDArray[np.bool_]:
    """Tell the columns above the lowest cut that at most the allowed share of them would pass by luck."""
    order = np.argsort(-own, kind="stable")
    pooled = np.sort(shadows.ravel())
    above = len(pooled) - np.searchsorted(pooled, own[order], side="left")
    passing = np.arange(1, len(own) + 1)
    lucky = (above + 1) / shadows.shape[1] / passing
    good = np.flatnonzero((lucky <= _NOISE_SHARE) & np.isfinite(own[order]))
    kept = np.zeros(len(own), bool)
    kept[order[: good[-1] + 1 if len(good) else 0]] = True
    return kept
