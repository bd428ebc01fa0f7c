"""What another policy would have earned, from decisions of known chance: each estimator as one score per decision.

w: weight, r: reward, q: reward expected of what was taken, v: reward expected under the other policy. The mean of the
scores is the estimate; their spread gives its interval. Only `ips` and the doubly robust ones with all of the weight
(`dr`) are unbiased whatever q is; the others trade some bias for less variance.

    ips        w r                          Horvitz and Thompson 1952
    snips      w r / mean w                 Hajek 1971; Swaminathan and Joachims 2015, section 4
    dm         v                            the regression alone
    dr         v + w (r - q)                Dudik, Langford and Li 2011, equation 1
    switch_dr  v + w [w <= limit] (r - q)   Wang, Agarwal and Dudik 2017, section 3
    dr_ps      v + min(w, limit) (r - q)                Su, Dimakopoulou, Krishnamurthy and Dudik 2020, pessimistic
    dr_os      v + limit w / (w^2 + limit) (r - q)      the same, optimistic
    mips       m r, m the weight of the category        Saito and Joachims 2022, section 3.1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextbest.measures.replay.logged import Numbers, Rows

SIMPLE = ("ips", "snips", "dm", "dr", "mips")
SHRUNK = ("switch_dr", "dr_ps", "dr_os")
DEFAULT = "dr"
_QUANTILES = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The estimate of one estimator and what each decision adds to it: `estimate + centred` has the estimate as mean.

    For a ratio (`snips`) `centred` are its linear parts (Lohr 2019, Sampling, section 4.1). `limit` is what weights
    were held under.
    """

    name: str
    estimate: float
    centred: Numbers
    limit: float | None = None

    @property
    def values(self) -> Numbers:
        """One score per decision."""
        return self.estimate + self.centred


def ips(rows: Rows) -> Scores:
    """Give inverse propensity scoring."""
    return _mean("ips", rows.weight * rows.reward)


def snips(rows: Rows) -> Scores:
    """Give self-normalised inverse propensity scoring; 0 where nothing has any weight."""
    mean = float(rows.weight.mean())
    if mean <= 0:
        return Scores(name="snips", estimate=0.0, centred=np.zeros(len(rows)))
    estimate = float((rows.weight * rows.reward).mean()) / mean
    return Scores(name="snips", estimate=estimate, centred=rows.weight * (rows.reward - estimate) / mean)


def dm(rows: Rows) -> Scores:
    """Give the direct method."""
    return _mean("dm", rows.value)


def dr(rows: Rows) -> Scores:
    """Give the doubly robust estimate."""
    return _mean("dr", rows.value + rows.weight * (rows.reward - rows.fitted))


def mips(rows: Rows) -> Scores:
    """Give marginalised inverse propensity scoring; equal to `ips` where no categories were given."""
    return _mean("mips", rows.marginal * rows.reward)


def switch_dr(rows: Rows, limit: float) -> Scores:
    """Give the doubly robust estimate that trusts the regression alone where the weight is above the limit."""
    return _shrunk("switch_dr", rows, np.where(rows.weight <= limit, rows.weight, 0.0), limit)


def dr_ps(rows: Rows, limit: float) -> Scores:
    """Give the doubly robust estimate with weights cut at the limit."""
    return _shrunk("dr_ps", rows, np.minimum(rows.weight, limit), limit)


def dr_os(rows: Rows, limit: float) -> Scores:
    """Give the doubly robust estimate with weights shrunk smoothly: limit 0 is the direct method, infinity is `dr`."""
    if np.isinf(limit):
        return _shrunk("dr_os", rows, rows.weight, limit)
    held = limit * rows.weight / (rows.weight**2 + limit) if limit > 0 else np.zeros(len(rows))
    return _shrunk("dr_os", rows, held, limit)


_SIMPLE: dict[str, Callable[[Rows], Scores]] = {"ips": ips, "snips": snips, "dm": dm, "dr": dr, "mips": mips}
_SHRUNK: dict[str, Callable[[Rows, float], Scores]] = {"switch_dr": switch_dr, "dr_ps": dr_ps, "dr_os": dr_os}


def simple(name: str, rows: Rows) -> Scores:
    """Give an estimator of `SIMPLE` by its name."""
    return _SIMPLE[name](rows)


def family(name: str, rows: Rows) -> list[Scores]:
    """Give an estimator of `SHRUNK` at limits from none (unbiased) down to the middle of the weights."""
    squared = 2 if name == "dr_os" else 1  # its limit is on the scale of a squared weight
    limits = [float(q) ** squared for q in np.quantile(rows.weight, _QUANTILES[1:])]
    return [_SHRUNK[name](rows, limit) for limit in (np.inf, *limits)]


def _mean(name: str, scores: Numbers) -> Scores:
    estimate = float(scores.mean())
    return Scores(name=name, estimate=estimate, centred=scores - estimate)


def _shrunk(name: str, rows: Rows, weight: Numbers, limit: float) -> Scores:
    made = _mean(name, rows.value + weight * (rows.reward - rows.fitted))
    return Scores(name=name, estimate=made.estimate, centred=made.centred, limit=None if np.isinf(limit) else limit)
