"""What learning from the log needs: decisions whose time is up, what may answer them, and states, version by version.

A state is published by compare-and-swap: whoever learnt from an older one than the newest has lost, and reads again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nextbest.ledger import alarms, catalogue, identities
from nextbest.ledger.described import by_action, read
from nextbest.ledger.kinds import EVENTS
from nextbest.ledger.outcomes import EARLY
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros, to_micros

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from nextbest.ledger.workspace import Ledger

_FILE = "learning.sql"
KEPT = 5  # states that stay, to look at or go back to


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a state has learnt: `outcomes` and `events` are the numbers of the last rows that were read.

    `closed` says per step of waiting up to when decisions have passed it (microseconds UTC). `segments` are those whose
    events were read; `erased` counts the erasures that the state knows of. `delays` counts the answers that came within
    each step of waiting; `shares` says how much of a row silence counts for at each (none: evenly), as was last settled
    from `settled` answers.
    """

    closed: tuple[int, ...] = ()
    outcomes: int = 0
    events: int = 0
    segments: tuple[str, ...] = ()
    erased: int = 0
    delays: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()
    settled: int = 0


class Stored(NamedTuple):
    """One published state."""

    number: int
    version: str
    body: bytes
    cursor: Cursor
    ts: int


class Seen(NamedTuple):
    """One decision as the learner sees it; `ts` in microseconds."""

    decision_id: str
    subject_id: str
    ts: int
    action_id: str
    context: Mapping[str, Any]
    features: Mapping[str, Any]
    action_features: Mapping[str, Any]
    arm: str = "policy"


class Arrival(NamedTuple):
    """Something that may answer a decision: whose, when, and of which decision if that is known."""

    subject_id: str
    ts: int
    decision_id: str | None


def newest(connection: sqlite3.Connection, play: str) -> Stored | None:
    """Give the newest state of a play's learner."""
    row = connection.execute(load(_FILE, "newest"), (play,)).fetchone()
    if row is None:
        return None
    number, version, body, cursor, ts = row
    return Stored(number, version, body, msgspec.json.decode(cursor, type=Cursor), ts)


def number(connection: sqlite3.Connection, play: str) -> int:
    """Give the number of the newest state, 0 when there is none."""
    return int(connection.execute(load(_FILE, "number"), (play,)).fetchone()[0] or 0)


def publish(ledger: Ledger, play: str, state: Stored, answered: Iterable[str], *, afresh: bool) -> bool:
    """Store a state after the one numbered before it, with the decisions newly answered; False when another was first.

    `afresh` says that the state was learnt from the beginning, so that what older ones counted is forgotten. While an
    alarm about the play stands, nothing is learnt on; what an erasure asks to be learnt again still is.
    """

    def write(connection: sqlite3.Connection) -> bool:
        if number(connection, play) != state.number - 1 or (not afresh and alarms.stands(connection, play)):
            return False
        cursor = msgspec.json.encode(state.cursor).decode()
        row = (play, state.number, state.version, state.body, cursor, state.ts)
        connection.execute(load(_FILE, "insert"), row)
        connection.execute(load(_FILE, "forget_older"), (play, state.number - 1 if afresh else state.number - KEPT))
        if afresh:
            connection.execute(load(_FILE, "clear_learnt"), (play,))
        connection.executemany(load(_FILE, "add_learnt"), ((name, play) for name in answered))
        return True

    return ledger.journal.write(write)


def erasures(connection: sqlite3.Connection) -> int:
    """Give how many erasures there have been."""
    found: int = connection.execute(load(_FILE, "erasures")).fetchone()[0]
    return found


def learnt(connection: sqlite3.Connection, decision_ids: Iterable[str]) -> set[str]:
    """Give those of the decisions that are counted as answered already."""
    asked = msgspec.json.encode(list(decision_ids)).decode()
    return {row[0] for row in connection.execute(load(_FILE, "learnt"), (asked,))}


