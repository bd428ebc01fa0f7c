"""One file into the ledger: read, checked, mapped, written as segments, and accounted for to the last record.

accepted + rejected = read, always; the same file again changes nothing, an overlapping one adds what is new.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
import msgspec
import pyarrow.parquet as pq
from sqlglot import exp

from nextbest.ledger import archive, catalogue, rejects
from nextbest.ledger.catalogue import FileRecord
from nextbest.ledger.files import digest_file
from nextbest.ledger.intake import count, known, refuse, scan, store
from nextbest.ledger.intake import plan as planning
from nextbest.ledger.intake import source as sources
from nextbest.ledger.intake.context import Context
from nextbest.ledger.intake.facts import is_keyed
from nextbest.ledger.intake.progress import told
from nextbest.ledger.mapping import Loaded
from nextbest.ledger.parsing import call, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from nextbest.ledger.intake.facts import Facts
    from nextbest.ledger.intake.plan import Plan
    from nextbest.ledger.intake.source import Source
    from nextbest.ledger.mapping import FileMapping, TextFile
    from nextbest.ledger.workspace import Ledger

_QUOTES = {"", '"', "'", "\\"}
_LONGEST_DELIMITER = 4


class UnaccountedError(Exception):
    """The quick reader's figures do not add up; the careful one decides."""


@dataclass(frozen=True, slots=True)
class Job:
    """One import under way."""

    ledger: Ledger
    connection: duckdb.DuckDBPyConnection
    folder: Path
    mapping: FileMapping
    name: str
    digest: str
    dry_run: bool


def import_text(
    ledger: Ledger,
    file: TextFile,
    mapping: FileMapping,
    *,
    progress: Callable[[int, int], None] | None = None,
    dry_run: bool = False,
) -> Loaded:
    """Bring a CSV-like file into the ledger; `progress` is called with (done, total) bytes. Raises `DataError`."""
    digest = file.digest or digest_file(file.path)
    name = file.original or file.path.name
    before = _loaded(ledger, name, digest)
    if before is not None:
        return before
    made = planning.plan(mapping, _context(ledger, mapping, name, file.columns, file.decimal))
    with _job(ledger, mapping, name, digest, dry_run=dry_run, near=file.path.parent) as job:
        total = file.path.stat().st_size
        if _quick_can(file):
            try:
                with told(job.connection, progress, total):
                    return _import(job, made, sources.direct(file, job.folder), count.plain_records(file))
            except (duckdb.Error, UnaccountedError) as error:
                if isinstance(error, (duckdb.OutOfMemoryException, duckdb.IOException)):
                    raise
                _clear(job)
        at_byte = None if progress is None else lambda byte: progress(min(byte, total), total)
        return _import(job, made, sources.careful(job.connection, file, job.folder, at_byte), None)


def import_table(
    ledger: Ledger,
    data: pa.Table | pa.RecordBatchReader,
    mapping: FileMapping,
    *,
    name: str,
    digest: str,
    dry_run: bool = False,
) -> Loaded:
    """Bring an Arrow table into the ledger (nested columns as JSON text); a reject's line is its row, from 1."""
    before = _loaded(ledger, name, digest)
    if before is not None:
        return before
    made = planning.plan(mapping, _context(ledger, mapping, name, data.schema.names, "."))
    with _job(ledger, mapping, name, digest, dry_run=dry_run, near=ledger.path) as job:
        return _import(job, made, sources.table(job.connection, data, job.folder), None)


# --- the steps ------------------------------------------------------------------------------------------------------


