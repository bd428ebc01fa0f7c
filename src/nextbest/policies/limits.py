"""How many of an action may be used today: those who gain most keep it, the others lose it before the draw.

Capacity is applied before anything is drawn, so it can never be exceeded and the choice probabilities stay exact; but
an eligible set then depends on who else is in the run, and a little capacity is left over where the draw (holdout,
exploration) gives a place to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.policies.draw import Numbers
    from nextbest.policies.removals import Removals
    from nextbest.types import Action

PER_DAY = "max_per_day"
PER_PLAY = "max_actions"


def apply_capacity(
    removals: Removals,
    worth: Numbers,
    actions: tuple[Action, ...],
    none: int,
    *,
    per_action: Mapping[str, int],
    in_all: int | None,
) -> None:
    """Remove what exceeds today's places; `per_action` and `in_all` are the places that are left."""
    gain = worth - worth[:, [none]]
    limited = [(j, per_action[a.id]) for j, a in enumerate(actions) if a.id in per_action]
    for _ in actions:
        # Who loses one action falls to the next best, which may then be full: at most one round per action.
        if not sum(_one_action(removals, gain, j, places) for j, places in limited):
            break
    if in_all is not None:
        _all_actions(removals, gain, none, in_all)


def _one_action(removals: Removals, gain: Numbers, action: int, places: int) -> bool:
    """Keep the places for those whose best action it is, then for those who gain most; tell whether any was removed."""
    rows = np.flatnonzero(removals.eligible[:, action])
    if len(rows) <= places:
        return False
    allowed = np.where(removals.eligible[rows], gain[rows], -np.inf)
    second = allowed.argmax(axis=1) != action
    order = np.lexsort((rows, -gain[rows, action], second))
    removals.remove(action, _mask(removals, rows[order[places:]]), PER_DAY)
    return True


def _all_actions(removals: Removals, gain: Numbers, none: int, places: int) -> None:
    """Keep the subjects who gain most by their best action; the others get nothing."""
    open_actions = removals.eligible.copy()
    open_actions[:, none] = False
    rows = np.flatnonzero(open_actions.any(axis=1))
    best = np.where(open_actions[rows], gain[rows], -np.inf).max(axis=1)
    beyond = _mask(removals, rows[np.lexsort((rows, -best))[places:]])
    for action in range(gain.shape[1]):
        if action != none:
            removals.remove(action, beyond, PER_PLAY)


def _mask(removals: Removals, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    mask = np.zeros(len(removals.codes), dtype=bool)
    mask[rows] = True
    return mask
