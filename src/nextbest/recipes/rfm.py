"""Recency, frequency, money: the grid that shops have used for decades, with names that people know.

Everyone gets 1 to 5 for how recently, and for how often and how much, by fifths of those who were there when it was
learnt. It always answers, and says nothing about whether the groups are really apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.kmeans import columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

RECENCY, FREQUENCY, MONEY = "days_since_last_order", "orders_365d", "revenue_365d"
NEEDED = (RECENCY, FREQUENCY, MONEY)
NAMES = ("champions", "loyal", "new or occasional", "at risk", "lost", "in between")
_FIFTHS = (0.2, 0.4, 0.6, 0.8)
_HIGH, _MIDDLE, _LOW = 4, 3, 2


def learn(features: pa.Table) -> dict[str, list[float]]:
    """Give the cuts between fifths per column."""
    raw = columns(features, NEEDED)
    return {name: np.nanquantile(raw[:, i], _FIFTHS).tolist() for i, name in enumerate(NEEDED)}


def segments(features: pa.Table, cuts: Mapping[str, Any]) -> list[str]:
    """Give everyone's name on the grid."""
    raw = columns(features, NEEDED)
    recency = 5 - np.searchsorted(cuts[RECENCY], np.nan_to_num(raw[:, 0], nan=np.inf), side="left")
    often, much = (1 + np.searchsorted(cuts[n], np.nan_to_num(raw[:, i]), side="left") for i, n in _WORTH)
    worth = (often + much) / 2
    return [_name(float(r), float(w)) for r, w in zip(recency, worth, strict=True)]


def _name(recency: float, worth: float) -> str:
    if recency >= _MIDDLE and worth >= _MIDDLE:
        return "champions" if recency >= _HIGH and worth >= _HIGH else "loyal"
    if recency >= _HIGH and worth <= _LOW:
        return "new or occasional"
    if recency <= _LOW:
        return "at risk" if worth >= _MIDDLE else "lost"
    return "in between"


_WORTH = ((1, FREQUENCY), (2, MONEY))