def _import(job: Job, made: Plan, source: Source, expected: int | None) -> Loaded:
    """Write the facts aside, account for every record, then make all visible in one commit."""
    if made.simple:
        if len(made.facts) > 1:
            made = _checked(job, made, source.relation)
        written, read, refused = _simple(job, made, source, expected)
    else:
        source = source if source.numbered else sources.staged(job.connection, source, job.folder)
        if expected is not None and source.rows > expected:
            raise UnaccountedError
        fill = planning.to_fill(made)
        if fill is not None:
            source = sources.filled(job.connection, source, *fill, job.folder)
        made = _checked(job, made, source.relation)
        read, refused = source.rows, refuse.find(job.connection, made, source)
        written = _write(job, made, source.relation)
    rejected_file = None
    if refused + source.broken_rows and not job.dry_run:
        if made.simple and refuse.find(job.connection, replace(made, checked=None), source) != refused:
            raise UnaccountedError
        rejected_file = _reject_file(job, source.line_by_line() if read == expected else source, refused)
    read, rejected = read + source.broken_rows, refused + source.broken_rows
    loaded = Loaded(
        file=job.name,
        rows_read=read,
        rows_accepted=read - rejected,
        rows_rejected=rejected,
        rows_new=0,
        rejected_file=rejected_file,
        by_kind={},
    )
    return _finish(job, made, source, written, loaded)


def _checked(job: Job, made: Plan, relation: exp.Expr) -> Plan:
    """Write every record down once with the values of all emits and the first reason against it."""
    path = job.folder / "checked.parquet"
    scan.run(job.connection, scan.copy_to(planning.records(made, relation), path))
    return replace(made, checked=scan.parquet_relation([path]))


def _simple(job: Job, made: Plan, source: Source, expected: int | None) -> tuple[dict[str, list[Path]], int, int]:
    """Write the facts of emits that decide record by record; the refused are counted in the same scan."""
    counter = _Counter(job.connection)
    written = _write(job, made, source.relation, counter)
    refused, first = counter.value(), made.facts[0]
    accepted = sum(_rows_in(p) for p in written[first.kind.name])
    one_each = len(made.facts) == 1 and first.match is None and first.kind.event
    if source.rows >= 0:
        read = source.rows
    elif one_each and accepted + refused == expected:
        read = expected
    else:
        read = scan.count(job.connection, exp.select(exp.func("count", exp.Star())).from_(source.relation.copy()))
    if (one_each and accepted + refused != read) or (expected is not None and read > expected):
        raise UnaccountedError
    return written, read, refused


class _Counter:
    """Counts the records that a scan refuses while it writes the others: a sequence, drawn once per refused record."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        sequence = exp.Create(this=scan.named("refused"), kind="SEQUENCE", replace=True)
        connection.execute(sequence.sql(scan.DIALECT))

    def drawn(self) -> exp.Expr:
        """Give an expression that is false, and counts one each time it is evaluated."""
        return call("nextval", literal("refused")).is_(exp.null())

    def value(self) -> int:
        """Give how many were refused."""
        drawn = scan.count(self._connection, exp.select(call("nextval", literal("refused"))))
        return drawn - 1


def _write(job: Job, made: Plan, relation: exp.Expr, counter: _Counter | None = None) -> dict[str, list[Path]]:
    """Write every emit's rows to a Parquet file of their own; gives the files by kind."""
    written: dict[str, list[Path]] = {}
    for number, fact in enumerate(made.facts):
        path = job.folder / f"{number}-{fact.kind.name}.parquet"
        query = _rows(fact, made, relation, counter if number == 0 else None)
        scan.run(job.connection, scan.copy_to(query, path))
        written.setdefault(fact.kind.name, []).append(path)
    return written


def _rows(fact: Facts, made: Plan, relation: exp.Expr, counter: _Counter | None) -> exp.Select:
    query = planning.rows(fact, made, relation, drawn=None if counter is None else counter.drawn())
    return query if fact.kind.event else query.distinct()


