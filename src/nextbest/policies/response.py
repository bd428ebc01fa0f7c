"""How likely a subject responds to each action, and what that is worth against doing nothing.

    P(response | action) = sigmoid(logit base + lift[action])      base: the play's `response`, without any action
    expected value       = P(response | action) x value - cost     value: the play's `value` x margin

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
_LEAST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Response probability and expected value per (subject, action), and for whom a prediction was missing."""

    response: Numbers
    worth: Numbers
    degraded: np.ndarray[Any, np.dtype[np.bool_]]
    assumed: tuple[bool, ...]


def rank(play: Play, table: pa.Table, actions: tuple[Action, ...], lifts: Lifts, *, margin: float) -> Ranking:
    """Give what each action is expected to do for each subject of the table."""
    base, missing = base_response(play, table, lifts)
    value = amount(value_of(play), table, f"Play '{play.name}', value") * margin
    degraded = missing | np.isnan(value)
    known_value = np.nan_to_num(value, nan=0.0)
    shifts = [lifts.by_action[a.id].log_odds if a.id in lifts.by_action else 0.0 for a in actions]
    response = sigmoid(logit(base)[:, None] + np.array(shifts)[None, :])
    worth = response * known_value[:, None] - np.array([a.cost for a in actions])[None, :]
    guessed = tuple(a.id != NO_ACTION and lifts.by_action[a.id].assumed for a in actions)
    return Ranking(response=response, worth=worth, degraded=degraded, assumed=guessed)


def base_response(play: Play, table: pa.Table, lifts: Lifts) -> tuple[Numbers, np.ndarray[Any, Any]]:
    """Give the chance of a response without an action, and where it had to be replaced by the overall rate."""
    overall = PRIOR_RESPONSE if lifts.base_rate is None else lifts.base_rate
    spoken = bool(play.response) or not {CHURN, WINNING}.isdisjoint(table.column_names)
    text = response_of(play) if spoken else ""
    if not text:
        return np.full(table.num_rows, overall), np.zeros(table.num_rows, dtype=bool)
    base = amount(text, table, f"Play '{play.name}', response")
    missing = np.isnan(base)
    return np.clip(np.where(missing, overall, base), _LEAST, 1 - _LEAST), missing
