"""The last step of an import: identities, consent and outcomes into the journal, segments into the archive, at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from nextbest.ledger import archive, consent, identities, outcomes
from nextbest.ledger.intake import scan
from nextbest.ledger.kinds import kind as find_kind
from nextbest.types import Outcome

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import duckdb

    from nextbest.ledger.catalogue import FileRecord
    from nextbest.ledger.workspace import Ledger

JOURNALED = frozenset({"consent", "identities", "outcomes"})
_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Journaled:
    """What of a file goes into the journal: files of rows by kind, and the queries that find identities."""

    ledger: Ledger
    connection: duckdb.DuckDBPyConnection
    files: Mapping[str, Sequence[Path]]
    found: Sequence[exp.Select]
    folder: Path
    source: str

    def tables(self, kind: str) -> Iterator[pa.Table]:
        """Give the rows of a kind in pieces that fit into memory."""
        for path in self.files.get(kind, ()):
            for batch in pq.ParquetFile(path).iter_batches(_BATCH):
                yield pa.Table.from_batches([batch])

    def identities(self) -> Iterator[pa.Table]:
        """Give the identities, those mapped and those found beside subjects, in pieces."""
        yield from self.tables("identities")
        path = self.folder / "identities-found.parquet"
        if path.exists():
            for batch in pq.ParquetFile(path).iter_batches(_BATCH):
                yield pa.Table.from_batches([batch]).append_column("source", pa.array([self.source] * batch.num_rows))

    def find_identities(self) -> None:
        """Write the identities that the records show to a file, each once."""
        if self.found:
            every = self.found[0] if len(self.found) == 1 else exp.union(*self.found, distinct=True)
            scan.run(self.connection, scan.copy_to(every, self.folder / "identities-found.parquet"))


def adopt(
    ledger: Ledger,
    new: Mapping[str, Sequence[Path]],
    aside: Journaled,
    record: FileRecord,
    corrects: frozenset[Path] = frozenset(),
) -> None:
    """Make everything of one file visible in one commit; outcomes go before it, each being kept once by its id."""
    aside.find_identities()
    for table in aside.tables("outcomes"):
        outcomes.record(ledger, [_outcome(row) for row in table.to_pylist()])

    def extra(connection: sqlite3.Connection) -> None:
        for table in aside.tables("consent"):
            consent.add_table(connection, ledger, table)
        for table in aside.identities():
            identities.add_table(connection, ledger, table)

    archive.adopt(ledger, new, file=record, corrects=corrects, extra=extra)


def _outcome(row: Mapping[str, object]) -> Outcome:
    names = [c.name for c in find_kind("outcomes").columns]
    given = {n: row[n] for n in names if row.get(n) is not None}
    return Outcome(**given)  # type: ignore[arg-type]
