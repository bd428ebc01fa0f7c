"""Evidence: the play's own past decisions whose answer is due, as `lift.learn` reads them.

A decision counts when it was live, not degraded, drawn with a known probability, and made at least `goal_days` ago:
pending is not no. Of each subject it is the first at which anything could be drawn: later ones depend on what came of
that one, and one order would answer several. It counts as answered when the goal happened within `goal_days` after it;
the goal is a kind of event (`order`) or the name of an outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.errors import UnknownNameError
from nextbest.policies.lift import Evidence, Lifts, learn

if TYPE_CHECKING:
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.types import Action, Play

_KEPT: dict[tuple[str, str, str], Lifts] = {}  # a day's lifts per play: a single decision cannot wait for an analysis
_MOST_KEPT = 256


def lifts(ledger: Ledger, play: Play, actions: tuple[Action, ...], *, as_of: datetime) -> Lifts:
    """Give what the play's actions add, learnt once a day from what was due at its start; assumed when nothing was."""
    midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    key = (str(ledger.path), repr((play.name, play.goal, play.goal_days, actions)), midnight.isoformat())
    if key not in _KEPT:
        if len(_KEPT) >= _MOST_KEPT:
            _KEPT.clear()
        _KEPT[key] = learn(actions, read(ledger, play, as_of=midnight))
    return _KEPT[key]


def read(ledger: Ledger, play: Play, *, as_of: datetime) -> Evidence | None:
    """Give the play's decisions that had time to be answered before a moment; None when there are none."""
    from nextbest.ledger import analysis, statistics

    if not analysis.kinds_present(ledger).get("decisions"):
        return None
    try:
        goal = statistics.happened(ledger, play.goal, days=play.goal_days)
    except UnknownNameError:  # nobody has recorded this outcome yet: no answer is known
        return None
    due = statistics.responses(ledger, play.name, goal, as_of=as_of)
    if not due.num_rows:
        return None
    return Evidence(
        action_ids=tuple(due["action_id"].to_pylist()),
        base=due["base"].to_numpy(),
        choice_probability=due["choice_probability"].to_numpy(),
        could=tuple(tuple(actions) for actions in due["could"].to_pylist()),
        responded=due["responded"].cast("int8").to_numpy().astype(np.float64),
    )
