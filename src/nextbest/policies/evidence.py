"""Evidence: the play's own past decisions whose answer is due, as `lift.learn` reads them.

A decision counts when it was live, not degraded, drawn with a known probability, and made at least `goal_days` ago:
pending is not no. It counts as answered when the goal happened within `goal_days` after it; the goal is a kind of event
(`order`) or the name of an outcome.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.policies.lift import Evidence, Lifts, assumed, learn
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.types import Action, Play

_KEPT: dict[tuple[str, str, str], Lifts] = {}  # a day's lifts per play: a single decision cannot wait for an analysis
_MOST_KEPT = 256
_COLUMNS = ("decision_id", "subject_id", "ts", "action_id", "choice_probability", "play", "mode", "degraded")


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
    from nextbest.ledger import analysis

    if not analysis.kinds_present(ledger).get("decisions"):
        return None
    due = as_of - timedelta(days=play.goal_days)
    made = analysis.table(ledger, "decisions", columns=_COLUMNS, before=due)
    made = made.filter(
        pc.and_kleene(
            pc.equal(made["play"], play.name),
            pc.and_kleene(pc.equal(made["mode"], "live"), pc.invert(made["degraded"])),
        )
    ).drop_columns(["play", "mode", "degraded"])
    if not made.num_rows:
        return None
    joined = made.join(_bases(ledger, due), keys="decision_id", join_type="inner").sort_by("decision_id")
    joined = joined.filter(pc.is_valid(joined["choice_probability"]))
    return Evidence(
        action_ids=tuple(joined["action_id"].to_pylist()),
        base=joined["base"].to_numpy(),
        choice_probability=joined["choice_probability"].to_numpy(),
        responded=responded(joined, goal_events(ledger, play, as_of=as_of), days=play.goal_days),
    )


def _bases(ledger: Ledger, due: datetime) -> pa.Table:
    """Give the response probability without an action per decision."""
    from nextbest.ledger import analysis

    columns = ("decision_id", "action_id", "response_probability")
    every = analysis.table(ledger, "candidates", columns=columns, before=due)
    none = every.filter(pc.equal(every["action_id"], NO_ACTION))
    known = none.filter(pc.is_valid(none["response_probability"]))
    return pa.table({"decision_id": known["decision_id"], "base": known["response_probability"]})


def goal_events(ledger: Ledger, play: Play, *, as_of: datetime) -> pa.Table:
    """Give who reached the goal when: `subject_id`, `ts`."""
    from nextbest.ledger import analysis
    from nextbest.ledger.kinds import EVENTS

    if play.goal in EVENTS:
        return analysis.table(ledger, play.goal, columns=("subject_id", "ts"), before=as_of)
    found = analysis.table(ledger, "outcomes", columns=("subject_id", "ts", "name", "value"), before=as_of)
    reached = pc.and_kleene(pc.equal(found["name"], play.goal), pc.greater(found["value"], 0))
    return found.filter(reached).select(["subject_id", "ts"])


def responded(decisions: pa.Table, events: pa.Table, *, days: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give 1 where the subject of a decision had an event after it, within so many days, else 0."""
    ids = pa.chunked_array([*decisions["subject_id"].chunks, *events["subject_id"].chunks], pa.string())
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    n = decisions.num_rows
    moments = [
        np.asarray(t["ts"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()) for t in (decisions, events)
    ]
    order = np.lexsort((moments[1], codes[n:]))
    who, when = codes[n:][order], moments[1][order]
    start, end = np.searchsorted(who, codes[:n], "left"), np.searchsorted(who, codes[:n], "right")
    window = int(timedelta(days=days).total_seconds() * 1_000_000)
    first = _first_after(when, start, end, moments[0])
    inside = np.flatnonzero(first < end)
    out = np.zeros(n)
    out[inside] = when[first[inside]] <= moments[0][inside] + window
    return out


def _first_after(
    when: np.ndarray[Any, Any], start: np.ndarray[Any, Any], end: np.ndarray[Any, Any], moment: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Give the position of the first event later than the moment within each slice [start, end), by bisection."""
    low, high = start.copy(), end.copy()
    while (low < high).any():
        middle = (low + high) // 2
        open_rows = low < high
        later = np.zeros(len(low), dtype=bool)
        later[open_rows] = when[middle[open_rows]] > moment[open_rows]
        high = np.where(open_rows & later, middle, high)
        low = np.where(open_rows & ~later, middle + 1, low)
    return low
