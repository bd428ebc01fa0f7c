"""Bulk facts as immutable Parquet segments: written aside, then made visible by one commit of the catalogue.

    archive/.pending/<folder>/   files being written; swept away when their writer is gone
    archive/<kind>/<id>.parquet  segments; one that no catalogue row names is not there, and is swept away too

A file moves from the first place to the second inside the transaction that names it, so whoever holds the journal's
write lock knows that an unnamed file belongs to a process that died.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nextbest.errors import ConflictError, DataError, LedgerError, nearest
from nextbest.ledger import catalogue, chain
from nextbest.ledger.files import digest_file, scratch, sweep, sync
from nextbest.ledger.kinds import kind as find_kind
from nextbest.ledger.statements import load
from nextbest.ledger.times import to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nextbest.ledger.catalogue import FileRecord, Segment
    from nextbest.ledger.workspace import Ledger

FOLDER = "archive"
PENDING = ".pending"
TEMPORARY = ".tmp"
DECISION = "decision"
COMPACTION = "compaction"
ROW_GROUP = 131_072


def pending(ledger: Ledger) -> AbstractContextManager[Path]:
    """Give a fresh folder for files that are to become segments; what is left in it goes when the block ends."""
    return scratch(ledger.path / FOLDER / PENDING / new_id("w"))


def append(ledger: Ledger, kind: str, data: pa.Table | pa.RecordBatchReader, *, source: str) -> int:
    """Give the number of rows stored as one new segment of *kind*; raises `DataError` on a wrong column or value.

    `event_id`, `received_ts` and `source` are filled in where the data lacks the column.
    """
    tidy(ledger)
    reader = data.to_reader(max_chunksize=ROW_GROUP) if isinstance(data, pa.Table) else data
    with pending(ledger) as folder:
        file = folder / "segment.parquet"
        rows = _write(ledger, kind, reader, file, source)
        if rows:
            _publish(ledger, [_describe(file, kind, source, None)], {}, None)
    return rows


def adopt(
    ledger: Ledger,
    files: Mapping[str, Sequence[Path]],
    *,
    file: FileRecord,
    corrects: frozenset[Path] = frozenset(),
    source: str | None = None,
    extra: Callable[[sqlite3.Connection], None] | None = None,
) -> None:
    """Make ready Parquet files the segments of their kinds, in one commit with the record of the file they came from.

    `corrects` are those of them that hold other values for events that were stored before; `extra` writes the journal
    rows (identities, consent) that belong to the same file, in the same commit. `source` stands for the file's name.
    """
    made = [
        _describe(path, kind, source or file.name, file.digest, corrects=path in corrects)
        for kind, paths in files.items()
        for path in paths
    ]

    def record(connection: sqlite3.Connection) -> None:
        if catalogue.loaded(connection, file.digest) is not None:
            raise ConflictError(f"{file.name} was loaded meanwhile, by another process. Nothing was loaded twice.")
        catalogue.add_file(connection, file, ledger.clock())
        if extra is not None:
            extra(connection)

    _publish(ledger, [m for m in made if m[0].rows], {}, record)
    for path in (path for paths in files.values() for path in paths):
        path.unlink(missing_ok=True)  # a file without rows becomes no segment


def replace(
    ledger: Ledger,
    replacements: Mapping[str, Path | None],
    *,
    seen: frozenset[str],
    extra: Callable[[sqlite3.Connection], None],
) -> bool:
    """Put rewritten files in the place of segments, by segment id, in one commit with *extra*; None leaves nothing.

    Gives False, and changes nothing, when the catalogue is no longer the one whose segment ids the caller has *seen*.
    """
    before = {s.segment_id: s for s in catalogue.listing(ledger)}
    made = []
    for segment_id, path in replacements.items():
        old = before.get(segment_id)
        if old is None:
            return False
        if path is not None:
            made.append(_describe(path, old.kind, old.source, old.file_digest, corrects=old.corrects))
    return _publish(ledger, made, {s: before[s] for s in replacements}, extra, seen)


def add(ledger: Ledger, kind: str, file: Path, *, source: str, extra: Callable[[sqlite3.Connection], None]) -> None:
    """Make one ready file a segment of its kind, in one commit with *extra*; what that raises undoes both."""
    _publish(ledger, [_describe(file, kind, source, None)], {}, extra)


def tidy(ledger: Ledger) -> list[Path]:
    """Remove what dead processes left behind, pending files and unnamed segments, and give their paths."""
    removed = [*sweep(ledger.path / FOLDER / PENDING), *sweep(ledger.path / TEMPORARY)]

    def orphans(connection: sqlite3.Connection) -> list[Path]:
        named = {ledger.path / s.path for s in catalogue.segments(connection)}
        return [p for p in (ledger.path / FOLDER).glob("[!.]*/*.parquet") if p not in named]

    def remove(connection: sqlite3.Connection) -> list[Path]:
        found = orphans(connection)  # looked for again under the write lock: a living process may have named it
        for path in found:
            path.unlink(missing_ok=True)
        return found

    with ledger.journal.read() as connection:
        found = orphans(connection)
    return removed + (ledger.journal.write(remove) if found else [])


def verify(ledger: Ledger) -> list[str]:
    """Give the problems of the files: a damaged journal; a segment that is missing or not what was stored.

    A changed byte in a row of the journal that is not chained (an event, an identity) is not found.
    """
    try:
        with ledger.journal.read() as connection:
            problems = [f"The journal: {state}" for (state,) in connection.execute(load("replay.sql", "check"))]
    except LedgerError as error:
        return [str(error)]
    problems = [p for p in problems if not p.endswith(": ok")]
    for segment in catalogue.listing(ledger):
        path = ledger.path / segment.path
        if not path.is_file():
            problems.append(f"{segment.path} is missing. Restore it from a backup.")
        elif digest_file(path) != segment.sha256:
            problems.append(f"{segment.path} has changed since it was stored. Restore it from a backup.")
    return problems


def _publish(
    ledger: Ledger,
    made: list[tuple[Segment, Path]],
    replaced: Mapping[str, Segment],
    extra: Callable[[sqlite3.Connection], None] | None,
    seen: frozenset[str] | None = None,
) -> bool:
    """Move the files into place and name them, in one commit; then delete the files they replace."""

    def commit(connection: sqlite3.Connection) -> bool:
        if seen is not None and {s.segment_id for s in catalogue.segments(connection)} != seen:
            return False
        if extra is not None:
            extra(connection)  # first, so that what it refuses leaves no file behind
        for segment_id in replaced:
            catalogue.remove_segment(connection, segment_id)
        for segment, path in made:
            target = ledger.path / segment.path
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            sync(target.parent)
            catalogue.add_segment(connection, segment, ledger.clock())
            if segment.kind == DECISION:
                chain.add_stored(connection, "segment", segment.segment_id)
        return True

    done = ledger.journal.write(commit)
    if done:
        for segment in replaced.values():
            (ledger.path / segment.path).unlink(missing_ok=True)
            sync((ledger.path / segment.path).parent)
    return done


def _describe(
    path: Path, kind: str, source: str | None, file_digest: str | None, *, corrects: bool = False
) -> tuple[Segment, Path]:
    """Give the catalogue row of a ready file, after making its bytes durable."""
    sync(path)
    facts = pq.read_metadata(path)
    expected = schema_of(kind)
    found = facts.schema.to_arrow_schema()
    has, wants = ({f.name: f.type for f in schema} for schema in (found, expected))
    unlike = sorted(name for name in has.keys() | wants.keys() if has.get(name) != wants.get(name))
    if unlike:
        raise DataError(f"{path.name} does not have the columns of kind '{kind}': {', '.join(unlike)}.")
    segment_id = new_id("s")
    low, high = _span(facts, found)
    return catalogue.Segment(
        segment_id=segment_id,
        kind=kind,
        path=f"{FOLDER}/{kind}/{segment_id}.parquet",
        rows=facts.num_rows,
        bytes=path.stat().st_size,
        sha256=digest_file(path),
        min_ts=low,
        max_ts=high,
        source=source,
        file_digest=file_digest,
        corrects=corrects,
    ), path


def schema_of(kind: str) -> pa.Schema:
    """Give the schema of a stored row: a kind of `kinds.py`, or the decision log."""
    if kind == DECISION:
        from nextbest.ledger.decisions import DECISION_SCHEMA

        return DECISION_SCHEMA
    return find_kind(kind).schema()


def _write(ledger: Ledger, kind: str, reader: pa.RecordBatchReader, file: Path, source: str) -> int:
    """Write the batches as they come, checked and cast; gives the number of rows."""
    schema, rows = schema_of(kind), 0
    stem, received = new_id("e"), pa.scalar(ledger.clock(), pa.timestamp("us", tz="UTC"))
    for name in reader.schema.names:
        if name not in schema.names:
            raise DataError(f"Kind '{kind}' has no column '{name}'.{nearest(name, schema.names)}")
    with pq.ParquetWriter(file, schema, compression="zstd", compression_level=1) as writer:
        for batch in reader:
            n = batch.num_rows
            filled = {
                "event_id": pa.array([f"{stem}-{i}" for i in range(rows, rows + n)]),
                "received_ts": pa.repeat(received, n),
                "source": pa.repeat(pa.scalar(source), n),
            }
            given = {**filled, **dict(zip(batch.schema.names, batch.columns, strict=True))}
            columns = [_column(kind, field, given.get(field.name, pa.nulls(n, field.type))) for field in schema]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=ROW_GROUP)
            rows += n
    return rows


def _column(kind: str, field: pa.Field, values: pa.Array) -> pa.Array:
    """Give the values in the stored type; refuses what would lose or invent something."""
    where = f"Column '{field.name}' of kind '{kind}'"
    try:
        cast = values.cast(field.type)
    except pa.ArrowInvalid as error:
        raise DataError(f"{where} cannot be read as {field.type}: {error}.") from error
    if cast.null_count and _required(kind, field.name):
        raise DataError(f"{where} is required and has {cast.null_count} rows without a value.")
    if pa.types.is_floating(field.type) and not pc.all(pc.is_finite(cast), skip_nulls=True, min_count=0).as_py():
        raise DataError(f"{where} has a value that is not a finite number. Leave it empty instead.")
    return cast


def _required(kind: str, column: str) -> bool:
    return kind != DECISION and find_kind(kind).column(column).required


def _span(facts: pq.FileMetaData, schema: pa.Schema) -> tuple[int | None, int | None]:
    """Give the first and last `ts` of a file from its row group statistics, in microseconds."""
    position = schema.get_field_index("ts")
    if position < 0 or any(pa.types.is_nested(f.type) for f in list(schema)[:position]):
        return None, None
    chunks = [facts.row_group(i).column(position).statistics for i in range(facts.num_row_groups)]
    known = [c for c in chunks if c is not None and c.has_min_max]
    if not known:
        return None, None
    return to_micros(min(c.min for c in known)), to_micros(max(c.max for c in known))
