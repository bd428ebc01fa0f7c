"""Several places on one page: the value of a page is the sum of what its places earn, and weights multiply downwards.

w_k is the weight of place k given what stands above it, and r_k what that place earned. Who looks at a page how decides
which weights count for r_k:

    iips         w_k                every place for itself                      Li et al. 2018, "Offline evaluation of
                                                                                ranking policies with click models"
    rips         w_1 ... w_k        what stands above matters (cascade)         McInerney et al. 2020, section 3
    cascade_dr   the same, doubly robust, from the last place upwards:          Kiyohara et al. 2022, section 3
                 V_k = v_k + w_k (r_k + V_(k+1) - q_k), V_(last + 1) = 0
    sips         w_1 ... w_last     anything may matter; widest                 ordinary scoring of whole pages

In `cascade_dr` the places below a place are accounted for by the steps of the weights, w_1 ... w_k - w_1 ... w_(k-1),
whose mean is 0: what they explain of the scores is taken off.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextbest.measures.replay.estimators import Scores

if TYPE_CHECKING:
    from nextbest.measures.replay.logged import Numbers, Rows

NAMES = ("iips", "rips", "cascade_dr", "sips")
DEFAULT = "cascade_dr"


def pages(rows: Rows) -> tuple[Rows, np.ndarray]:
    """Give the rows in the order of their pages and places, and the number of each row's page, from 0."""
    order = np.lexsort((rows.position, rows.request))
    ordered = rows.where(order)  # type: ignore[arg-type]  # an order picks rows as flags do
    return ordered, np.unique(ordered.request, return_inverse=True)[1]


def per_page(rows: Rows) -> Rows:
    """Give one row per page: rewards and expected rewards added up, weights multiplied."""
    ordered, page = pages(rows)
    first = np.flatnonzero(np.diff(page, prepend=-1))
    total = {n: _added(page, getattr(ordered, n)) for n in ("reward", "fitted", "value")}
    worst = {"unsupported": np.maximum.reduceat(ordered.unsupported, first)}
    product = {n: np.multiply.reduceat(getattr(ordered, n), first) for n in ("weight", "marginal")}
    return replace(ordered.where(first), **total, **worst, **product)  # type: ignore[arg-type]  # picks rows as flags do


def every(rows: Rows) -> dict[str, Scores]:
    """Give every estimator of the value of a page, one score per page in the order of `per_page`."""
    ordered, page = pages(rows)
    above = _running_product(ordered.weight, page)
    whole = np.zeros(page[-1] + 1)
    whole[page] = above  # the last place of a page is written last
    totals: dict[str, Numbers] = {
        "iips": _added(page, ordered.weight * ordered.reward),
        "rips": _added(page, above * ordered.reward),
        "sips": whole * _added(page, ordered.reward),
        "cascade_dr": _cascade(ordered, page, above),
    }
    means = {name: float(scores.mean()) for name, scores in totals.items()}
    return {n: Scores(name=n, estimate=means[n], centred=totals[n] - means[n]) for n in NAMES}


def _running_product(weight: Numbers, page: np.ndarray) -> Numbers:
    """Give the product of the weights of a page down to each place, in a loop over places, not pages."""
    out = weight.copy()
    starts = np.flatnonzero(np.diff(page, prepend=-1))
    place = np.arange(len(page)) - starts[page]
    for k in range(1, int(place.max(initial=0)) + 1):
        at = np.flatnonzero(place == k)
        out[at] = out[at - 1] * weight[at]
    return out


def _cascade(rows: Rows, page: np.ndarray, above: Numbers) -> Numbers:
    """Give the recursion written out, sum of w_1..w_(k-1) v_k + w_1..w_k (r_k - q_k), less its control variates."""
    starts = np.diff(page, prepend=-1) != 0
    before = np.where(starts, 1.0, np.roll(above, 1))
    scores = _added(page, before * rows.value + above * (rows.reward - rows.fitted))
    place = np.arange(len(page)) - np.flatnonzero(starts)[page]
    steps = np.zeros((len(scores), int(place.max(initial=0))))
    inner = place < steps.shape[1]  # the last place has nothing below it
    steps[page[inner], place[inner]] = (above - before)[inner]
    return scores - _explained(scores, steps)


def _explained(scores: Numbers, steps: Numbers) -> Numbers:
    """Give what mean-zero steps explain of the scores (Owen 2013, Monte Carlo theory, section 8.9)."""
    if not steps.shape[1]:
        return np.zeros(len(scores))
    slopes = np.linalg.lstsq(steps - steps.mean(axis=0), scores - scores.mean(), rcond=None)[0]
    return np.asarray(steps @ slopes, dtype=np.float64)


def _added(page: np.ndarray, parts: Numbers) -> Numbers:
    return np.asarray(np.bincount(page, weights=parts), dtype=np.float64)
