"""Take the first action that a list of rules allows: what a person would write down, and a baseline to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ConfigError, nearest
from nextbest.policies.columns import condition
from nextbest.policies.matrix import as_table, expected_values, with_none_when_empty
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.types import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The first rule that applies and whose action is eligible wins; without rules, the actions' own order counts.

    `when` lists (condition, action id) pairs; the empty condition always applies. Nothing applies: `none`.

    >>> import pyarrow as pa
    >>> from nextbest.types import NONE, Action
    >>> worth = pa.table({"expected_value:call": [None, 1.0], "expected_value:mail": [0.5, 2.0]})
    >>> Rules().probabilities(worth, (Action(id="call"), Action(id="mail"), NONE))["call"].to_pylist()
    [0.0, 1.0]
    """

    when: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for rule in self.when:
            if len(rule) != 2 or not all(isinstance(part, str) for part in rule):
                raise ConfigError(f'Policy \'rules\': a rule is a pair ["condition", "action id"], got {rule!r}.')

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject, one column per action."""
        eligible = expected_values(predictions, actions) > -np.inf
        open_rows = np.ones(predictions.num_rows, dtype=bool)
        p = np.zeros(eligible.shape)
        for applies, j in self._in_order(predictions, actions):
            taken = open_rows & applies & eligible[:, j]
            p[taken, j] = 1.0
            open_rows &= ~taken
        return as_table(with_none_when_empty(p, actions), actions)

    def _in_order(self, predictions: pa.Table, actions: tuple[Action, ...]) -> list[tuple[Any, int]]:
        """Give, rule by rule, where it applies and which action it asks for."""
        ids = [a.id for a in actions]
        if not self.when:
            everyone = np.ones(predictions.num_rows, dtype=bool)
            return [(everyone, j) for j, name in enumerate(ids) if name != NO_ACTION]
        for _, name in self.when:
            if name not in ids:
                raise ConfigError(f"Policy 'rules': the play has no action '{name}'.{nearest(name, ids)}")
        return [(condition(text, predictions, "Policy 'rules'"), ids.index(name)) for text, name in self.when]
