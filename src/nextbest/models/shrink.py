"""Rates and factors of groups, shrunk toward what all groups show: a rep with three deals is nearly an average rep.

How much to shrink is learnt from how much the groups differ beyond chance (empirical Bayes by moments; Casella 1985,
An Introduction to Empirical Bayes Data Analysis, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_WEIGHT = 1e6  # of the common value: groups that do not differ beyond chance are all taken to be alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """How many times as often each group wins as expected: Gamma(shape, rate), with mean near 1 for small groups."""

    shape: Floats
    rate: Floats

    @property
    def mean(self) -> Floats:
        """The factor of each group."""
        return np.asarray(self.shape / self.rate)


def rate_weight(positives: Floats, counts: Floats) -> float:
    """Give how many rows the common rate weighs when the rates of groups are drawn to it.

    The variance of true rates is that of the seen ones less p (1 - p) / n; the Beta prior with that variance weighs
    p (1 - p) / variance - 1 rows. Where rates differ, the rows of one group scatter by p (1 - p) less that variance,
    hence the last term (moments of the beta-binomial, Kleinman 1973, Journal of the American
    Statistical Association 68).
    """
    seen = counts > 0
    n, total = counts[seen], float(counts.sum())
    if total == 0 or len(n) < 2:
        return MOST_WEIGHT
    p = float(positives.sum()) / total
    chance = p * (1 - p)
    spread = float((n * (positives[seen] / n - p) ** 2).sum()) - (len(n) - 1) * chance
    variance = spread / max(total - float((n**2).sum()) / total - (len(n) - 1), 1e-9)
    if chance <= 0 or variance <= chance / MOST_WEIGHT:
        return MOST_WEIGHT
    return float(np.clip(chance / variance - 1, 1.0, MOST_WEIGHT))


def rates(positives: Floats, counts: Floats, *, common: float, weight: float) -> Floats:
    """Give the rate of each group, drawn toward the common rate as if that had been seen in `weight` rows."""
    return np.asarray((positives + weight * common) / (counts + weight))


def factors(seen: Floats, expected: Floats) -> Factors:
    """Give each group's factor on an expected count: Poisson counts about expected x Gamma(a, a).

    Var(seen) = expected + expected^2 / a gives a; where counts scatter no more than chance, every factor is 1.
    """
    extra = float(((seen - expected) ** 2 - expected).sum()) / max(float((expected**2).sum()), 1e-9)
    a = float(np.clip(1 / extra, 0.5, MOST_WEIGHT)) if extra > 1 / MOST_WEIGHT else MOST_WEIGHT
    return Factors(shape=a + seen, rate=a + expected)
