"""Do groups differ in an amount that came later? The share of its variance between them, and a test by permutation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Labels = NDArray[np.int64]

_DRAWS = 999


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`share` of the variance that lies between groups (eta squared), and the chance of so much among random groups."""

    share: float
    p_value: float

    def figures(self) -> dict[str, float]:
        """Give both as metrics."""
        return {"held_out_share": round(self.share, 4), "held_out_p": round(self.p_value, 4)}


def difference(labels: Labels, amounts: Vector, *, seed: int = 0, draws: int = _DRAWS) -> Difference:
    """Give how much groups differ; amounts are ranked, so that one big spender does not decide."""
    ranks = np.unique(amounts, return_inverse=True)[1].astype(np.float64)
    found = _between(labels, ranks)
    draw = np.random.default_rng([seed, 2])
    as_much = sum(_between(labels, draw.permutation(ranks)) >= found - 1e-12 for _ in range(draws))
    return Difference(share=found, p_value=(as_much + 1) / (draws + 1))


def _between(labels: Labels, values: Vector) -> float:
    total = float(((values - values.mean()) ** 2).sum())
    sizes, sums = np.bincount(labels), np.bincount(labels, weights=values)
    means = np.divide(sums, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    return float((sizes * (means - values.mean()) ** 2).sum()) / total if total else 0.0
