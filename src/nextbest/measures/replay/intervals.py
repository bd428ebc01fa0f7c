"""Intervals of a mean of scores, by subject: what one person adds counts once, however often they were decided for.

The default takes the skewness out of Student's t (Hall 1992, JRSS B 54, 221-228): few clicks and heavy weights make a
score whose mean is skewed, and the symmetric interval then misses too often on one side. Its degrees of freedom are
those of the variance, by the kurtosis of the scores (Satterthwaite 1946): a few heavy answers decide a variance too.
`normal` is the plain one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from nextbest.measures.replay.logged import Codes, Numbers

Method = Literal["skewed", "normal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Low and high ends, and the standard error."""

    low: float
    high: float
    error: float


def by_subject(centred: Numbers, subject: Codes) -> Numbers:
    """Give what each subject adds to the mean: sums of centred scores over the mean number of rows a subject has."""
    sums = np.bincount(subject, weights=centred)
    many = np.bincount(subject)
    sums = sums[many > 0]
    return np.asarray(sums * (len(sums) / len(centred)), dtype=np.float64)


def interval(
    estimate: float, centred: Numbers, subject: Codes, *, level: float = 0.95, method: Method = "skewed"
) -> Interval:
    """Give the interval of an estimate from what each row adds to it; clustered by subject."""
    parts = by_subject(centred, subject)
    error, skew = _error(parts), _skewness(parts) if method == "skewed" else 0.0
    reach = _quantile(level, _freedom(parts) if method == "skewed" else len(parts) - 1)
    return Interval(
        low=estimate - error * _untwisted(reach, skew, len(parts)),
        high=estimate - error * _untwisted(-reach, skew, len(parts)),
        error=error,
    )


def _error(parts: Numbers) -> float:
    return float(parts.std(ddof=1) / math.sqrt(len(parts))) if len(parts) > 1 else math.inf


def _skewness(parts: Numbers) -> float:
    spread = parts - parts.mean()
    second = float((spread**2).mean())
    return float((spread**3).mean() / second**1.5) if second > 0 else 0.0


def _untwisted(t: float, skew: float, n: int) -> float:
    """Give the t whose skewness-corrected value is *t*: Hall's monotone cubic, inverted (a = 1/3, b = 1/6)."""
    g = skew / math.sqrt(n)
    if abs(g) < 1e-9:
        return t
    return 3.0 / g * (float(np.cbrt(1.0 + g * (t - g / 6.0))) - 1.0)


def _freedom(parts: Numbers) -> float:
    """Give 2 n / (kurtosis - 1), the freedom of a chi-square with the spread of this variance; n - 1 at most."""
    spread = parts - parts.mean()
    second = float((spread**2).mean())
    kurtosis = float((spread**4).mean()) / second**2 if second > 0 else 3.0
    return min(len(parts) - 1.0, 2 * len(parts) / (kurtosis - 1) - 1) if kurtosis > 1 else len(parts) - 1.0


def _quantile(level: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(freedom, 1), (1 + level) / 2))
