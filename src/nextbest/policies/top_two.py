"""Top-two sampling: play what is probably best, or its likeliest rival, so that few arms are soon told apart.

A best action is drawn as in Thompson sampling; with probability 1 - `favour` another one is drawn until it differs
(Russo 2020, "Simple Bayesian algorithms for best-arm identification", section 3.3, TTTS). With b[a] = P(a is best),

    p[a] = b[a] * (favour + (1 - favour) * sum over i != a of b[i] / (1 - b[i]))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.policies.thompson import chance_of_best
from nextbest.policies.weighing import share, weighed, with_floor

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class TopTwo:
    """For tests of few arms, such as subject lines; `favour` is the share of the likely best, `explore` an even share.

    >>> import numpy as np
    >>> TopTwo(explore=0.0).weigh(np.array([[1.0, 0.0]]), np.ones((1, 2))).round(3).tolist()
    [[0.5, 0.5]]
    """

    favour: float = 0.5
    explore: float = 0.01

    def __post_init__(self) -> None:
        share("top_two", "favour", self.favour)
        share("top_two", "explore", self.explore)

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject, one column per action."""
        return weighed(self, predictions, actions)

    def weigh(self, worth: Numbers, spread: Numbers, *, none: int = -1) -> Numbers:  # noqa: ARG002 (a policy's shape)
        """Give the probability of every action, shape (subjects, actions)."""
        best = chance_of_best(worth, spread)
        rest = best.sum(axis=1, keepdims=True) - best
        odds = np.divide(best, rest, out=np.zeros_like(best), where=rest > _CERTAIN)
        second = best * (odds.sum(axis=1, keepdims=True) - odds)
        # Where one action is certain to be the best there is no rival, and it is played.
        alone = np.where(rest > _CERTAIN, 0.0, best)
        p = self.favour * best + (1 - self.favour) * (second + alone)
        p = p / np.maximum(p.sum(axis=1, keepdims=True), 1e-300)
        return with_floor(p, worth > -np.inf, self.explore)


_CERTAIN = 1e-12
