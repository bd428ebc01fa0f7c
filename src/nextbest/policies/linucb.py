"""Optimism: take the action that could well be the best, given how little is known about it.

    score[a] = worth[a] + optimism * spread[a]

The upper confidence bound of a linear learner (Li et al. 2010, "A contextual-bandit approach to personalized news
article recommendation", algorithm 1). The choice itself has no chance in it, which nobody could learn from afterwards:
`explore` is spread evenly over what is eligible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest.errors import ConfigError
from nextbest.policies.weighing import only, share, weighed

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class LinUCB:
    """The highest upper bound gets 1 - explore; `optimism` counts standard deviations (1: the 84% bound).

    >>> import numpy as np
    >>> worth, spread = np.array([[1.0, 0.5]]), np.array([[0.1, 0.9]])
    >>> LinUCB(explore=0.1).weigh(worth, spread).tolist()
    [[0.05, 0.9500000000000001]]
    """

    optimism: float = 1.0
    explore: float = 0.05

    def __post_init__(self) -> None:
        share("linucb", "explore", self.explore)
        if not self.optimism >= 0:
            raise ConfigError(f"Policy 'linucb' has optimism {self.optimism}; it is a number from 0 up.")

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject, one column per action."""
        return weighed(self, predictions, actions)

    def weigh(self, worth: Numbers, spread: Numbers, *, none: int = -1) -> Numbers:
        """Give the probability of every action, shape (subjects, actions)."""
        return only(worth + self.optimism * spread, none, self.explore)
