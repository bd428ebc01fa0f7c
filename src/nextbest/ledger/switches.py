"""The kill switch: per play, channel and action; read on every decision and every dispatch.

A file named `stop` in the workspace stops everything, whatever the rows say: it needs no running program.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from nextbest.ledger import chain
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3

    from nextbest.ledger.workspace import Ledger

_FILE = "switches.sql"
STOP_FILE = "stop"
ANY = "*"


def stop(ledger: Ledger, *, why: str, play: str = ANY, channel: str = ANY, action: str = ANY) -> None:
    """Stop a play, a channel, an action, any combination, or everything; binds from the return of this call."""
    _turn(ledger, (play, channel, action), why, stopped=1)


def start(ledger: Ledger, *, why: str, play: str = ANY, channel: str = ANY, action: str = ANY) -> None:
    """Lift the stop of exactly this combination; other stops stay in force."""
    _turn(ledger, (play, channel, action), why, stopped=0)


def stopped(connection: sqlite3.Connection, *, play: str, channel: str, action: str) -> bool:
    """Say whether this action of this play on this channel is stopped now."""
    asked = {"play": play, "channel": channel, "action": action}
    return everything_stopped(connection) or connection.execute(load(_FILE, "stopped"), asked).fetchone() is not None


def everything_stopped(connection: sqlite3.Connection) -> bool:
    """Say whether the file `stop` lies in the workspace."""
    file: str = connection.execute(load(_FILE, "database")).fetchone()[2]
    return os.path.exists(os.path.join(os.path.dirname(file), STOP_FILE))  # noqa: PTH110, PTH118, PTH120 (hot path)


def listing(connection: sqlite3.Connection) -> list[tuple[str, str, str, str, int]]:
    """Give the stops in force: play, channel, action, why, microseconds."""
    return connection.execute(load(_FILE, "listing")).fetchall()


def _turn(ledger: Ledger, scope: tuple[str, str, str], why: str, *, stopped: int) -> None:
    row = (new_id("sw"), *scope, stopped, why, to_micros(ledger.clock()))

    def write(connection: sqlite3.Connection) -> None:
        connection.execute(load(_FILE, "insert"), row)
        chain.add(connection, "switch", str(row[0]), chain.row_bytes(row))

    ledger.journal.write(write)
