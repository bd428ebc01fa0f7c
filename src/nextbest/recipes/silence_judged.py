"""What stands beside churn by silence: the last order's date alone, and the buying process alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest import registry
from nextbest.errors import NextbestError
from nextbest.recipes.moments import Panel, columns_alone

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

RECENCY = "days since last order alone"
BUYING_PROCESS = "buying process alone (Pareto/NBD)"
_RECENCY_FEATURE = "days_since_last_order"


def recency_alone(learning: Panel, judging: Panel) -> Vector:
    """Give the probability of silence by logistic regression on days since the last order and their logarithm."""
    return columns_alone([_RECENCY_FEATURE], learning, judging)


def buying_process(histories: pa.Table, horizon_days: int) -> dict[str, Vector]:
    """Give Pareto/NBD by itself: no order, when orders come at the rate it expects of a subject.

    Empty when it cannot be fitted to these histories.
    """
    try:
        made = registry.make("models", "pareto_nbd", {"horizon": float(horizon_days), "level": None})
        expected = made.fit(histories, histories).predict(histories)["prediction"].to_numpy()
    except NextbestError:
        return {}
    return {BUYING_PROCESS: np.exp(-np.maximum(expected, 0.0))}
