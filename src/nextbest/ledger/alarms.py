"""Alarms about a play: its chances, its arms or its rewards cannot be trusted. They bind the next decision.

`nextbest watch` raises one per check that failed and lifts it when the check is sound again; an operator may raise and
lift any. Each turn is a row with a link of the audit chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest.ledger import chain
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros, to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from nextbest.ledger.workspace import Ledger

_FILE = "alarms.sql"
ANY = "*"
HAND = "by hand"
WATCH = "watch"  # the `by` of an alarm that checks raised or lifted


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """The last turn of one alarm: raised or lifted, why, by whom, when."""

    play: str
    what: str
    raised: bool
    why: str
    by: str
    ts: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One alarm to be raised or lifted."""

    play: str
    what: str
    raised: bool
    why: str
    by: str


def turn(ledger: Ledger, turns: Sequence[Turn]) -> None:
    """Raise and lift alarms; durable, and binding, when this returns. What is as it should be already stays."""
    now = to_micros(ledger.clock())

    def write(connection: sqlite3.Connection) -> None:
        known = {(a.play, a.what): a.raised for a in newest(connection)}
        for one in turns:
            if known.get((one.play, one.what), False) == one.raised:
                continue
            row = (new_id("al"), one.play, one.what, int(one.raised), one.why, one.by, now)
            connection.execute(load(_FILE, "insert"), row)
            chain.add(connection, "alarm", row[0], chain.row_bytes(row))

    ledger.journal.write(write)


def by_hand(ledger: Ledger, play: str, *, why: str, by: str, on: bool) -> None:
    """Raise an operator's alarm about a play, or lift all there are about it."""
    with ledger.journal.read() as connection:
        standing = [a.what for a in newest(connection) if a.raised and a.play == play]
    turn(ledger, [Turn(play=play, what=what, raised=on, why=why, by=by) for what in ([HAND] if on else standing)])


def newest(connection: sqlite3.Connection) -> list[Alarm]:
    """Give the last turn of every alarm."""
    rows = connection.execute(load(_FILE, "newest")).fetchall()
    return [
        Alarm(play=play, what=what, raised=bool(raised), why=why, by=by, ts=from_micros(ts))
        for play, what, raised, why, by, ts in rows
    ]


def since(connection: sqlite3.Connection) -> dict[str, datetime]:
    """Give per play ('*' for all) when the oldest of the alarms that stand was raised."""
    found: dict[str, datetime] = {}
    for alarm in newest(connection):
        if alarm.raised:
            found[alarm.play] = min(alarm.ts, found.get(alarm.play, alarm.ts))
    return found


def stands(connection: sqlite3.Connection, play: str) -> bool:
    """Say whether a play is under an alarm now."""
    return not {play, ANY}.isdisjoint(since(connection))