def due(connection: sqlite3.Connection, play: str, *, since: int, until: int, most: int) -> tuple[list[Seen], int]:
    """Give live, sound decisions from `since` to before `until`, oldest first, and up to when they are complete."""
    asked = {"play": play, "since": since, "until": until, "most": most}
    rows = [_seen(row) for row in connection.execute(load(_FILE, "due"), asked)]
    if len(rows) < most:
        return rows, max(until, since)
    last = rows[-1].ts
    kept = [row for row in rows if row.ts < last]
    if kept:
        return kept, last
    return due(connection, play, since=since, until=last + 1, most=most * 2)  # all at one moment: take the moment whole


def answered(connection: sqlite3.Connection, play: str, arrival: Arrival, *, window: int) -> Seen | None:
    """Give the decision that an arrival answers in time: the one it names, else its subject's last one before it.

    The one it names may seem to lie up to `outcomes.EARLY` after it.
    """
    asked: dict[str, Any] = {"play": play, "ts": arrival.ts, "window": window}
    if arrival.decision_id is not None:
        named = asked | {"decision_id": arrival.decision_id, "early": EARLY // timedelta(microseconds=1)}
        row = connection.execute(load(_FILE, "by_id"), named).fetchone()
    else:
        ids = msgspec.json.encode(identities.cluster(connection, arrival.subject_id)).decode()
        row = connection.execute(load(_FILE, "last_of_subject"), asked | {"subjects": ids}).fetchone()
    return None if row is None else _seen(row)


def arrivals(
    ledger: Ledger, connection: sqlite3.Connection, goal: tuple[str, str], cursor: Cursor, *, most: int
) -> tuple[list[Arrival], Cursor]:
    """Give what came in of a (play, goal) since a cursor, and the cursor after it.

    A goal is a kind of event, or an outcome's name.
    """
    if goal[1] in EVENTS:
        return _events(ledger, connection, goal, cursor, most)
    last: int = connection.execute(load(_FILE, "last_outcome_row")).fetchone()[0]
    rows = connection.execute(load(_FILE, "outcomes"), (cursor.outcomes, goal[1], most)).fetchall()
    return [Arrival(*row[:3]) for row in rows], replace(cursor, outcomes=rows[-1][3] if len(rows) == most else last)


def observed(ledger: Ledger, connection: sqlite3.Connection) -> int | None:
    """Give the last moment of which anything is known, event or outcome; None when nothing ever came in."""
    last = catalogue.last_event(ledger)
    outcome = connection.execute(load(_FILE, "last_outcome")).fetchone()[0]
    known = [t for t in (None if last is None else to_micros(last), outcome) if t is not None]
    return max(known, default=None)


def _events(
    ledger: Ledger, connection: sqlite3.Connection, goal: tuple[str, str], cursor: Cursor, most: int
) -> tuple[list[Arrival], Cursor]:
    last: int = connection.execute(load(_FILE, "last_seq")).fetchone()[0]
    start = cursor.events if cursor.events <= last else 0  # numbers start again when all events have become segments
    rows = connection.execute(load(_FILE, "events"), (start, goal[1], most)).fetchall()
    found = [Arrival(*row[:3]) for row in rows]
    known = set(cursor.segments)
    fresh = [s for s in catalogue.segments(connection, goal[1]) if s.segment_id not in known]
    first: int | None = connection.execute(load(_FILE, "first"), goal[:1]).fetchone()[0]
    for segment in fresh:
        if first is None or (segment.max_ts is not None and segment.max_ts < first):
            continue
        after = pc.field("ts") >= pa.scalar(from_micros(first))
        rows_of = pq.read_table(ledger.path / segment.path, columns=["subject_id", "ts"], filters=after)
        times = rows_of["ts"].cast("int64").to_pylist()
        found += [Arrival(s, t, None) for s, t in zip(rows_of["subject_id"].to_pylist(), times, strict=True)]
    reached = replace(
        cursor,
        events=rows[-1][3] if len(rows) == most else last,
        segments=(*cursor.segments, *(s.segment_id for s in fresh)),
    )
    return found, reached


def _seen(row: tuple[Any, ...]) -> Seen:
    decision_id, subject_id, ts, action_id, context, features, described, arm = row
    return Seen(
        decision_id,
        subject_id,
        ts,
        action_id,
        msgspec.json.decode(context),
        msgspec.json.decode(features),
        by_action(read(described)).get(action_id, {}),
        arm,
    )
