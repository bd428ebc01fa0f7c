"""Outcomes: what came of decisions, each kept once.

Whoever names the decision knew it, so the outcome came after it, whatever its clock says. Clients cut to whole
seconds, and clocks differ: an outcome that names its decision counts as of that decision when it seems to lie up to
`EARLY` before it. What is stored stays as it came.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from nextbest.ledger import checks
from nextbest.ledger.idempotency import together
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from nextbest.ledger.idempotency import Also
    from nextbest.ledger.workspace import Ledger
    from nextbest.types import Outcome

EARLY = timedelta(seconds=5)  # a second that was cut, and clocks that are set by the network now and then
_PER_COMMIT = 10_000


def record(ledger: Ledger, rows: Sequence[Outcome], *, also: Also | None = None) -> int:
    """Store outcomes durably; gives how many were new. An `outcome_id` that is there already is left as it is.

    Raises `DataError` for an empty id, a value that is not finite, or a time before 1900 or in the future.
    """
    now = ledger.clock()
    latest = checks.latest_moment(now, ledger.config.limits.future_days)
    stored = [_row(row, latest, to_micros(now)) for row in rows]
    new = 0
    for start in range(0, max(len(stored), 1), _PER_COMMIT):
        part = stored[start : start + _PER_COMMIT]
        last = start + _PER_COMMIT >= len(stored)
        new += ledger.journal.write(together(partial(_insert, rows=part), also if last else None))
    return new


def early(ledger: Ledger) -> dict[str, int]:
    """Give the outcomes that seem to lie a little before the decision they name: by id, its microseconds UTC."""
    with ledger.journal.read() as connection:
        found = connection.execute(load("events.sql", "early_outcomes"), (EARLY // timedelta(microseconds=1),))
        return dict(found.fetchall())


def _insert(connection: sqlite3.Connection, rows: list[tuple[object, ...]]) -> int:
    return connection.executemany(load("events.sql", "insert_outcome"), rows).rowcount


def _row(row: Outcome, latest: int, now: int) -> tuple[object, ...]:
    return (
        checks.identifier("outcome_id", row.outcome_id),
        row.decision_id,
        checks.identifier("subject_id", row.subject_id),
        checks.moment("ts", row.ts, latest=latest)[0],
        checks.identifier("name", row.name),
        checks.number("value", row.value),
        checks.plain_text("source", row.source),
        now,
    )
