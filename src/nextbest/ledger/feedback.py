"""What a person said to a decision: approve it, change its action, or reject it. Appended and chained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from nextbest.errors import DataError, unknown
from nextbest.ledger import chain, decisions
from nextbest.ledger.idempotency import together
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros, to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from nextbest.ledger.idempotency import Also
    from nextbest.ledger.workspace import Ledger

Verdict = Literal["approve", "change", "reject"]
_FILE = "decisions.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One judgement of one decision by one person."""

    feedback_id: str
    decision_id: str
    verdict: Verdict
    action_id: str | None
    by: str
    note: str
    ts: datetime


def record(
    ledger: Ledger,
    decision_id: str,
    *,
    verdict: Verdict,
    by: str,
    action_id: str | None = None,
    note: str = "",
    also: Also | None = None,
) -> str:
    """Store a judgement; gives its id. `action_id` is the action that a change puts in the place of the decided one."""
    if verdict not in get_args(Verdict):
        raise unknown("verdict", verdict, get_args(Verdict))
    if not by.strip():
        raise DataError("A judgement needs the name of the person who gave it: set `by`.")
    if (verdict == "change") != (action_id is not None):
        raise DataError("A change names the new action, and only a change does: set `action_id` accordingly.")
    decision = decisions.get(ledger, decision_id)
    known = [c.action_id for c in decision.candidates]
    if action_id is not None and action_id not in known:
        raise unknown(f"candidate of decision '{decision_id}'", action_id, known)
    row = (new_id("fb"), decision_id, verdict, action_id, by, note, to_micros(ledger.clock()))

    def write(connection: sqlite3.Connection) -> str:
        connection.execute(load(_FILE, "insert_feedback"), row)
        chain.add(connection, "feedback", row[0], chain.row_bytes(row))
        return row[0]

    return ledger.journal.write(together(write, also))


def of_decision(connection: sqlite3.Connection, decision_id: str) -> list[Feedback]:
    """Give the judgements of one decision, oldest first."""
    rows = connection.execute(load(_FILE, "feedback_of"), (decision_id,)).fetchall()
    return [
        Feedback(feedback_id=i, decision_id=d, verdict=v, action_id=a, by=by, note=note, ts=from_micros(ts))
        for i, d, v, a, by, note, ts in rows
    ]
