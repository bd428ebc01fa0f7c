"""The kill switch: per play, channel and action; read in the transaction of every decision and every dispatch.

A file named `stop` in the workspace stops without any running program. Empty, it stops everything, whatever the rows
say. Else each line names what it stops, such as `play=win_back` or `channel=email action=coupon`; `#` begins a comment.
A line that cannot be understood stops everything.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest.ledger import chain
from nextbest.ledger.idempotency import together
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3

    from nextbest.ledger.idempotency import Also
    from nextbest.ledger.workspace import Ledger

_FILE = "switches.sql"
STOP_FILE = "stop"
ANY = "*"


def stop(
    ledger: Ledger, *, why: str, play: str = ANY, channel: str = ANY, action: str = ANY, also: Also | None = None
) -> None:
    """Stop a play, a channel, an action, any combination, or everything; binds from the return of this call."""
    _turn(ledger, (play, channel, action), why, also, stopped=1)


def start(
    ledger: Ledger, *, why: str, play: str = ANY, channel: str = ANY, action: str = ANY, also: Also | None = None
) -> None:
    """Lift the stop of exactly this combination; other stops stay in force."""
    _turn(ledger, (play, channel, action), why, also, stopped=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """What is stopped at one moment: everything, or combinations of play, channel and action ('*' for all)."""

    everything: bool = False
    scopes: tuple[tuple[str, str, str], ...] = ()

    def __bool__(self) -> bool:
        return self.everything or bool(self.scopes)

    def of(self, *, play: str, channel: str, action: str) -> bool:
        """Say whether an action of a play on a channel is stopped."""
        asked = (play, channel, action)
        return self.everything or any(
            all(stop in (ANY, name) for stop, name in zip(scope, asked, strict=True)) for scope in self.scopes
        )


_NOTHING, _EVERYTHING = Stops(), Stops(everything=True)


def stops(connection: sqlite3.Connection) -> Stops:
    """Give everything that is stopped now, for a whole group of decisions: one statement, one look at the file."""
    file = written(connection)
    rows = tuple((play, channel, action) for play, channel, action, _, _ in listing(connection))
    return Stops(everything=file.everything, scopes=(*file.scopes, *rows))


def stopped(connection: sqlite3.Connection, *, play: str, channel: str, action: str) -> bool:
    """Say whether this action of this play on this channel is stopped now."""
    asked = {"play": play, "channel": channel, "action": action}
    return written(connection).of(**asked) or connection.execute(load(_FILE, "stopped"), asked).fetchone() is not None


def listing(connection: sqlite3.Connection) -> list[tuple[str, str, str, str, int]]:
    """Give the stops in force: play, channel, action, why, microseconds."""
    return connection.execute(load(_FILE, "listing")).fetchall()


def written(connection: sqlite3.Connection) -> Stops:
    """Give what the file `stop` in the workspace says; what cannot be read or understood stops everything."""
    database: str = connection.execute(load(_FILE, "database")).fetchone()[2]
    file = os.path.join(os.path.dirname(database), STOP_FILE)  # noqa: PTH118, PTH120 (hot path)
    if not os.path.exists(file):  # noqa: PTH110 (hot path)
        return _NOTHING
    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123 (hot path)
            lines = [line.partition("#")[0].split() for line in opened]
    except (OSError, UnicodeDecodeError):
        return _EVERYTHING
    scopes = [_scope(words) for words in lines if words]
    return Stops(scopes=tuple(s for s in scopes if s)) if scopes and all(scopes) else _EVERYTHING


def _scope(words: list[str]) -> tuple[str, str, str] | None:
    """Give what one line of the file stops, or None where it says something else."""
    pairs = dict(word.partition("=")[::2] for word in words)
    if not all(pairs.values()) or not pairs.keys() <= {"play", "channel", "action"} or len(pairs) < len(words):
        return None
    return pairs.get("play", ANY), pairs.get("channel", ANY), pairs.get("action", ANY)


def _turn(ledger: Ledger, scope: tuple[str, str, str], why: str, also: Also | None, *, stopped: int) -> None:
    row = (new_id("sw"), *scope, stopped, why, to_micros(ledger.clock()))

    def write(connection: sqlite3.Connection) -> None:
        connection.execute(load(_FILE, "insert"), row)
        chain.add(connection, "switch", str(row[0]), chain.row_bytes(row))

    ledger.journal.write(together(write, also))
