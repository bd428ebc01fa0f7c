"""Replies that a repeated request gets again: same key and body, same reply; other body, a conflict.

A reply is kept in the transaction that did what it says: `Once` is handed to the function that writes, and runs there
last. Had another process answered the key meanwhile, it raises `Repeated` with that reply, and the step is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from nextbest.errors import ConflictError
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

_FILE = "keys.sql"
KEPT_DAYS = 30
T = TypeVar("T")
Also = Callable[["sqlite3.Connection", Any], None]  # what is done in a transaction besides, with its result


class Repeated(Exception):  # noqa: N818 (not an error: it undoes the step and carries the first reply)
    """This key was answered before."""

    def __init__(self, reply: bytes) -> None:
        super().__init__()
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One request that may come twice: digests of its key and body, and how its result is worded."""

    key: str
    body_digest: str
    now: datetime
    word: Callable[[Any], bytes]
    subject_id: str | None = None

    def __call__(self, connection: sqlite3.Connection, result: object) -> None:
        """Keep the reply to this result, inside the transaction that made it."""
        before = lookup(connection, self.key, self.body_digest)
        if before is not None:
            raise Repeated(before)
        prune(connection, before=self.now - timedelta(days=KEPT_DAYS))
        store(connection, self.key, self.body_digest, self.word(result), now=self.now, subject_id=self.subject_id)


def together(write: Callable[[sqlite3.Connection], T], also: Also | None) -> Callable[[sqlite3.Connection], T]:
    """Give a function for the journal that does both in one step."""
    if also is None:
        return write

    def both(connection: sqlite3.Connection) -> T:
        result = write(connection)
        also(connection, result)
        return result

    return both


def lookup(connection: sqlite3.Connection, key: str, body_digest: str) -> bytes | None:
    """Give the first reply to this key, or None when the key is new; raises `ConflictError` for another body."""
    row = connection.execute(load(_FILE, "reply"), (key,)).fetchone()
    if row is None:
        return None
    before, reply = row
    if before != body_digest:
        raise ConflictError("This Idempotency-Key came before with another body. Use a new key for a new request.")
    found: bytes = reply
    return found


def store(  # one row of one table
    connection: sqlite3.Connection,
    key: str,
    body_digest: str,
    reply: bytes,
    *,
    now: datetime,
    subject_id: str | None = None,
) -> None:
    """Keep a reply inside the transaction that did what it says; `subject_id` lets erasure find it."""
    connection.execute(load(_FILE, "insert_reply"), (key, body_digest, reply, subject_id, to_micros(now)))


def prune(connection: sqlite3.Connection, *, before: datetime) -> int:
    """Drop replies from before a moment; gives how many."""
    return connection.execute(load(_FILE, "prune_replies"), (to_micros(before),)).rowcount
