"""What a play would earn for everybody, against business as usual, from the log of its present step.

A share of subjects, drawn by chance, gets business as usual, so its mean is known without a model; what the whole play
would earn is estimated from all decisions by their logged chances (doubly robust, as in `recipes.replayed`). Both come
from the same subjects, and the interval of the difference knows that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import UnknownNameError
from nextbest.measures.replay.evaluate import laid_over, untold
from nextbest.measures.replay.intervals import interval
from nextbest.measures.replay.support import diagnostics, why_not
from nextbest.policies.target import alternative
from nextbest.recipes.replayed_rows import reader

if TYPE_CHECKING:
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.types import Effect, Play

USUAL = "business_as_usual"
LEAST = 30  # due decisions of business as usual, for a mean to have an interval


def against_usual(ledger: Ledger, play: Play, *, since: datetime, level: float = 0.95) -> Effect:
    """Give the goals per decision of the play as declared less those of business as usual, or why nobody can tell."""
    found = _found(ledger, play, since, level)
    return replace(found, outcome=play.goal, play=play.name, baseline=USUAL)


def _found(ledger: Ledger, play: Play, since: datetime, level: float) -> Effect:
    from nextbest.ledger import replayed, statistics

    try:
        happened = statistics.happened(ledger, play.goal, days=play.goal_days)
    except UnknownNameError:
        return untold("not_enough_data", f"No '{play.goal}' has been recorded yet.", 0)
    log = replayed.logged(ledger, play.name, happened, as_of=ledger.clock())
    rows = log.rows.filter(pc.greater_equal(log.rows["ts"], pa.scalar(since, log.rows.schema.field("ts").type)))
    usual = np.asarray(pc.equal(rows["arm"], USUAL)).astype(bool)
    if usual.sum() < LEAST or (~usual).sum() < LEAST:
        why = (
            f"{int(usual.sum()):,} due decisions of this step had business as usual and {int((~usual).sum()):,} "
            f"another arm; {LEAST} of each are needed. An outcome counts within {play.goal_days:g} days."
        )
        return untold("not_enough_data", why, len(usual))
    return _compared(rows, play, usual, level)


def _compared(rows: pa.Table, play: Play, usual: np.ndarray, level: float) -> Effect:
    from nextbest.measures.replay import choosing

    read = reader(rows, alternative(play))
    laid = laid_over(read.batches, read.target)
    several = bool((laid.position > 1).any())
    known = diagnostics(laid)
    why = why_not(laid, known)
    if why or several:
        why = why or "Pages of several places are compared by `measure --method replay`, against the logged policy."
        return untold("cannot_tell", why, len(laid), level=level, details=known)
    found = choosing.every(laid)["dr"]
    earned = float(laid.reward[usual].mean())
    # The share of the arm is the same in all rows of a step, so it cancels; the mean is that of a part drawn by chance.
    centred = found.centred - usual * (laid.reward - earned) / usual.mean()
    reach = interval(found.estimate - earned, centred, laid.subject, level=level)
    told = untold("ok", "", len(laid), level=level, details={**known, "value": found.estimate, "usual": earned})
    return replace(told, estimate=found.estimate - earned, low=reach.low, high=reach.high)
