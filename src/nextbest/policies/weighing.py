"""What the policies that weigh actions share: floors of exploration, ties, and the way from and to Arrow tables.

A policy weighs arrays of shape (subjects, actions): `worth` is the expected value in money, minus infinity where a rule
removed the action; `spread` is the standard deviation of that expectation, 0 where nobody knows it. `none` is the
position of doing nothing, last unless said otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nextbest.errors import ConfigError
from nextbest.policies.matrix import SPREAD, as_table, expected_values, numbers, with_none_when_empty
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action

Flags = np.ndarray[Any, np.dtype[np.bool_]]


class Weighing(Protocol):
    """A policy that can do without tables."""

    def weigh(self, worth: Numbers, spread: Numbers, *, none: int = -1) -> Numbers:
        """Give the probability of every action, shape (subjects, actions); rows without an eligible action are 0."""
        ...


def weighed(policy: Weighing, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
    """Give what a weighing policy says of a table of predictions: one row per subject, one column per action."""
    p = policy.weigh(expected_values(predictions, actions), spreads(predictions, actions), none=none_of(actions))
    return as_table(with_none_when_empty(p, actions), actions)


def spreads(predictions: pa.Table, actions: tuple[Action, ...]) -> Numbers:
    """Give the standard deviations of the expected values, shape (subjects, actions); 0 where there is none."""
    out = np.zeros((predictions.num_rows, len(actions)))
    for j, action in enumerate(actions):
        if SPREAD + action.id in predictions.column_names:
            out[:, j] = np.nan_to_num(numbers(predictions[SPREAD + action.id]), nan=0.0)
    return out


def none_of(actions: tuple[Action, ...]) -> int:
    """Give the position of doing nothing; -1 where it is not offered."""
    return next((j for j, action in enumerate(actions) if action.id == NO_ACTION), -1)


def costs_of(actions: tuple[Action, ...]) -> Numbers:
    """Give the cost per use of every action."""
    return np.array([action.cost for action in actions], dtype=np.float64)


def share(policy: str, name: str, value: float) -> None:
    """Raise `ConfigError` unless a setting is a share between 0 and 1."""
    if not 0 <= value <= 1:
        raise ConfigError(f"Policy '{policy}' has {name} {value}; it is a share between 0 and 1.")


def top(score: Numbers, none: int = -1) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Give the position of the highest score per row; `none` wins ties, then the first."""
    best = score.argmax(axis=1)
    tied = score[:, none] >= score[np.arange(len(score)), best]
    return np.asarray(np.where(tied, none % score.shape[1], best)) if tied.any() else best


def only(score: Numbers, none: int, explore: float) -> Numbers:
    """Give 1 - explore to the highest score of each row, and spread `explore` evenly over what is eligible."""
    eligible = score > -np.inf
    p = np.zeros(score.shape)
    p[np.arange(len(score)), top(score, none)] = 1.0
    return with_floor(p, eligible, explore)


def with_floor(p: Numbers, eligible: Flags, explore: float) -> Numbers:
    """Mix probabilities with an even share `explore` over what is eligible; rows without anything eligible are 0."""
    count = eligible.sum(axis=1, keepdims=True)
    return np.asarray((1 - explore) * p * (count > 0) + explore * eligible / np.maximum(count, 1))
