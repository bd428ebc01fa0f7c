"""After a restore, before anything is served: what people said and what was stopped since the backup counts again.

Consent, suppressions, erasures, kill switches, revoked keys, contacts (for the caps) and the state of messages are read
from the journal that is being replaced. Without one, messages that may have been sent already are closed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from nextbest.errors import LedgerError
from nextbest.ledger import catalogue, chain, consent, erasure, rewriting
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextbest.ledger.workspace import Ledger

_FILE = "replay.sql"
_READ = ("consent", "suppression", "erased", "switch", "key_revoked", "contact", "outbox", "version")
_CLOSED = "restored from a backup: it may have been sent since"
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """The rows of a journal that a restored one must honour, by table."""

    rows: Mapping[str, list[Row]]


def read(journal: Path) -> Later:
    """Give what the journal at this path says; raises `LedgerError` when it cannot be read."""
    try:
        with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
            (state,) = connection.execute(load(_FILE, "check")).fetchone()
            if state != "ok":
                raise LedgerError(f"The journal {journal} is damaged: {state}. {_REMEDY}")
            return Later(rows={name: connection.execute(load(_FILE, f"read_{name}")).fetchall() for name in _READ})
    except sqlite3.Error as error:
        raise LedgerError(f"The journal {journal} cannot be read: {error}. {_REMEDY}") from error


_REMEDY = (
    "Later consent and erasures cannot be replayed from it; move the folder away if you accept that, and try again."
)


def replay(ledger: Ledger, later: Later | None) -> tuple[str, ...]:
    """Make a restored workspace honour what came later; gives the ids of the subjects that were erased again."""
    if later is None:
        ledger.journal.write(lambda connection: connection.execute(load(_FILE, "close_outbox"), (_CLOSED,)).rowcount)
        return ()
    ledger.journal.write(lambda connection: _add(connection, ledger, later.rows))
    hashes = {row[1] for row in later.rows["erased"]}
    again = sorted({s for s in _subjects(ledger) if digest(ledger, s) in hashes}) if hashes else []
    for subject_id in again:
        erasure.erase(ledger, subject_id)
    return tuple(again)


def _add(connection: sqlite3.Connection, ledger: Ledger, rows: Mapping[str, list[Row]]) -> None:
    """Add every row that the restored journal does not have, with its link where the table is chained."""
    now = to_micros(ledger.clock())
    known = set(connection.execute(load(_FILE, "read_consent")).fetchall())
    consent.add(connection, [row for row in rows["consent"] if row not in known], now)
    for hashed, reason, ts in rows["suppression"]:
        consent.suppress_digest(connection, hashed, reason, ts)
    for table, what in (("erased", "erase"), ("switch", "switch"), ("key_revoked", "key_revoked")):
        for row in rows[table]:
            if connection.execute(load(_FILE, f"add_{table}"), row).rowcount:
                chain.add_stored(connection, what, row[0])
    connection.executemany(load(_FILE, "add_contact"), rows["contact"])
    connection.execute(load(_FILE, "close_outbox"), (_CLOSED,))  # but for those whose state is known
    connection.executemany(load(_FILE, "update_outbox"), rows["outbox"])
    (version,) = rows["version"][0]
    consent.touch(connection, max(version - consent.version(connection), 0) + 1)


def _subjects(ledger: Ledger) -> Iterator[str]:
    """Give every subject id in the journal and the segments, some more than once."""
    with ledger.journal.read() as connection:
        yield from (row[0] for row in connection.execute(load(_FILE, "subjects")).fetchall())
        segments = catalogue.segments(connection)
    for segment in segments:
        with pq.ParquetFile(ledger.path / segment.path) as file:
            for column in rewriting.about(segment.kind):
                for number in range(file.num_row_groups):
                    yield from file.read_row_group(number, columns=[column])[column].unique().to_pylist()
