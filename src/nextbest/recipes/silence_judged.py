"""Judge churn by silence on the latest finished moment, beside what the last order's date alone would say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextbest import registry
from nextbest.errors import NextbestError
from nextbest.models import logistic
from nextbest.models.boosting import Boosting
from nextbest.recipes.judged import Judged, held_out

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

RECENCY = "days since last order alone"
BUYING_PROCESS = "buying process alone (Pareto/NBD)"
_RECENCY_FEATURE = "days_since_last_order"


def judge(learning: pa.Table, taught: Vector, judging: pa.Table, actual: Vector, *, seed: int) -> Judged:
    """Give ours and the baselines' probabilities for the judging rows; everything is learnt on the learning rows."""
    import pyarrow as pa

    both = pa.concat_tables([learning, judging])
    split = np.arange(len(taught)), np.arange(len(taught), len(taught) + len(actual))
    found = held_out(both, np.concatenate([taught, actual]), Boosting(seed=seed), [split])
    recency = recency_alone(learning, taught, judging)
    return replace(found, baselines={**found.baselines, RECENCY: recency})


def with_buying_process(judgement: Judged, histories: pa.Table, horizon_days: int) -> Judged:
    """Give the same with Pareto/NBD by itself: no order, when orders come at the rate it expects of a subject.

    Left out when it cannot be fitted to these histories.
    """
    try:
        made = registry.make("models", "pareto_nbd", {"horizon": float(horizon_days), "level": None})
        expected = made.fit(histories, histories).predict(histories)["prediction"].to_numpy()
    except NextbestError:
        return judgement
    silent = np.exp(-np.maximum(expected, 0.0))
    return replace(judgement, baselines={**judgement.baselines, BUYING_PROCESS: silent})


def recency_alone(learning: pa.Table, taught: Vector, judging: pa.Table) -> Vector:
    """Give the probability of silence by logistic regression on days since the last order and their logarithm."""
    days = [t[_RECENCY_FEATURE].to_numpy(zero_copy_only=False).reshape(-1, 1) for t in (learning, judging)]
    line = logistic.fit(days[0], taught, task="classification", levels={})
    return np.asarray(1 / (1 + np.exp(-np.clip(logistic.scores(line, days[1]), -35, 35))))
