"""What the archive holds: the segments that are visible, and the files that were loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from nextbest.ledger.kinds import EVENTS
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros, to_micros

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from nextbest.ledger.workspace import Ledger

_FILE = "catalogue.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One immutable Parquet file of one kind; `path` is relative to the workspace, times are microseconds UTC.

    `corrects` says that it holds other values for events that were stored before.
    """

    segment_id: str
    kind: str
    path: str
    rows: int
    bytes: int
    sha256: str
    min_ts: int | None = None
    max_ts: int | None = None
    source: str | None = None
    file_digest: str | None = None
    corrects: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file that was loaded, by the digest of its bytes; `mapping` is JSON, `rejected_path` is relative."""

    digest: str
    name: str
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    rejected_path: str | None = None
    mapping: str | None = None


def segments(connection: sqlite3.Connection, kind: str | None = None) -> list[Segment]:
    """Give the visible segments, oldest first, of one kind or of all."""
    rows = connection.execute(load(_FILE, "segments")).fetchall()
    names = Segment.__slots__
    found = [Segment(**{**dict(zip(names, row, strict=True)), "corrects": bool(row[-1])}) for row in rows]
    return found if kind is None else [s for s in found if s.kind == kind]


def listing(ledger: Ledger, kind: str | None = None) -> list[Segment]:
    """Give the segments that are visible now, oldest first, of one kind or of all."""
    with ledger.journal.read() as connection:
        return segments(connection, kind)


def add_segment(connection: sqlite3.Connection, segment: Segment, created: datetime) -> None:
    """Make a segment visible when the caller's transaction commits."""
    values = [getattr(segment, name) for name in Segment.__slots__]
    connection.execute(load(_FILE, "add_segment"), [*values, to_micros(created)])


def remove_segment(connection: sqlite3.Connection, segment_id: str) -> None:
    """Make a segment invisible when the caller's transaction commits; its file is the caller's."""
    connection.execute(load(_FILE, "remove_segment"), [segment_id])


def add_file(connection: sqlite3.Connection, file: FileRecord, loaded: datetime) -> None:
    """Remember a loaded file, so that its bytes never count twice."""
    values = [getattr(file, name) for name in FileRecord.__slots__]
    connection.execute(load(_FILE, "add_file"), [*values, to_micros(loaded)])


def loaded(connection: sqlite3.Connection, digest: str) -> FileRecord | None:
    """Give what came of the file with these bytes, or None when it has not been loaded."""
    row = connection.execute(load(_FILE, "loaded"), [digest]).fetchone()
    return None if row is None else FileRecord(**dict(zip(FileRecord.__slots__, row, strict=True)))


def files(connection: sqlite3.Connection) -> list[FileRecord]:
    """Give every file that was loaded, oldest first."""
    rows = connection.execute(load(_FILE, "files")).fetchall()
    return [FileRecord(**dict(zip(FileRecord.__slots__, row, strict=True))) for row in rows]


def last_event(ledger: Ledger) -> datetime | None:
    """Give the moment of the last event of any kind, stored or live; None when there is none."""
    kinds = msgspec.json.encode(EVENTS).decode()
    with ledger.journal.read() as connection:
        last = connection.execute(load(_FILE, "last_event"), (kinds,)).fetchone()[0]
    return None if last is None else from_micros(last)
