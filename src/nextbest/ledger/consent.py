"""Consent and suppression: append-only answers with proof, durable before they are acknowledged, and chained."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from nextbest.errors import DataError
from nextbest.ledger import chain
from nextbest.ledger.gate import ANY, Gate, gate, version
from nextbest.ledger.idempotency import together
from nextbest.ledger.identities import normalise
from nextbest.ledger.permits import removed
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import digest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from nextbest.ledger.idempotency import Also
    from nextbest.ledger.workspace import Ledger

__all__ = [
    "ANY",
    "MARKETING",
    "Gate",
    "Row",
    "add",
    "add_table",
    "gate",
    "record",
    "record_many",
    "removed",
    "suppress",
    "suppress_digest",
    "touch",
    "version",
]

_FILE = "consent.sql"
_ROWS_PER_COMMIT = 5_000  # so that an opt-out never waits long behind a bulk load
MARKETING = "marketing"
Row = tuple[str, str, str, int, int, str, str]  # subject_id, purpose, channel, allowed, ts, proof, source


def record(  # noqa: PLR0913 (the columns of one row)
    ledger: Ledger,
    subject_id: str,
    *,
    purpose: str = MARKETING,
    channel: str = ANY,
    allow: bool,
    proof: str,
    source: str = "",
    ts: datetime | None = None,
    also: Also | None = None,
) -> int:
    """Record one yes or no; gives the consent version from which it binds. Durable before it returns."""
    now = to_micros(ledger.clock())
    row = _checked((subject_id, purpose, channel, int(allow), now if ts is None else to_micros(ts), proof, source))
    return ledger.journal.write(together(lambda connection: add(connection, [row], now), also))


def record_many(ledger: Ledger, table: pa.Table) -> int:
    """Record a table with the columns of kind `consent`; gives the consent version after its last row."""
    newest = 0
    for start in range(0, max(table.num_rows, 1), _ROWS_PER_COMMIT):
        part = table.slice(start, _ROWS_PER_COMMIT)
        newest = ledger.journal.write(partial(add_table, ledger=ledger, table=part))
    return newest


def add_table(connection: sqlite3.Connection, ledger: Ledger, table: pa.Table) -> int:
    """Record a table of kind `consent` inside the caller's transaction; gives the consent version."""
    now = to_micros(ledger.clock())
    return add(connection, [_checked(_row(row, now)) for row in _dicts(table)], now)


def add(connection: sqlite3.Connection, rows: Iterable[Row], now: int) -> int:
    """Record rows inside the caller's transaction, with their links; gives the consent version."""
    numbered = list(rows)
    if not numbered:
        return version(connection)
    newest = touch(connection, len(numbered))
    first = newest - len(numbered) + 1
    stored = [(first + i, *row[:3], int(row[3]), row[4], now, *row[5:]) for i, row in enumerate(numbered)]
    connection.executemany(load(_FILE, "insert"), stored)
    chain.add_many(connection, "consent", ((str(row[0]), chain.row_bytes(row)) for row in stored))
    return newest


def suppress(ledger: Ledger, identity: str, *, reason: str) -> None:
    """Never contact this e-mail, phone or id again; only its keyed hash is kept, and it survives erasure."""
    if not identity.strip() or not reason.strip():
        raise DataError("A suppression needs an identity (e-mail, phone or id) and a reason.")
    hashed, now = digest(ledger, normalise(identity)), to_micros(ledger.clock())
    ledger.journal.write(lambda connection: suppress_digest(connection, hashed, reason, now))


def suppress_digest(connection: sqlite3.Connection, hashed: str, reason: str, now: int) -> None:
    """Suppress a keyed hash of a normalised identity inside the caller's transaction; once is enough."""
    if connection.execute(load(_FILE, "is_suppressed"), (hashed,)).fetchone() is None:
        connection.execute(load(_FILE, "suppress"), (hashed, reason, now, touch(connection)))
        chain.add_stored(connection, "suppression", hashed)


def touch(connection: sqlite3.Connection, by: int = 1) -> int:
    """Move the consent version on, because a permission may have changed; gives the new version."""
    moved: int = connection.execute(load(_FILE, "touch"), (by,)).fetchone()[0]
    return moved


def _dicts(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches():
        yield from batch.to_pylist()


def _row(row: dict[str, Any], now: int) -> Row:
    if not isinstance(row.get("allowed"), bool):
        raise DataError(f"The consent of '{row.get('subject_id')}' is neither yes nor no; `allowed` must be a boolean.")
    ts, source = row.get("ts"), row.get("source") or ""
    micros = to_micros(ts) if isinstance(ts, datetime) else now
    proof = row.get("proof") or source
    purpose, channel = row.get("purpose") or MARKETING, row.get("channel") or ANY
    return row["subject_id"], purpose, channel, row["allowed"], micros, proof, source


def _checked(row: Row) -> Row:
    subject_id, purpose, channel, _, _, proof, _ = row
    for name, value in (("subject_id", subject_id), ("purpose", purpose), ("channel", channel), ("proof", proof)):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"A consent needs a {name}. Say for proof who answered, when, where and to which text.")
    return row
