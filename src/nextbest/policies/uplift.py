"""Uplift cut-off: act on those in whom the action changes enough, and leave the others alone.

The gain of an action is its worth less that of doing nothing. Under a budget the cut is the price of the last euro:
`allocate` computes it (the gain per subject, or per money spent, below which the budget is better used elsewhere).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.errors import ConfigError
from nextbest.policies.weighing import only, share, weighed

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class UpliftCut:
    """The action with the highest gain over `none` if that exceeds `cut` (money), else none; explores evenly.

    `caution` takes so many standard deviations off a gain first: only gains that are fairly certain count.

    >>> import numpy as np
    >>> worth = np.array([[3.0, 1.0], [1.4, 1.0]])
    >>> UpliftCut(cut=0.5, explore=0.0).weigh(worth, np.zeros((2, 2))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    cut: float = 0.0
    caution: float = 0.0
    explore: float = 0.1

    def __post_init__(self) -> None:
        share("uplift_cut", "explore", self.explore)
        if not self.caution >= 0:
            raise ConfigError(f"Policy 'uplift_cut' has caution {self.caution}; it is a number from 0 up.")

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject, one column per action."""
        return weighed(self, predictions, actions)

    def weigh(self, worth: Numbers, spread: Numbers, *, none: int = -1) -> Numbers:
        """Give the probability of every action, shape (subjects, actions)."""
        left = worth[:, [none]]
        score = worth - np.where(left > -np.inf, left, 0.0) - self.cut
        if self.caution:
            score = score - self.caution * np.hypot(spread, spread[:, [none]])
        score[:, none] = np.where(left[:, 0] > -np.inf, 0.0, -np.inf)  # none costs no cut, and wins ties
        return only(score, none, self.explore)
