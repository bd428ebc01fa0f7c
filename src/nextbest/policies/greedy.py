"""Take the action worth most, and explore a little so that effects can be learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest.policies.weighing import only, share, weighed

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """The highest expected value gets 1 - explore; `explore` is spread evenly over the eligible actions.

    On a tie nothing is done rather than something, and what is declared first comes before what is declared later.

    >>> import pyarrow as pa
    >>> from nextbest.types import NONE, Action
    >>> worth = pa.table({"expected_value:mail": [2.0], "expected_value:none": [1.5]})
    >>> Greedy(explore=0.5).probabilities(worth, (Action(id="mail"), NONE)).to_pylist()
    [{'mail': 0.75, 'none': 0.25}]
    """

    explore: float = 0.1

    def __post_init__(self) -> None:
        share("greedy", "explore", self.explore)

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject, one column per action."""
        return weighed(self, predictions, actions)

    def weigh(self, worth: Numbers, spread: Numbers, *, none: int = -1) -> Numbers:  # noqa: ARG002 (a policy's shape)
        """Give the probability of every action, shape (subjects, actions)."""
        return only(worth, none, self.explore)
