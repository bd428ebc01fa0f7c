"""Segments are there whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextbest.errors import ConflictError, DataError, UnknownNameError
from nextbest.ledger import Ledger, analysis, archive, catalogue, create, events, open_ledger
from nextbest.ledger.catalogue import FileRecord
from nextbest.ledger.kinds import kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILE = FileRecord(digest="d1", name="orders.csv", rows_read=3, rows_accepted=3, rows_rejected=0)
KILLED = """
import os, signal, sys
from pathlib import Path
import pyarrow.parquet as pq
from nextbest.ledger import open_ledger, archive, catalogue
from nextbest.ledger.kinds import kind

catalogue.add_segment = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # after the rename, before the commit
ledger = open_ledger(sys.argv[1])
with archive.pending(ledger) as folder:
    pq.write_table(pq.read_table(sys.argv[2]), folder / "a.parquet")
    file = catalogue.FileRecord(digest="d", name="n", rows_read=1, rows_accepted=1, rows_rejected=0)
    archive.adopt(ledger, {"order": [folder / "a.parquet"]}, file=file)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace at a fixed moment."""
    with create(tmp_path / "w", clock=lambda: NOW) as made:
        yield made


def orders(*subjects: str, ts: datetime = NOW) -> pa.Table:
    """Give one order per subject, in the schema of the kind."""
    rows = [
        {"event_id": f"e{i}", "subject_id": s, "ts": ts, "received_ts": ts, "revenue": 10.0 + i}
        for i, s in enumerate(subjects)
    ]
    return pa.Table.from_pylist(rows, schema=kind("order").schema())


def test_append_fills_in_what_the_ledger_knows(ledger: Ledger) -> None:
    """An appended row comes back with its values, an event id of its own, the receive time and the source."""
    table = pa.table({"subject_id": ["007", "b"], "ts": [NOW, NOW], "revenue": [1.5, None]})
    assert archive.append(ledger, "order", table, source="test") == 2
    rows = analysis.table(ledger, "order").to_pylist()
    assert [(r["subject_id"], r["revenue"], r["source"], r["received_ts"]) for r in rows] == [
        ("007", 1.5, "test", NOW),
        ("b", None, "test", NOW),
    ]
    assert len({r["event_id"] for r in rows}) == 2


def test_a_stream_becomes_one_segment(ledger: Ledger) -> None:
    """A stream of batches is one segment, whose span is the first and last moment."""
    parts = [orders("a", ts=NOW - timedelta(days=3)), orders("b", "c")]
    reader = pa.RecordBatchReader.from_batches(parts[0].schema, [b for p in parts for b in p.to_batches()])
    assert archive.append(ledger, "order", reader, source="test") == 3
    (segment,) = catalogue.listing(ledger)
    assert (segment.rows, segment.kind) == (3, "order")
    assert segment.max_ts is not None
    assert segment.min_ts is not None
    assert segment.max_ts - segment.min_ts == 3 * 86_400_000_000
    assert catalogue.last_event(ledger) == NOW


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("revnue", [1.0], "no column 'revnue'. Did you mean 'revenue'"),
        ("revenue", [float("nan")], "not a finite number"),
        ("revenue", ["much"], "cannot be read as double"),
        ("subject_id", [None], "is required and has 1 rows"),
    ],
)
def test_append_refuses_what_does_not_fit(ledger: Ledger, column: str, values: list[object], message: str) -> None:
    """A wrong column, type, number or missing id is refused by name, and nothing is kept."""
    table = pa.table({"subject_id": ["a"], "ts": [NOW]} | {column: values})
    with pytest.raises(DataError, match=message):
        archive.append(ledger, "order", table, source="test")
    assert catalogue.listing(ledger) == []
    assert list((ledger.path / "archive").rglob("*.parquet")) == []


def test_an_unknown_kind_names_the_near_one(ledger: Ledger) -> None:
    """A mistyped kind is refused with the word that was meant."""
    with pytest.raises(UnknownNameError, match="Did you mean 'order'"):
        archive.append(ledger, "ordr", orders("a"), source="test")


def adopt(ledger: Ledger, table: pa.Table, file: FileRecord = FILE) -> None:
    """Adopt a table as intake would."""
    with archive.pending(ledger) as folder:
        pq.write_table(table, folder / "a.parquet")
        archive.adopt(ledger, {"order": [folder / "a.parquet"]}, file=file)


def test_adopted_files_are_visible_with_their_file(ledger: Ledger) -> None:
    """Ready files become segments together with the record of the file they came from, and nothing stays pending."""
    adopt(ledger, orders("a", "b", "c"))
    with ledger.journal.read() as connection:
        assert catalogue.loaded(connection, "d1") == FILE
        assert catalogue.loaded(connection, "d2") is None
    assert analysis.kinds_present(ledger) == {"order": 3}
    assert list((ledger.path / "archive" / ".pending").iterdir()) == []


def test_the_same_bytes_are_never_adopted_twice(ledger: Ledger) -> None:
    """A file whose digest is known is refused by name, and leaves neither rows nor files behind."""
    adopt(ledger, orders("a"))
    with pytest.raises(ConflictError, match=r"orders.csv was loaded meanwhile"):
        adopt(ledger, orders("b", "c"))
    assert analysis.table(ledger, "order")["subject_id"].to_pylist() == ["a"]
    assert len(list((ledger.path / "archive").rglob("*.parquet"))) == 1


def test_a_file_of_another_shape_is_refused(ledger: Ledger) -> None:
    """A ready file that lacks a column of its kind is refused, and the column is named."""
    with pytest.raises(DataError, match="coupon"):
        adopt(ledger, orders("a").drop_columns(["coupon"]))


def test_an_import_killed_between_rename_and_commit_is_not_there(ledger: Ledger, tmp_path: Path) -> None:
    """A process killed after moving its files and before its commit leaves nothing visible, and the rest is swept."""
    source = tmp_path / "source.parquet"
    pq.write_table(orders("a", "b"), source)
    child = subprocess.run([sys.executable, "-c", KILLED, str(ledger.path), str(source)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert len(list((ledger.path / "archive").rglob("*.parquet"))) == 1
    assert analysis.kinds_present(ledger) == {}
    assert analysis.table(ledger, "order").num_rows == 0
    archive.append(ledger, "order", orders("c"), source="test")
    assert analysis.table(ledger, "order")["subject_id"].to_pylist() == ["c"]
    assert len(list((ledger.path / "archive").rglob("*.parquet"))) == 1
    assert list((ledger.path / "archive" / ".pending").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="folders are held by locks, where there are such locks")
def test_what_a_living_process_writes_is_not_swept(ledger: Ledger) -> None:
    """Sweeping leaves the pending files of a process that is still writing."""
    with archive.pending(ledger) as folder:
        (folder / "a.parquet").write_bytes(b"half")
        assert archive.tidy(ledger) == []
        assert (folder / "a.parquet").exists()


def test_verify_finds_a_flipped_byte_and_a_missing_file(ledger: Ledger) -> None:
    """A segment with one changed byte, and one that is gone, are both named; sound ones are not."""
    for subject in ("a", "b", "c"):
        archive.append(ledger, "order", orders(subject), source="test")
    assert archive.verify(ledger) == []
    first, second, _ = [ledger.path / s.path for s in catalogue.listing(ledger)]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()
    problems = archive.verify(ledger)
    assert len(problems) == 2
    assert "has changed" in problems[0]
    assert "is missing" in problems[1]


def test_what_was_committed_is_there_after_reopening(ledger: Ledger) -> None:
    """A workspace that is closed and opened again holds the same rows."""
    archive.append(ledger, "order", orders("a", "b"), source="test")
    before = analysis.table(ledger, "order")
    ledger.journal.close()
    with open_ledger(ledger.path, clock=lambda: NOW) as again:
        assert analysis.table(again, "order").equals(before)


def test_verify_finds_a_damaged_journal(ledger: Ledger) -> None:
    """A journal whose pages were overwritten is named."""
    events.ingest(
        ledger, [{"kind": "order", "message_id": f"m{i}", "subject_id": "a", "ts": NOW} for i in range(500)], source="x"
    )
    ledger.journal.checkpoint()
    ledger.journal.close()
    data = bytearray((ledger.path / "ledger.sqlite").read_bytes())
    data[-40_960:] = bytes(40_960)
    (ledger.path / "ledger.sqlite").write_bytes(data)
    with open_ledger(ledger.path, clock=lambda: NOW) as again:
        assert len(archive.verify(again)) == 1
        assert "ledger.sqlite" in archive.verify(again)[0] or "The journal" in archive.verify(again)[0]
