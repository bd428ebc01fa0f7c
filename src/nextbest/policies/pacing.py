"""Pacing: what an action uses up of a budget or of its places is charged at today's price before actions are compared.

    score[a] = worth[a] - price * cost[a] - prices[a]

The price is the dual variable of the budget (Balseiro & Gur 2019, "Learning in repeated auctions with budgets:
regret minimization and equilibrium", section 3): at 0 money is no constraint, above it a euro spent has to earn
1 + price. Whoever knows what was spent sets the price; the policy applies it. What an action costs is not in the
worths alone, so whoever asks by arrays asks for `charged` worths first, and weighs those. A live play with a budget
charges its worths itself, by `charge`, whatever its policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 (the configuration builds this class from its annotations)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nextbest.errors import ConfigError
from nextbest.policies.matrix import as_table, expected_values, with_none_when_empty
from nextbest.policies.weighing import costs_of, none_of, only, share

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """The highest worth after prices gets 1 - explore; `price` is per money spent, `prices` per use of an action.

    >>> import pyarrow as pa
    >>> from nextbest.types import NONE, Action
    >>> worth = pa.table({"expected_value:call": [2.0], "expected_value:none": [1.0]})
    >>> Pacing(price=0.5, explore=0.0).probabilities(worth, (Action(id="call", cost=3.0), NONE)).to_pylist()
    [{'call': 0.0, 'none': 1.0}]
    """

    price: float = 0.0
    prices: Mapping[str, float] = field(default_factory=dict)
    explore: float = 0.05

    def __post_init__(self) -> None:
        share("pacing", "explore", self.explore)
        for name, value in (("price", self.price), *self.prices.items()):
            if not value >= 0:
                raise ConfigError(f"Policy 'pacing' has the price {value} ({name}); a price is a number from 0 up.")

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject, one column per action."""
        worth = self.charged(expected_values(predictions, actions), costs_of(actions), [a.id for a in actions])
        p = self.weigh(worth, np.zeros_like(worth), none=none_of(actions))
        return as_table(with_none_when_empty(p, actions), actions)

    def charged(self, worth: Numbers, cost: Numbers, ids: Sequence[str]) -> Numbers:
        """Give the worths, shape (..., actions), less what the actions use up at the policy's prices."""
        prices = np.array([self.prices.get(i, 0.0) for i in ids]) if self.prices else None
        return charge(worth, cost, price=self.price, prices=prices)

    def weigh(self, worth: Numbers, _spread: Numbers, *, none: int = -1) -> Numbers:
        """Give the probability of every action, shape (subjects, actions), from worths that are `charged`."""
        return only(worth, none, self.explore)


def charge(worth: Numbers, cost: Numbers, *, price: float, prices: Numbers | None = None) -> Numbers:
    """Give the worths less what the actions use up at today's prices; for any policy of a play with a budget."""
    charged = worth - price * cost
    return np.asarray(charged if prices is None else charged - prices)
