"""How many groups there really are: as many as come out again when the subjects are drawn anew, with valleys between.

Stability alone is not enough: one long cloud is cut in the middle again and again. So every group also needs a valley
between itself and its neighbour (`models.dip`), which a cut through one cloud does not have. Ben-Hur, Elisseeff and
Guyon (2002), A stability based method for discovering structure in clustered data; Hubert and Arabie (1985) for the
adjusted Rand index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import dip, kmeans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Labels = NDArray[np.int64]

STABLE = 0.85  # mean adjusted Rand index between two draws
_AS_STABLE = 0.05  # among numbers that are about as stable, the larger says more
_PAIRS = 12
_MOST_ROWS = 2_000
_LEAST_SHARE = 0.01
_LEAST_ROWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of one number of groups: how stable, and whether every group stands apart from its neighbour."""

    k: int
    stability: float
    apart: bool
    smallest: float

    @property
    def stands(self) -> bool:
        """Whether so many groups are really there."""
        return self.stability >= STABLE and self.apart and self.smallest >= _LEAST_SHARE


def tried(points: Matrix, *, most: int, seed: int = 0) -> tuple[Tried, ...]:
    """Give the outcome for every number of groups from 2 to `most`; of large tables a sample is tried."""
    draw = np.random.default_rng([seed, 1])
    some = points if len(points) <= _MOST_ROWS else points[draw.choice(len(points), _MOST_ROWS, replace=False)]
    most = min(most, len(some) // (2 * _LEAST_ROWS), len(np.unique(some, axis=0)))
    return tuple(_tried(some, k, draw) for k in range(2, most + 1))


def best(outcomes: Sequence[Tried]) -> int | None:
    """Give the largest number of groups that stands and is about as stable as the most stable one; None when none."""
    standing = [t for t in outcomes if t.stands]
    most = max((t.stability for t in standing), default=0.0)
    return max((t.k for t in standing if t.stability >= most - _AS_STABLE), default=None)


def _tried(points: Matrix, k: int, draw: np.random.Generator) -> Tried:
    agreed = [_agreement(points, k, draw) for _ in range(_PAIRS)]
    centres = kmeans.group(points, k, draw)
    labels = np.argmin(kmeans.distances(points, centres), axis=1)
    sizes = np.bincount(labels, minlength=k)
    enough = sizes.min() >= _LEAST_ROWS
    return Tried(
        k=k,
        stability=float(np.mean(agreed)),
        apart=bool(enough and all_apart(points, labels, centres, draw)),
        smallest=float(sizes.min() / len(points)),
    )


def _agreement(points: Matrix, k: int, draw: np.random.Generator) -> float:
    """Give how alike two clusterings of two draws with replacement group all points."""
    labels = []
    for _ in range(2):
        rows = draw.integers(0, len(points), len(points))
        labels.append(np.argmin(kmeans.distances(points, kmeans.group(points[rows], k, draw, starts=2)), axis=1))
    return adjusted_rand(labels[0], labels[1])


def adjusted_rand(first: Labels, second: Labels) -> float:
    """Give the adjusted Rand index of two groupings: 1 the same, 0 by chance (Hubert and Arabie 1985, equation 5)."""
    width = int(second.max(initial=0)) + 1
    table = np.bincount(first * width + second, minlength=(int(first.max(initial=0)) + 1) * width).astype(np.float64)
    both = table.reshape(-1, width)
    together = float((both * (both - 1)).sum() / 2)
    rows, columns = both.sum(axis=1), both.sum(axis=0)
    in_first, in_second = float((rows * (rows - 1)).sum() / 2), float((columns * (columns - 1)).sum() / 2)
    pairs = len(first) * (len(first) - 1) / 2
    expected = in_first * in_second / pairs if pairs else 0.0
    most = (in_first + in_second) / 2
    return (together - expected) / (most - expected) if most != expected else 1.0


def all_apart(points: Matrix, labels: Labels, centres: Matrix, draw: np.random.Generator) -> bool:
    """Tell whether there is a valley between every group and the one next to it.

    Seen along the line between the two centres. A count is spread over the unit that it stands for, else its steps
    would look like valleys.
    """
    spread = _spread(points, draw)
    between = kmeans.distances(centres, centres)
    np.fill_diagonal(between, np.inf)
    for one, other in {tuple(sorted((i, int(j)))) for i, j in enumerate(np.argmin(between, axis=1))}:
        line = centres[other] - centres[one]
        inside = (labels == one) | (labels == other)
        if not dip.has_valley(spread[inside] @ line):
            return False
    return True


def _spread(points: Matrix, draw: np.random.Generator) -> Matrix:
    """Give the points with every repeated value spread evenly to half-way to its neighbours."""
    found = points.copy()
    for column in found.T:
        values, place, counts = np.unique(column, return_inverse=True, return_counts=True)
        if len(values) < 2 or counts.max() == 1:
            continue
        edges = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2, values[-1:]])
        low, high = edges[:-1][place], edges[1:][place]
        repeated = counts[place] > 1
        column[repeated] = (low + (high - low) * draw.random(len(column)))[repeated]
    return found