def _finish(job: Job, made: Plan, source: Source, written: dict[str, list[Path]], loaded: Loaded) -> Loaded:
    """Leave out what the ledger has, and make the rest visible with the record of the file; a dry run stops before."""
    found_new = list(_new(job, made, written))
    new = {kind: [n.path for n in found_new if n.kind == kind] for kind in written if kind not in store.JOURNALED}
    corrects = frozenset(n.path for n in found_new if n.corrected)
    journaled = {kind: paths for kind, paths in written.items() if kind in store.JOURNALED}
    by_kind = {kind: sum(_rows_in(p) for p in paths) for kind, paths in (new | journaled).items()}
    loaded = replace(
        loaded,
        rows_new=sum(by_kind.values()),
        rows_corrected=sum(n.corrected + n.replaced for n in found_new),
        by_kind={k: n for k, n in by_kind.items() if n},
    )
    if not job.dry_run:
        found = list(planning.identities(made, source.relation))
        aside = store.Journaled(job.ledger, job.connection, journaled, found, job.folder, job.name)
        store.adopt(job.ledger, new, aside, _record(job, loaded), corrects)
    return loaded


def _new(job: Job, made: Plan, written: dict[str, list[Path]]) -> Iterator[known.New]:
    """Give what is new of every emit's rows, in the order of the emits."""
    for kind, paths in written.items():
        facts = [f for f in made.facts if f.kind.name == kind]
        for fact, path in zip(facts, paths, strict=True):
            if kind not in store.JOURNALED:
                said = frozenset(fact.values) | frozenset(fact.emit.constants) if is_keyed(fact) else None
                yield known.drop(job.connection, job.ledger, kind, path, said=said)


def _record(job: Job, loaded: Loaded) -> FileRecord:
    return FileRecord(
        digest=job.digest,
        name=job.name,
        rows_read=loaded.rows_read,
        rows_accepted=loaded.rows_accepted,
        rows_rejected=loaded.rows_rejected,
        rejected_path=loaded.rejected_file,
        mapping=msgspec.json.encode(job.mapping).decode(),
    )


def _rows_in(path: Path) -> int:
    rows: int = pq.read_metadata(path).num_rows
    return rows


def _reject_file(job: Job, source: Source, refused: int) -> str:
    """Write the rejects; gives the file's path within the workspace."""
    relative = f"{rejects.FOLDER}/{rejects.file_name(job.name, job.digest)}"
    written = rejects.write(job.ledger.path / relative, refuse.rejects(job.connection, source))
    if written != refused + source.broken_rows:
        raise UnaccountedError
    return relative


@contextmanager
def _job(ledger: Ledger, mapping: FileMapping, name: str, digest: str, *, dry_run: bool, near: Path) -> Iterator[Job]:
    with archive.pending(ledger) as folder:
        connection = scan.connect(
            ledger, [folder, near.resolve(), near, ledger.path / archive.FOLDER], folder / "spill"
        )
        try:
            yield Job(ledger, connection, folder, mapping, name, digest, dry_run)
        finally:
            connection.close()


def _clear(job: Job) -> None:
    for path in job.folder.glob("*.parquet"):
        path.unlink()


def _quick_can(file: TextFile) -> bool:
    """Tell whether the database's reader understands the dialect; one column alone leaves it unsure of blank lines."""
    signs = {file.quote, file.escape} <= _QUOTES and len(file.delimiter.encode()) <= _LONGEST_DELIMITER
    return signs and len(file.columns) > 1


def _context(ledger: Ledger, mapping: FileMapping, name: str, columns: Sequence[str], decimal: str) -> Context:
    now = ledger.clock()
    return Context(
        columns=tuple(columns),
        decimal=decimal,
        namespace=mapping.namespace,
        source=name,
        received=now,
        latest=now + timedelta(days=ledger.config.limits.future_days),
    )


def _loaded(ledger: Ledger, name: str, digest: str) -> Loaded | None:
    with ledger.journal.read() as connection:
        before = catalogue.loaded(connection, digest)
    if before is None:
        return None
    return Loaded(
        file=name,
        rows_read=before.rows_read,
        rows_accepted=before.rows_accepted,
        rows_rejected=before.rows_rejected,
        rows_new=0,
        rejected_file=before.rejected_path,
        by_kind={},
        already_loaded=True,
    )
