"""How likely a subject responds to each action, and what that is worth against doing nothing.

    P(response | action) = sigmoid(logit base + lift[action])      base: the play's `response`, without any action
    expected value       = P(response | action) x value - cost     value: the play's `value` x margin

Where an action has a weight or a lever, they multiply what it adds to doing nothing:

    expected value = [P(none) + (P(action) - P(none)) x weight x lever] x value - cost

An equal lift in log-odds moves the undecided most. Whoever comes anyway gains nothing, and is not paid to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.policies.columns import CHURN, WINNING, amount, response_of, value_of
from nextbest.policies.lift import Lifts, logit, sigmoid
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action, Play

PRIOR_RESPONSE = 0.05  # stated, not measured: of those left alone, one in twenty responds
LEAST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Response probability and expected value per (subject, action), and for whom a prediction was missing.

    `spread` is the standard deviation of the expected value, as far as the lifts know it.
    """

    response: Numbers
    worth: Numbers
    degraded: np.ndarray[Any, np.dtype[np.bool_]]
    assumed: tuple[bool, ...]
    spread: Numbers | None = None

    def part(self, rows: slice) -> Ranking:
        """Give the ranking of some subjects."""
        return Ranking(
            response=self.response[rows],
            worth=self.worth[rows],
            degraded=self.degraded[rows],
            assumed=self.assumed,
            spread=None if self.spread is None else self.spread[rows],
        )


def rank(
    play: Play,
    table: pa.Table,
    actions: tuple[Action, ...],
    lifts: Lifts,
    *,
    margin: float,
    learnt: tuple[Numbers, Numbers] | None = None,
) -> Ranking:
    """Give what each action is expected to do for each subject of the table.

    `learnt` is the mean and standard deviation of the response, shape (subjects, actions), where a learner gives it.
    """
    response, sd, missing = _by_lift(play, table, actions, lifts) if learnt is None else _as_learnt(learnt)
    value = amount(value_of(play), table, f"Play '{play.name}', value") * margin
    degraded = missing | np.isnan(value)
    known_value = np.nan_to_num(value, nan=0.0)
    none = [a.id for a in actions].index(NO_ACTION)
    factor = _factor(play, table, actions)
    added = response if factor is None else response[:, [none]] + (response - response[:, [none]]) * factor
    worth = added * known_value[:, None] - np.array([a.cost for a in actions])[None, :]
    spread = sd * np.abs(known_value)[:, None]
    spread = spread if factor is None else spread * np.abs(factor)
    guessed = tuple(learnt is None and a.id != NO_ACTION and lifts.by_action[a.id].assumed for a in actions)
    return Ranking(response=response, worth=worth, degraded=degraded, assumed=guessed, spread=spread)


def _by_lift(
    play: Play, table: pa.Table, actions: tuple[Action, ...], lifts: Lifts
) -> tuple[Numbers, Numbers, np.ndarray[Any, Any]]:
    """Give mean and standard deviation of the response by the play's own expression and lifts, and what was missing."""
    base, missing = base_response(play, table, lifts)
    known = [lifts.by_action.get(a.id) for a in actions]
    shifts = np.array([0.0 if k is None else k.log_odds for k in known])
    sds = np.array([0.0 if k is None else k.sd for k in known])
    response = sigmoid(logit(base)[:, None] + shifts[None, :])
    return response, response * (1 - response) * sds[None, :], missing


def _as_learnt(learnt: tuple[Numbers, Numbers]) -> tuple[Numbers, Numbers, np.ndarray[Any, Any]]:
    return *learnt, np.zeros(len(learnt[0]), dtype=bool)


def base_response(play: Play, table: pa.Table, lifts: Lifts) -> tuple[Numbers, np.ndarray[Any, Any]]:
    """Give the chance of a response without an action, and where it had to be replaced by the overall rate."""
    overall = PRIOR_RESPONSE if lifts.base_rate is None else lifts.base_rate
    spoken = bool(play.response) or not {CHURN, WINNING}.isdisjoint(table.column_names)
    text = response_of(play) if spoken else ""
    if not text:
        return np.full(table.num_rows, overall), np.zeros(table.num_rows, dtype=bool)
    base = amount(text, table, f"Play '{play.name}', response")
    missing = np.isnan(base)
    return np.clip(np.where(missing, overall, base), LEAST, 1 - LEAST), missing


def _factor(play: Play, table: pa.Table, actions: tuple[Action, ...]) -> Numbers | None:
    """Give weight x lever per (subject, action), None where all are 1; a weight that cannot be known counts as 1."""
    if all(not a.weight.strip() and a.lever == 1.0 for a in actions):
        return None
    factor = np.tile(np.array([a.lever for a in actions]), (table.num_rows, 1))
    for j, action in enumerate(actions):
        if action.weight.strip():
            weight = amount(action.weight, table, f"Play '{play.name}', weight of '{action.id}'")
            factor[:, j] *= np.nan_to_num(weight, nan=1.0)
    return factor
