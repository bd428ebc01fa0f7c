"""Replies that a repeated request gets again: same key and body, same reply; other body, a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.errors import ConflictError
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

_FILE = "keys.sql"
KEPT_DAYS = 30


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
