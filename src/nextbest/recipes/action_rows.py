"""A live play's decisions as rows to learn a response from: what was known, what was done, whether it was answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.ledger import learning, statistics
from nextbest.ledger.times import to_micros
from nextbest.policies.learners.layout import NOT_FEATURES, as_features
from nextbest.types import Action

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.ledger import Ledger
    from nextbest.ledger.learning import Seen
    from nextbest.ledger.statistics import Happened
    from nextbest.types import Play

ACTION = "action"  # the column that says which one
DESCRIBED = f"{ACTION} "  # what describes it: `action <name>`
ALSO = f"{DESCRIBED}and "  # which one, with a text that is known of the subject: `action and <name>`
DREW = frozenset({"policy", "random", "holdout"})
_MOST = 5_000
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Due decisions in order of time: `ts` in seconds, `actual` 1 where the goal followed, else 0."""

    seen: Sequence[Seen]
    ts: NDArray[np.float64]
    actual: NDArray[np.float64]


def read(ledger: Ledger, play: Play, *, as_of: datetime) -> Rows:
    """Give the play's due decisions before a moment; raises `UnknownNameError` where its goal was never recorded."""
    happened = statistics.happened(ledger, play.goal, days=play.goal_days)
    end = min(as_of, happened.end) if happened.end else as_of
    seen = [d for d in _due(ledger, play, to_micros(end - timedelta(days=play.goal_days))) if _teaches(d)]
    return Rows(
        seen=seen,
        ts=np.array([d.ts / _SECOND for d in seen]),
        actual=_answered(seen, happened, round(play.goal_days * 86_400 * _SECOND)),
    )


def table(seen: Sequence[Seen]) -> pa.Table:
    """Give decisions as the model reads them: columns of numbers or texts, missing where nothing was known."""
    rows = [row_of({**d.context, **d.features}, d.action_id, as_features(d.action_features)) for d in seen]
    return as_table(rows)


def as_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Give rows as columns."""
    wanted = dict.fromkeys(n for row in rows for n in row)
    return pa.table({name: as_array([row.get(name) for row in rows]) for name in wanted})


def as_array(values: Sequence[Any]) -> pa.Array:
    """Give the values of a column: texts where one is a text, else numbers."""
    if any(isinstance(v, str) for v in values):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    return pa.array([None if v is None else float(v) for v in values], pa.float64())


def action(name: str) -> Action:
    """Give an action of which nothing is assumed."""
    return Action(id=name)


def row_of(known: Mapping[str, Any], action_id: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """Give one row: what is known, the action, what describes it, and each text together with the action.

    Who responds to what is the question, and a short history cannot find it in the parts alone.
    """
    said = {n: v for n, v in known.items() if of_subject(n) and isinstance(v, str | int | float)}
    about = {f"{DESCRIBED}{n}": v for n, v in described.items() if isinstance(v, str | int | float)}
    both = {f"{ALSO}{n}": f"{action_id} {v}" for n, v in said.items() if isinstance(v, str)}
    return {**said, **about, **both, ACTION: action_id}


def of_subject(name: str) -> bool:
    """Tell whether a column may be what is known of the subject: not a word of the log, nor one that tells of actions.

    `actions_30d` may; `action` and `action price` would be taken for the action's own.
    """
    return name not in NOT_FEATURES and name != ACTION and not name.startswith(DESCRIBED)


def _due(ledger: Ledger, play: Play, until: int) -> list[Seen]:
    found: list[Seen] = []
    since = 0
    with ledger.journal.read() as connection:
        while since < until:
            rows, reached = learning.due(connection, play.name, since=since, until=until, most=_MOST)
            found += rows
            if reached <= since:
                break
            since = reached
    declared = {a.id: dict(a.features) for a in play.actions}
    return [d._replace(action_features={**declared.get(d.action_id, {}), **d.action_features}) for d in found]


def _teaches(d: Seen) -> bool:
    if d.context.get("hindsight") or d.context.get("bot"):
        return False
    return getattr(d, "arm", "policy") in DREW


def _answered(seen: Sequence[Seen], happened: Happened, window: int) -> NDArray[np.float64]:
    """Give 1 for a decision that an outcome names, or that one of its subject which names none falls into."""
    rows = happened.rows
    named: dict[str, list[int]] = {}
    loose: dict[str, list[int]] = {}
    said = rows["decision_id"].to_pylist() if "decision_id" in rows.column_names else [None] * rows.num_rows
    moments = rows["ts"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    worth = rows["value"].to_pylist()
    for who, ts, value, decision in zip(rows["subject_id"].to_pylist(), moments, worth, said, strict=True):
        if value:
            (loose if decision is None else named).setdefault(who if decision is None else decision, []).append(ts)
    return np.array(
        [
            float(any(0 <= t - d.ts < window for t in (*named.get(d.decision_id, ()), *loose.get(d.subject_id, ()))))
            for d in seen
        ]
    )
