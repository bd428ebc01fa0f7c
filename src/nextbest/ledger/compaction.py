"""Live events become segments: the journal stays small, and nothing that was taken in is taken in again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from nextbest.errors import ConflictError
from nextbest.ledger import analysis, archive, views
from nextbest.ledger.live import Rows, compactions
from nextbest.ledger.statements import load

if TYPE_CHECKING:
    import sqlite3

    from nextbest.ledger.workspace import Ledger

_FILE = "live.sql"
_SOURCE = "live"


def compact(ledger: Ledger, *, least: int = 10_000) -> int:
    """Move the live events of every kind that has at least so many into a segment; gives how many rows moved.

    Ids of messages are remembered apart, so a message that is sent again is still a duplicate.
    """
    archive.tidy(ledger)
    with ledger.journal.read() as connection:
        due = [kind for kind, rows in connection.execute(load(_FILE, "counts")) if rows >= least]
    return sum(_compact(ledger, kind) for kind in due)


def _compact(ledger: Ledger, kind: str) -> int:
    """Move the live events of one kind that are there now; gives 0 when some were erased meanwhile."""
    with ledger.journal.read() as connection:
        (last,) = connection.execute(load(_FILE, "last"), (kind,)).fetchone()
        before = compactions(connection)
    with analysis.connect(ledger, []) as duck, archive.pending(ledger) as folder:
        rows = Rows(ledger=ledger, statement="event", parameters=(kind, last), compactions=before)
        analysis.view(duck, _SOURCE, rows)
        table = analysis.run(duck, views.live_rows(kind, _SOURCE)).select(archive.schema_of(kind).names)
        file = folder / "segment.parquet"
        pq.write_table(table, file, compression="zstd", compression_level=1, row_group_size=archive.ROW_GROUP)

        def take(connection: sqlite3.Connection) -> None:
            if connection.execute(load(_FILE, "take"), (kind, last)).rowcount != table.num_rows:
                raise ConflictError(f"Live events of kind '{kind}' were erased while they became a segment.")

        try:
            archive.add(ledger, kind, file, source=archive.COMPACTION, extra=take)
        except ConflictError:
            return 0
    return int(table.num_rows)
