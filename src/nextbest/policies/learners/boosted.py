"""A fitted model as a learner: whoever holds the model gives a scorer, and the policies ask no further.

A scorer turns float64 rows (candidates, features) into chances. A boosted model does not say how sure it is: the spread
is what its calibration left over, the same for everyone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.policies.draw import Numbers
    from nextbest.policies.learners.shown import Candidates

Scorer = Callable[[np.ndarray[Any, np.dtype[np.float64]]], np.ndarray[Any, np.dtype[np.float64]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boosted:
    """The settings: the id of a fitted model, and the standard deviation of its chances (0: not known)."""

    model: str = ""
    spread: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoostedState:
    """A model that serves: `features` are the columns its scorer reads, of the offers first, then of the subject."""

    scorer: Scorer
    features: tuple[str, ...]
    version: str
    spread: float = 0.0

    def response(self, row: Mapping[str, Any], offers: Candidates) -> tuple[Numbers, Numbers]:
        """Give the chance of a response to every offer, and its standard deviation."""
        at = {name: i for i, name in enumerate(offers.names)}
        rows = np.empty((len(offers.ids), len(self.features)))
        if self.features == offers.names:
            rows = np.ascontiguousarray(offers.values)
        else:
            for j, name in enumerate(self.features):
                rows[:, j] = offers.values[:, at[name]] if name in at else _number(row.get(name))
        mean = np.asarray(self.scorer(rows), dtype=np.float64)
        return mean, np.full(len(mean), self.spread)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan
